package syntax

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"

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
		n.Value, ok = ParseTimeSpan(s)
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
		p.tell(t.Span, "", "%s is not a value of its type", clip(s))
	}
	return n
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
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

// ParseValue reads the inside of a literal of a type: "2024-05-01" of datetime(2024-05-01).
// The value is as in Lit.
func ParseValue(kind table.Kind, s string) (any, bool) {
	switch kind {
	case table.Bool:
		switch strings.ToLower(s) {
		case "true", "1":
			return true, true
		case "false", "0":
			return false, true
		}
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n != 0, true
		}
	case table.Int, table.Long:
		v, err := strconv.ParseInt(s, 0, 64)
		if kind == table.Int && (v > math.MaxInt32 || v < math.MinInt32) {
			return nil, false
		}
		return v, err == nil && !strings.Contains(s, "_")
	case table.Real, table.Decimal:
		switch strings.ToLower(s) {
		case "nan":
			return math.NaN(), true
		case "+inf", "inf":
			return math.Inf(1), true
		case "-inf":
			return math.Inf(-1), true
		}
		v, err := strconv.ParseFloat(s, 64)
		return v, err == nil && !strings.Contains(s, "_")
	case table.DateTime:
		return ParseDateTime(s)
	case table.TimeSpan:
		return ParseTimeSpan(s)
	case table.GUID:
		return ParseGUID(s)
	case table.String:
		return s, true
	}
	return nil, false
}

var guidForm = regexp.MustCompile(`^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$`)

// ParseGUID returns a GUID in lower case with dashes.
func ParseGUID(s string) (any, bool) {
	s = strings.ToLower(strings.Trim(strings.TrimSpace(s), "{}()"))
	if !guidForm.MatchString(s) {
		return nil, false
	}
	s = strings.ReplaceAll(s, "-", "")
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:], true
}

var spanForm = regexp.MustCompile(`^(-)?(?:(\d+)\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,7})\d*)?)?$`)

// ParseTimeSpan reads "5m", "1.5d" and "1.02:03:04.5", in ticks; a plain number is days.
func ParseTimeSpan(s string) (any, bool) {
	s = strings.TrimSpace(s)
	if m := spanForm.FindStringSubmatch(s); m != nil {
		part := func(i int) int64 { v, _ := strconv.ParseInt(m[i], 10, 64); return v }
		if part(3) > 23 && m[2] != "" || part(4) > 59 || part(5) > 59 || part(2) > 10_675_199 {
			return nil, false
		}
		ticks := ((part(2)*24+part(3))*60+part(4))*60*table.TicksPerSecond + part(5)*table.TicksPerSecond
		if m[6] != "" {
			frac, _ := strconv.ParseInt((m[6] + "0000000")[:7], 10, 64)
			ticks += frac
		}
		if m[1] != "" {
			ticks = -ticks
		}
		return ticks, true
	}
	i := len(s)
	for i > 0 && isLetter(s[i-1]) {
		i--
	}
	unit, ok := timeUnits[strings.TrimSpace(s[i:])]
	if s[i:] == "" {
		unit, ok = timeUnits["d"], true
	}
	digits := strings.TrimSpace(s[:i])
	v, err := strconv.ParseFloat(digits, 64)
	if whole, e := strconv.ParseInt(digits, 10, 64); e == nil && unit >= 1 && math.Abs(v)*unit < 9e18 {
		return whole * int64(unit), ok
	}
	if err != nil || !ok || math.Abs(v*unit) > 9.2e18 || math.IsNaN(v) {
		return nil, false
	}
	return int64(math.Round(v * unit)), true
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
			v, ok := ParseTimeSpan(word)
			if !ok {
				return "", false
			}
			b.Write(jsonString(FormatTimeSpan(v.(int64))))
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
		return `"` + FormatDateTime(v.(int64)) + `"`
	case table.TimeSpan:
		return `"` + FormatTimeSpan(v.(int64)) + `"`
	}
	out, err := json.Marshal(v)
	if err != nil { // NaN and infinities have no number in JSON
		return string(jsonString(inside))
	}
	return string(out)
}
