package syntax

import (
	"encoding/json"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// literal reads a constant; strings that follow each other are one.
func (p *parser) literal() Expr {
	start := p.start()
	t := p.take()
	s := p.str(t)
	n := &Lit{At: p.from(start)}
	ok := true
	switch t.Class {
	case Number:
		n.Kind, n.Value, ok = number(s)
	case TimeSpan:
		n.Kind = table.TimeSpan
		n.Value, ok = ParseValue(n.Kind, s)
	case String:
		text, fine := Unquote(s)
		for ok = fine; p.peek(0).Class == String; {
			more, fine := Unquote(p.str(p.take()))
			text, ok = text+more, ok && fine
		}
		n.Kind, n.Value, n.At = table.String, text, p.from(start)
	case Literal:
		n.Kind, n.Value, ok = p.goo(t)
	default:
		switch s {
		case "true", "false":
			n.Kind, n.Value = table.Bool, s == "true"
		default: // null is a value inside dynamic() only; the binder says so
			n.Kind = table.Dynamic
		}
	}
	if !ok && !p.broken {
		p.tell(t.Span, "", "%s is not a value of its type", table.Shorten(s, maxShown))
	}
	return n
}

// number reads 12, 0x1f and 1.5e3. What does not fit a long is refused.
func number(s string) (table.Kind, any, bool) {
	if strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X") {
		v, err := strconv.ParseUint(s[2:], 16, 64)
		return table.Long, int64(v), err == nil
	}
	if !strings.ContainsAny(s, ".eE") {
		v, err := strconv.ParseInt(s, 10, 64)
		return table.Long, v, err == nil
	}
	v, err := strconv.ParseFloat(s, 64)
	return table.Real, v, err == nil
}

// goo reads type(…): the inside is in the type's own words.
func (p *parser) goo(t Token) (table.Kind, any, bool) {
	s := p.str(t)
	open := strings.IndexByte(s, '(')
	kind := table.KindOf(strings.TrimSpace(s[:open]))
	inside := strings.TrimSpace(s[open+1 : len(s)-1])
	if kind == table.Dynamic {
		v, ok := dynamicLiteral(inside)
		if !ok || v == "null" {
			return kind, nil, ok
		}
		return kind, v, true
	}
	if len(inside) > 1 && isQuote(inside, 0) {
		if text, ok := Unquote(inside); ok {
			inside = text
		}
	}
	if strings.EqualFold(inside, "null") || inside == "" && kind != table.String {
		return kind, nil, inside != "" || kind == table.DateTime
	}
	v, ok := ParseValue(kind, inside)
	return kind, v, ok
}

// ParseValue reads the inside of a literal of a type: "2024-05-01" of datetime(2024-05-01),
// as the conversion functions read a text. The value is as in Lit.
func ParseValue(kind table.Kind, s string) (any, bool) {
	switch kind {
	case table.Bool:
		return value.ParseBool(s)
	case table.Int, table.Long:
		v, ok := value.ParseLong(s)
		return v, ok && (kind == table.Long || v == int64(int32(v)))
	case table.Real, table.Decimal:
		return value.ParseReal(s)
	case table.DateTime:
		switch strings.ToLower(s) {
		case "min":
			return int64(0), true
		case "max":
			return value.MaxDateTime, true
		}
		v, ok := value.ParseDateTime(s)
		return int64(v), ok
	case table.TimeSpan:
		v, ok := value.ParseTimeSpan(s)
		return int64(v), ok
	case table.GUID:
		v, ok := value.ParseGUID(s)
		return string(v), ok
	case table.String:
		return s, true
	}
	return nil, false
}

// Unquote returns the text of a string token, and whether its escapes are right.
func Unquote(s string) (string, bool) {
	s = strings.TrimLeft(s, "hH")
	if len(s) >= 6 && (strings.HasPrefix(s, "```") || strings.HasPrefix(s, "~~~")) {
		return s[3 : len(s)-3], true
	}
	if len(s) >= 3 && s[0] == '@' {
		q := s[1:2]
		return strings.ReplaceAll(s[2:len(s)-1], q+q, q), true
	}
	if len(s) < 2 {
		return "", false
	}
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s, true
	}
	return unescape(s)
}

// Quote writes a text as a string literal that Unquote reads back as it was.
func Quote(s string) string {
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', '0'+c>>4, "0123456789abcdef"[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

var escapes = map[byte]byte{'\\': '\\', '\'': '\'', '"': '"', 'n': '\n', 't': '\t', 'r': '\r', '0': 0, 'a': 7, 'b': 8, 'f': 12, 'v': 11}

func unescape(s string) (string, bool) {
	var b strings.Builder
	ok := true
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		width := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[i]]
		if width > 0 && i+width < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+1+width], 16, 32); err == nil {
				b.WriteRune(rune(v))
				i += width
				continue
			}
		}
		if c, known := escapes[s[i]]; known {
			b.WriteByte(c)
			continue
		}
		ok = false
		b.WriteByte(s[i])
	}
	return b.String(), ok
}

// dynamicLiteral turns the inside of dynamic(…) into JSON: its strings may have any of
// KQL's forms, and other literals stand in it as they do in JSON: as strings, or numbers.
func dynamicLiteral(s string) (string, bool) {
	if s == "" {
		return "", false
	}
	var b strings.Builder
	b.Grow(len(s))
	for at := 0; at < len(s); {
		c := s[at]
		if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
			at++
			continue
		}
		class, end := next(s, at)
		word := s[at:end]
		at = end
		switch class {
		case Comment, End:
		case String:
			text, _ := Unquote(word)
			b.Write(jsonString(text))
		case Literal:
			open := strings.IndexByte(word, '(')
			b.WriteString(literalJSON(table.KindOf(strings.TrimSpace(word[:open])), strings.TrimSpace(word[open+1:len(word)-1])))
		case TimeSpan:
			v, ok := value.ParseTimeSpan(word)
			if !ok {
				return "", false
			}
			b.Write(jsonString(value.FormatTimeSpan(int64(v))))
		case Number:
			b.WriteString(jsonNumber(word))
		default:
			b.WriteString(word)
		}
	}
	out := b.String()
	return out, json.Valid([]byte(out))
}

func jsonNumber(word string) string {
	kind, v, ok := number(word)
	if ok && kind == table.Long {
		return strconv.FormatInt(v.(int64), 10)
	}
	if strings.HasPrefix(word, ".") {
		word = "0" + word
	}
	return strings.TrimSuffix(word, ".")
}

func jsonString(s string) []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(s) != nil { // a string always encodes
		return []byte(`""`)
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

// literalJSON is a literal inside of a dynamic one.
func literalJSON(kind table.Kind, inside string) string {
	if kind == table.Dynamic {
		v, _ := dynamicLiteral(inside)
		return v
	}
	v, ok := ParseValue(kind, strings.Trim(inside, `"'`))
	if !ok || v == nil {
		return "null"
	}
	switch kind {
	case table.DateTime:
		return `"` + value.FormatDateTime(v.(int64)) + `"`
	case table.TimeSpan:
		return `"` + value.FormatTimeSpan(v.(int64)) + `"`
	}
	out, err := json.Marshal(v)
	if err != nil { // NaN and infinities have no number in JSON
		return string(jsonString(inside))
	}
	return string(out)
}
