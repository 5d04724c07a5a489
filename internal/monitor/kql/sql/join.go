package sql

import (
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/table"
)

// joining is how a kind of join is said. flip puts the right input first, because SQL has
// semi and anti joins of the left one only.
type joining struct {
	word string // as the dialect knows it
	flip bool
}

// joinings are the kinds of join that are pushed. The others stay in the executor:
// fullouter, and innerunique unless its left keys are unique anyway.
func joinings() map[string]joining {
	return map[string]joining{
		"inner": {"inner", false}, "leftouter": {"left", false}, "rightouter": {"left", true}, "leftsemi": {"semi", false}, "rightsemi": {"semi", true},
		"leftanti": {"anti", false}, "rightanti": {"anti", true}, "lookup-inner": {"inner", false}, "lookup-leftouter": {"left", false},
	}
}

func (e *emitter) join(r *ir.Join, used live, conds []ir.Expr) (*block, error) {
	kind := r.Kind
	if kind == "innerunique" && unique(r.Left, r.LeftKeys) {
		kind = "inner"
	}
	how, ok := joinings()[kind]
	if !ok || len(r.LeftKeys) == 0 {
		return nil, refuse(r.Where(), "join of kind %s", r.Kind)
	}
	left, err := e.rel(r.Left, needs(r, 0, used), below(r, 0, conds))
	if err != nil {
		return nil, err
	}
	right, err := e.rel(r.Right, needs(r, 1, used), below(r, 1, conds))
	if err != nil {
		return nil, err
	}
	left, right = e.side(left), e.side(right)
	on, err := e.on(r, left.cells, right.cells)
	if err != nil {
		return nil, err
	}
	first, second := left, right
	if how.flip {
		first, second = right, left
	}
	if how.word == "left" {
		optional(second.cells)
	}
	b := &block{from: first.from + " " + e.d.Join(how.word) + " " + second.from + " ON " + strings.Join(on, " AND "), limit: -1}
	both := append(append([]cell{}, left.cells...), right.cells...)
	for i, from := range joinColumns(r) {
		if used.has(i) {
			b.cells = append(b.cells, both[from])
		} else {
			b.cells = append(b.cells, cell{kind: r.Cols[i].Kind, dead: true})
		}
	}
	return b, nil
}

// optional makes the cells those of a row that may be missing.
func optional(cells []cell) {
	for i, c := range cells {
		if textual(c.kind) {
			cells[i].sql, cells[i].plain = "coalesce("+c.sql+", '')", false
		}
		cells[i].null = !textual(c.kind)
	}
}

// side makes a block one input of a join.
func (e *emitter) side(b *block) *block {
	if b.limit < 0 {
		b.order = nil
	}
	return e.nest(b)
}

func (e *emitter) on(r *ir.Join, left, right []cell) ([]string, error) {
	var on []string
	for i := range r.LeftKeys {
		a, err := e.expr(r.LeftKeys[i], left)
		if err != nil {
			return nil, err
		}
		b, err := e.expr(r.RightKeys[i], right)
		if err != nil {
			return nil, err
		}
		if a.kind != b.kind || a.kind == table.Dynamic || a.kind == table.Real || a.kind == table.Decimal {
			return nil, refuse(r.Where(), "a join on %s and %s", a.kind, b.kind)
		}
		if a.null || b.null {
			on = append(on, e.d.Same(a.sql, b.sql))
		} else {
			on = append(on, a.sql+" = "+b.sql)
		}
	}
	return on, nil
}

// sideConds returns the conditions above a join that are conditions of one of its inputs.
// That of an outer join which may be missing has none: a row without a partner remains.
func sideConds(r *ir.Join, conds []ir.Expr) (left, right []ir.Expr) {
	how := joinings()[r.Kind]
	if r.Kind == "innerunique" {
		// Which of equal keys is kept must not depend on a condition above.
		how.word = "left"
	}
	nl, sides := len(r.Left.Columns()), joinColumns(r)
	mayLeft := how.word != "" && !(how.flip && how.word == "left") && r.Kind != "innerunique"
	mayRight := how.word == "inner" || how.flip && how.word != ""
	for _, c := range conds {
		onLeft, onRight := true, true
		walkExpr(c, func(x ir.Expr) {
			if col, is := x.(*ir.Col); is {
				if col.Index >= len(sides) {
					onLeft, onRight = false, false
				} else if sides[col.Index] < nl {
					onRight = false
				} else {
					onLeft = false
				}
			}
		})
		moved := mapExpr(c, func(x ir.Expr) ir.Expr {
			col, is := x.(*ir.Col)
			if !is || col.Index >= len(sides) {
				return x
			}
			m := *col
			m.Index = sides[col.Index]
			if m.Index >= nl {
				m.Index -= nl
			}
			return &m
		})
		switch {
		case onLeft && mayLeft:
			left = append(left, moved)
		case onRight && !onLeft && mayRight:
			right = append(right, moved)
		}
	}
	return left, right
}

// unique reports whether no two rows of r agree in the keys.
func unique(r ir.Rel, keys []ir.Expr) bool {
	at := map[int]bool{}
	for _, k := range keys {
		if c, ok := k.(*ir.Col); ok {
			at[c.Index] = true
		}
	}
	return uniqueOn(r, at)
}

func uniqueOn(r ir.Rel, at map[int]bool) bool {
	switch r := r.(type) {
	case *ir.Filter:
		return uniqueOn(r.In, at)
	case *ir.Sort:
		return uniqueOn(r.In, at)
	case *ir.Take:
		return uniqueOn(r.In, at)
	case *ir.Serialize:
		return uniqueOn(r.In, at)
	case *ir.Shared:
		return uniqueOn(r.In, at)
	case *ir.Project:
		below := map[int]bool{}
		for i := range at {
			if c, ok := r.Exprs[i].Expr.(*ir.Col); ok {
				below[c.Index] = true
			}
		}
		return uniqueOn(r.In, below)
	case *ir.Summarize:
		for i := range r.Keys {
			if !at[i] {
				return false
			}
		}
		return true
	}
	return false
}
