package bind

import (
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// pipe binds a table expression. Names that `as` gives are seen by what follows.
func (b *binder) pipe(x *syntax.Pipe, s *scope, r *row) ir.Rel {
	inner := &scope{up: s}
	var rel ir.Rel
	name := ""
	ops := x.Ops
	if x.Source != nil {
		v := b.any(x.Source, inner, r)
		rel, name = v.rel, v.name
		if rel == nil {
			if v.expr == nil || v.expr.Kind() != table.Unknown {
				b.errorf(x.Source.Where(), "", "a table is expected before |")
			}
			return empty(x.Span)
		}
	} else if len(ops) > 0 {
		rel, ops = b.source(ops[0], inner, r), ops[1:]
	}
	return b.operators(rel, ops, inner, name)
}

// operators sends a table through operators.
func (b *binder) operators(rel ir.Rel, ops []syntax.Op, s *scope, name string) ir.Rel {
	for _, op := range ops {
		failed := len(b.errs)
		if !b.grow(op.Where(), 1) || rel == nil {
			return empty(op.Where())
		}
		next := b.operator(rel, op, s, name)
		name = ""
		if n, ok := op.(*syntax.As); ok {
			name = n.Name.Name
		}
		if len(b.errs) > failed && next == nil {
			return empty(op.Where())
		}
		rel = next
	}
	return rel
}

// empty stands for a table that had a mistake.
func empty(at syntax.Span) ir.Rel { return &ir.Rows{Out: out(at, nil)} }

// source binds an operator that begins a table expression.
func (b *binder) source(op syntax.Op, s *scope, r *row) ir.Rel {
	switch op := op.(type) {
	case *syntax.Columns:
		return b.print(op, s, r)
	case *syntax.Union:
		return b.union(nil, op, s, "")
	case *syntax.Range:
		return b.rangeOf(op, s, r)
	case *syntax.Datatable:
		return b.datatable(op, s)
	case *syntax.Search:
		return b.searchOp(nil, op, s, "")
	case *syntax.Find:
		return b.find(op, s)
	}
	if e, ok := op.(*syntax.Evaluate); ok && lookup(plugins, e.Call.Name.Name) == nil {
		b.errorf(e.Call.Name.Span, "", "the plugin %s is not known, or not supported", e.Call.Name.Name)
		return empty(op.Where())
	}
	b.errorf(op.Where(), "", "this operator needs a table before it")
	return empty(op.Where())
}

func (b *binder) operator(in ir.Rel, op syntax.Op, s *scope, name string) ir.Rel {
	switch op := op.(type) {
	case *syntax.Filter:
		return b.where(in, op, s)
	case *syntax.Columns:
		return b.columns(in, op, s)
	case *syntax.Count:
		return b.count(in, op, s)
	case *syntax.Summarize:
		return b.summarize(in, op, s)
	case *syntax.Sort:
		return b.sort(in, op.Span, op.Keys, s)
	case *syntax.Top:
		return b.top(in, op, s)
	case *syntax.Take:
		return b.take(in, op, s)
	case *syntax.Join:
		return b.join(in, op, s)
	case *syntax.Union:
		return b.union(in, op, s, name)
	case *syntax.ParseText:
		return b.parse(in, op, s)
	case *syntax.ParseKV:
		return b.parseKV(in, op, s)
	case *syntax.Expand:
		return b.expand(in, op, s)
	case *syntax.MakeSeries:
		return b.makeSeries(in, op, s)
	case *syntax.TopNested:
		return b.topNested(in, op, s)
	case *syntax.TopHitters:
		return b.topHitters(in, op, s)
	case *syntax.As:
		return b.as(in, op, s)
	case *syntax.Evaluate:
		return b.evaluate(in, op, s)
	case *syntax.Reduce:
		return b.reduce(in, op, s)
	case *syntax.Plain:
		return b.plain(in, op)
	case *syntax.Search:
		return b.searchOp(in, op, s, name)
	case *syntax.Partition:
		return b.partition(in, op, s)
	case *syntax.Scan:
		return b.scan(in, op, s)
	case *syntax.Invoke:
		return b.invoke(in, op, s)
	case *syntax.Render:
		return b.renderOp(in, op)
	}
	b.errorf(op.Where(), "", "this operator may only begin a query")
	return nil
}

func (b *binder) where(in ir.Rel, op *syntax.Filter, s *scope) ir.Rel {
	p := b.predicate(op.Pred, s, rowOf(in.Columns()))
	return &ir.Filter{Out: out(op.Span, in.Columns()), In: in, Pred: p}
}

// predicate binds a condition.
func (b *binder) predicate(x syntax.Expr, s *scope, r *row) ir.Expr {
	p := b.scalar(x, s, r)
	if k := p.Kind(); k != table.Bool && k != table.Unknown {
		next := ""
		if k == table.Dynamic {
			next = "convert it with tobool"
		}
		b.errorf(x.Where(), next, "a condition must be a bool, not a value of type %s", k)
	}
	return p
}

func (b *binder) count(in ir.Rel, op *syntax.Count, s *scope) ir.Rel {
	name := "Count"
	if op.As != nil {
		name = op.As.Name
	}
	cols := []table.Column{{Name: name, Kind: table.Long}}
	agg := ir.Agg{At: ir.At{Span: op.Span}, Func: "count", Names: []string{name}, Kinds: []table.Kind{table.Long}}
	return &ir.Summarize{Out: out(op.Span, cols), In: in, Aggs: []ir.Agg{agg}}
}

// keys binds the keys of an order: descending when nothing is said, nulls at the end of a
// descending order and at the begin of an ascending one.
func (b *binder) keys(list []syntax.Key, s *scope, r *row) []ir.SortKey {
	var out []ir.SortKey
	for _, k := range list {
		x := k.Expr
		if n, ok := x.(*syntax.Named); ok {
			x = n.X
		}
		e := b.scalar(x, s, r)
		if e.Kind() == table.Dynamic {
			b.errorf(k.Span, "convert it, with tostring or tolong", "rows cannot be ordered by a value of type dynamic")
		}
		asc := k.Order == "asc"
		out = append(out, ir.SortKey{Expr: e, Asc: asc, NullsFirst: k.Nulls == "first" || k.Nulls == "" && asc})
	}
	return out
}

func (b *binder) sort(in ir.Rel, at syntax.Span, keys []syntax.Key, s *scope) ir.Rel {
	return &ir.Sort{Out: out(at, in.Columns()), In: in, Keys: b.keys(keys, s, rowOf(in.Columns()))}
}

// number binds a count of rows.
func (b *binder) number(x syntax.Expr, s *scope) ir.Expr {
	e := b.scalar(x, s, nil)
	if k := e.Kind(); k != table.Unknown && !accepts("integer", k) {
		b.errorf(x.Where(), "", "the number of rows must be a whole number, not a value of type %s", k)
		return e
	}
	if lit, ok := e.(*ir.Lit); ok {
		if v, ok := lit.Value.(int64); ok && v < 0 {
			b.errorf(x.Where(), "", "the number of rows must not be negative")
		}
	}
	return b.cast(e, table.Long)
}

func (b *binder) top(in ir.Rel, op *syntax.Top, s *scope) ir.Rel {
	sorted := b.sort(in, op.Span, []syntax.Key{op.Key}, s)
	return &ir.Take{Out: out(op.Span, in.Columns()), In: sorted, N: b.number(op.N, s)}
}

func (b *binder) take(in ir.Rel, op *syntax.Take, s *scope) ir.Rel {
	n := b.number(op.N, s)
	switch op.Kind {
	case "sample":
		return &ir.Sample{Out: out(op.Span, in.Columns()), In: in, N: n}
	case "sample-distinct":
		r := rowOf(in.Columns())
		b.plainColumn(op.Of)
		items := b.items([]syntax.Expr{op.Of}, s, r)
		name, _ := newNamer().give(items[0].name, items[0].origin)
		cols := []table.Column{{Name: name, Kind: items[0].expr.Kind()}}
		return &ir.Sample{Out: out(op.Span, cols), In: in, N: n, Distinct: items[0].expr}
	}
	return &ir.Take{Out: out(op.Span, in.Columns()), In: in, N: n}
}

// plainColumn refuses what is not a column by its name.
func (b *binder) plainColumn(x syntax.Expr) {
	if _, ok := x.(*syntax.Ident); !ok {
		b.errorf(x.Where(), "compute it in an extend first", "the name of a column is expected here")
	}
}

func (b *binder) as(in ir.Rel, op *syntax.As, s *scope) ir.Rel {
	rel := b.share(in, op.Span)
	s.set(op.Name.Name, &named{value: value{rel: rel, name: op.Name.Name}})
	return rel
}

func (b *binder) plain(in ir.Rel, op *syntax.Plain) ir.Rel {
	if op.Kind != "getschema" {
		b.errorf(op.Span, "", "%s is not supported", op.Kind)
		return nil
	}
	cols := []table.Column{{Name: "ColumnName", Kind: table.String}, {Name: "ColumnOrdinal", Kind: table.Long}, {Name: "DataType", Kind: table.String}, {Name: "ColumnType", Kind: table.String}}
	rows := &ir.Rows{Out: out(op.Span, cols)}
	text := func(s string) ir.Expr { return &ir.Lit{At: ir.At{Span: op.Span}, K: table.String, Value: s} }
	for i, c := range in.Columns() {
		n := &ir.Lit{At: ir.At{Span: op.Span}, K: table.Long, Value: int64(i)}
		rows.Rows = append(rows.Rows, []ir.Expr{text(c.Name), n, text(clrName(c.Kind)), text(c.Kind.String())})
	}
	return rows
}

// clrName is the type's name in .NET, which getschema shows.
func clrName(k table.Kind) string {
	return map[table.Kind]string{
		table.Bool: "System.SByte", table.Int: "System.Int32", table.Long: "System.Int64", table.Real: "System.Double",
		table.Decimal: "System.Data.SqlTypes.SqlDecimal", table.DateTime: "System.DateTime", table.TimeSpan: "System.TimeSpan",
		table.GUID: "System.Guid", table.String: "System.String", table.Dynamic: "System.Object",
	}[k]
}

// renderOp notes how the result is to be drawn.
func (b *binder) renderOp(in ir.Rel, op *syntax.Render) ir.Rel {
	r := &ir.Render{Chart: op.Chart}
	for _, o := range op.Options {
		if r.Properties == nil {
			r.Properties = map[string]string{}
		}
		r.Properties[o.Name] = b.property(o.Value)
	}
	b.render = r
	return in
}

// property is the text of a chart's property.
func (b *binder) property(x syntax.Expr) string {
	switch x := x.(type) {
	case *syntax.Ident:
		return x.Name
	case *syntax.Lit:
		if s, ok := x.Value.(string); ok {
			return s
		}
	case *syntax.Call:
		out := ""
		for i, a := range x.Args {
			if i > 0 {
				out += ","
			}
			out += b.property(a)
		}
		return out
	}
	if x == nil {
		return ""
	}
	return b.text[x.Where().Start:x.Where().End]
}

func (b *binder) invoke(in ir.Rel, op *syntax.Invoke, s *scope) ir.Rel {
	n := s.find(op.Call.Name.Name)
	if n == nil || n.fn == nil {
		b.errorf(op.Call.Name.Span, syntax.Nearest(op.Call.Name.Name, s.all()), "there is no function %q", op.Call.Name.Name)
		return nil
	}
	params := n.fn.def.Params
	values, set := make([]value, len(params)), make([]bool, len(params))
	if len(params) == 0 || len(op.Call.Args)+1 > len(params) {
		b.errorf(op.Call.Span, "", "%s does not take these arguments", op.Call.Name.Name)
		return nil
	}
	values[0], set[0] = value{rel: in}, true
	for i, a := range op.Call.Args {
		values[i+1], set[i+1] = b.any(a, s, nil), true
	}
	v := b.body(op.Span, op.Call.Name.Name, n.fn, values, set, nil)
	if v.rel == nil {
		b.errorf(op.Span, "", "%s does not return a table", op.Call.Name.Name)
		return nil
	}
	return v.rel
}
