package sql

import (
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/table"
)

// Limits of what is pushed.
const (
	maxDepth = 400     // of operators and expressions together
	maxRows  = 200     // constant rows
	maxText  = 1 << 16 // bytes of a constant text
	maxList  = 50_000  // elements of in
	maxTerms = 64      // of has_any, and of the hints of a scan
)

// Options say for whom and what is planned.
type Options struct {
	Now time.Time
	// From and To bound TimeGenerated of every table, in ticks; 0 is open.
	From, To int64
	// Virtual reports whether a table does not lie in the engine.
	Virtual func(name string) bool
	// Table returns a table of the catalogue, nil for another name.
	Table func(name string) *table.Table
	// Careful pushes nothing that may end in an error of the engine: after an overflow,
	// the same question is planned again with it.
	Careful bool
}

// Plan is a query of which parts are answered by an engine.
type Plan struct {
	// Rel is what remains for the executor. Where the whole query was pushed it is the
	// Given of the only part.
	Rel   ir.Rel
	Parts []*Part
}

// Part is a sub-tree that is answered elsewhere.
type Part struct {
	Given *ir.Given
	// Query is the question to the engine, its scans without Project. For a virtual table
	// SQL is "", and the one scan says what is asked for. Of a part that is an order without
	// a limit, Newest has no Rows.
	Query lake.Query
	// Whole is true when the part is the whole query: then nothing more happens to its rows.
	Whole bool
	// columns are the places in Given of the columns of the answer.
	columns []int
}

// Fill puts an answer in the part's place. Columns that were not asked for, because
// nothing reads them, are null.
func (p *Part) Fill(b *table.Batch) error {
	cols := p.Given.Cols
	out := &table.Batch{Columns: cols, Vectors: make([]table.Vector, len(cols))}
	if len(b.Vectors) != max(1, len(p.columns)) {
		return fmt.Errorf("reading an answer of the engine: %d columns where %d were asked for", len(b.Vectors), len(p.columns))
	}
	for i, at := range p.columns {
		if b.Vectors[i].Kind != cols[at].Kind {
			return fmt.Errorf("reading an answer of the engine: column %s is %s, not %s", cols[at].Name, b.Vectors[i].Kind, cols[at].Kind)
		}
		out.Vectors[at] = b.Vectors[i]
	}
	blanks := map[table.Kind]table.Vector{}
	for i, v := range out.Vectors {
		if v.Kind != table.Unknown {
			continue
		}
		k := cols[i].Kind
		if _, ok := blanks[k]; !ok {
			blanks[k] = table.Nulls(k, b.Rows())
		}
		out.Vectors[i] = blanks[k]
	}
	p.Given.Batch = out
	return nil
}

// Make plans a query: it takes out, from the top down, every sub-tree that the dialect can
// say. Every Scan ends in a part.
func Make(r ir.Rel, d Dialect, o Options) (*Plan, error) {
	p := &planner{d: d, o: o, failed: map[ir.Rel]error{}, folded: map[ir.Expr]*ir.Lit{}, barrier: barriers(r), shared: map[int]*ir.Shared{}}
	out := &Plan{Rel: p.rel(r, nil, nil)}
	out.Parts = p.parts
	if p.err != nil {
		return nil, p.err
	}
	for _, part := range out.Parts {
		part.Whole = out.Rel == ir.Rel(part.Given)
	}
	return out, nil
}

type planner struct {
	d       Dialect
	o       Options
	failed  map[ir.Rel]error
	folded  map[ir.Expr]*ir.Lit
	barrier map[int]bool
	shared  map[int]*ir.Shared
	parts   []*Part
	depth   int
	err     error
}

// emitter writes one part.
type emitter struct {
	*planner
	scans   []*lake.Scan
	aliases int
	depth   int
}

// errDeep ends the planning of a query that no person wrote.
var errDeep = errors.New("planning a query: it is nested too deep")

// rel plans a sub-tree: pushed as a whole, or rebuilt over planned inputs.
func (p *planner) rel(r ir.Rel, used live, conds []ir.Expr) ir.Rel {
	if p.depth++; p.depth > 20*maxDepth {
		p.err = errDeep
		return r
	}
	defer func() { p.depth-- }()
	switch r := r.(type) {
	case *ir.Scan:
		if p.o.Virtual(r.Table) {
			return p.virtual(r, conds)
		}
	case *ir.Rows, *ir.Range, *ir.Ref, *ir.Given:
		return w(p).node(r)
	case *ir.Shared:
		return p.once(r, used, conds)
	}
	if g := p.push(r, used, conds); g != nil {
		return g
	}
	if f, ok := r.(*ir.Filter); ok {
		if rest, pushed := p.split(f); pushed != nil {
			c := *f
			c.In, c.Pred = p.rel(pushed, needs(&c, 0, used), below(f, 0, conds)), rest
			return &c
		}
	}
	return rewriter{
		rel: func(parent ir.Rel, n int, in ir.Rel) ir.Rel {
			return p.rel(in, needs(parent, n, used), below(parent, n, conds))
		},
		expr: w(p).expr,
	}.node(r)
}

// w plans the tables inside expressions.
func w(p *planner) rewriter {
	return rewriter{
		rel: func(_ ir.Rel, _ int, in ir.Rel) ir.Rel { return p.rel(in, nil, nil) },
		expr: func(x ir.Expr) ir.Expr {
			return mapExpr(x, func(x ir.Expr) ir.Expr {
				s, ok := x.(*ir.Sub)
				if !ok {
					return x
				}
				c := *s
				c.Rel = p.rel(s.Rel, nil, nil)
				return &c
			})
		},
	}
}

// once plans a shared table. Unless it must be computed once, each use is planned for
// itself: engines read what a use needs faster than they keep what all need.
func (p *planner) once(r *ir.Shared, used live, conds []ir.Expr) ir.Rel {
	if !p.barrier[r.ID] {
		if g := p.push(r.In, used, conds); g != nil {
			return g
		}
	}
	if s, ok := p.shared[r.ID]; ok {
		return s
	}
	c := *r
	c.In = p.rel(r.In, nil, nil)
	p.shared[r.ID] = &c
	return &c
}

// push makes a part of a sub-tree, nil when the dialect cannot say it.
func (p *planner) push(r ir.Rel, used live, conds []ir.Expr) ir.Rel {
	e := &emitter{planner: p}
	b, err := e.rel(r, used, conds)
	if err != nil || len(e.scans) == 0 {
		return nil
	}
	newest := b.newest()
	part := &Part{Given: &ir.Given{Out: ir.Out{At: ir.At{Span: r.Where()}, Cols: r.Columns()}}}
	for i, c := range b.cells {
		if !c.dead {
			b.cells[i].sql = p.d.Result(c.sql, r.Columns()[i].Kind)
			part.columns = append(part.columns, i)
			part.Query.Columns = append(part.Query.Columns, r.Columns()[i])
		}
	}
	if len(part.columns) == 0 {
		part.Query.Columns = []table.Column{{Name: "rows_", Kind: table.Int}}
	}
	part.Query.SQL, part.Query.Newest = b.text()+p.d.Suffix(), newest
	for _, s := range e.scans {
		part.Query.Scans = append(part.Query.Scans, *s)
	}
	p.parts = append(p.parts, part)
	return part.Given
}

// split divides a condition into what the engine can ask and what it cannot; nil when
// there is nothing to divide.
func (p *planner) split(f *ir.Filter) (rest ir.Expr, pushed *ir.Filter) {
	e := &emitter{planner: p}
	in, err := e.rel(f.In, nil, nil)
	if err != nil || (in.closed() && in.ordered()) {
		return nil, nil
	}
	var can, cannot []ir.Expr
	for _, c := range conjuncts(f.Pred) {
		if _, err := e.truth(c, in.cells); err != nil {
			cannot = append(cannot, c)
		} else {
			can = append(can, c)
		}
	}
	if len(can) == 0 || len(cannot) == 0 {
		return nil, nil
	}
	c := *f
	c.Pred = all(can)
	return all(cannot), &c
}

func all(es []ir.Expr) ir.Expr {
	if len(es) == 1 {
		return es[0]
	}
	return &ir.Call{At: ir.At{Span: es[0].Where()}, K: table.Bool, Func: "and", Args: es}
}

// virtual makes a part of a table that does not lie in the engine.
func (p *planner) virtual(r *ir.Scan, conds []ir.Expr) ir.Rel {
	e := &emitter{planner: p}
	s := e.hints(r, conds)
	part := &Part{Given: &ir.Given{Out: r.Out}, Query: lake.Query{Scans: []lake.Scan{*s}, Columns: r.Cols}}
	for i := range r.Cols {
		part.columns = append(part.columns, i)
	}
	p.parts = append(p.parts, part)
	return part.Given
}

// barriers finds the shared tables that are used more than once and are not the same each
// time that they are computed: those that keep any rows of many.
func barriers(r ir.Rel) map[int]bool {
	uses, vague := map[int]int{}, map[int]bool{}
	walk(r, func(r ir.Rel) {
		s, ok := r.(*ir.Shared)
		if !ok {
			return
		}
		if uses[s.ID]++; uses[s.ID] == 1 && !exactly(s.In) {
			vague[s.ID] = true
		}
	})
	for id := range vague {
		if uses[id] < 2 {
			delete(vague, id)
		}
	}
	return vague
}

// exactly reports whether a table is the same each time that it is computed.
func exactly(r ir.Rel) bool {
	same := true
	walk(r, func(r ir.Rel) {
		switch r.(type) {
		case *ir.Take, *ir.Sample:
			same = false
		}
	})
	return same
}
