package bind

import (
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// evaluate binds a plugin. The arguments in the tree are columns and constants; pivot's
// aggregate is not there but in a Summarize below: its input has the columns that stay, the
// column whose values become columns, and the value, in this order. The one argument of
// pivot is the value for where there are no rows.
func (b *binder) evaluate(in ir.Rel, op *syntax.Evaluate, s *scope) ir.Rel {
	name := op.Call.Name.Name
	if lookup(plugins, name) == nil {
		b.errorf(op.Call.Name.Span, syntax.Nearest(name, names(plugins)), "the plugin %s is not known, or not supported", name)
		return nil
	}
	e := &ir.Evaluate{Plugin: name, In: in}
	var cols []table.Column
	switch name {
	case "pivot":
		cols = b.pivot(e, op, s)
	case "bag_unpack":
		cols = b.bagUnpack(e, op, s)
	case "narrow":
		cols = []table.Column{{Name: "Row", Kind: table.Long}, {Name: "Column", Kind: table.String}, {Name: "Value", Kind: table.String}}
	}
	if cols == nil {
		return nil
	}
	if op.Typed {
		e.Open = false
		if !op.Rest {
			cols = nil
		}
		for _, c := range op.Schema {
			cols = append(cols, table.Column{Name: c.Name.Name, Kind: c.Kind})
		}
	}
	e.Out = out(op.Span, cols)
	return e
}

func (b *binder) bagUnpack(e *ir.Evaluate, op *syntax.Evaluate, s *scope) []table.Column {
	if len(op.Call.Args) == 0 {
		b.errorf(op.Call.Span, "", "bag_unpack takes a column")
		return nil
	}
	r := rowOf(e.In.Columns())
	bag, ok := b.scalar(op.Call.Args[0], s, r).(*ir.Col)
	if !ok || bag.K != table.Dynamic {
		b.errorf(op.Call.Args[0].Where(), "", "bag_unpack takes a column of type dynamic")
		return nil
	}
	e.Open = true
	e.Args = []ir.Expr{bag}
	// The tree has all four: the bag, the prefix, what to do on a conflict, the keys to leave out.
	at := ir.At{Span: op.Span}
	rest := []ir.Expr{&ir.Lit{At: at, K: table.String, Value: ""}, &ir.Lit{At: at, K: table.String, Value: "error"}, &ir.Lit{At: at, K: table.Dynamic}}
	order := map[string]int{"OutputColumnPrefix": 0, "columnsConflict": 1, "ignoredProperties": 2}
	for i, a := range op.Call.Args[1:] {
		if n, ok := a.(*syntax.Named); ok {
			at, known := order[n.Names[0].Name]
			if !known {
				b.errorf(n.Span, "", "bag_unpack has no parameter %s", n.Names[0].Name)
				return nil
			}
			i, a = at, n.X
		}
		if i >= len(rest) {
			b.errorf(a.Where(), "", "bag_unpack takes at most 4 arguments")
			return nil
		}
		rest[i] = b.scalar(a, s, nil)
	}
	e.Args = append(e.Args, rest...)
	cols := []table.Column{}
	for i, c := range r.cols {
		if i != bag.Index {
			cols = append(cols, c)
		}
	}
	return cols
}

func (b *binder) pivot(e *ir.Evaluate, op *syntax.Evaluate, s *scope) []table.Column {
	args := op.Call.Args
	if len(args) == 0 {
		b.errorf(op.Call.Span, "", "pivot takes a column")
		return nil
	}
	r := rowOf(e.In.Columns())
	column, ok := b.scalar(args[0], s, r).(*ir.Col)
	if !ok {
		b.errorf(args[0].Where(), "", "pivot takes a column")
		return nil
	}
	sum := &ir.Summarize{Out: out(op.Span, nil), In: e.In}
	aggs := &aggregation{in: r}
	if len(args) > 1 {
		b.items(args[1:2], s, &row{cols: r.cols, aggs: aggs})
		if len(aggs.list) != 1 || len(aggs.list[0].Kinds) != 1 {
			b.errorf(args[1].Where(), "", "pivot takes one aggregate")
			return nil
		}
	} else {
		aggs.list = []ir.Agg{{At: ir.At{Span: op.Span}, Func: "count", Kinds: []table.Kind{table.Long}}}
	}
	agg := aggs.list[0]
	agg.Names = []string{"$value"}
	keep := map[int]bool{}
	if len(args) > 2 {
		for _, a := range args[2:] {
			for _, i := range b.chosen(a, r.cols) {
				keep[i] = true
			}
		}
	} else {
		for i := range r.cols {
			keep[i] = i != column.Index && !mentions(agg, i)
		}
	}
	cols := []table.Column{}
	for i, c := range r.cols {
		if keep[i] {
			cols = append(cols, c)
			sum.Keys = append(sum.Keys, ir.Named{Name: c.Name, Expr: &ir.Col{At: ir.At{Span: op.Span}, K: c.Kind, Index: i, Name: c.Name}})
		}
	}
	sum.Keys = append(sum.Keys, ir.Named{Name: "$pivot", Expr: column})
	sum.Aggs = []ir.Agg{agg}
	sum.Cols = append(append([]table.Column(nil), cols...), table.Column{Name: "$pivot", Kind: column.K}, table.Column{Name: "$value", Kind: agg.Kinds[0]})
	e.In, e.Open, e.Args = sum, true, []ir.Expr{emptyOf(agg)}
	return cols
}

// emptyOf is what an aggregate gives for no rows, as a constant ("summarize operator",
// default values of aggregations).
func emptyOf(a ir.Agg) *ir.Lit {
	lit := &ir.Lit{At: a.At, K: a.Kinds[0]}
	switch a.Func {
	case "count", "dcount", "count_distinct", "sum", "stdev", "stdevp", "variance", "variancep":
		if lit.Value = int64(0); lit.K == table.Real || lit.K == table.Decimal {
			lit.Value = float64(0)
		}
	case "make_list", "make_set", "make_list_with_nulls":
		lit.Value = "[]"
	case "make_bag":
		lit.Value = "{}"
	}
	return lit
}

// mentions reports whether an aggregate uses a column.
func mentions(a ir.Agg, i int) bool {
	var in func(e ir.Expr) bool
	in = func(e ir.Expr) bool {
		switch e := e.(type) {
		case *ir.Col:
			return e.Index == i
		case *ir.Nth:
			return in(e.Call)
		case *ir.Call:
			for _, x := range e.Args {
				if in(x) {
					return true
				}
			}
		}
		return false
	}
	for _, x := range append(append([]ir.Expr(nil), a.Args...), a.If) {
		if x != nil && in(x) {
			return true
		}
	}
	return false
}
