package bind

import (
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

func (b *binder) expand(in ir.Rel, op *syntax.Expand, s *scope) ir.Rel {
	e, kept := b.expansion(in, op, s)
	if e == nil {
		return nil
	}
	if !op.Apply {
		return e
	}
	return b.applyTo(in, op, e, kept, s)
}

// expansion binds the columns of mv-expand and mv-apply. kept are the columns of the input
// that are not expanded under their own name.
func (b *binder) expansion(in ir.Rel, op *syntax.Expand, s *scope) (*ir.Expand, []int) {
	cols := append([]table.Column(nil), in.Columns()...)
	e := &ir.Expand{In: in, Index: -1}
	if kind, at := optionWord(op.Options, "kind", "bagexpansion"); kind == "array" {
		e.ArrayMode = true
	} else if kind != "" && kind != "bag" {
		b.errorf(at, "", "there is no kind %q of mv-expand", kind)
	}
	r := rowOf(in.Columns())
	replaced := map[int]bool{}
	n := newNamer()
	for _, c := range cols {
		n.taken[c.Name] = prefixed
	}
	for _, c := range op.Columns {
		it := b.items([]syntax.Expr{c.Expr}, s, r)[0]
		if k := it.expr.Kind(); k != table.Dynamic && k != table.Unknown {
			b.errorf(c.Span, "a text with JSON is read by parse_json", "only a dynamic value can be expanded, not one of type %s", k)
			return nil, nil
		}
		if it.origin == nameless {
			it.name, _ = n.give("", nameless)
		}
		k := c.Kind
		if k == table.Unknown {
			k = table.Dynamic
		}
		at := place(&cols, it.name, k)
		if c, own := it.expr.(*ir.Col); own && c.Index == at {
			replaced[at] = true
		}
		e.Cells = append(e.Cells, ir.Cell{Expr: it.expr, To: k, Place: at})
	}
	if name, _ := optionWord(op.Options, "with_itemindex"); name != "" {
		e.Index = place(&cols, name, table.Long)
	}
	if op.Limit != nil {
		e.Limit = b.number(op.Limit, s)
	}
	e.Out = out(op.Span, cols)
	var kept []int
	for i := range r.cols {
		if !replaced[i] {
			kept = append(kept, i)
		}
	}
	return e, kept
}

// applyTo runs a sub-query over the rows that each row expands to.
func (b *binder) applyTo(in ir.Rel, op *syntax.Expand, e *ir.Expand, kept []int, s *scope) ir.Rel {
	pipe, ok := op.On.(*syntax.Pipe)
	if !ok {
		b.errorf(op.Span, "", "mv-apply needs a sub-query after on")
		return nil
	}
	b.totals.refs++
	ref := b.totals.refs
	leaf := &ir.Ref{Out: out(op.Span, e.Cols), ID: ref}
	sub := b.operators(leaf, pipe.Ops, &scope{up: s}, "")
	have := map[string]bool{}
	for _, c := range sub.Columns() {
		have[c.Name] = true
	}
	a := &ir.Apply{Out: out(op.Span, nil), Expand: e, Ref: ref, Sub: sub}
	for _, i := range kept {
		if c := in.Columns()[i]; !have[c.Name] {
			a.Outer = append(a.Outer, i)
			a.Cols = append(a.Cols, c)
		}
	}
	a.Cols = append(a.Cols, sub.Columns()...)
	return arrange(in, a, kept, op.Span)
}

// arrange puts the columns of mv-apply into the order of the service: those of the input
// that are not expanded where they were, then the others of the sub-query.
func arrange(in ir.Rel, a *ir.Apply, kept []int, at syntax.Span) ir.Rel {
	r := rowOf(a.Cols)
	done := map[int]bool{}
	var places []int
	for _, k := range kept {
		if i := r.find(in.Columns()[k].Name); i >= 0 {
			places, done[i] = append(places, i), true
		}
	}
	for i := range a.Cols {
		if !done[i] {
			places = append(places, i)
		}
	}
	for i, p := range places {
		if i != p {
			return pick(a, at, places)
		}
	}
	return a
}

func (b *binder) partition(in ir.Rel, op *syntax.Partition, s *scope) ir.Rel {
	by := b.scalar(op.By, s, rowOf(in.Columns()))
	b.totals.refs++
	p := &ir.Partition{In: in, By: by, Ref: b.totals.refs}
	leaf := &ir.Ref{Out: out(op.Span, in.Columns()), ID: p.Ref}
	p.Sub = b.operators(leaf, op.Sub.Ops, &scope{up: s}, "")
	p.Out = out(op.Span, p.Sub.Columns())
	return p
}

func (b *binder) scan(in ir.Rel, op *syntax.Scan, s *scope) ir.Rel {
	if len(op.By) > 0 || len(op.OrderBy) > 0 {
		b.errorf(op.Span, "sort and partition before scan", "scan with order by or partition by is not supported")
	}
	cols := append([]table.Column(nil), in.Columns()...)
	n := &ir.ScanSteps{In: in}
	for _, p := range op.Declare {
		e := ir.Expr(nothing(p.Span, p.Kind))
		if p.Default != nil {
			e = b.cast(b.scalar(p.Default, s, nil), p.Kind)
		}
		n.Declare = append(n.Declare, ir.Named{Name: p.Name.Name, Expr: e})
		cols = append(cols, table.Column{Name: p.Name.Name, Kind: p.Kind})
	}
	r := rowOf(cols)
	for _, st := range op.Steps {
		r.steps = append(r.steps, step{name: st.Name.Name})
	}
	r.declare = len(in.Columns())
	for _, st := range op.Steps {
		n.Steps = append(n.Steps, b.scanStep(st, s, r))
	}
	if len(n.Steps) == 0 {
		b.errorf(op.Span, "", "scan needs a step")
	}
	if id, at := optionWord(op.Options, "with_match_id"); id != "" {
		if r.find(id) >= 0 {
			b.errorf(at, "", "there already is a column %q", id)
		}
		n.MatchID = true
		cols = append(cols, table.Column{Name: id, Kind: table.Long})
	}
	n.Out = out(op.Span, cols)
	return n
}

func (b *binder) scanStep(st syntax.Step, s *scope, r *row) ir.Step {
	o := ir.Step{Name: st.Name.Name, Optional: st.Optional, Output: st.Output, Cond: b.predicate(st.Cond, s, r), Assign: map[int]ir.Expr{}}
	for _, a := range st.Assign {
		i := r.find(a.Names[0].Name) - r.declare
		if i < 0 {
			b.errorf(a.Span, "declare it", "a step may only set columns that are declared, not %q", a.Names[0].Name)
			continue
		}
		o.Assign[i] = b.cast(b.scalar(a.X, s, r), r.cols[r.declare+i].Kind)
	}
	return o
}
