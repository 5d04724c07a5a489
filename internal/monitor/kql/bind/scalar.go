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
	if !b.grow(at, 1) || !b.enter(at) {
		b.depth--
		return value{expr: broken(at)}
	}
	defer b.leave()
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

// search is true when the operator holds between some column and the value. Text is looked
// for in texts, dynamics and GUIDs; a number also in numbers that are equal.
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
