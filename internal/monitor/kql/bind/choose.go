package bind

import (
	"sort"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// match reports whether a name fits a pattern with stars.
func match(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	if !strings.HasPrefix(name, parts[0]) {
		return false
	}
	name = name[len(parts[0]):]
	for i, p := range parts[1:] {
		if i == len(parts)-2 {
			return strings.HasSuffix(name, p)
		}
		at := strings.Index(name, p)
		if at < 0 {
			return false
		}
		name = name[at+len(p):]
	}
	return true
}

// chosen returns the columns that an entry of project-away and its like means.
func (b *binder) chosen(x syntax.Expr, cols []table.Column) []int {
	pattern := ""
	switch x := x.(type) {
	case *syntax.Ident:
		pattern = x.Name
		for i, c := range cols {
			if c.Name == pattern {
				return []int{i}
			}
		}
		var names []string
		for _, c := range cols {
			names = append(names, c.Name)
		}
		b.errorf(x.Span, syntax.Nearest(x.Name, names), "there is no column %q", x.Name)
		return nil
	case *syntax.Wild:
		pattern = x.Pattern
	case *syntax.Star:
		pattern = "*"
	default:
		b.errorf(x.Where(), "", "the name of a column is expected here")
		return nil
	}
	var out []int
	for i, c := range cols {
		if match(pattern, c.Name) {
			out = append(out, i)
		}
	}
	return out
}

// pick projects columns by their places.
func pick(in ir.Rel, at syntax.Span, places []int) *ir.Project {
	p := &ir.Project{Out: out(at, nil), In: in}
	cols := in.Columns()
	for _, i := range places {
		c := cols[i]
		p.Cols = append(p.Cols, c)
		p.Exprs = append(p.Exprs, ir.Named{Name: c.Name, Expr: &ir.Col{At: ir.At{Span: at}, K: c.Kind, Index: i, Name: c.Name}})
	}
	return p
}

// choose binds project-away and project-keep, which leave the order as it is.
func (b *binder) choose(in ir.Rel, op *syntax.Columns) ir.Rel {
	cols := in.Columns()
	chosen := make([]bool, len(cols))
	for _, x := range op.List {
		for _, i := range b.chosen(x, cols) {
			chosen[i] = true
		}
	}
	var places []int
	for i := range cols {
		if chosen[i] == (op.Kind == "project-keep") {
			places = append(places, i)
		}
	}
	return pick(in, op.Span, places)
}

func (b *binder) rename(in ir.Rel, op *syntax.Columns) ir.Rel {
	cols := in.Columns()
	var all []int
	for i := range cols {
		all = append(all, i)
	}
	p := pick(in, op.Span, all)
	for _, x := range op.List {
		n, ok := x.(*syntax.Named)
		if !ok {
			b.errorf(x.Where(), "write new = old", "project-rename needs a new name")
			continue
		}
		for _, i := range b.chosen(n.X, cols) {
			name := n.Names[0].Name
			for j, c := range p.Cols {
				if j != i && (c.Name == name || cols[j].Name == name) {
					b.errorf(n.Span, "", "there already is a column %q", name)
				}
			}
			p.Cols[i].Name, p.Exprs[i].Name = name, name
		}
	}
	return p
}

// reorder puts the columns that are named first; a pattern's columns may be sorted.
func (b *binder) reorder(in ir.Rel, op *syntax.Columns) ir.Rel {
	cols := in.Columns()
	done := make([]bool, len(cols))
	var places []int
	for k, x := range op.List {
		var group []int
		for _, i := range b.chosen(x, cols) {
			if !done[i] {
				group, done[i] = append(group, i), true
			}
		}
		if order := op.Order[k]; order != "" {
			sort.SliceStable(group, func(i, j int) bool {
				less := before(cols[group[i]].Name, cols[group[j]].Name, strings.HasPrefix(order, "granny"))
				if strings.HasSuffix(order, "desc") {
					return before(cols[group[j]].Name, cols[group[i]].Name, strings.HasPrefix(order, "granny"))
				}
				return less
			})
		}
		places = append(places, group...)
	}
	for i := range cols {
		if !done[i] {
			places = append(places, i)
		}
	}
	return pick(in, op.Span, places)
}

// before orders names, by the numbers in them where granny is true: a20 before a100.
func before(x, y string, granny bool) bool {
	if !granny {
		return x < y
	}
	for x != "" && y != "" {
		i, j := digits(x), digits(y)
		if i > 0 && j > 0 {
			m, n := strings.TrimLeft(x[:i], "0"), strings.TrimLeft(y[:j], "0")
			if len(m) != len(n) {
				return len(m) < len(n)
			}
			if m != n {
				return m < n
			}
			x, y = x[i:], y[j:]
			continue
		}
		if x[0] != y[0] {
			return x[0] < y[0]
		}
		x, y = x[1:], y[1:]
	}
	return len(x) < len(y)
}

func digits(s string) int {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return i
}
