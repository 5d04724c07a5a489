package bind

import (
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// print binds print: one row of constants, unnamed ones called print_0, print_1, …
func (b *binder) print(op *syntax.Columns, s *scope, r *row) ir.Rel {
	if op.Kind != "print" {
		b.errorf(op.Span, "", "%s needs a table before it", op.Kind)
		return empty(op.Span)
	}
	rows := &ir.Rows{Out: out(op.Span, nil)}
	n := newNamer()
	var line []ir.Expr
	for i, it := range b.items(op.List, s, nil) {
		if it.origin == nameless || it.origin == derived || it.origin == prefixed && !multiple(op.List, i) || it.origin == given && !written(op.List, i) {
			it.name, it.origin = "print_"+strconv.Itoa(i), prefixed
		}
		name, clash := n.give(it.name, it.origin)
		if clash {
			b.errorf(it.at, "give one of them another name", "there are two columns %q", name)
		}
		rows.Cols = append(rows.Cols, table.Column{Name: name, Kind: it.expr.Kind()})
		line = append(line, it.expr)
	}
	rows.Rows = [][]ir.Expr{line}
	return rows
}

// written reports whether the i-th column of print has a name of its own.
func written(list []syntax.Expr, i int) bool {
	if len(list) <= i {
		i = len(list) - 1
	}
	_, named := list[i].(*syntax.Named)
	return named
}

// multiple reports whether a column of print comes from a function with several results.
func multiple(list []syntax.Expr, i int) bool {
	if len(list) <= i {
		return true
	}
	x := list[i]
	if n, ok := x.(*syntax.Named); ok {
		x = n.X
	}
	c, ok := x.(*syntax.Call)
	return ok && (seriesResults(c.Name.Name) != nil || strings.HasPrefix(c.Name.Name, "array_sort_"))
}

func (b *binder) rangeOf(op *syntax.Range, s *scope, r *row) ir.Rel {
	from, to, step := b.scalar(op.From, s, r), b.scalar(op.To, s, r), b.scalar(op.Step, s, r)
	k := table.Unknown
	j, l, m := from.Kind(), to.Kind(), step.Kind()
	switch {
	case numeric(j) && numeric(l) && numeric(m):
		k = wider(wider(j, l), m)
		from, to, step = b.cast(from, k), b.cast(to, k), b.cast(step, k)
	case j == table.DateTime && l == table.DateTime && m == table.TimeSpan:
		k = j
	case j == table.TimeSpan && l == table.TimeSpan && m == table.TimeSpan:
		k = j
	case j == table.Unknown || l == table.Unknown || m == table.Unknown:
	default:
		b.errorf(op.Span, "", "range cannot go from a %s to a %s by a %s", j, l, m)
	}
	cols := []table.Column{{Name: op.Name.Name, Kind: k}}
	return &ir.Range{Out: out(op.Span, cols), From: from, To: to, Step: step}
}

func (b *binder) datatable(op *syntax.Datatable, s *scope) ir.Rel {
	rows := &ir.Rows{Out: out(op.Span, nil)}
	n := newNamer()
	for _, c := range op.Columns {
		if _, clash := n.give(c.Name.Name, given); clash {
			b.errorf(c.Span, "", "there are two columns %q", c.Name.Name)
		}
		rows.Cols = append(rows.Cols, table.Column{Name: c.Name.Name, Kind: c.Kind})
	}
	w := len(rows.Cols)
	if w == 0 || len(op.Values)%w != 0 {
		b.errorf(op.Span, "", "%d values do not fill rows of %d columns", len(op.Values), w)
		return rows
	}
	for i := 0; i < len(op.Values); i += w {
		line := make([]ir.Expr, w)
		for j := range line {
			line[j] = b.cell(op.Values[i+j], rows.Cols[j].Kind, s)
		}
		rows.Rows = append(rows.Rows, line)
	}
	return rows
}

// cell binds a value of datatable and brings it to the type of its column.
func (b *binder) cell(x syntax.Expr, k table.Kind, s *scope) ir.Expr {
	e := b.scalar(x, s, nil)
	if k == table.Dynamic && e.Kind() != table.Dynamic && e.Kind() != table.Unknown {
		return b.wrap(e)
	}
	return b.cast(e, k)
}
