package bind

import (
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// apply puts the body of a user function in the place of its call.
func (b *binder) apply(at syntax.Span, name string, f *function, args []syntax.Expr, s *scope, r *row) value {
	values := make([]value, len(f.def.Params))
	set := make([]bool, len(values))
	for place, a := range args {
		i := place
		if n, ok := a.(*syntax.Named); ok {
			i = -1
			for j, p := range f.def.Params {
				if p.Name.Name == n.Names[0].Name {
					i = j
				}
			}
			a = n.X
		}
		if i < 0 || i >= len(values) || set[i] {
			b.errorf(a.Where(), "", "%s has no such parameter", name)
			return value{expr: broken(at)}
		}
		values[i], set[i] = b.any(a, s, r), true
	}
	return b.body(at, name, f, values, set, r)
}

// body binds a user function with values for its parameters.
func (b *binder) body(at syntax.Span, name string, f *function, values []value, set []bool, r *row) value {
	if !b.enter(at) {
		b.leave()
		return value{expr: broken(at)}
	}
	defer b.leave()
	inner := &scope{up: f.scope}
	for i, p := range f.def.Params {
		v := values[i]
		if !set[i] {
			if p.Default == nil {
				b.errorf(at, "", "%s needs a value for %s", name, p.Name.Name)
				return value{expr: broken(at)}
			}
			v = value{expr: b.scalar(p.Default, f.scope, nil)}
		}
		if v = b.argument(at, name, p, v); v.rel == nil && v.expr == nil && v.fn == nil {
			return value{expr: broken(at)}
		}
		inner.set(p.Name.Name, &named{value: v, frame: r, weight: weigh(v.expr)})
	}
	if f.def.Body == nil {
		return value{expr: broken(at)}
	}
	before := len(b.errs)
	var frame *row
	if root := r.root(); root != nil {
		frame = &row{frame: root}
	}
	v := b.query(f.def.Body, inner, frame)
	if len(b.errs) == before && v.rel == nil && v.expr == nil {
		b.errorf(at, "", "%s has no result", name)
	}
	return v
}

// argument checks a value against a parameter and converts it.
func (b *binder) argument(at syntax.Span, name string, p syntax.Param, v value) value {
	if p.Table {
		if v.rel == nil {
			b.errorf(at, "", "%s needs a table for %s", name, p.Name.Name)
			return value{}
		}
		cols := v.rel.Columns()
		for _, c := range p.Columns {
			found := false
			for _, have := range cols {
				found = found || have.Name == c.Name.Name && (have.Kind == c.Kind || numeric(have.Kind) && numeric(c.Kind))
			}
			if !found {
				b.errorf(at, "", "the table given to %s has no column %s of type %s", name, c.Name.Name, c.Kind)
				return value{}
			}
		}
		return v
	}
	if v.expr == nil {
		b.errorf(at, "", "%s needs a value for %s, not a table", name, p.Name.Name)
		return value{}
	}
	k := v.expr.Kind()
	if k != p.Kind && k != table.Unknown && !(numeric(k) && numeric(p.Kind)) && k != table.Dynamic && p.Kind != table.Dynamic {
		b.errorf(v.expr.Where(), "", "%s takes a %s for %s, not a %s", name, p.Kind, p.Name.Name, k)
		return value{}
	}
	if p.Kind == table.Dynamic && k != table.Unknown && k != table.Dynamic {
		v.expr = b.wrap(v.expr)
		return v
	}
	v.expr = b.cast(v.expr, p.Kind)
	return v
}

// weigh counts the nodes of an expression, up to the limit.
func weigh(e ir.Expr) int {
	n := 1
	if c, ok := e.(*ir.Call); ok {
		for _, a := range c.Args {
			if n += weigh(a); n > MaxNodes {
				break
			}
		}
	}
	return n
}
