package bind

import (
	"sort"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
	"towpath.dev/towpath/internal/monitor/table"
)

// Complete says what may stand at a byte of a text, for an editor: after a | operators, at
// the begin tables, elsewhere the columns that flow there, then functions. Items stand in
// the order in which an editor should show them. What follows pos does not matter. Of a text
// that cannot be bound up to there, the columns of every table it names are offered.
func Complete(text string, pos int, c Catalog) []Item {
	pos = max(0, min(pos, len(text)))
	before := text[:pos]
	word := before
	if i := strings.LastIndexFunc(before, notName); i >= 0 {
		word = before[i+1:]
	}
	before = before[:len(before)-len(word)]
	tokens := syntax.Tokens(before)
	for n := len(tokens); n > 0 && tokens[n-1].Class == syntax.Comment; n-- {
		if !strings.Contains(before[tokens[n-1].End:], "\n") {
			return nil // inside a comment
		}
		tokens = tokens[:n-1]
	}
	if n := len(tokens); n > 0 && tokens[n-1].Class == syntax.Invalid {
		return nil // inside a string
	}
	p := where(before, tokens)
	var items []Item
	switch {
	case p.operator:
		items = operatorItems(p)
	case p.source:
		items = append(tableItems(c), letItems(before, tokens)...)
		for _, w := range []string{"let", "print", "union", "search", "find", "range", "datatable"} {
			items = append(items, Item{Label: w, Kind: "keyword", Insert: w + " "})
		}
	case p.op == "render":
		items = wordItems(p.op)
	default:
		items = append(columnItems(before, p.pipe, c), letItems(before, tokens)...)
		items = append(items, wordItems(p.op)...)
		items = append(items, functionItems(p.op)...)
	}
	return filtered(items, word)
}

func notName(r rune) bool {
	return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r < 0x80
}

// filtered keeps the items that begin with what is typed, then those that contain it.
func filtered(items []Item, word string) []Item {
	low := strings.ToLower(word)
	var first, then []Item
	for _, it := range items {
		label := strings.ToLower(it.Label)
		switch {
		case strings.HasPrefix(label, low):
			first = append(first, it)
		case strings.Contains(label, low):
			then = append(then, it)
		}
	}
	return append(first, then...)
}

// cursor is where the cursor stands: pipe is the byte of the last | of the pipe that it is
// in, 0 when it is in the source; op is the name of the operator.
type cursor struct {
	operator, source bool
	dash             bool // an operator's name has begun, up to a dash
	pipe             int
	op               string
}

// where looks at the tokens before the cursor.
func where(text string, tokens []syntax.Token) cursor {
	str := func(i int) string { return text[tokens[i].Start:tokens[i].End] }
	n := len(tokens)
	if n == 0 {
		return cursor{source: true}
	}
	c := cursor{pipe: -1}
	depth := 0
	for i := n - 1; i >= 0; i-- {
		s := str(i)
		switch s {
		case ")", "]", "}":
			depth++
		case "(", "[", "{":
			depth--
		}
		if depth < 0 && s == "(" && i > 0 && (tokens[i-1].Class == syntax.Name || tokens[i-1].Class == syntax.FunctionUse) && !tableWord[str(i-1)] {
			depth = 0 // the argument of a function: the row is that of the operator around it
		}
		if s == ";" && depth == 0 || depth < 0 {
			break
		}
		if s == "|" && depth == 0 {
			c.pipe = tokens[i].Start
			for j := i + 1; j < n && (tokens[j].Class == syntax.Keyword || str(j) == "-"); j++ {
				if j > i+1 && tokens[j].Start != tokens[j-1].End {
					break
				}
				c.op += str(j)
			}
			break
		}
	}
	last := str(n - 1)
	switch {
	case last == "|":
		c.operator = true
	case last == "-" && n > 2 && str(n-3) == "|" && tokens[n-1].Start == tokens[n-2].End:
		c.operator, c.dash = true, true
	case c.pipe < 0 && (last == ";" || last == "=" || last == "(" || last == "," || last == "{"):
		c.source = true
	case tableWord[last] && (c.op == "join" || c.op == "lookup" || c.op == "union" || last == "union"):
		c.source = true
	case last == "(" && n > 1 && tableWord[str(n-2)]:
		c.source = true
	case last == "(" && (c.op == "join" || c.op == "lookup" || c.op == "union") && !strings.Contains(text[c.pipe:], " on "):
		c.source = true
	case c.pipe < 0:
		c.source = n == 1 && tokens[0].Class != syntax.Name
	}
	return c
}

// tableWord are the words after which a table stands.
var tableWord = map[string]bool{"union": true, "join": true, "lookup": true, "toscalar": true, "materialize": true, "in": true}

func operatorItems(p cursor) []Item {
	var out []Item
	for _, name := range syntax.Operators() {
		insert := name + " "
		if p.dash { // the first part stands there already
			after, ok := strings.CutPrefix(name, p.op)
			if !ok {
				continue
			}
			out = append(out, Item{Label: after, Kind: "operator", Insert: after + " ", Detail: name})
			continue
		}
		out = append(out, Item{Label: name, Kind: "operator", Insert: insert, Doc: operatorDocs[name]})
	}
	rank := map[string]int{"where": 1, "summarize": 2, "project": 3, "extend": 4, "order": 5, "top": 6, "take": 7, "count": 8, "render": 9}
	sort.SliceStable(out, func(i, j int) bool {
		x, y := rank[out[i].Label], rank[out[j].Label]
		return x != 0 && (y == 0 || x < y)
	})
	return out
}

// operatorDocs is a line per operator that people ask for.
var operatorDocs = map[string]string{
	"where": "Keeps the rows for which a condition is true.", "summarize": "Groups rows and computes aggregates.", "project": "Chooses and computes columns.",
	"extend": "Adds computed columns.", "order": "Orders the rows, descending unless asc is said.", "sort": "Orders the rows, descending unless asc is said.",
	"top": "The first rows of an order.", "take": "Some rows.", "count": "The number of rows.", "render": "Draws the result as a chart.",
	"join": "Joins rows of two tables that have equal keys.", "union": "Rows of several tables.", "distinct": "Distinct combinations of columns.",
	"parse": "Takes columns out of a text by a pattern.", "mv-expand": "A row per element of an array.", "make-series": "Series of aggregates along an axis.",
	"project-away": "Leaves columns out.", "lookup": "Adds the columns of a smaller table.", "reduce": "Groups texts by pattern.", "search": "Looks for a text in all columns.",
}

func tableItems(c Catalog) []Item {
	var out []Item
	for _, name := range c.Names() {
		it := Item{Label: name, Kind: "view", Insert: quoted(name)}
		if t := c.Table(name); t != nil {
			it.Kind, it.Doc = "table", t.Doc
		}
		out = append(out, it)
	}
	return out
}

// letItems are the names that let has given so far.
func letItems(text string, tokens []syntax.Token) []Item {
	var out []Item
	for i := 0; i+2 < len(tokens); i++ {
		if text[tokens[i].Start:tokens[i].End] == "let" && text[tokens[i+2].Start:tokens[i+2].End] == "=" {
			name := text[tokens[i+1].Start:tokens[i+1].End]
			out = append(out, Item{Label: name, Kind: "value", Insert: name, Detail: "let"})
		}
	}
	return out
}

// columnItems binds the text up to the pipe and offers its columns.
func columnItems(text string, pipe int, c Catalog) []Item {
	if pipe < 0 {
		return nil
	}
	var out []Item
	add := func(cols []table.Column) {
		for _, col := range cols {
			out = append(out, Item{Label: col.Name, Kind: "column", Insert: quoted(col.Name), Detail: col.Kind.String()})
		}
	}
	if rel := flowing(text[:pipe], c); rel != nil {
		add(rel.Columns())
		return out
	}
	seen := map[string]bool{}
	for _, t := range syntax.Tokens(text) {
		if tab := c.Table(text[t.Start:t.End]); tab != nil && !seen[tab.Name] {
			seen[tab.Name] = true
			add(tab.Columns)
		}
	}
	return out
}

// flowing binds the longest end of a text that is a whole query by itself: the lets before
// it, and the pipe that the cursor is in, even when that stands in parentheses.
func flowing(text string, c Catalog) ir.Rel {
	if q, errs := Bind(text, c); len(errs) == 0 {
		return q.Rel
	}
	open := 0
	for i := len(text) - 1; i >= 0; i-- {
		switch text[i] {
		case ')':
			open++
		case '(':
			if open--; open < 0 {
				lets := text[:strings.LastIndexByte(text[:i], ';')+1]
				if q, errs := Bind(lets+text[i+1:], c); len(errs) == 0 {
					return q.Rel
				}
				return nil
			}
		}
	}
	return nil
}

func quoted(name string) string {
	if strings.ContainsFunc(name, notName) || name == "" {
		return "['" + strings.ReplaceAll(name, "'", `\'`) + "']"
	}
	return name
}

// wordItems are the words of an operator's own grammar.
func wordItems(op string) []Item {
	words := map[string][]string{
		"summarize": {"by"}, "top": {"by", "asc", "desc"}, "order": {"by", "asc", "desc"}, "sort": {"by", "asc", "desc"},
		"join": {"kind", "on", "inner", "innerunique", "leftouter", "rightouter", "fullouter", "leftanti", "leftsemi"}, "lookup": {"kind", "on"},
		"where":  {"and", "or", "has", "contains", "startswith", "in", "between", "matches regex", "!has", "!contains", "=~"},
		"render": {"timechart", "barchart", "columnchart", "piechart", "areachart", "linechart", "scatterchart", "table", "card"},
		"parse":  {"with", "kind"}, "make-series": {"default", "on", "from", "to", "step", "by"}, "mv-expand": {"to typeof(", "limit"},
	}
	var out []Item
	for _, w := range words[op] {
		out = append(out, Item{Label: w, Kind: "keyword", Insert: w + " "})
	}
	return out
}

func functionItems(op string) []Item {
	var out []Item
	add := func(rows []signature) {
		for i := range rows {
			s := &rows[i]
			out = append(out, Item{Label: s.name, Kind: "function", Insert: s.name + "(", Detail: s.form() + ": " + s.result, Doc: s.doc})
		}
	}
	if op == "summarize" || op == "make-series" || op == "top-nested" {
		add(aggregates)
	}
	if op == "evaluate" {
		add(plugins)
		return out
	}
	add(scalars)
	return out
}
