package sql

import "towpath.dev/towpath/internal/monitor/kql/ir"

// rewriter makes a copy of a tree in which sub-trees and expressions are replaced. Nodes
// are never changed. rel is called for each input of an operator, with the input's number;
// expr for each expression.
type rewriter struct {
	rel  func(parent ir.Rel, n int, in ir.Rel) ir.Rel
	expr func(e ir.Expr) ir.Expr
}

// node returns a copy of r with its inputs and expressions replaced; leaves are returned
// as they are.
func (w rewriter) node(r ir.Rel) ir.Rel {
	in := func(x ir.Rel) ir.Rel { return w.rel(r, 0, x) }
	switch r := r.(type) {
	case *ir.Rows:
		c := *r
		c.Rows = each(r.Rows, w.exprs)
		return &c
	case *ir.Range:
		c := *r
		c.From, c.To, c.Step = w.maybe(r.From), w.maybe(r.To), w.maybe(r.Step)
		return &c
	case *ir.Shared:
		c := *r
		c.In = in(r.In)
		return &c
	case *ir.Filter:
		c := *r
		c.In, c.Pred = in(r.In), w.expr(r.Pred)
		return &c
	case *ir.Project:
		c := *r
		c.In, c.Exprs = in(r.In), w.named(r.Exprs)
		return &c
	case *ir.Summarize:
		c := *r
		c.In, c.Keys, c.Aggs = in(r.In), w.named(r.Keys), w.aggs(r.Aggs)
		return &c
	case *ir.Sort:
		c := *r
		c.In, c.Keys = in(r.In), each(r.Keys, w.key)
		return &c
	case *ir.Serialize:
		c := *r
		c.In = in(r.In)
		return &c
	case *ir.Take:
		c := *r
		c.In, c.N = in(r.In), w.maybe(r.N)
		return &c
	case *ir.Sample:
		c := *r
		c.In, c.N, c.Distinct = in(r.In), w.maybe(r.N), w.maybe(r.Distinct)
		return &c
	case *ir.Join:
		c := *r
		c.Left, c.Right = w.rel(r, 0, r.Left), w.rel(r, 1, r.Right)
		c.LeftKeys, c.RightKeys = w.exprs(r.LeftKeys), w.exprs(r.RightKeys)
		return &c
	case *ir.Union:
		c := *r
		c.Inputs = make([]ir.Rel, len(r.Inputs))
		for i, x := range r.Inputs {
			c.Inputs[i] = w.rel(r, i, x)
		}
		return &c
	}
	return w.rare(r, in)
}

// rare is node for the operators that no engine answers.
func (w rewriter) rare(r ir.Rel, in func(ir.Rel) ir.Rel) ir.Rel {
	switch r := r.(type) {
	case *ir.Expand:
		return w.expand(r, in)
	case *ir.Apply:
		c := *r
		c.Expand, c.Sub = w.expand(r.Expand, in), w.rel(r, 1, r.Sub)
		return &c
	case *ir.Partition:
		c := *r
		c.In, c.By, c.Sub = in(r.In), w.maybe(r.By), w.rel(r, 1, r.Sub)
		return &c
	case *ir.Parse:
		c := *r
		c.In, c.Expr = in(r.In), w.expr(r.Expr)
		return &c
	case *ir.ParseKV:
		c := *r
		c.In, c.Expr = in(r.In), w.expr(r.Expr)
		return &c
	case *ir.MakeSeries:
		c := *r
		c.In, c.Keys, c.Aggs, c.Defaults = in(r.In), w.named(r.Keys), w.aggs(r.Aggs), w.exprs(r.Defaults)
		c.Axis.Expr = w.maybe(r.Axis.Expr)
		c.From, c.To, c.Step = w.maybe(r.From), w.maybe(r.To), w.maybe(r.Step)
		return &c
	case *ir.TopNested:
		c := *r
		c.In, c.Levels = in(r.In), each(r.Levels, w.level)
		return &c
	case *ir.TopHitters:
		c := *r
		c.In, c.N, c.Of, c.By = in(r.In), w.maybe(r.N), w.maybe(r.Of), w.maybe(r.By)
		return &c
	case *ir.Reduce:
		c := *r
		c.In, c.Expr, c.Threshold = in(r.In), w.maybe(r.Expr), w.maybe(r.Threshold)
		return &c
	case *ir.Evaluate:
		c := *r
		c.In, c.Args = in(r.In), w.exprs(r.Args)
		return &c
	case *ir.ScanSteps:
		c := *r
		c.In, c.Declare, c.Steps = in(r.In), w.named(r.Declare), each(r.Steps, w.step)
		return &c
	}
	return r
}

func (w rewriter) expand(r *ir.Expand, in func(ir.Rel) ir.Rel) *ir.Expand {
	c := *r
	c.In, c.Limit, c.Cells = in(r.In), w.maybe(r.Limit), each(r.Cells, w.cell)
	return &c
}

func (w rewriter) cell(c ir.Cell) ir.Cell {
	c.Expr = w.expr(c.Expr)
	return c
}

func (w rewriter) key(k ir.SortKey) ir.SortKey {
	k.Expr = w.expr(k.Expr)
	return k
}

func (w rewriter) level(l ir.Level) ir.Level {
	l.N, l.By.Expr, l.Others, l.Agg = w.maybe(l.N), w.maybe(l.By.Expr), w.maybe(l.Others), w.agg(l.Agg)
	return l
}

func (w rewriter) step(s ir.Step) ir.Step {
	assign := make(map[int]ir.Expr, len(s.Assign))
	for k, e := range s.Assign {
		assign[k] = w.expr(e)
	}
	s.Cond, s.Assign = w.maybe(s.Cond), assign
	return s
}

// each returns what f makes of the entries of a list, in order.
func each[T any](list []T, f func(T) T) []T {
	out := make([]T, len(list))
	for i, x := range list {
		out[i] = f(x)
	}
	return out
}

func (w rewriter) maybe(e ir.Expr) ir.Expr {
	if e == nil {
		return nil
	}
	return w.expr(e)
}

func (w rewriter) exprs(es []ir.Expr) []ir.Expr {
	return each(es, w.maybe)
}

func (w rewriter) named(ns []ir.Named) []ir.Named {
	return each(ns, func(n ir.Named) ir.Named { return ir.Named{Name: n.Name, Expr: w.expr(n.Expr)} })
}

func (w rewriter) aggs(as []ir.Agg) []ir.Agg { return each(as, w.agg) }

func (w rewriter) agg(a ir.Agg) ir.Agg {
	a.Args, a.If = w.exprs(a.Args), w.maybe(a.If)
	return a
}

// mapExpr returns e with f applied to the expressions inside it, innermost first. The
// tables of Subs are left alone, f sees the Sub; so is the call of an Nth, which the
// expressions of one operator share because it is computed once.
func mapExpr(e ir.Expr, f func(ir.Expr) ir.Expr) ir.Expr {
	x, ok := e.(*ir.Call)
	if !ok {
		return f(e)
	}
	var args []ir.Expr
	for i, a := range x.Args {
		b := mapExpr(a, f)
		if b != a && args == nil {
			args = append([]ir.Expr{}, x.Args...)
		}
		if args != nil {
			args[i] = b
		}
	}
	if args == nil {
		return f(e)
	}
	c := *x
	c.Args = args
	return f(&c)
}

// walkExpr calls f for e and the expressions inside it, the calls of Nth included.
func walkExpr(e ir.Expr, f func(ir.Expr)) {
	if e == nil {
		return
	}
	f(e)
	switch x := e.(type) {
	case *ir.Call:
		for _, a := range x.Args {
			walkExpr(a, f)
		}
	case *ir.Nth:
		walkExpr(x.Call, f)
	}
}

// walk calls f for r and the operators below it, those of Subs included.
func walk(r ir.Rel, f func(ir.Rel)) {
	f(r)
	w := rewriter{
		rel: func(_ ir.Rel, _ int, in ir.Rel) ir.Rel { walk(in, f); return in },
		expr: func(e ir.Expr) ir.Expr {
			walkExpr(e, func(e ir.Expr) {
				if s, ok := e.(*ir.Sub); ok {
					walk(s.Rel, f)
				}
			})
			return e
		},
	}
	w.node(r)
}
