package bind

import (
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// broken stands for an expression that had a mistake: its kind is unknown, and nothing
// that holds it is complained about again.
func broken(at syntax.Span) ir.Expr { return &ir.Lit{At: ir.At{Span: at}} }

// scalar binds an expression that must have a value.
func (b *binder) scalar(x syntax.Expr, s *scope, r *row) ir.Expr {
	v := b.any(x, s, r)
	switch {
	case v.expr != nil:
		return v.expr
	case v.rel != nil:
		b.errorf(x.Where(), "take a value of it with toscalar", "a table stands where a value is expected")
	case v.fn != nil:
		b.errorf(x.Where(), "call it with ()", "a function stands where a value is expected")
	default:
		b.errorf(x.Where(), "", "a value is expected here")
	}
	return broken(x.Where())
}

// any binds an expression, scalar or tabular.
func (b *binder) any(x syntax.Expr, s *scope, r *row) value {
	at := x.Where()
	if !b.grow(at, 1) {
		return value{expr: broken(at)}
	}
	defer b.leave()
	if !b.enter(at) {
		return value{expr: broken(at)}
	}
	switch x := x.(type) {
	case *syntax.Paren:
		return b.any(x.X, s, r)
	case *syntax.Pipe:
		return value{rel: b.pipe(x, s, r)}
	case *syntax.Ident:
		return b.ident(x, s, r)
	case *syntax.Lit:
		return value{expr: &ir.Lit{At: ir.At{Span: at}, K: x.Kind, Value: x.Value}}
	case *syntax.Unary:
		return value{expr: b.unary(x, s, r)}
	case *syntax.Binary:
		return value{expr: b.binary(x, s, r)}
	case *syntax.In:
		return value{expr: b.in(x, s, r)}
	case *syntax.Between:
		return value{expr: b.between(x, s, r)}
	case *syntax.Call:
		return b.call(x, s, r)
	case *syntax.Path:
		return b.path(x, s, r)
	case *syntax.Index:
		return value{expr: b.index(x, s, r)}
	case *syntax.Func:
		return value{fn: &function{def: x, scope: s}}
	case *syntax.Named:
		b.errorf(at, "", "a name with = may not stand here")
	case *syntax.Star:
		b.errorf(at, "", "* may not stand here")
	case *syntax.TypeOf:
		b.errorf(at, "", "typeof may not stand here")
	case *syntax.Wild:
		b.errorf(at, "", "a pattern of names may not stand here")
	}
	return value{expr: broken(at)}
}

func (b *binder) path(x *syntax.Path, s *scope, r *row) value {
	if id, ok := x.X.(*syntax.Ident); ok && r != nil {
		if v, ok := b.stepColumn(id, x, r); ok {
			return v
		}
	}
	v := b.any(x.X, s, r)
	if v.rel != nil || v.expr == nil {
		b.errorf(x.Span, "", "a table has no member %q", x.Name.Name)
		return value{expr: broken(x.Span)}
	}
	return value{expr: b.member(x.Span, v.expr, &ir.Lit{At: ir.At{Span: x.Name.Span}, K: table.String, Value: x.Name.Name}, ".")}
}

// stepColumn resolves step.column inside scan.
func (b *binder) stepColumn(id *syntax.Ident, x *syntax.Path, r *row) (value, bool) {
	for i, st := range r.steps {
		if st.name != id.Name {
			continue
		}
		at := r.find(x.Name.Name)
		if at < 0 {
			b.errorf(x.Name.Span, "", "there is no column %q", x.Name.Name)
			return value{expr: broken(x.Span)}, true
		}
		return value{expr: &ir.StepCol{At: ir.At{Span: x.Span}, K: r.cols[at].Kind, Step: i, Index: at}}, true
	}
	return value{}, false
}

func (b *binder) index(x *syntax.Index, s *scope, r *row) ir.Expr {
	base := b.scalar(x.X, s, r)
	i := b.scalar(x.I, s, r)
	if k := i.Kind(); k == table.Int {
		i = b.cast(i, table.Long)
	} else if k != table.String && k != table.Long && k != table.Dynamic && k != table.Unknown {
		b.errorf(i.Where(), "", "a member is taken by a text or a number, not by a value of type %s", k)
		return broken(x.Span)
	}
	return b.member(x.Span, base, i, "[]")
}

func (b *binder) member(at syntax.Span, base, key ir.Expr, op string) ir.Expr {
	switch base.Kind() {
	case table.Unknown:
		return broken(at)
	case table.Dynamic:
	default:
		b.errorf(at, "a text with JSON is read by parse_json", "a value of type %s has no members", base.Kind())
		return broken(at)
	}
	return &ir.Call{At: ir.At{Span: at}, K: table.Dynamic, Func: op, Args: []ir.Expr{base, key}}
}

func (b *binder) unary(x *syntax.Unary, s *scope, r *row) ir.Expr {
	e := b.scalar(x.X, s, r)
	k := e.Kind()
	switch k {
	case table.Unknown:
		return e
	case table.Int, table.Long, table.Real, table.Decimal, table.TimeSpan, table.Dynamic:
	default:
		b.errorf(x.Span, "", "%s is not defined for a value of type %s", x.Op, k)
		return broken(x.Span)
	}
	if x.Op == "+" {
		return e
	}
	if lit, ok := e.(*ir.Lit); ok {
		switch v := lit.Value.(type) {
		case int64:
			return &ir.Lit{At: ir.At{Span: x.Span}, K: k, Value: -v}
		case float64:
			return &ir.Lit{At: ir.At{Span: x.Span}, K: k, Value: -v}
		}
	}
	return &ir.Call{At: ir.At{Span: x.Span}, K: k, Func: "unary-", Args: []ir.Expr{e}}
}

func (b *binder) binary(x *syntax.Binary, s *scope, r *row) ir.Expr {
	// A long chain leans to the left: it is walked without recursion.
	var chain []*syntax.Binary
	var first syntax.Expr = x
	for {
		n, ok := first.(*syntax.Binary)
		if !ok {
			break
		}
		chain = append(chain, n)
		first = n.X
	}
	var left ir.Expr
	if _, star := first.(*syntax.Star); star {
		n := chain[len(chain)-1]
		left = b.everywhere(n, s, r)
		chain = chain[:len(chain)-1]
	} else {
		left = b.scalar(first, s, r)
	}
	for i := len(chain) - 1; i >= 0; i-- {
		n := chain[i]
		b.grow(n.Span, 1)
		right := b.scalar(n.Y, s, r)
		left = b.operate(n.Span, n.OpSpan, n.Op, left, right)
	}
	return left
}

// everywhere is * op value: some column that holds text matches.
func (b *binder) everywhere(x *syntax.Binary, s *scope, r *row) ir.Expr {
	y := b.scalar(x.Y, s, r)
	if r == nil || r.frame != nil {
		b.errorf(x.Span, "", "* may not stand here")
		return broken(x.Span)
	}
	return b.search(x.Span, x.Op, y, r)
}

// search is true when the operator holds between some column that holds text and the value:
// a text, a dynamic or a GUID.
func (b *binder) search(at syntax.Span, op string, y ir.Expr, r *row) ir.Expr {
	if op == ":" {
		op = "has"
	}
	var all ir.Expr = &ir.Lit{At: ir.At{Span: at}, K: table.Bool, Value: false}
	none := true
	for i, c := range r.cols {
		var col ir.Expr = &ir.Col{At: ir.At{Span: at}, K: c.Kind, Index: i, Name: c.Name}
		switch c.Kind {
		case table.String, table.Dynamic:
		case table.GUID:
			col = b.cast(col, table.String)
		default:
			continue
		}
		b.grow(at, 2)
		one := b.operate(at, at, op, col, y)
		if none {
			all, none = one, false
			continue
		}
		all = &ir.Call{At: ir.At{Span: at}, K: table.Bool, Func: "or", Args: []ir.Expr{all, one}}
	}
	return all
}

func (b *binder) in(x *syntax.In, s *scope, r *row) ir.Expr {
	at := ir.At{Span: x.Span}
	if _, star := x.X.(*syntax.Star); star {
		b.errorf(x.Span, "", "* %s is not supported", x.Op)
		return broken(x.Span)
	}
	e := b.scalar(x.X, s, r)
	k := e.Kind()
	text := strings.HasPrefix(x.Op, "has") || strings.HasSuffix(x.Op, "~")
	if text && k != table.String && k != table.Dynamic && k != table.Unknown {
		b.errorf(x.Span, "make a text of it with tostring", "%s is not defined for a value of type %s", x.Op, k)
		return broken(x.Span)
	}
	args := []ir.Expr{e}
	for _, l := range x.List {
		v := b.any(l, s, r)
		switch {
		case v.rel != nil && len(x.List) == 1:
			if len(v.rel.Columns()) == 0 {
				b.errorf(l.Where(), "", "the table has no column")
				return broken(x.Span)
			}
			args = append(args, &ir.Sub{At: ir.At{Span: l.Where()}, K: v.rel.Columns()[0].Kind, Rel: v.rel})
			continue
		case v.expr == nil:
			b.errorf(l.Where(), "", "a value is expected here")
			return broken(x.Span)
		}
		args = append(args, b.comparable(v.expr, k))
	}
	return &ir.Call{At: at, K: table.Bool, Func: x.Op, Args: args}
}

// comparable turns a value into the kind with which it is compared, where a text meets
// something else.
func (b *binder) comparable(e ir.Expr, with table.Kind) ir.Expr {
	k := e.Kind()
	if k == with || k == table.Dynamic || with == table.Dynamic || k == table.Unknown || with == table.Unknown {
		return e
	}
	if numeric(k) && numeric(with) {
		return e
	}
	return b.cast(e, with)
}

func (b *binder) between(x *syntax.Between, s *scope, r *row) ir.Expr {
	e, lo, hi := b.scalar(x.X, s, r), b.scalar(x.Lo, s, r), b.scalar(x.Hi, s, r)
	op := "between"
	if x.Not {
		op = "!between"
	}
	if lo.Kind() == table.DateTime && hi.Kind() == table.TimeSpan {
		hi = &ir.Call{At: ir.At{Span: hi.Where()}, K: table.DateTime, Func: "+", Args: []ir.Expr{lo, hi}}
	}
	k := e.Kind()
	if k == table.Unknown || lo.Kind() == table.Unknown || hi.Kind() == table.Unknown {
		return broken(x.Span)
	}
	ok := func(o table.Kind) bool {
		return o == k && (k == table.DateTime || k == table.TimeSpan) || numeric(k) && numeric(o) ||
			k == table.Dynamic && o != table.String && o != table.Bool || o == table.Dynamic && (numeric(k) || k == table.DateTime || k == table.TimeSpan)
	}
	if !ok(lo.Kind()) || !ok(hi.Kind()) {
		b.errorf(x.Span, "", "%s is not defined for values of types %s, %s and %s", op, k, lo.Kind(), hi.Kind())
		return broken(x.Span)
	}
	return &ir.Call{At: ir.At{Span: x.Span}, K: table.Bool, Func: op, Args: []ir.Expr{e, lo, hi}}
}
