package bind

import (
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// tables resolves the list of search and find, all tables when there is none.
func (b *binder) tables(list []syntax.Expr, at syntax.Span, s *scope) []source {
	if list == nil {
		return b.matching("*", at, s)
	}
	var out []source
	for _, x := range list {
		out = append(out, b.sources(x, s, len(out), false)...)
	}
	return out
}

func (b *binder) searchOp(in ir.Rel, op *syntax.Search, s *scope, name string) ir.Rel {
	list := b.tables(op.Tables, op.Span, s)
	if in != nil {
		if name == "" {
			name = "search_arg0"
		}
		list = []source{{in, name}}
	}
	kind, _ := optionWord(op.Options, "kind")
	for i := range list {
		r := rowOf(list[i].rel.Columns())
		r.lenient = true
		p := b.searched(op.Pred, kind == "case_sensitive", s, r)
		list[i].rel = &ir.Filter{Out: out(op.Span, r.cols), In: list[i].rel, Pred: p}
	}
	if len(list) == 0 {
		b.errorf(op.Span, "", "none of the tables exists")
		return empty(op.Span)
	}
	return b.append(op.Span, list, "$table", false)
}

// searched binds the condition of search and find: a text alone is looked for everywhere.
func (b *binder) searched(x syntax.Expr, exact bool, s *scope, r *row) ir.Expr {
	switch x := x.(type) {
	case *syntax.Paren:
		return b.searched(x.X, exact, s, r)
	case *syntax.Lit:
		if text, ok := x.Value.(string); ok && x.Kind == table.String {
			return b.everywhereText(x, text, exact, r)
		}
	case *syntax.Star:
		return &ir.Lit{At: ir.At{Span: x.Span}, K: table.Bool, Value: true}
	case *syntax.Binary:
		if x.Op == "and" || x.Op == "or" {
			left, right := b.searched(x.X, exact, s, r), b.searched(x.Y, exact, s, r)
			return b.operate(x.Span, x.OpSpan, x.Op, left, right)
		}
	case *syntax.Call:
		if x.Name.Name == "not" && len(x.Args) == 1 {
			return &ir.Call{At: ir.At{Span: x.Span}, K: table.Bool, Func: "not", Args: []ir.Expr{b.searched(x.Args[0], exact, s, r)}}
		}
	}
	return b.predicate(x, s, r)
}

// everywhereText looks for a text: as a term, or with stars at the begin or end of terms.
func (b *binder) everywhereText(x *syntax.Lit, text string, exact bool, r *row) ir.Expr {
	op := "has"
	switch n := len(text); {
	case text == "*" || text == "":
		return &ir.Lit{At: ir.At{Span: x.Span}, K: table.Bool, Value: true}
	case n > 1 && text[0] == '*' && text[n-1] == '*':
		op, text = "contains", text[1:n-1]
	case text[0] == '*':
		op, text = "hassuffix", text[1:]
	case text[n-1] == '*':
		op, text = "hasprefix", text[:n-1]
	}
	if exact {
		op += "_cs"
	}
	return b.search(x.Span, op, &ir.Lit{At: ir.At{Span: x.Span}, K: table.String, Value: text}, r)
}

func (b *binder) find(op *syntax.Find, s *scope) ir.Rel {
	list := b.tables(op.Tables, op.Span, s)
	if len(list) == 0 {
		b.errorf(op.Span, "", "none of the tables exists")
		return empty(op.Span)
	}
	with, _ := optionWord(op.Options, "withsource", "with_source")
	if with == "" {
		with = "source_"
	}
	if len(op.Away) > 0 || op.Smart {
		b.errorf(op.Span, "name the columns after project", "find with project-smart or project-away is not supported")
	}
	wanted, pack := b.findColumns(op, list)
	pack = pack && (op.Pack || leftover(list, wanted))
	u := &ir.Union{Out: out(op.Span, append([]table.Column{{Name: with, Kind: table.String}}, wanted...))}
	if pack {
		u.Cols = append(u.Cols, table.Column{Name: "pack_", Kind: table.Dynamic})
	}
	for _, src := range list {
		r := rowOf(src.rel.Columns())
		r.lenient = true
		f := &ir.Filter{Out: out(op.Span, r.cols), In: src.rel, Pred: b.searched(op.Pred, false, s, r)}
		u.Inputs = append(u.Inputs, b.findProject(op, f, src.name, wanted, pack, u.Cols))
	}
	return u
}

// leftover reports whether some table has a column that is not wanted.
func leftover(list []source, wanted []table.Column) bool {
	r := rowOf(wanted)
	for _, src := range list {
		for _, c := range src.rel.Columns() {
			if r.find(c.Name) < 0 {
				return true
			}
		}
	}
	return false
}

// findColumns are the columns of find: those named after project, or those that all tables
// have, or that the condition names. Without project the rest goes into pack_.
func (b *binder) findColumns(op *syntax.Find, list []source) ([]table.Column, bool) {
	if len(op.Project) > 0 || op.Pack {
		var out []table.Column
		for i, x := range op.Project {
			name, _ := nameOf(x)
			k := op.Kinds[i]
			for _, src := range list {
				if j := rowOf(src.rel.Columns()).find(name); j >= 0 && k == table.Unknown {
					k = src.rel.Columns()[j].Kind
				}
			}
			if k == table.Unknown {
				b.errorf(x.Where(), "", "none of the tables has a column %q", name)
			}
			out = append(out, table.Column{Name: name, Kind: k})
		}
		return out, op.Pack
	}
	asked := map[string]bool{}
	for _, t := range syntax.Tokens(b.text[op.Pred.Where().Start:op.Pred.Where().End]) {
		if t.Class == syntax.Name {
			asked[b.text[op.Pred.Where().Start:][t.Start:t.End]] = true
		}
	}
	var out []table.Column
	seen := map[string]bool{}
	for _, src := range list {
		for _, c := range src.rel.Columns() {
			n, k := 0, c.Kind
			for _, other := range list {
				if j := rowOf(other.rel.Columns()).find(c.Name); j >= 0 {
					n++
					if o := other.rel.Columns()[j].Kind; numeric(o) && numeric(k) && o != k {
						k = wider(k, o)
					}
				}
			}
			if !seen[c.Name] && (n == len(list) && len(list) > 1 || asked[c.Name]) {
				seen[c.Name] = true
				out = append(out, table.Column{Name: c.Name, Kind: k})
			}
		}
	}
	return out, true
}

func (b *binder) findProject(op *syntax.Find, in ir.Rel, name string, wanted []table.Column, pack bool, cols []table.Column) ir.Rel {
	at := ir.At{Span: op.Span}
	p := &ir.Project{Out: out(op.Span, cols), In: in}
	p.Exprs = append(p.Exprs, ir.Named{Name: cols[0].Name, Expr: &ir.Lit{At: at, K: table.String, Value: name}})
	r := rowOf(in.Columns())
	used := map[int]bool{}
	for _, w := range wanted {
		var e ir.Expr = nothing(op.Span, w.Kind)
		if i := r.find(w.Name); i >= 0 {
			used[i] = true
			e = b.cast(&ir.Col{At: at, K: r.cols[i].Kind, Index: i, Name: w.Name}, w.Kind)
		}
		p.Exprs = append(p.Exprs, ir.Named{Name: w.Name, Expr: e})
	}
	if pack {
		var args []ir.Expr
		for i, c := range r.cols {
			if !used[i] {
				args = append(args, &ir.Lit{At: at, K: table.String, Value: c.Name}, &ir.Col{At: at, K: c.Kind, Index: i, Name: c.Name})
			}
		}
		b.grow(op.Span, len(args))
		p.Exprs = append(p.Exprs, ir.Named{Name: "pack_", Expr: &ir.Call{At: at, K: table.Dynamic, Func: "bag_pack", Args: args}})
	}
	return p
}
