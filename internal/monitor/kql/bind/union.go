package bind

import (
	"sort"
	"strconv"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// source is a table of a union with the name that withsource shows.
type source struct {
	rel  ir.Rel
	name string
}

func (b *binder) union(in ir.Rel, op *syntax.Union, s *scope, name string) ir.Rel {
	fuzzy, _ := optionWord(op.Options, "isfuzzy")
	kind, at := optionWord(op.Options, "kind")
	if kind != "" && kind != "inner" && kind != "outer" {
		b.errorf(at, "", "there is no kind %q of union", kind)
	}
	var list []source
	if in != nil {
		if name == "" {
			name = "union_arg0"
		}
		list = append(list, source{in, name})
	}
	for _, x := range op.Tables {
		list = append(list, b.sources(x, s, len(list), fuzzy == "true")...)
	}
	if len(list) == 0 {
		b.errorf(op.Span, "", "none of the tables exists")
		return empty(op.Span)
	}
	with, _ := optionWord(op.Options, "withsource", "with_source")
	if len(list) == 1 && with == "" {
		return list[0].rel
	}
	return b.append(op.Span, list, with, kind == "inner")
}

// sources resolves an entry of a union: a table, several by a pattern, or a query.
func (b *binder) sources(x syntax.Expr, s *scope, at int, fuzzy bool) []source {
	pattern := ""
	switch x := x.(type) {
	case *syntax.Wild:
		pattern = x.Pattern
	case *syntax.Star:
		pattern = "*"
	case *syntax.Ident:
		if fuzzy && s.find(x.Name) == nil && b.cat.Table(x.Name) == nil && b.cat.View(x.Name) == "" {
			return nil
		}
	}
	if pattern != "" {
		return b.matching(pattern, x.Where(), s)
	}
	v := b.any(x, s, nil)
	if v.rel == nil {
		if v.expr == nil || v.expr.Kind() != table.Unknown {
			b.errorf(x.Where(), "", "a table is expected here")
		}
		return nil
	}
	if v.name == "" {
		v.name = sourceName(x, s)
	}
	if v.name == "" {
		v.name = "union_arg" + strconv.Itoa(at)
	}
	return []source{{v.rel, v.name}}
}

// sourceName is what withsource shows for a view of the text and for a table that `as`
// names, "" for any other.
func sourceName(x syntax.Expr, s *scope) string {
	switch x := x.(type) {
	case *syntax.Paren:
		return sourceName(x.X, s)
	case *syntax.Ident:
		if n := s.find(x.Name); n != nil && n.fn != nil && n.fn.def.View {
			return x.Name
		}
	case *syntax.Pipe:
		if n := len(x.Ops); n > 0 {
			if as, ok := x.Ops[n-1].(*syntax.As); ok {
				return as.Name.Name
			}
		}
	}
	return ""
}

// matching are the tables and the views of the text whose names fit a pattern. The views of
// the catalogue are left out: they show rows of the tables a second time.
func (b *binder) matching(pattern string, at syntax.Span, s *scope) []source {
	var out []source
	for _, name := range b.cat.Names() {
		if t := b.cat.Table(name); t != nil && match(pattern, name) {
			out = append(out, source{b.table(&syntax.Ident{At: syntax.At{Span: at}, Name: name}), name})
		}
	}
	var views []string
	for sc := s; sc != nil; sc = sc.up {
		for name, n := range sc.names {
			if n.fn != nil && n.fn.def.View && match(pattern, name) {
				views = append(views, name)
			}
		}
	}
	sort.Strings(views)
	for _, name := range views {
		if v := b.apply(at, name, s.find(name).fn, nil, s, nil); v.rel != nil {
			out = append(out, source{v.rel, name})
		}
	}
	return out
}

// append makes a union of tables. Columns are matched by name; where types differ there is
// a column per type, named name_type.
func (b *binder) append(at syntax.Span, list []source, with string, inner bool) ir.Rel {
	cols := merge(list, inner)
	u := &ir.Union{Out: out(at, nil)}
	if with != "" {
		for _, c := range cols {
			if c.name == with {
				b.errorf(at, "give the column another name after withsource", "there already is a column %q", with)
			}
		}
		u.Cols = append(u.Cols, table.Column{Name: with, Kind: table.String})
	}
	for _, c := range cols {
		u.Cols = append(u.Cols, table.Column{Name: c.name, Kind: c.kind})
	}
	for _, src := range list {
		p := &ir.Project{Out: out(at, u.Cols), In: src.rel}
		if with != "" {
			p.Exprs = append(p.Exprs, ir.Named{Name: with, Expr: &ir.Lit{At: ir.At{Span: at}, K: table.String, Value: src.name}})
		}
		b.grow(at, len(cols))
		have := src.rel.Columns()
		for _, c := range cols {
			var e ir.Expr = nothing(at, c.kind)
			for i, h := range have {
				if h.Name == c.from && h.Kind == c.kind {
					e = &ir.Col{At: ir.At{Span: at}, K: c.kind, Index: i, Name: h.Name}
				}
			}
			p.Exprs = append(p.Exprs, ir.Named{Name: c.name, Expr: e})
		}
		u.Inputs = append(u.Inputs, p)
	}
	return u
}

// nothing is the null of a kind; a text has none.
func nothing(at syntax.Span, k table.Kind) *ir.Lit {
	lit := &ir.Lit{At: ir.At{Span: at}, K: k}
	if k == table.String {
		lit.Value = ""
	}
	return lit
}

// merged is a column of a union: from is its name in the inputs.
type merged struct {
	name, from string
	kind       table.Kind
}

// merge makes the columns of a union: by first appearance, the types of one name together.
func merge(list []source, inner bool) []merged {
	var order []string
	kinds := map[string][]table.Kind{}
	times := map[string]int{}
	for _, src := range list {
		for _, c := range src.rel.Columns() {
			if len(kinds[c.Name]) == 0 {
				order = append(order, c.Name)
			}
			times[c.Name]++
			known := false
			for _, k := range kinds[c.Name] {
				known = known || k == c.Kind
			}
			if !known {
				kinds[c.Name] = append(kinds[c.Name], c.Kind)
			}
		}
	}
	n := newNamer()
	var out []merged
	for _, name := range order {
		if inner && (times[name] < len(list) || len(kinds[name]) > 1) {
			continue
		}
		for _, k := range kinds[name] {
			m := merged{name: name, from: name, kind: k}
			if len(kinds[name]) > 1 {
				m.name += "_" + k.String()
			}
			m.name, _ = n.give(m.name, prefixed)
			out = append(out, m)
		}
	}
	return out
}
