package sql

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/table"
)

// textArg writes an argument as the text that string operators see: of a dynamic, tostring.
func (e *emitter) textArg(x ir.Expr, in []cell) (cell, error) {
	v, err := e.expr(x, in)
	if err != nil {
		return cell{}, err
	}
	return e.text(x, v)
}

// text writes tostring of a value.
func (e *emitter) text(x ir.Expr, v cell) (cell, error) {
	switch v.kind {
	case table.String, table.GUID:
	case table.Dynamic:
		v.sql = e.dynamicText(v.sql)
	case table.Int, table.Long:
		v.sql = e.d.Digits(v.sql)
		if v.null {
			v.sql = "coalesce(" + v.sql + ", '')"
		}
	case table.Bool:
		v.sql = "(CASE WHEN " + v.sql + " THEN 'true' WHEN NOT " + v.sql + " THEN 'false' ELSE '' END)"
	default:
		return cell{}, refuse(x.Where(), "the text of a %s", v.kind)
	}
	v.kind, v.null, v.plain = table.String, false, false
	return v, nil
}

// dynamicText is the text of a dynamic: a JSON string loses its quotes, an object or array is
// written without spaces, and a line that is no JSON stands for itself. (Numbers inside an
// object that are written with an exponent, or beyond 64 bits, keep the engine's spelling.)
func (e *emitter) dynamicText(x string) string {
	quoted := e.d.Starts(x, `'"'`) + " AND " + e.d.Valid(x)
	return "(CASE WHEN " + quoted + " THEN " + e.d.MemberText(x, nil) + " WHEN " + e.structured(x) + " THEN " + e.d.Compact(x) +
		" WHEN " + x + " = 'null' THEN '' ELSE " + x + " END)"
}

// unescaped are the characters besides letters and digits that JSON writers leave as they
// are within a string and that stand nowhere else; ASCII may still be written as \u00xx.
const unescaped = " _.-@=#%*()!?;|~$^"

// contains writes the search for a needle anywhere, borders or not.
func (e *emitter) contains(x string, n needle) string {
	switch {
	case n.cs:
		return e.d.Contains(x, n.text)
	case ascii(n.text):
		return e.d.ContainsFold(x, n.text, e.d.Text(n.pattern()))
	}
	return e.d.Contains(e.d.Lower(x), n.text)
}

// candidates is a cheap condition that holds for every row in whose text the needle is: a
// look at the JSON as it is stored. "" when there is none.
func (e *emitter) candidates(x string, n needle) string {
	safe, plain := true, true
	for _, r := range n.text {
		switch {
		case r < ' ' || r == '"' || r == '\\':
			plain = false
		case r >= utf8.RuneSelf || !(inTerm(r) || strings.ContainsRune(unescaped, r)):
			safe = false
		}
	}
	// A string is stored with the fewest escapes; who wrote an object escaped as he liked.
	object := "(" + e.d.Starts(x, "'{'") + " OR " + e.d.Starts(x, "'['") + ")"
	switch found := e.contains(x, n); {
	case !plain:
		return ""
	case safe:
		return "(" + found + " OR (NOT " + e.d.Starts(x, `'"'`) + " AND " + e.d.Contains(x, `\u00`) + "))"
	default:
		return "(" + found + " OR " + object + ")"
	}
}

// needle is a constant text that is looked for.
type needle struct {
	text string
	cs   bool
}

// exact reports whether lowering both sides finds exactly what Kusto finds. K and İ are
// lowered to letters of ASCII, which they do not match when the needle is ASCII.
func (n needle) exact() bool {
	return n.cs || !ascii(n.text) || !strings.ContainsAny(n.text, "ik")
}

// pattern is an RE2 expression for the needle: on the text itself, with both cases of every
// letter, when the needle is ASCII; on the lowered text otherwise.
func (n needle) pattern() string {
	if n.cs || !ascii(n.text) {
		return regexp.QuoteMeta(n.text)
	}
	var b strings.Builder
	for _, r := range n.text {
		if r >= 'a' && r <= 'z' {
			fmt.Fprintf(&b, "[%c%c]", r, r-'a'+'A')
		} else {
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	return b.String()
}

// The borders of a term: runs of letters and decimal digits are terms.
const (
	before = `(?:^|[^\pL\p{Nd}])`
	behind = `(?:$|[^\pL\p{Nd}])`
)

func inTerm(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

// matcher writes has, contains, startswith, endswith, hasprefix and hassuffix.
func matcher(e *emitter, c *ir.Call, in []cell) (cell, error) {
	x, err := e.expr(c.Args[0], in)
	if err != nil {
		return cell{}, err
	}
	w, err := e.word(c.Args[1])
	if err != nil {
		return cell{}, err
	}
	name := strings.TrimPrefix(c.Func, "!")
	n := needle{text: w, cs: strings.HasSuffix(name, "_cs")}
	if !n.cs {
		n.text = strings.ToLower(w)
	}
	s, err := e.find(c.Args[0], x, strings.TrimSuffix(name, "_cs"), n)
	if err != nil {
		return cell{}, err
	}
	if c.Func[0] == '!' {
		s = "(NOT " + s + ")"
	}
	return cell{sql: s}, nil
}

// find writes one search. A plain substring search over the text comes first, because it
// costs a fraction of a regular expression and engines skip the rest for rows without it.
func (e *emitter) find(arg ir.Expr, x cell, how string, n needle) (string, error) {
	if x.kind != table.String && x.kind != table.Dynamic {
		return "", refuse(arg.Where(), "%s of %s", how, x.kind)
	}
	if n.text == "" {
		return e.d.Number(table.Bool, 1), nil
	}
	raw := x
	x, err := e.text(arg, x)
	if err != nil {
		return "", err
	}
	fold := func(s string) string {
		if n.cs {
			return s
		}
		return e.d.Lower(s)
	}
	word := e.d.Text(n.text)
	var parts []string
	if raw.kind == table.Dynamic {
		if c := e.candidates(raw.sql, n); c != "" {
			parts = append(parts, c)
		}
	}
	switch how {
	case "contains":
		parts = append(parts, e.contains(x.sql, n))
	case "startswith":
		parts = append(parts, e.d.Starts(fold(x.sql), word))
	case "endswith":
		parts = append(parts, e.d.Ends(fold(x.sql), word))
	default:
		if raw.kind == table.String {
			parts = append(parts, e.contains(x.sql, n))
		}
	}
	if p := n.bordered(how); p != "" {
		if ascii(n.text) || n.cs {
			parts = append(parts, e.d.Matches(x.sql, e.d.Text(p)))
		} else {
			parts = append(parts, e.d.Matches(e.d.Lower(x.sql), e.d.Text(p)))
		}
	}
	if len(parts) == 1 {
		return parts[0], nil
	}
	// A CASE, because engines try the sides of an AND in any order to find the best.
	return "(CASE WHEN " + parts[0] + " THEN " + strings.Join(parts[1:], " AND ") + " ELSE " + e.d.Number(table.Bool, 0) + " END)", nil
}

// bordered is the expression that has to match too, "" when the plain search says it all.
func (n needle) bordered(how string) string {
	p := n.pattern()
	first, _ := utf8.DecodeRuneInString(n.text)
	last, _ := utf8.DecodeLastRuneInString(n.text)
	left, right := "", ""
	if inTerm(first) {
		left = before
	}
	if inTerm(last) {
		right = behind
	}
	switch how {
	case "has":
		return left + p + right
	case "hasprefix":
		return left + p
	case "hassuffix":
		return p + right
	}
	switch {
	case n.exact():
		return ""
	case how == "startswith":
		return "^" + p
	case how == "endswith":
		return p + "$"
	}
	return p
}

// hasList is has_any and has_all.
func hasList(e *emitter, c *ir.Call, in []cell) (cell, error) {
	x, err := e.expr(c.Args[0], in)
	if err != nil {
		return cell{}, err
	}
	list, err := e.elements(c)
	if err != nil {
		return cell{}, err
	}
	if len(list) == 0 || len(list) > maxTerms {
		return cell{}, refuse(c.Where(), "%s with %d terms", c.Func, len(list))
	}
	var parts []string
	for _, l := range list {
		w, ok := l.Value.(string)
		if !ok || !writable(w) {
			return cell{}, refuse(l.Where(), "%s of %s", c.Func, l.K)
		}
		s, err := e.find(c.Args[0], x, "has", needle{text: strings.ToLower(w)})
		if err != nil {
			return cell{}, err
		}
		parts = append(parts, s)
	}
	word := " OR "
	if c.Func == "has_all" {
		word = " AND "
	}
	return cell{sql: "(" + strings.Join(parts, word) + ")"}, nil
}

func matchesRegex(e *emitter, c *ir.Call, in []cell) (cell, error) {
	x, err := e.textArg(c.Args[0], in)
	if err != nil {
		return cell{}, err
	}
	p, _, err := e.regular(c.Args[1])
	if err != nil {
		return cell{}, err
	}
	return cell{sql: e.d.Matches(x.sql, e.d.Text(p))}, nil
}

func extract(e *emitter, c *ir.Call, in []cell) (cell, error) {
	p, re, err := e.regular(c.Args[0])
	if err != nil {
		return cell{}, err
	}
	group, err := e.number(c.Args[1])
	if err != nil {
		return cell{}, err
	}
	if c.K != table.String || group < 0 || int(group) > re.NumSubexp() || group > 9 {
		return cell{}, refuse(c.Where(), "extract of %s, group %d", c.K, group)
	}
	x, err := e.textArg(c.Args[2], in)
	if err != nil {
		return cell{}, err
	}
	return cell{sql: e.d.Extract(x.sql, e.d.Text(p), int(group))}, nil
}

func toString(e *emitter, c *ir.Call, in []cell) (cell, error) {
	if m, ok := c.Args[0].(*ir.Call); ok && (m.Func == "." || m.Func == "[]") {
		return memberText(e, m, in)
	}
	return e.textArg(c.Args[0], in)
}

func strcat(e *emitter, c *ir.Call, in []cell) (cell, error) {
	var parts []string
	for _, a := range c.Args {
		v, err := e.textArg(a, in)
		if err != nil {
			return cell{}, err
		}
		parts = append(parts, v.sql)
	}
	return cell{sql: "(" + strings.Join(parts, " || ") + ")"}, nil
}

// stringArg writes an argument that must be a string already.
func (e *emitter) stringArg(x ir.Expr, in []cell) (cell, error) {
	v, err := e.expr(x, in)
	if err == nil && v.kind != table.String {
		err = refuse(x.Where(), "%s for a string", v.kind)
	}
	return v, err
}

func strlen(e *emitter, c *ir.Call, in []cell) (cell, error) {
	v, err := e.stringArg(c.Args[0], in)
	if err != nil {
		return cell{}, err
	}
	return cell{sql: e.d.Length(v.sql)}, nil
}

func toLower(e *emitter, c *ir.Call, in []cell) (cell, error) {
	v, err := e.textArg(c.Args[0], in)
	if err != nil {
		return cell{}, err
	}
	return cell{sql: e.d.Lower(v.sql)}, nil
}

// substring with a constant start that is not negative.
func substring(e *emitter, c *ir.Call, in []cell) (cell, error) {
	v, err := e.stringArg(c.Args[0], in)
	if err != nil {
		return cell{}, err
	}
	from, err := e.number(c.Args[1])
	if err != nil {
		return cell{}, err
	}
	length := int64(-1)
	if len(c.Args) > 2 {
		if length, err = e.number(c.Args[2]); err != nil {
			return cell{}, err
		}
	}
	if from < 0 || from > maxText || length > maxText {
		return cell{}, refuse(c.Where(), "substring from %d", from)
	}
	l := ""
	if length >= 0 {
		l = fmt.Sprint(length)
	}
	return cell{sql: e.d.Substring(v.sql, fmt.Sprint(from+1), l)}, nil
}

func replaceString(e *emitter, c *ir.Call, in []cell) (cell, error) {
	v, err := e.stringArg(c.Args[0], in)
	if err != nil {
		return cell{}, err
	}
	old, err := e.word(c.Args[1])
	if err != nil {
		return cell{}, err
	}
	with, err := e.word(c.Args[2])
	if err != nil || old == "" {
		return cell{}, refuse(c.Where(), "replacing nothing")
	}
	return cell{sql: e.d.Replace(v.sql, e.d.Text(old), e.d.Text(with))}, nil
}
