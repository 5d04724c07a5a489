package scalar

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// onText makes a function of one on texts.
func onText(f func(s string) string) Func {
	return Func{run: func(c *Call) (vec.Vec, error) {
		s, m := textsOf(c.Args[0]), c.Args[0].Mask()
		out := vec.New(table.String, c.N)
		for i := range out.Text {
			out.Text[i] = f(s[i&m])
		}
		return out, nil
	}}
}

// measure makes a function of a text that gives a number.
func measure(f func(s string) int) Func {
	return Func{run: func(c *Call) (vec.Vec, error) {
		s, m := textsOf(c.Args[0]), c.Args[0].Mask()
		out := vec.Vec{Kind: c.Kind, Int: make([]int64, c.N), Null: nullsOf(c.N, c.Args[0])}
		for i := range out.Int {
			out.Int[i] = int64(f(s[i&m]))
		}
		return out, nil
	}}
}

func parsers() map[string]Func {
	return map[string]Func{
		"tolower": onText(strings.ToLower), "toupper": onText(strings.ToUpper), "reverse": onText(reverse),
		"strlen": measure(utf8.RuneCountInString), "string_size": measure(func(s string) int { return len(s) }),
		"url_encode": onText(urlEncode("+")), "url_encode_component": onText(urlEncode("%20")), "url_decode": onText(urlDecode),
		"base64_encode_tostring": onText(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }),
		"base64_decode_tostring": strict(base64Text), "base64_decode_toarray": strict(base64Array), "base64_encode_fromarray": strict(base64FromArray),
		"base64_decode_toguid": strict(base64GUID), "base64_encode_fromguid": strict(guidBase64),
		"strcat": {run: strcat}, "strcat_delim": row(strcatDelim), "strcmp": strict(strcmp), "strrep": strict(strrep), "repeat": strict(repeat),
		"substring": strict(substring), "split": strict(split), "indexof": strict(indexOf), "translate": strict(translate),
		"isutf8":     strict(func(_ *Call, a []any) any { return utf8.ValidString(value.String(a[0])) }),
		"isascii":    strict(func(_ *Call, a []any) any { return isASCII(value.String(a[0])) }),
		"parse_json": row(parseJSON), "parse_url": strict(parseURL), "parse_urlquery": strict(parseQuery), "parse_path": strict(parsePath),
		"parse_csv": strict(parseCSV), "parse_xml": strict(parseXML), "parse_command_line": strict(parseCommandLine),
		"extract_json":                   strict(extractJSON),
		"unicode_codepoints_from_string": strict(codepoints), "unicode_codepoints_to_string": strict(fromCodepoints),
	}
}

func reverse(s string) string {
	r := []rune(s)
	for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
		r[i], r[j] = r[j], r[i]
	}
	return string(r)
}

// strcat joins texts; nulls are "".
func strcat(c *Call) (vec.Vec, error) {
	parts, masks := make([][]string, len(c.Args)), make([]int, len(c.Args))
	for k, a := range c.Args {
		parts[k], masks[k] = textsOf(a), a.Mask()
	}
	out := vec.New(table.String, c.N)
	var b []byte
	spent := budget{c: c}
	for i := range out.Text {
		b = b[:0]
		size := int64(0)
		for k := range parts {
			size += int64(len(parts[k][i&masks[k]]))
		}
		if !c.fits(size) {
			return vec.Vec{}, c.tooLarge()
		}
		for k := range parts {
			b = append(b, parts[k][i&masks[k]]...)
		}
		if err := spent.take(len(b)); err != nil {
			return vec.Vec{}, err
		}
		out.Text[i] = string(b)
	}
	return out, nil
}

func strcatDelim(c *Call, a []any) any {
	parts, delim := make([]string, 0, len(a)), value.String(a[0])
	size := int64(len(delim)) * int64(len(a))
	for _, p := range a[1:] {
		s := value.String(p)
		if size += int64(len(s)); !c.fits(size) {
			return beyond{}
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, delim)
}

func strcmp(_ *Call, a []any) any {
	return int64(strings.Compare(value.String(a[0]), value.String(a[1])))
}

// maxRepeat bounds what a function may make of one value.
const maxRepeat = 1 << 20

func strrep(_ *Call, a []any) any {
	s, n, delim := value.String(a[0]), long(a[1]), ""
	if len(a) > 2 {
		delim = value.String(a[2])
	}
	if n <= 0 || n > maxRepeat || int64(len(s)+len(delim))*n > maxRepeat {
		return ""
	}
	return strings.TrimSuffix(strings.Repeat(s+delim, int(n)), delim)
}

func repeat(_ *Call, a []any) any {
	n := long(a[1])
	if n < 0 || n > maxRepeat {
		return nil
	}
	out := make([]any, n)
	for i := range out {
		out[i] = a[0]
	}
	return out
}

// substring counts characters; a negative start counts from the end.
func substring(_ *Call, a []any) any {
	s, from := value.String(a[0]), long(a[1])
	if !isASCII(s) {
		r := []rune(s)
		lo, hi := bounds(a, from, int64(len(r)))
		return string(r[lo:hi])
	}
	lo, hi := bounds(a, from, int64(len(s)))
	return s[lo:hi]
}

func bounds(a []any, from, n int64) (lo, hi int64) {
	if from < 0 {
		from = max(0, n+from)
	}
	from, hi = min(from, n), n
	if len(a) > 2 {
		if l := long(a[2]); l >= 0 && l < n-from {
			hi = from + l
		}
	}
	return from, hi
}

func split(_ *Call, a []any) any {
	s, delim := value.String(a[0]), value.String(a[1])
	var parts []string
	if delim == "" {
		parts = []string{s}
	} else {
		parts = strings.Split(s, delim)
	}
	if len(a) > 2 {
		i := long(a[2])
		if i < 0 || i >= int64(len(parts)) {
			return nil
		}
		return []any{parts[i]}
	}
	out := make([]any, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return out
}

func indexOf(c *Call, a []any) any {
	what := []rune(value.String(a[1]))
	if len(a) > 2 && long(a[2]) < 0 { // from the end
		a = slices.Clone(a)
		a[2] = max(0, int64(len([]rune(value.String(a[0]))))+long(a[2]))
	}
	back := borders(what)
	return locate(c, a, func(window []rune) (int, int) { return placeOf(window, what, back), 1 })
}

// borders are, for each beginning of a text, how long its longest end is that the text
// begins with (Knuth, Morris, Pratt): with them a text is found in one pass.
func borders(what []rune) []int {
	out := make([]int, len(what))
	for i, k := 1, 0; i < len(what); i++ {
		for k > 0 && what[i] != what[k] {
			k = out[k-1]
		}
		if what[i] == what[k] {
			k++
		}
		out[i] = k
	}
	return out
}

// placeOf is the place of the first occurrence, -1 for none.
func placeOf(window, what []rune, back []int) int {
	if len(what) == 0 {
		return 0
	}
	k := 0
	for i, r := range window {
		for k > 0 && r != what[k] {
			k = back[k-1]
		}
		if r == what[k] {
			k++
		}
		if k == len(what) {
			return i + 1 - k
		}
	}
	return -1
}

// locate serves indexof and indexof_regex. find gives the place of the first match in a
// window of the text and how far to move on for the next; each occurrence is looked for in
// a window of the same length.
func locate(c *Call, a []any, find func(window []rune) (at, step int)) any {
	s := []rune(value.String(a[0]))
	start, length, nth := int64(0), int64(-1), int64(1)
	for k, to := range []*int64{&start, &length, &nth} {
		if k+2 < len(a) {
			*to = long(a[k+2])
		}
	}
	if start < 0 || length < -1 || nth < 1 {
		return nil
	}
	for start <= int64(len(s)) && c.ended() == nil {
		window := s[start:]
		if length >= 0 && length < int64(len(window)) {
			window = window[:length]
		}
		at, step := find(window)
		if at < 0 {
			break
		}
		if nth--; nth == 0 {
			return start + int64(at)
		}
		start += int64(at + step)
	}
	return int64(-1)
}

// translate(from, to, text): the last of to stands for those of from that have no partner.
func translate(_ *Call, a []any) any {
	to, becomes := []rune(value.String(a[1])), map[rune]rune{}
	for i, f := range []rune(value.String(a[0])) {
		if _, known := becomes[f]; known {
			continue // The first counts.
		}
		if becomes[f] = -1; len(to) > 0 {
			becomes[f] = to[min(i, len(to)-1)]
		}
	}
	return strings.Map(func(r rune) rune {
		if t, ok := becomes[r]; ok {
			return t
		}
		return r
	}, value.String(a[2]))
}

// urlEncode writes what a URL may not hold as %xx, and a space as the text given.
func urlEncode(space string) func(s string) string {
	return func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			switch c := s[i]; {
			case c == ' ':
				b.WriteString(space)
			case inTerm(rune(c)) && c < utf8.RuneSelf || strings.IndexByte("-_.!*()", c) >= 0:
				b.WriteByte(c)
			default:
				b.WriteString("%" + hex.EncodeToString([]byte{c}))
			}
		}
		return b.String()
	}
}

func urlDecode(s string) string {
	if d, err := url.QueryUnescape(s); err == nil {
		return d
	}
	return s
}

func base64Bytes(v any) ([]byte, bool) {
	b, err := base64.StdEncoding.DecodeString(value.String(v))
	return b, err == nil
}

func base64Text(_ *Call, a []any) any {
	b, ok := base64Bytes(a[0])
	if !ok || !utf8.Valid(b) {
		return nil
	}
	return string(b)
}

func base64Array(_ *Call, a []any) any {
	b, ok := base64Bytes(a[0])
	if !ok {
		return nil
	}
	out := make([]any, len(b))
	for i, x := range b {
		out[i] = int64(x)
	}
	return out
}

func base64FromArray(_ *Call, a []any) any {
	list, ok := a[0].([]any)
	if !ok {
		return nil
	}
	b := make([]byte, len(list))
	for i, e := range list {
		n, ok := e.(int64)
		if !ok || n < 0 || n > 255 {
			return nil
		}
		b[i] = byte(n)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func codepoints(_ *Call, a []any) any {
	out := []any{}
	for _, r := range value.String(a[0]) {
		out = append(out, int64(r))
	}
	return out
}

func fromCodepoints(_ *Call, a []any) any {
	var b strings.Builder
	for _, e := range a {
		list, ok := e.([]any)
		if !ok {
			list = []any{e}
		}
		for _, x := range list {
			b.WriteRune(rune(long(x)))
		}
	}
	return b.String()
}
