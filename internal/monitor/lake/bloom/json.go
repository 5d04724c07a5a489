package bloom

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// AddJSON adds the terms of a JSON text as it is written, and those of its strings with
// their escapes resolved: in "a\nerror" a condition may see the term "nerror" (of the text)
// or "error" (of the value), and both must find the row.
func (s Set) AddJSON(text string) {
	s.Add(text)
	if strings.IndexByte(text, '\\') >= 0 {
		s.Add(unescape(text))
	}
}

// unescape resolves the escapes of JSON wherever they stand. It need not be exact about
// surrogates: what is no ASCII letter or digit only separates terms.
func unescape(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	for {
		at := strings.IndexByte(text, '\\')
		if at < 0 || at+1 == len(text) {
			b.WriteString(text)
			return b.String()
		}
		b.WriteString(text[:at])
		c := text[at+1]
		text = text[at+2:]
		if c != 'u' || len(text) < 4 {
			b.WriteByte(' ') // n, t, r, b, f, a quote, a slash: each separates.
			continue
		}
		r, err := strconv.ParseUint(text[:4], 16, 16)
		if err != nil || r >= utf8.RuneSelf {
			r = ' '
		}
		b.WriteByte(byte(r))
		text = text[4:]
	}
}
