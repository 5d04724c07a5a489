package query

import (
	"context"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
)

// Limits of a question.
const (
	// DefaultRows is how many rows a person's question returns when it names no number.
	DefaultRows = 10_000
	// DefaultBudget is how many bytes the executor may hold for one question.
	DefaultBudget = 256 << 20
	// heldRows is how many rows a pushed part may hand to the executor: Kusto's own limit
	// for a result.
	heldRows = 500_000
)

// Options are the parts of a Runner.
type Options struct {
	Clock clock.Clock
	// Engine runs the SQL. Nil means that every table is answered by Tables.
	Engine Engine
	// Tables answers the virtual tables; may be nil, then they are refused.
	Tables Virtual
	// Budget is how many bytes the executor may hold for one question; 0 means DefaultBudget.
	Budget int64
}

// Runner answers questions. It is safe for concurrent use.
type Runner struct {
	o Options
}

// New makes a Runner of its parts.
func New(o Options) *Runner {
	if o.Budget <= 0 {
		o.Budget = DefaultBudget
	}
	return &Runner{o: o}
}

// Run answers a question. It refuses a text that is wrong or asks for what is not
// supported with fault.Invalid, naming line and column, and one that would hold too much
// with fault.TooLarge.
func (r *Runner) Run(ctx context.Context, a Ask) (*Result, error) {
	return nil, fault.New(fault.Unavailable, "no query can be answered before the binder is wired")
}
