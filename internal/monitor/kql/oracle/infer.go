package oracle

import (
	"reflect"
	"sort"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// Infer makes up the tables that a text uses and that are not known: with a column for
// every name that stands in the text, of a type that its use suggests. Both binders are
// given the same tables, so a wrong guess makes the comparison no less strict.
func Infer(text string, known func(string) bool) []*table.Table {
	tree, _ := syntax.Parse(text)
	g := &guess{kinds: map[string]table.Kind{}, tables: map[string]bool{}, lets: map[string]bool{}}
	g.walk(reflect.ValueOf(tree))
	var names []string
	for n := range g.kinds {
		names = append(names, n)
	}
	sort.Strings(names)
	var cols []table.Column
	for _, n := range names {
		if g.tables[n] || g.lets[n] || strings.HasPrefix(n, "$") {
			continue
		}
		k := g.kinds[n]
		if k == table.Unknown {
			k = byName(n)
		}
		cols = append(cols, table.Column{Name: n, Kind: k})
	}
	if len(cols) == 0 {
		cols = []table.Column{{Name: table.TimeGenerated, Kind: table.DateTime}}
	}
	var out []*table.Table
	for n := range g.tables {
		if !g.lets[n] && !known(n) {
			out = append(out, &table.Table{Name: n, Columns: cols})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func byName(n string) table.Kind {
	low := strings.ToLower(n)
	switch {
	case strings.HasSuffix(low, "time") || strings.Contains(low, "timestamp") || n == "TimeGenerated" || strings.HasSuffix(low, "date"):
		return table.DateTime
	case strings.HasSuffix(low, "_d"):
		return table.Real
	}
	return table.String
}

type guess struct {
	kinds        map[string]table.Kind
	tables, lets map[string]bool
}

// walk goes through a tree of syntax by its fields.
func (g *guess) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return
		}
		if v.Kind() == reflect.Pointer {
			g.note(v.Interface())
		}
		g.walk(v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			g.walk(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Name != "At" && f.Name != "Span" {
				g.walk(v.Field(i))
			}
		}
	}
}

func (g *guess) column(x syntax.Expr, k table.Kind) {
	if id, ok := x.(*syntax.Ident); ok && (g.kinds[id.Name] == table.Unknown || k == table.Dynamic) {
		g.kinds[id.Name] = k
	}
}

func (g *guess) table(x syntax.Expr) {
	if id, ok := x.(*syntax.Ident); ok {
		g.tables[id.Name] = true
	}
}

func (g *guess) note(node any) {
	switch n := node.(type) {
	case *syntax.Let:
		g.lets[n.Name.Name] = true
	case *syntax.Func:
		for _, p := range n.Params {
			g.lets[p.Name.Name] = true
		}
	case *syntax.As:
		g.lets[n.Name.Name] = true
	case *syntax.Ident:
		if _, ok := g.kinds[n.Name]; !ok {
			g.kinds[n.Name] = table.Unknown
		}
	case *syntax.Wild:
		g.kinds[strings.ReplaceAll(n.Pattern, "*", "x")] = table.Unknown
	case *syntax.Path:
		g.column(n.X, table.Dynamic)
	case *syntax.Index:
		g.column(n.X, table.Dynamic)
	case *syntax.Filter:
		g.column(n.Pred, table.Bool)
	case *syntax.Binary:
		g.binary(n)
	case *syntax.Between:
		g.pair(n.X, n.Lo)
	case *syntax.In:
		if len(n.List) > 0 {
			g.pair(n.X, n.List[0])
		}
	case *syntax.Call:
		g.call(n)
	default:
		g.source(node)
	}
}

// source notes the tables of what begins with some.
func (g *guess) source(node any) {
	switch n := node.(type) {
	case *syntax.Ask:
		g.table(n.Expr)
	case *syntax.Pipe:
		g.table(n.Source)
	case *syntax.Join:
		g.table(n.Right)
		if p, ok := n.Right.(*syntax.Paren); ok {
			g.table(p.X)
		}
	case *syntax.Union:
		for _, o := range n.Options {
			if id, ok := o.Value.(*syntax.Ident); ok {
				g.lets[id.Name] = true
			}
		}
		for _, t := range n.Tables {
			g.table(t)
			if p, ok := t.(*syntax.Paren); ok {
				g.table(p.X)
			}
		}
	case *syntax.Search:
		for _, t := range n.Tables {
			g.table(t)
		}
	case *syntax.Find:
		for _, t := range n.Tables {
			g.table(t)
		}
	}
}

func (g *guess) binary(n *syntax.Binary) {
	switch n.Op {
	case "==", "!=", "<", ">", "<=", ">=", "-", "+":
		g.pair(n.X, n.Y)
		g.pair(n.Y, n.X)
	case "*", "/", "%":
		g.column(n.X, table.Real)
		g.column(n.Y, table.Real)
	case "and", "or":
		g.column(n.X, table.Bool)
		g.column(n.Y, table.Bool)
	default:
		g.column(n.X, table.String)
	}
}

// pair gives a column the type of what it stands beside.
func (g *guess) pair(x, y syntax.Expr) {
	switch y := y.(type) {
	case *syntax.Lit:
		k := y.Kind
		if k == table.TimeSpan {
			k = table.DateTime
		}
		g.column(x, k)
	case *syntax.Call:
		switch y.Name.Name {
		case "ago", "now", "datetime", "todatetime", "startofday", "bin":
			g.column(x, table.DateTime)
		case "toint", "todouble", "tolong", "toreal":
			g.column(x, table.Real)
		}
	}
}

func (g *guess) call(n *syntax.Call) {
	kind := table.Unknown
	switch n.Name.Name {
	case "sum", "avg", "stdev", "percentile", "percentiles", "sumif", "avgif", "round", "variance":
		kind = table.Real
	case "startofday", "startofweek", "startofmonth", "datetime_diff", "format_datetime", "dayofweek", "hourofday", "getmonth":
		kind = table.DateTime
	case "parse_json", "todynamic", "split", "extract", "parse_url", "strlen", "tolower", "toupper", "parsejson":
		kind = table.String
	case "bag_unpack":
		if len(n.Args) > 0 {
			g.column(n.Args[0], table.Dynamic)
		}
		return
	case "array_length", "bag_keys", "zip", "array_concat":
		kind = table.Dynamic
	case "iff", "iif", "not", "countif":
		if len(n.Args) > 0 {
			g.column(n.Args[0], table.Bool)
		}
		return
	case "bin":
		if len(n.Args) == 2 {
			g.pair(n.Args[0], n.Args[1])
		}
		return
	}
	if kind != table.Unknown {
		for _, a := range n.Args {
			g.column(a, kind)
		}
	}
}
