package bind

import (
	"fmt"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// call binds a call: of a user function, an aggregate, or a function of the language.
func (b *binder) call(x *syntax.Call, s *scope, r *row) value {
	name := x.Name.Name
	if x.On != nil || elsewhere[name] {
		b.errorf(x.Span, "ask for the table by its name alone", "%s is not supported: all tables lie in one place", name)
		return value{expr: broken(x.Span)}
	}
	if n := s.find(name); n != nil {
		if n.fn == nil {
			b.errorf(x.Name.Span, "", "%s is no function", name)
			return value{expr: broken(x.Span)}
		}
		return b.apply(x.Span, name, n.fn, x.Args, s, r)
	}
	if r != nil && r.aggs != nil {
		if sig := lookup(aggregates, current(legacyAggregates, name)); sig != nil {
			return value{expr: b.aggregate(x, sig, s, r)}
		}
	}
	switch name {
	case "toscalar", "materialize", "table", "view":
		return b.tableCall(x, s, r)
	}
	sig := lookup(scalars, current(legacyScalars, name))
	if sig == nil && name != "replace" {
		b.unknown(x)
		return value{expr: broken(x.Span)}
	}
	return value{expr: b.function(x, sig, s, r)}
}

// elsewhere are the calls that name other clusters and databases.
var elsewhere = map[string]bool{"cluster": true, "database": true, "workspace": true, "app": true, "resource": true, "adx": true, "arg": true, "external_table": true}

func (b *binder) unknown(x *syntax.Call) {
	name := x.Name.Name
	if lookup(aggregates, current(legacyAggregates, name)) != nil {
		b.errorf(x.Name.Span, "", "the aggregate %s is not allowed here", name)
		return
	}
	next := syntax.Nearest(name, append(names(scalars), names(aggregates)...))
	b.errorf(x.Name.Span, next, "the function %s is not known, or not supported", name)
}

// text1 is the text that an argument is, where it must be known before the data is.
func (b *binder) text1(x syntax.Expr, s *scope, r *row) (string, bool) {
	lit, ok := b.scalar(x, s, r).(*ir.Lit)
	if !ok || lit.K != table.String {
		return "", false
	}
	text, ok := lit.Value.(string)
	return text, ok
}

// tableCall binds the functions whose argument is a table.
func (b *binder) tableCall(x *syntax.Call, s *scope, r *row) value {
	if len(x.Args) != 1 {
		b.errorf(x.Span, "", "%s takes one argument", x.Name.Name)
		return value{expr: broken(x.Span)}
	}
	if x.Name.Name == "table" {
		name, ok := b.text1(x.Args[0], s, r)
		if !ok {
			b.errorf(x.Span, "", "table takes the name as a constant text")
			return value{expr: broken(x.Span)}
		}
		return b.ident(&syntax.Ident{At: syntax.At{Span: x.Span}, Name: name}, s, nil)
	}
	v := b.any(x.Args[0], s, nil)
	switch x.Name.Name {
	case "materialize":
		if v.rel == nil {
			return v
		}
		return value{rel: b.share(v.rel, x.Span), name: v.name}
	case "toscalar":
		if v.rel == nil {
			return v
		}
		cols := v.rel.Columns()
		if len(cols) == 0 {
			b.errorf(x.Span, "", "the table has no column")
			return value{expr: broken(x.Span)}
		}
		return value{expr: &ir.Sub{At: ir.At{Span: x.Span}, K: cols[0].Kind, Rel: v.rel}}
	}
	b.unknown(x)
	return value{expr: broken(x.Span)}
}

// function binds a call of a scalar function.
func (b *binder) function(x *syntax.Call, sig *signature, s *scope, r *row) ir.Expr {
	if e, done := b.special(x, sig, s, r); done {
		return e
	}
	syn := x.Args
	kind := table.Unknown
	if n := len(syn); n > 0 {
		if t, ok := syn[n-1].(*syntax.TypeOf); ok {
			kind, syn = t.Kind, syn[:n-1]
		}
	}
	var args []ir.Expr
	for _, a := range syn {
		args = append(args, b.scalar(a, s, r))
	}
	if x.Name.Name == "replace" { // (regex, rewrite, source) in the older order
		if len(args) != 3 {
			b.errorf(x.Span, "", "replace takes 3 arguments")
			return broken(x.Span)
		}
		sig, args = lookup(scalars, "replace_regex"), []ir.Expr{args[2], args[0], args[1]}
	}
	if !b.check(x, sig, args, kind != table.Unknown) {
		return broken(x.Span)
	}
	for _, a := range args {
		if a.Kind() == table.Unknown {
			return broken(x.Span)
		}
	}
	k, args := b.typed(x, sig, args)
	if k == table.Unknown {
		return broken(x.Span)
	}
	var e ir.Expr = &ir.Call{At: ir.At{Span: x.Span}, K: k, Func: sig.name, Args: args}
	if kind != table.Unknown {
		e = b.cast(e, kind)
	}
	return e
}

// check looks at the number and the types of arguments. typed is true when a typeof stood
// behind them, which has been taken off.
func (b *binder) check(x *syntax.Call, sig *signature, args []ir.Expr, typed bool) bool {
	params := sig.parameters()
	least, most := 0, len(params)
	for _, p := range params {
		if !p.optional && !(p.repeated && least > 0) {
			least++
		}
		if p.repeated {
			most = 1 << 20
		}
	}
	if typed {
		if n := len(params); n == 0 || params[n-1].kind != "literal" {
			b.errorf(x.Span, "", "%s takes no typeof", sig.name)
			return false
		}
		params = params[:len(params)-1]
	}
	if len(args) < least || len(args) > most {
		b.errorf(x.Span, "its form is "+sig.form(), "%s takes %s, not %d", x.Name.Name, count(least, most), len(args))
		return false
	}
	for i, a := range args {
		p := params[min(i, len(params)-1)]
		if a.Kind() != table.Unknown && !accepts(p.kind, a.Kind()) {
			b.errorf(a.Where(), "its form is "+sig.form(), "%s of %s does not take a value of type %s", p.name, x.Name.Name, a.Kind())
			return false
		}
		if k := kindFor(p.kind); k != table.Unknown && k != table.Dynamic {
			args[i] = b.cast(a, k)
		}
	}
	return true
}

func count(least, most int) string {
	switch {
	case least == most && least == 1:
		return "1 argument"
	case least == most:
		return fmt.Sprintf("%d arguments", least)
	case most > 1000:
		return fmt.Sprintf("at least %d arguments", least)
	}
	return fmt.Sprintf("%d to %d arguments", least, most)
}

// form is a signature as a person reads it: substring(string, start, [length]).
func (s *signature) form() string {
	out := s.name + "("
	for i, p := range s.parameters() {
		if i > 0 {
			out += ", "
		}
		n := p.name
		if p.repeated {
			n += "…"
		}
		if p.optional {
			n = "[" + n + "]"
		}
		out += n
	}
	return out + ")"
}

// special binds the calls that do not stay calls.
func (b *binder) special(x *syntax.Call, sig *signature, s *scope, r *row) (ir.Expr, bool) {
	if sig == nil {
		return nil, false
	}
	switch sig.name {
	case "column_ifexists":
		if len(x.Args) != 2 {
			b.errorf(x.Span, "", "%s takes the name of a column, and a default", x.Name.Name)
			return broken(x.Span), true
		}
		name, ok := b.text1(x.Args[0], s, r)
		if !ok {
			b.errorf(x.Span, "", "%s takes the name of a column as a constant text", x.Name.Name)
			return broken(x.Span), true
		}
		if i := r.find(name); i >= 0 {
			return &ir.Col{At: ir.At{Span: x.Span}, K: r.cols[i].Kind, Index: i, Name: name}, true
		}
		return b.scalar(x.Args[1], s, r), true
	case "ingestion_time":
		if i := r.find("_TimeReceived"); i >= 0 {
			return &ir.Col{At: ir.At{Span: x.Span}, K: r.cols[i].Kind, Index: i, Name: "_TimeReceived"}, true
		}
		return &ir.Lit{At: ir.At{Span: x.Span}, K: table.DateTime}, true
	case "pack_all":
		return b.packAll(x, s, r), true
	case "bag_pack_columns":
		var args []ir.Expr
		for _, a := range x.Args {
			name, _ := nameOf(a)
			args = append(args, &ir.Lit{At: ir.At{Span: a.Where()}, K: table.String, Value: name}, b.scalar(a, s, r))
		}
		return &ir.Call{At: ir.At{Span: x.Span}, K: table.Dynamic, Func: "bag_pack", Args: args}, true
	case "pack_array", "estimate_data_size":
		if len(x.Args) == 1 {
			if _, star := x.Args[0].(*syntax.Star); star && r != nil {
				k := table.Dynamic
				if sig.name != "pack_array" {
					k = table.Long
				}
				return &ir.Call{At: ir.At{Span: x.Span}, K: k, Func: sig.name, Args: columnsOf(r.cols, x.Span)}, true
			}
		}
	}
	return nil, false
}

// packAll is a bag of all columns. What leaves nulls and empty texts out stays a call of
// pack_all, with the keys and values as its arguments.
func (b *binder) packAll(x *syntax.Call, s *scope, r *row) ir.Expr {
	if r == nil || r.frame != nil {
		b.errorf(x.Span, "", "pack_all may not stand here")
		return broken(x.Span)
	}
	var args []ir.Expr
	for i, c := range r.cols {
		args = append(args, &ir.Lit{At: ir.At{Span: x.Span}, K: table.String, Value: c.Name}, &ir.Col{At: ir.At{Span: x.Span}, K: c.Kind, Index: i, Name: c.Name})
	}
	b.grow(x.Span, len(args))
	if len(x.Args) == 1 {
		if lit, ok := b.scalar(x.Args[0], s, r).(*ir.Lit); ok && lit.Value == true {
			return &ir.Call{At: ir.At{Span: x.Span}, K: table.Dynamic, Func: "pack_all", Args: args}
		}
	}
	return &ir.Call{At: ir.At{Span: x.Span}, K: table.Dynamic, Func: "bag_pack", Args: args}
}

func columnsOf(cols []table.Column, at syntax.Span) []ir.Expr {
	out := make([]ir.Expr, len(cols))
	for i, c := range cols {
		out[i] = &ir.Col{At: ir.At{Span: at}, K: c.Kind, Index: i, Name: c.Name}
	}
	return out
}
