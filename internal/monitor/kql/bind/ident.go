package bind

import (
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// ident resolves a name: a column, then what let and parameters gave, then a table.
func (b *binder) ident(x *syntax.Ident, s *scope, r *row) value {
	if r != nil && r.frame == nil {
		if i := r.find(x.Name); i >= 0 {
			if r.aggs != nil {
				b.errorf(x.Span, "put it into an aggregate such as take_any, or after by", "the column %s is no aggregate", x.Name)
				return value{expr: broken(x.Span)}
			}
			return value{expr: &ir.Col{At: ir.At{Span: x.Span}, K: r.cols[i].Kind, Index: i, Name: x.Name}}
		}
	}
	if n := s.find(x.Name); n != nil {
		return b.use(x, n, r)
	}
	if r != nil && r.lenient {
		return value{expr: &ir.Lit{At: ir.At{Span: x.Span}, K: table.Dynamic}}
	}
	if r == nil || r.frame != nil {
		if rel := b.table(x); rel != nil {
			return value{rel: rel, name: x.Name}
		}
		b.errorf(x.Span, syntax.Nearest(x.Name, append(b.cat.Names(), s.all()...)), "there is no table or name %q", x.Name)
		return value{expr: broken(x.Span)}
	}
	if b.cat.Table(x.Name) != nil || b.cat.View(x.Name) != "" {
		return value{rel: b.table(x), name: x.Name}
	}
	var names []string
	for _, c := range r.cols {
		names = append(names, c.Name)
	}
	b.errorf(x.Span, syntax.Nearest(x.Name, append(names, s.all()...)), "there is no column %q", x.Name)
	return value{expr: broken(x.Span)}
}

func (s *scope) all() []string {
	var out []string
	for ; s != nil; s = s.up {
		for n := range s.names {
			out = append(out, n)
		}
	}
	return out
}

// use puts the meaning of a name in its place.
func (b *binder) use(x *syntax.Ident, n *named, r *row) value {
	if n.fn != nil {
		if len(n.fn.def.Params) == 0 {
			return b.apply(x.Span, x.Name, n.fn, nil, nil, r)
		}
		return n.value
	}
	if !b.grow(x.Span, n.weight) {
		return value{expr: broken(x.Span)}
	}
	v := n.value
	if v.expr != nil && hasColumns(v.expr) && n.frame.root() != r.root() {
		b.errorf(x.Span, "compute it in an extend first", "%s depends on a row and may not be used inside another table", x.Name)
		return value{expr: broken(x.Span)}
	}
	if v.rel != nil && v.name == "" {
		v.name = x.Name
	}
	if lit, ok := v.expr.(*ir.Lit); ok && lit.K != table.Unknown {
		v.expr = &ir.Lit{At: ir.At{Span: x.Span}, K: lit.K, Value: lit.Value}
	}
	return v
}

// hasColumns reports whether a value depends on a row.
func hasColumns(e ir.Expr) bool {
	switch e := e.(type) {
	case *ir.Col, *ir.StepCol:
		return true
	case *ir.Nth:
		return hasColumns(e.Call)
	case *ir.Call:
		for _, a := range e.Args {
			if hasColumns(a) {
				return true
			}
		}
	}
	return false
}

// table resolves a table or a view, nil when there is none of the name.
func (b *binder) table(x *syntax.Ident) ir.Rel {
	if t := b.cat.Table(x.Name); t != nil {
		return &ir.Scan{Out: out(x.Span, t.Columns), Table: t.Name}
	}
	text := b.cat.View(x.Name)
	if text == "" {
		return nil
	}
	for _, v := range b.views {
		if v == x.Name {
			b.errorf(x.Span, "", "the view %s contains itself", x.Name)
			return &ir.Rows{Out: out(x.Span, nil)}
		}
	}
	tree, errs := syntax.Parse(text)
	inner := &binder{text: text, cat: b.cat, totals: b.totals, views: append(b.views, x.Name), depth: b.depth, errs: errs}
	var v value
	if len(errs) == 0 {
		v = inner.query(tree, &scope{}, nil)
	}
	if len(inner.errs) > 0 || v.rel == nil {
		message := "it is no table"
		if len(inner.errs) > 0 {
			message = inner.errs[0].Message
		}
		b.errorf(x.Span, "", "the view %s cannot be used: %s", x.Name, message)
		return &ir.Rows{Out: out(x.Span, nil)}
	}
	return v.rel
}
