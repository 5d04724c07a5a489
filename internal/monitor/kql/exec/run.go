package exec

import (
	"context"
	"time"

	"towpath.dev/towpath/internal/monitor/kql/exec/agg"
	"towpath.dev/towpath/internal/monitor/kql/exec/scalar"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/table"
)

// Env is the world of one query.
type Env struct {
	// Now is what now() and ago() mean.
	Now time.Time
	// Source reads the leaves that are tables of the catalogue. The batch has the columns
	// of the Scan, in order. Nil when the query has no such leaf.
	Source func(ctx context.Context, scan *ir.Scan) (*table.Batch, error)
	// MaxRows bounds the rows that one operator may make; 0 means 10,000,000.
	MaxRows int
	// MaxBytes bounds what the query holds at a time: about the memory of all tables that it
	// still needs, but for those that were given. It is looked at before a table is made.
	// 0 means 512 MiB.
	MaxBytes int64
	// Seed makes rand(), sample and new_guid() repeatable; 0 is a seed like any other.
	Seed uint64
}

// Run answers a query. It refuses with fault.TooLarge what goes over the limits of env,
// with fault.Invalid what only the data shows to be wrong (a negative bin, more than one
// step without end), both as the cause of a *Placed where the place is known, and returns
// the context's error when that ends first.
func Run(ctx context.Context, rel ir.Rel, env Env) (*table.Batch, error) {
	r := newRun(ctx, env)
	f, err := r.rel(rel)
	if err != nil {
		return nil, err
	}
	return f.batch(), nil
}

// Fold evaluates an expression without columns, sub-queries and randomness to a constant.
func Fold(e ir.Expr, now time.Time) (*ir.Lit, error) {
	return fold(e, now)
}

// Constant reports whether an expression means the same for every row of a query: it has
// no column, no sub-query, and no function such as rand or row_number.
func Constant(e ir.Expr) bool {
	return constant(e)
}

// Functions returns the names of the scalar functions and operators that Run knows, as
// ir.Call.Func has them, sorted.
func Functions() []string { return scalar.Names() }

// Aggregates returns the names of the aggregates that Run knows, as ir.Agg.Func has them,
// sorted.
func Aggregates() []string { return agg.Names() }

// Plugins returns the names of the plugins that Run knows, as ir.Evaluate.Plugin has
// them, sorted.
func Plugins() []string { return []string{"bag_unpack", "narrow", "pivot"} }
