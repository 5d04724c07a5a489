package bind

import (
	"sort"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// binder makes the bound tree of one text. A view has a binder of its own, which shares
// the totals.
type binder struct {
	text   string
	cat    Catalog
	errs   []syntax.Error
	totals *totals
	views  []string // that are being expanded, to refuse circles
	render *ir.Render
	depth  int
}

// totals are counted over the text and the views that it uses.
type totals struct {
	nodes  int
	shared int
	refs   int
}

// value is what an expression means: a scalar, a table, or a function; none after an error.
type value struct {
	expr ir.Expr
	rel  ir.Rel
	fn   *function
	name string // of the table, for withsource
}

// function is a user function with the names that its body may see.
type function struct {
	def   *syntax.Func
	scope *scope
}

// scope holds the names that let statements and parameters have given.
type scope struct {
	up    *scope
	names map[string]*named
}

// named is a name's meaning. frame is the row in which a parameter's value was bound, nil
// for a let; weight is what the value adds to the size of the tree each time it is used.
type named struct {
	value
	frame  *row
	weight int
}

func (s *scope) find(name string) *named {
	for ; s != nil; s = s.up {
		if n := s.names[name]; n != nil {
			return n
		}
	}
	return nil
}

func (s *scope) set(name string, n *named) {
	if s.names == nil {
		s.names = map[string]*named{}
	}
	s.names[name] = n
}

// row is the columns that an expression may see. frame is set in the body of a user
// function: the row of the call, whose columns only parameters may stand for.
type row struct {
	cols    []table.Column
	index   map[string]int
	frame   *row
	aggs    *aggregation // summarize: aggregates are allowed and noted here
	lenient bool         // search and find: a missing column is null
	steps   []step       // scan
	declare int          // scan: where the declared columns begin
	left    []table.Column
	right   []table.Column
}

// step is a step of scan that conditions may name.
type step struct{ name string }

func rowOf(cols []table.Column) *row { return &row{cols: cols} }

// root follows the frames to the row whose columns a parameter's value means.
func (r *row) root() *row {
	for r != nil && r.frame != nil {
		r = r.frame
	}
	return r
}

func (r *row) find(name string) int {
	if r == nil {
		return -1
	}
	if r.index == nil {
		r.index = make(map[string]int, len(r.cols))
		for i, c := range r.cols {
			if _, twice := r.index[c.Name]; !twice {
				r.index[c.Name] = i
			}
		}
	}
	if i, ok := r.index[name]; ok {
		return i
	}
	return -1
}

// errorf tells a mistake; the first at a place counts.
func (b *binder) errorf(at syntax.Span, next, format string, args ...any) {
	if len(b.errs) >= syntax.MaxErrors {
		return
	}
	for _, e := range b.errs {
		if e.Span == at {
			return
		}
	}
	b.errs = append(b.errs, syntax.ErrorAt(b.text, at, next, format, args...))
}

// grow counts n nodes and reports whether the tree is still within its limit.
func (b *binder) grow(at syntax.Span, n int) bool {
	b.totals.nodes += n
	if b.totals.nodes > MaxNodes {
		b.errorf(at, "use materialize, or fewer functions", "the query becomes too large when its functions and names are put in")
		return false
	}
	return true
}

// enter bounds the depth of user functions and views in each other.
func (b *binder) enter(at syntax.Span) bool {
	b.depth++
	if b.depth > 400 {
		b.errorf(at, "", "the query nests too deeply")
		return false
	}
	return true
}

func (b *binder) leave() { b.depth-- }

// Bind parses and binds a text. When there are errors the query is nil; otherwise it is
// complete. Errors stand in the order of the text.
func Bind(text string, c Catalog) (*ir.Query, []syntax.Error) {
	tree, errs := syntax.Parse(text)
	if len(errs) > 0 {
		return nil, errs
	}
	b := &binder{text: text, cat: c, totals: &totals{}}
	v := b.query(tree, &scope{}, nil)
	if v.rel == nil && len(b.errs) == 0 {
		v.rel = b.asTable(v, tree.Span)
	}
	if len(b.errs) > 0 {
		sort.SliceStable(b.errs, func(i, j int) bool { return b.errs[i].Span.Start < b.errs[j].Span.Start })
		return nil, b.errs
	}
	return &ir.Query{Rel: v.rel, Render: b.render}, nil
}

// asTable makes a table of a scalar that stands as the question, as the service does.
func (b *binder) asTable(v value, at syntax.Span) ir.Rel {
	if v.expr == nil {
		b.errorf(at, "end the text with a table or an expression", "there is no question: the text only has let statements")
		return nil
	}
	cols := []table.Column{{Name: "print_0", Kind: v.expr.Kind()}}
	return &ir.Rows{Out: out(at, cols), Rows: [][]ir.Expr{{v.expr}}}
}

// query binds the statements of a text or of a function's body and returns what the last
// expression means. In a body, r is the row of the call.
func (b *binder) query(q *syntax.Query, s *scope, r *row) value {
	var last value
	asked := false
	for _, st := range q.Statements {
		switch st := st.(type) {
		case *syntax.Let:
			b.let(st, s, r)
		case *syntax.Set:
			b.option(st)
		case *syntax.Declare:
			b.declare(st, s)
		case *syntax.Ask:
			if asked {
				b.errorf(st.Span, "ask one after the other", "a text with several questions is not supported")
				continue
			}
			asked = true
			last = b.any(st.Expr, s, r)
		}
	}
	return last
}

func (b *binder) let(st *syntax.Let, s *scope, r *row) {
	if f, ok := st.Value.(*syntax.Func); ok {
		seen := &scope{up: s.up, names: map[string]*named{}}
		for k, v := range s.names {
			seen.names[k] = v
		}
		s.set(st.Name.Name, &named{value: value{fn: &function{def: f, scope: seen}}})
		return
	}
	before := b.totals.nodes
	v := b.any(st.Value, s, r)
	if v.rel != nil && reduces(v.rel) && uses(b.text[st.Span.End:], st.Name.Name) > 1 {
		v.rel = b.share(v.rel, st.Span)
	}
	s.set(st.Name.Name, &named{value: v, frame: r, weight: b.totals.nodes - before})
}

// uses counts how often a name stands in the rest of the text.
func uses(text, name string) int {
	n := 0
	for _, t := range syntax.Tokens(text) {
		if t.End-t.Start == len(name) && text[t.Start:t.End] == name {
			n++
		}
	}
	return n
}

// reduces reports whether a table was made smaller on its way, so that keeping it for its
// second use costs little; what only filters is better asked twice.
func reduces(r ir.Rel) bool {
	switch r := r.(type) {
	case *ir.Summarize, *ir.MakeSeries, *ir.Take, *ir.Sample, *ir.TopNested, *ir.TopHitters:
		return true
	case *ir.Project:
		return reduces(r.In)
	case *ir.Filter:
		return reduces(r.In)
	case *ir.Sort:
		return reduces(r.In)
	case *ir.Serialize:
		return reduces(r.In)
	}
	return false
}

func (b *binder) share(r ir.Rel, at syntax.Span) ir.Rel {
	if s, ok := r.(*ir.Shared); ok {
		return s
	}
	b.totals.shared++
	return &ir.Shared{Out: out(at, r.Columns()), ID: b.totals.shared, In: r}
}

// meaning are the options of a request that change what a query means; to pass over them
// would answer another question.
var meaning = map[string]bool{
	"query_now": true, "query_datetimescope_column": true, "query_datetimescope_from": true, "query_datetimescope_to": true,
	"query_language": true, "query_take_max_records": true, "request_callout_disabled": true, "request_readonly": true,
}

func (b *binder) option(st *syntax.Set) {
	if meaning[st.Name.Name] {
		b.errorf(st.Span, "", "the option %s is not supported", st.Name.Name)
	}
}

func (b *binder) declare(st *syntax.Declare, s *scope) {
	for _, p := range st.Params {
		if p.Default == nil {
			b.errorf(p.Span, "give it a default", "the parameter %s has no value", p.Name.Name)
			continue
		}
		e := b.scalar(p.Default, s, nil)
		s.set(p.Name.Name, &named{value: value{expr: b.cast(e, p.Kind)}})
	}
}

func out(at syntax.Span, cols []table.Column) ir.Out {
	return ir.Out{At: ir.At{Span: at}, Cols: cols}
}
