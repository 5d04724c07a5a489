package sql

import (
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/table"
)

// Answer runs a table that stands inside an expression.
type Answer func(r ir.Rel) (*table.Batch, error)

// Subs replaces the tables inside the expressions of a query by what they answer, so that
// an engine can ask with the values: toscalar(T) by a constant, the right side of `in (T)`
// by its elements. One that depends on an enclosing operator is left to the executor, and
// one with too many elements as a table that is there.
func Subs(r ir.Rel, answer Answer) (ir.Rel, error) {
	s := &subs{answer: answer, shared: map[int]*ir.Shared{}}
	out := s.rel(r)
	return out, s.err
}

type subs struct {
	answer Answer
	shared map[int]*ir.Shared
	err    error
}

func (s *subs) rel(r ir.Rel) ir.Rel {
	if s.err != nil {
		return r
	}
	if sh, ok := r.(*ir.Shared); ok {
		if done, ok := s.shared[sh.ID]; ok {
			return done
		}
		c := *sh
		c.In = s.rel(sh.In)
		s.shared[sh.ID] = &c
		return &c
	}
	return rewriter{rel: func(_ ir.Rel, _ int, in ir.Rel) ir.Rel { return s.rel(in) }, expr: s.expr}.node(r)
}

// expr replaces the Subs of an expression. That of a call which takes a list becomes the
// call's further arguments.
func (s *subs) expr(e ir.Expr) ir.Expr {
	switch e := e.(type) {
	case *ir.Sub:
		if b := s.ask(e); b != nil {
			return scalarOf(e, b)
		}
	case *ir.Call:
		c := *e
		c.Args = nil
		for i, a := range e.Args {
			if sub, ok := a.(*ir.Sub); ok && i > 0 && takesList(e.Func) {
				c.Args = append(c.Args, s.list(sub)...)
				continue
			}
			c.Args = append(c.Args, s.expr(a))
		}
		return &c
	}
	return e
}

func (s *subs) list(e *ir.Sub) []ir.Expr {
	b := s.ask(e)
	if b == nil {
		return []ir.Expr{e}
	}
	if b.Rows() > maxList || len(b.Vectors) != 1 {
		given := *e
		given.Rel = &ir.Given{Out: ir.Out{At: e.At, Cols: b.Columns}, Batch: b}
		return []ir.Expr{&given}
	}
	out := []ir.Expr{}
	for i := range b.Rows() {
		out = append(out, &ir.Lit{At: e.At, K: b.Vectors[0].Kind, Value: cellOf(b.Vectors[0], i)})
	}
	return out
}

func takesList(name string) bool {
	name = strings.TrimPrefix(name, "!")
	return name == "in" || name == "in~" || name == "has_any" || name == "has_all"
}

// ask answers a Sub; nil when it stays.
func (s *subs) ask(e *ir.Sub) *table.Batch {
	if s.err != nil || refers(e.Rel) {
		return nil
	}
	b, err := s.answer(e.Rel)
	if err != nil {
		s.err = err
		return nil
	}
	return b
}

// refers reports whether a table depends on an operator around it.
func refers(r ir.Rel) bool {
	found := false
	walk(r, func(r ir.Rel) {
		if _, ok := r.(*ir.Ref); ok {
			found = true
		}
	})
	return found
}

func scalarOf(e *ir.Sub, b *table.Batch) ir.Expr {
	l := &ir.Lit{At: e.At, K: e.K}
	if b.Rows() > 0 && len(b.Vectors) > 0 {
		l.Value = cellOf(b.Vectors[0], 0)
	}
	if l.Value == nil && l.K == table.String {
		l.Value = ""
	}
	return l
}

// cellOf is entry i of a vector as the value of a Lit.
func cellOf(v table.Vector, i int) any {
	if v.IsNull(i) {
		return nil
	}
	switch {
	case v.Kind == table.Bool:
		return v.Int[i] != 0
	case textual(v.Kind):
		return v.Text[i]
	case isReal(v.Kind):
		return v.Real[i]
	}
	return v.Int[i]
}
