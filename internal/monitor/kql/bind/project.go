package bind

import (
	"strconv"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// item is an expression with the name of the column that it makes. own is false when the
// name is automatic.
type item struct {
	expr   ir.Expr
	name   string
	origin origin
	at     syntax.Span
}

// columns binds the operators that make columns of columns.
func (b *binder) columns(in ir.Rel, op *syntax.Columns, s *scope) ir.Rel {
	switch op.Kind {
	case "project":
		return b.project(in, op, s)
	case "extend", "serialize":
		if op.Kind == "serialize" {
			in = &ir.Serialize{Out: out(op.Span, in.Columns()), In: in}
			if len(op.List) == 0 {
				return in
			}
		}
		return b.extend(in, op, s)
	case "distinct":
		return b.distinct(in, op, s)
	case "project-away", "project-keep":
		return b.choose(in, op)
	case "project-rename":
		return b.rename(in, op)
	case "project-reorder":
		return b.reorder(in, op)
	}
	b.errorf(op.Span, "", "%s may only begin a query", op.Kind)
	return nil
}

// items binds a list of expressions, each into one column or, for those that have several
// results, into several.
func (b *binder) items(list []syntax.Expr, s *scope, r *row) []item {
	var out []item
	for _, x := range list {
		n, isNamed := x.(*syntax.Named)
		body := x
		if isNamed {
			body = n.X
		}
		if many := b.several(body, s, r); many != nil {
			for i := range many {
				if isNamed && i < len(n.Names) {
					many[i].name, many[i].origin = n.Names[i].Name, given
				}
			}
			out = append(out, many...)
			continue
		}
		it := item{expr: b.scalar(body, s, r), at: x.Where()}
		it.name, it.origin = nameOf(body)
		if call, ok := body.(*syntax.Call); ok && current(legacyScalars, call.Name.Name) == "column_ifexists" {
			if c, found := it.expr.(*ir.Col); !found || c.Name != it.name {
				it.name, it.origin = "", nameless
			}
		}
		if isNamed {
			it.name, it.origin = n.Names[0].Name, given
			if n.Tuple && len(n.Names) > 1 {
				b.errorf(n.Span, "", "the expression has one value, not %d", len(n.Names))
			}
		}
		out = append(out, it)
	}
	return out
}

func (b *binder) project(in ir.Rel, op *syntax.Columns, s *scope) ir.Rel {
	n := newNamer()
	p := &ir.Project{Out: out(op.Span, nil), In: in}
	for _, it := range b.items(op.List, s, rowOf(in.Columns())) {
		b.add(p, n, it)
	}
	return p
}

// add puts a column into a projection.
func (b *binder) add(p *ir.Project, n *namer, it item) {
	name, clash := n.give(it.name, it.origin)
	if clash {
		b.errorf(it.at, "give one of them another name", "there are two columns %q", name)
		return
	}
	p.Exprs = append(p.Exprs, ir.Named{Name: name, Expr: it.expr})
	p.Cols = append(p.Cols, table.Column{Name: name, Kind: it.expr.Kind()})
}

// extend puts columns behind those of the input, or in their place.
func (b *binder) extend(in ir.Rel, op *syntax.Columns, s *scope) ir.Rel {
	cols := in.Columns()
	r := rowOf(cols)
	p := &ir.Project{Out: out(op.Span, append([]table.Column(nil), cols...)), In: in}
	for i, c := range cols {
		p.Exprs = append(p.Exprs, ir.Named{Name: c.Name, Expr: &ir.Col{At: ir.At{Span: op.Span}, K: c.Kind, Index: i, Name: c.Name}})
	}
	n := newNamer()
	for _, it := range b.items(op.List, s, r) {
		b.extendWith(p, n, r, it)
	}
	return p
}

// extendWith puts one column in. A name that exists already is replaced, an automatic one
// too; only a name that is written twice is a mistake.
func (b *binder) extendWith(p *ir.Project, n *namer, r *row, it item) {
	name := it.name
	if it.origin == nameless {
		n.columns++
		name = "Column" + strconv.Itoa(n.columns)
	}
	if it.origin == given {
		if n.taken[name] == given {
			b.errorf(it.at, "give one of them another name", "there are two columns %q", name)
			return
		}
		n.taken[name] = given
	}
	for i := range p.Cols {
		if p.Cols[i].Name == name {
			p.Exprs[i].Expr, p.Cols[i].Kind = it.expr, it.expr.Kind()
			return
		}
	}
	p.Exprs = append(p.Exprs, ir.Named{Name: name, Expr: it.expr})
	p.Cols = append(p.Cols, table.Column{Name: name, Kind: it.expr.Kind()})
}

func (b *binder) distinct(in ir.Rel, op *syntax.Columns, s *scope) ir.Rel {
	r := rowOf(in.Columns())
	n := newNamer()
	var keys []ir.Named
	var cols []table.Column
	var items []item
	if _, star := op.List[0].(*syntax.Star); star && len(op.List) == 1 {
		for i, e := range columnsOf(r.cols, op.Span) {
			items = append(items, item{expr: e, name: r.cols[i].Name, origin: given, at: op.Span})
		}
	} else {
		items = b.items(op.List, s, r)
	}
	for _, it := range items {
		b.groupable(it)
		name, clash := n.give(it.name, it.origin)
		if clash {
			b.errorf(it.at, "give one of them another name", "there are two columns %q", name)
			continue
		}
		keys = append(keys, ir.Named{Name: name, Expr: it.expr})
		cols = append(cols, table.Column{Name: name, Kind: it.expr.Kind()})
	}
	return &ir.Summarize{Out: out(op.Span, cols), In: in, Keys: keys}
}

// groupable refuses to group by a dynamic, as the service does.
func (b *binder) groupable(it item) {
	if it.expr.Kind() == table.Dynamic {
		b.errorf(it.at, "make a text of it with tostring", "rows cannot be grouped by a value of type dynamic")
	}
}
