package bind

import (
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// aggregation collects the aggregates of an operator while its expressions are bound.
type aggregation struct {
	in   *row
	skip map[string]bool // columns that a star leaves out: the keys
	list []ir.Agg
	// made is the number of columns that keys and aggregates have made so far.
	made int
}

// aggregate binds a call of an aggregate, notes it, and returns its first column.
func (b *binder) aggregate(x *syntax.Call, sig *signature, s *scope, r *row) ir.Expr {
	a := ir.Agg{At: ir.At{Span: x.Span}, Func: sig.name}
	var args []ir.Expr
	for _, arg := range x.Args {
		if n, ok := arg.(*syntax.Named); ok {
			arg = n.X
		}
		if _, star := arg.(*syntax.Star); star {
			if sig.name != "arg_max" && sig.name != "arg_min" && sig.name != "take_any" {
				b.errorf(arg.Where(), "", "* is not an argument of %s", sig.name)
				return broken(x.Span)
			}
			for i, e := range columnsOf(r.aggs.in.cols, arg.Where()) {
				if !b.starred(x, sig, r, i) {
					args = append(args, e)
				}
			}
			continue
		}
		args = append(args, b.scalar(arg, s, r.aggs.in))
	}
	if !b.check(x, sig, args, false) {
		return broken(x.Span)
	}
	for _, e := range args {
		if e.Kind() == table.Unknown {
			return broken(x.Span)
		}
	}
	a.Args = args
	b.conditional(&a, sig)
	a.Kinds = b.aggKinds(x, sig, args)
	if a.Kinds == nil {
		return broken(x.Span)
	}
	at := r.aggs.made
	r.aggs.list = append(r.aggs.list, a)
	r.aggs.made += len(a.Kinds)
	return &ir.Col{At: ir.At{Span: x.Span}, K: a.Kinds[0], Index: at}
}

// starred reports whether * leaves out a column: the keys, and what the aggregate has
// already taken.
func (b *binder) starred(x *syntax.Call, sig *signature, r *row, i int) bool {
	name := r.aggs.in.cols[i].Name
	if r.aggs.skip[name] {
		return true
	}
	if sig.name == "take_any" || len(x.Args) == 0 {
		return false
	}
	first, o := nameOf(x.Args[0])
	return o == given && first == name
}

// conditional splits the predicate off the …if forms, so that one aggregate stands for both.
func (b *binder) conditional(a *ir.Agg, sig *signature) {
	base, isIf := strings.CutSuffix(sig.name, "if")
	if !isIf {
		if sig.name == "count" && len(a.Args) == 1 {
			a.If, a.Args = a.Args[0], nil
		}
		return
	}
	a.Func = strings.TrimSuffix(base, "_")
	at := 1
	switch a.Func {
	case "count":
		at = 0
	case "covariance", "covariancep":
		at = 2
	}
	a.If = a.Args[at]
	a.Args = append(append([]ir.Expr(nil), a.Args[:at]...), a.Args[at+1:]...)
}

// aggKinds returns the types of the columns that an aggregate makes.
func (b *binder) aggKinds(x *syntax.Call, sig *signature, args []ir.Expr) []table.Kind {
	switch sig.name {
	case "arg_max", "arg_min", "take_any":
		var out []table.Kind
		for _, e := range args {
			out = append(out, e.Kind())
		}
		return out
	case "percentiles", "percentilesw":
		n := len(args) - 1
		if sig.name == "percentilesw" {
			n--
		}
		out := make([]table.Kind, n)
		for i := range out {
			out[i] = atLeastLong(args[0].Kind())
		}
		return out
	case "avg", "avgif":
		k := args[0].Kind()
		if k == table.Int || k == table.Long {
			k = table.Real
		}
		return []table.Kind{k}
	}
	k := sig.resultOf(args)
	if k == table.Unknown {
		b.errorf(x.Span, "", "%s cannot be computed of these values", x.Name.Name)
		return nil
	}
	return []table.Kind{k}
}

// aggNames are the automatic names of the columns of an aggregate. The first is replaced by
// the name that is written, if one is.
func aggNames(x *syntax.Call, cols []table.Column, a *ir.Agg) []item {
	name, o := nameOfAggregate(x)
	out := make([]item, 0, len(a.Kinds))
	legacy := x.Name.Name == "any" || x.Name.Name == "argmax" || x.Name.Name == "argmin"
	named := func(i int) (string, origin) {
		n := argName(x, cols, a, i)
		if n == "" {
			n = "arg" + strconv.Itoa(i)
			if a.Func == "take_any" {
				return "any_" + n, prefixed
			}
			return strings.TrimPrefix(a.Func, "arg_") + "_" + firstName(x) + "_" + n, prefixed
		}
		switch {
		case x.Name.Name == "any":
			return "any_" + n, prefixed
		case legacy && i > 0:
			return name + "_" + n, prefixed
		}
		return n, prefixed
	}
	for i := range a.Kinds {
		it := item{name: name, origin: o, at: x.Span}
		switch a.Func {
		case "arg_max", "arg_min", "take_any":
			if i > 0 || a.Func == "take_any" {
				it.name, it.origin = named(i)
			}
		case "percentiles", "percentilesw":
			at := 1
			if a.Func == "percentilesw" {
				at = 2
			}
			first, fo := nameOf(x.Args[0])
			if fo == nameless {
				first = ""
			}
			it.name, it.origin = percentileName(first, x.Args, at+i), prefixed
		}
		if it.origin == derived {
			it.origin = prefixed // of an aggregate: two of them are numbered
		}
		out = append(out, it)
	}
	return out
}

// argName is the name that the i-th argument of an aggregate gives its column.
func argName(x *syntax.Call, cols []table.Column, a *ir.Agg, i int) string {
	if c, ok := a.Args[i].(*ir.Col); ok && c.Name != "" && c.Index < len(cols) {
		if i >= len(x.Args) {
			return c.Name
		}
	}
	if i < len(x.Args) {
		arg := x.Args[i]
		if n, ok := arg.(*syntax.Named); ok {
			return n.Names[0].Name
		}
		if _, star := arg.(*syntax.Star); !star {
			if n, o := nameOf(arg); o != nameless {
				return n
			}
			return ""
		}
	}
	if c, ok := a.Args[i].(*ir.Col); ok {
		return c.Name
	}
	return ""
}

// several binds an expression that makes several columns: an aggregate of that kind in a
// summarize, or a function of series. nil when the expression makes one.
func (b *binder) several(x syntax.Expr, s *scope, r *row) []item {
	call, ok := x.(*syntax.Call)
	if !ok {
		return nil
	}
	if r != nil && r.aggs != nil && s.find(call.Name.Name) == nil {
		sig := lookup(aggregates, current(legacyAggregates, call.Name.Name))
		if sig == nil {
			return nil
		}
		return b.aggregateItems(call, sig, s, r)
	}
	return b.seriesItems(call, s, r)
}

func (b *binder) aggregateItems(call *syntax.Call, sig *signature, s *scope, r *row) []item {
	before := len(r.aggs.list)
	first := b.aggregate(call, sig, s, r)
	if len(r.aggs.list) == before {
		return []item{{expr: first, name: "", origin: nameless, at: call.Span}}
	}
	a := &r.aggs.list[len(r.aggs.list)-1]
	items := aggNames(call, r.aggs.in.cols, a)
	at := first.(*ir.Col).Index
	for i := range items {
		items[i].expr = &ir.Col{At: ir.At{Span: call.Span}, K: a.Kinds[i], Index: at + i}
	}
	return items
}

// summarize binds summarize. An expression over aggregates is computed behind them.
func (b *binder) summarize(in ir.Rel, op *syntax.Summarize, s *scope) ir.Rel {
	r := rowOf(in.Columns())
	n := newNamer()
	sum := &ir.Summarize{Out: out(op.Span, nil), In: in}
	skip := map[string]bool{}
	for _, it := range b.items(op.By, s, r) {
		b.groupable(it)
		name, clash := n.give(it.name, it.origin)
		if clash {
			b.errorf(it.at, "give one of them another name", "there are two columns %q", name)
			continue
		}
		skip[name] = it.origin == given || skip[name]
		sum.Keys = append(sum.Keys, ir.Named{Name: name, Expr: it.expr})
		sum.Cols = append(sum.Cols, table.Column{Name: name, Kind: it.expr.Kind()})
		if c, ok := it.expr.(*ir.Col); ok {
			skip[c.Name] = true
		} else if it.origin == derived {
			skip[it.name] = true
		}
	}
	aggs := &aggregation{in: r, skip: skip, made: len(sum.Keys)}
	items := b.items(op.Aggs, s, &row{cols: r.cols, aggs: aggs})
	return b.finish(sum, aggs, items, n)
}

// finish names the columns of the aggregates and adds what is computed from them.
func (b *binder) finish(sum *ir.Summarize, aggs *aggregation, items []item, n *namer) ir.Rel {
	keys := len(sum.Keys)
	names := make([]string, len(items))
	plain := len(items) == aggs.made-keys
	for i, it := range items {
		name, clash := n.give(it.name, it.origin)
		if clash {
			b.errorf(it.at, "give one of them another name", "there are two columns %q", name)
		}
		names[i] = name
		c, ok := it.expr.(*ir.Col)
		plain = plain && ok && c.Index == keys+i
	}
	place := 0
	for i := range aggs.list {
		a := &aggs.list[i]
		for range a.Kinds {
			name := "$" + a.Func
			if plain {
				name = names[place]
			}
			a.Names = append(a.Names, name)
			sum.Cols = append(sum.Cols, table.Column{Name: name, Kind: a.Kinds[len(a.Names)-1]})
			place++
		}
	}
	sum.Aggs = aggs.list
	if plain {
		return sum
	}
	p := &ir.Project{Out: out(sum.Span, nil), In: sum}
	for i, c := range sum.Cols[:keys] {
		p.Cols = append(p.Cols, c)
		p.Exprs = append(p.Exprs, ir.Named{Name: c.Name, Expr: &ir.Col{At: sum.At, K: c.Kind, Index: i, Name: c.Name}})
	}
	for i, it := range items {
		p.Cols = append(p.Cols, table.Column{Name: names[i], Kind: it.expr.Kind()})
		p.Exprs = append(p.Exprs, ir.Named{Name: names[i], Expr: it.expr})
	}
	return p
}
