package bind

import (
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// joinKinds are the kinds of join, with the name that the tree has for each.
var joinKinds = map[string]string{
	"innerunique": "innerunique", "inner": "inner", "leftouter": "leftouter", "rightouter": "rightouter", "fullouter": "fullouter",
	"leftsemi": "leftsemi", "rightsemi": "rightsemi", "leftanti": "leftanti", "leftantisemi": "leftanti", "anti": "leftanti",
	"rightanti": "rightanti", "rightantisemi": "rightanti",
}

// optionWord is the value of an option that is a word, "" when it is not given.
func optionWord(options []syntax.Option, names ...string) (string, syntax.Span) {
	for _, o := range options {
		for _, n := range names {
			if o.Name != n {
				continue
			}
			switch v := o.Value.(type) {
			case *syntax.Ident:
				return v.Name, v.Span
			case *syntax.Lit:
				if s, ok := v.Value.(string); ok {
					return s, v.Span
				}
				if t, ok := v.Value.(bool); ok && t {
					return "true", v.Span
				}
			}
		}
	}
	return "", syntax.Span{}
}

func (b *binder) join(in ir.Rel, op *syntax.Join, s *scope) ir.Rel {
	kind, at := optionWord(op.Options, "kind")
	right := b.any(op.Right, s, nil).rel
	if right == nil {
		b.errorf(op.Right.Where(), "", "a table is expected here")
		return nil
	}
	switch {
	case op.Lookup && kind == "":
		kind = "lookup-leftouter"
	case op.Lookup && (kind == "inner" || kind == "leftouter"):
		kind = "lookup-" + kind
	case kind == "" && !op.Lookup:
		kind = "innerunique"
	case !op.Lookup && joinKinds[kind] != "":
		kind = joinKinds[kind]
	default:
		b.errorf(at, "", "there is no kind %q of this join", kind)
		return nil
	}
	j := &ir.Join{Out: out(op.Span, nil), Kind: kind, Left: in, Right: right}
	dropped := map[int]bool{}
	l, r := rowOf(in.Columns()), rowOf(right.Columns())
	for _, x := range op.On {
		b.on(j, x, l, r, dropped)
	}
	if len(j.LeftKeys) == 0 && len(b.errs) == 0 {
		b.errorf(op.Span, "", "a join needs a key")
	}
	j.Cols = joinColumns(j, dropped)
	return j
}

// on binds one condition: a column of both sides, or $left.a == $right.b; and joins several.
func (b *binder) on(j *ir.Join, x syntax.Expr, l, r *row, dropped map[int]bool) {
	switch x := x.(type) {
	case *syntax.Paren:
		b.on(j, x.X, l, r, dropped)
	case *syntax.Ident:
		b.key(j, x.Span, l, r, x.Name, x.Name, false, dropped)
	case *syntax.Binary:
		if x.Op == "and" {
			b.on(j, x.X, l, r, dropped)
			b.on(j, x.Y, l, r, dropped)
			return
		}
		left, lok := sideColumn(x.X, "$left")
		right, rok := sideColumn(x.Y, "$right")
		if x.Op != "==" || !lok || !rok {
			b.errorf(x.Span, "", "a condition of a join is a column, or $left.column == $right.column")
			return
		}
		b.key(j, x.Span, l, r, left, right, true, dropped)
	default:
		b.errorf(x.Where(), "", "a condition of a join is a column, or $left.column == $right.column")
	}
}

func sideColumn(x syntax.Expr, side string) (string, bool) {
	if p, ok := x.(*syntax.Paren); ok {
		return sideColumn(p.X, side)
	}
	p, ok := x.(*syntax.Path)
	if !ok {
		return "", false
	}
	id, ok := p.X.(*syntax.Ident)
	return p.Name.Name, ok && id.Name == side
}

// key adds a pair of keys. sided is true for the form with $left and $right, which may
// compare an int with a long.
func (b *binder) key(j *ir.Join, at syntax.Span, l, r *row, left, right string, sided bool, dropped map[int]bool) {
	x, y := l.find(left), r.find(right)
	if x < 0 {
		b.errorf(at, syntax.Nearest(left, columnNames(l.cols)), "the left side of the join has no column %q", left)
		return
	}
	if y < 0 {
		b.errorf(at, syntax.Nearest(right, columnNames(r.cols)), "the right side of the join has no column %q", right)
		return
	}
	var le, re ir.Expr = &ir.Col{At: ir.At{Span: at}, K: l.cols[x].Kind, Index: x, Name: left}, &ir.Col{At: ir.At{Span: at}, K: r.cols[y].Kind, Index: y, Name: right}
	if i, k := le.Kind(), re.Kind(); i != k && i != table.Unknown && k != table.Unknown {
		whole := func(k table.Kind) bool { return k == table.Int || k == table.Long }
		if !whole(i) || !whole(k) || left == right && !sided {
			b.errorf(at, "convert one of them before the join", "the keys have different types, %s and %s", i, k)
			return
		}
		le, re = b.cast(le, table.Long), b.cast(re, table.Long)
	}
	j.LeftKeys, j.RightKeys = append(j.LeftKeys, le), append(j.RightKeys, re)
	dropped[y] = true
}

func columnNames(cols []table.Column) []string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = c.Name
	}
	return out
}

// joinColumns are the columns of a join: those of the left, then those of the right, which
// get a number where the left has the name already.
func joinColumns(j *ir.Join, dropped map[int]bool) []table.Column {
	left, right := j.Left.Columns(), j.Right.Columns()
	switch j.Kind {
	case "leftsemi", "leftanti":
		return left
	case "rightsemi", "rightanti":
		return right
	}
	n := newNamer()
	cols := append([]table.Column(nil), left...)
	for _, c := range left {
		n.taken[c.Name] = given
	}
	clash := map[string]bool{}
	for i, c := range right {
		if strings.HasPrefix(j.Kind, "lookup") && dropped[i] {
			continue // lookup leaves the keys of the right out
		}
		if _, is := n.taken[c.Name]; is {
			clash[c.Name] = true
		}
	}
	for i, c := range right {
		if !strings.HasPrefix(j.Kind, "lookup") || !dropped[i] {
			n.taken[c.Name] = given
		}
	}
	for i, c := range right {
		if strings.HasPrefix(j.Kind, "lookup") && dropped[i] {
			continue
		}
		if clash[c.Name] {
			c.Name = n.number(c.Name, given)
		}
		cols = append(cols, c)
	}
	return cols
}
