package query

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/bind"
	"towpath.dev/towpath/internal/monitor/kql/exec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/sql"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/table"
)

// Limits of a question.
const (
	// DefaultRows is how many rows a person's question returns when it names no number.
	DefaultRows = 10_000
	// DefaultTimeout is how long a question may take when it names no time.
	DefaultTimeout = time.Minute
	// DefaultBudget is how many bytes the executor may hold for one question.
	DefaultBudget = 256 << 20
	// heldRows is how many rows a pushed part may hand to the executor: Kusto's own limit
	// for a result.
	heldRows = 500_000
	// madeRows is how many rows an operator of the executor may make of them.
	madeRows = 4 * heldRows
)

// Options are the parts of a Runner.
type Options struct {
	Clock clock.Clock
	// Engine runs the SQL. Nil means that every table is answered by Tables.
	Engine Engine
	// Dialect is what Engine speaks; nil means sql.DuckDB.
	Dialect sql.Dialect
	// Tables answers the virtual tables; may be nil, then they are refused.
	Tables Virtual
	// Catalog is what a text may name; nil means bind.Standard().
	Catalog bind.Catalog
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
	if o.Dialect == nil {
		o.Dialect = sql.DuckDB()
	}
	if o.Catalog == nil {
		o.Catalog = bind.Standard()
	}
	return &Runner{o: o}
}

// Errors are all things that are wrong with a text. They are the cause of the fault that
// Run returns, so that an editor can mark each in its place.
type Errors []syntax.Error

// Error returns the errors, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// Run answers a question. It refuses a text that is wrong or asks for what is not
// supported with fault.Invalid, naming line and column (the cause is Errors), and one that
// would hold too much with fault.TooLarge.
func (r *Runner) Run(ctx context.Context, a Ask) (*Result, error) {
	if a.Timeout <= 0 {
		a.Timeout = DefaultTimeout
	}
	if a.MaxRows <= 0 {
		a.MaxRows = DefaultRows
	}
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	n := &run{Runner: r, ask: a, now: r.o.Clock.Now(), left: r.o.Budget}
	q, errs := bind.Bind(a.Text, r.o.Catalog)
	if len(errs) > 0 {
		f := fault.Wrap(fault.Invalid, Errors(errs), "%d:%d: %s", errs[0].Line, errs[0].Col, errs[0].Message)
		if errs[0].Next != "" {
			f = f.WithNext("%s", errs[0].Next)
		}
		return nil, f
	}
	n.stats.Compile = milliseconds(r.o.Clock.Now().Sub(n.now))
	b, truncated, err := n.guarded(ctx, q.Rel, a.MaxRows)
	if err != nil {
		return nil, n.explain(ctx, err)
	}
	n.stats.Pushed = strings.Join(n.pushed, ";\n")
	return &Result{Batch: b, Render: q.Render, Truncated: truncated, Stats: n.stats}, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// run is one question on its way.
type run struct {
	*Runner
	ask    Ask
	now    time.Time
	left   int64 // of the budget
	stats  Stats
	pushed []string
}

// explain gives an error that ended a question its kind, and names the place that it is about.
func (n *run) explain(ctx context.Context, err error) error {
	if ctx.Err() == context.DeadlineExceeded {
		return fault.Wrap(fault.TooLarge, err, "the query took longer than %s", n.ask.Timeout).WithNext("narrow its time or add a condition")
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var p *exec.Placed
	var f *fault.Error
	if !errors.As(err, &p) || !errors.As(p.Err, &f) || f.Kind == fault.Internal {
		return err
	}
	line, col := syntax.Position(n.ask.Text, p.Span.Start)
	there := *f
	there.Message = fmt.Sprintf("%d:%d: %s", line, col, f.Message)
	return &there
}

// guarded is answer for a text that anybody may have written: a mistake of ours in a rare
// function ends the query, never the server and what else it does.
func (n *run) guarded(ctx context.Context, rel ir.Rel, rows int) (b *table.Batch, truncated bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("answering a query: %v\n%s", p, debug.Stack())
		}
	}()
	return n.answer(ctx, rel, rows)
}

// answer runs a bound query: first the tables inside its expressions, then what the engine
// takes, then the rest.
func (n *run) answer(ctx context.Context, rel ir.Rel, rows int) (*table.Batch, bool, error) {
	rel, err := sql.Subs(rel, func(sub ir.Rel) (*table.Batch, error) {
		b, truncated, err := n.answer(ctx, sub, heldRows)
		if err == nil && truncated {
			err = n.tooMany(sub)
		}
		return b, err
	})
	if err != nil {
		return nil, false, err
	}
	b, truncated, err := n.try(ctx, rel, rows, false)
	if k := fault.KindOf(err); err != nil && ctx.Err() == nil && (k == fault.Invalid || k == fault.Internal) && n.o.Engine != nil {
		// The engine could not compute a value, an overflow for example, where Kusto has an
		// answer. What the executor refuses it refuses again.
		b, truncated, err = n.try(ctx, rel, rows, true)
	}
	return b, truncated, err
}

// try plans and runs a query.
func (n *run) try(ctx context.Context, rel ir.Rel, rows int, careful bool) (*table.Batch, bool, error) {
	start, left := n.o.Clock.Now(), n.left
	defer func() { n.left = left }()
	plan, err := sql.Make(rel, n.o.Dialect, n.options(careful))
	if err != nil {
		return nil, false, err
	}
	n.stats.Compile += milliseconds(n.o.Clock.Now().Sub(start))
	for _, p := range plan.Parts {
		truncated, err := n.part(ctx, p, rows)
		if err != nil {
			return nil, false, err
		}
		if p.Whole && p.Query.SQL != "" {
			return p.Given.Batch, truncated, nil
		}
	}
	start = n.o.Clock.Now()
	b, err := exec.Run(ctx, plan.Rel, exec.Env{Now: n.now, MaxRows: madeRows, MaxBytes: max(n.left, 1<<20), Source: n.source, Seed: uint64(n.now.UnixNano())})
	if err != nil {
		return nil, false, err
	}
	n.stats.Tail += milliseconds(n.o.Clock.Now().Sub(start))
	if b.Rows() > rows {
		return b.Slice(0, rows), true, nil
	}
	return b, false, nil
}

func (n *run) options(careful bool) sql.Options {
	o := sql.Options{Now: n.now, Careful: careful, Table: n.o.Catalog.Table, Virtual: n.virtual}
	if !n.ask.From.IsZero() {
		o.From = table.TicksOf(n.ask.From)
	}
	if !n.ask.To.IsZero() {
		o.To = max(1, table.TicksOf(n.ask.To))
	}
	return o
}

// virtual reports whether a table is answered by Tables.
func (n *run) virtual(name string) bool {
	if n.o.Engine == nil {
		return true
	}
	t := n.o.Catalog.Table(name)
	return t == nil || t.Virtual
}

// source reads a table that the plan has left in the tree.
func (n *run) source(ctx context.Context, scan *ir.Scan) (*table.Batch, error) {
	b, truncated, err := n.try(ctx, scan, heldRows, true)
	if err == nil && truncated {
		err = n.tooMany(scan)
	}
	return b, err
}

// part answers a part and puts its rows in their place.
func (n *run) part(ctx context.Context, p *sql.Part, rows int) (truncated bool, err error) {
	if p.Query.SQL == "" {
		return false, n.table(ctx, p)
	}
	for i := range p.Query.Scans {
		p.Query.Scans[i].Project, p.Query.Scans[i].All = n.ask.Project, n.ask.All
	}
	p.Query.Timeout = n.ask.Timeout
	p.Query.MaxRows = rows
	if !p.Whole {
		p.Query.MaxRows, p.Query.MaxBytes = heldRows, n.left
	}
	if w := p.Query.Newest; w != nil && (w.Rows == 0 || w.Rows > int64(p.Query.MaxRows)) {
		w.Rows = int64(p.Query.MaxRows) + 1 // One more shows that there are more.
	}
	answer, err := n.o.Engine.Query(ctx, p.Query)
	if err != nil {
		return false, err
	}
	n.pushed = append(n.pushed, p.Query.SQL)
	n.count(answer.Stats)
	if answer.Truncated && !p.Whole {
		return false, n.tooMany(p.Given)
	}
	if err := p.Fill(answer.Batch); err != nil {
		return false, err
	}
	if !p.Whole {
		if n.left -= size(answer.Batch); n.left < 0 {
			return false, n.tooMany(p.Given)
		}
	}
	return answer.Truncated, nil
}

func (n *run) count(s lake.Stats) {
	n.stats.Segments += s.Segments
	n.stats.Read += s.Read
	n.stats.Groups += s.Groups
	n.stats.GroupsRead += s.GroupsRead
	n.stats.Rows += s.Rows
	n.stats.Milliseconds += s.Milliseconds
}

// table answers a part that is a virtual table.
func (n *run) table(ctx context.Context, p *sql.Part) error {
	s := p.Query.Scans[0]
	if n.o.Tables == nil {
		return fault.New(fault.Unavailable, "table %s lies in the metric store, which does not run", s.Table)
	}
	v := VirtualScan{Table: s.Table, Project: n.ask.Project, All: n.ask.All, Equal: s.Equal, Limit: heldRows}
	if s.From > 0 {
		v.From = table.TimeOf(s.From)
	}
	if s.To > 0 {
		v.To = table.TimeOf(s.To)
	}
	b, err := n.o.Tables.Rows(ctx, v)
	if err != nil {
		return err
	}
	in := &table.Batch{Vectors: make([]table.Vector, len(p.Query.Columns))}
	for i, c := range p.Query.Columns {
		at := b.Index(c.Name)
		if at < 0 {
			return fmt.Errorf("reading table %s: column %s is missing", s.Table, c.Name)
		}
		in.Vectors[i] = b.Vectors[at]
	}
	n.stats.Rows += int64(in.Rows())
	if n.left -= size(in); n.left < 0 {
		return n.tooMany(p.Given)
	}
	return p.Fill(in)
}

// tooMany refuses to hold the rows that a part of the text has.
func (n *run) tooMany(r ir.Rel) error {
	return &exec.Placed{Span: r.Where(), Err: fault.New(fault.TooLarge, "this part of the query has more rows than are kept in memory for what follows (%d rows, %d MiB)",
		heldRows, n.o.Budget>>20).WithNext("narrow its time, add a condition, or summarize before")}
}

// size is about how many bytes a batch takes.
func size(b *table.Batch) int64 {
	var out int64
	for _, v := range b.Vectors {
		out += int64(8*len(v.Int) + 8*len(v.Real) + 16*len(v.Text) + len(v.Null))
		for _, s := range v.Text {
			out += int64(len(s))
		}
	}
	return out
}
