package scalar

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
)

// needle is a text to be looked for. Unless cs is set, the text is lower case and letters
// match in either case.
type needle struct {
	text  string
	cs    bool
	ascii bool
}

func newNeedle(s string, cs bool) needle {
	if !cs {
		s = strings.ToLower(s)
	}
	return needle{text: s, cs: cs, ascii: isASCII(s)}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// prepare gives the text to search in: folded first when the needle is not ASCII.
func (n needle) prepare(s string) string {
	if n.cs || n.ascii {
		return s
	}
	return strings.ToLower(s)
}

// at reports whether the needle stands at a place of a prepared text.
func (n needle) at(s string, i int) bool {
	if i < 0 || i+len(n.text) > len(s) {
		return false
	}
	if n.cs || !n.ascii {
		return s[i:i+len(n.text)] == n.text
	}
	for k := range len(n.text) {
		if lower(s[i+k]) != n.text[k] {
			return false
		}
	}
	return true
}

// index finds the needle in a prepared text from a place on, -1 when it is not there.
func (n needle) index(s string, from int) int {
	if n.cs || !n.ascii {
		if k := strings.Index(s[from:], n.text); k >= 0 {
			return from + k
		}
		return -1
	}
	if n.text == "" {
		return from
	}
	first := n.text[0]
	for i := from; i+len(n.text) <= len(s); i++ {
		if lower(s[i]) == first && n.at(s, i) {
			return i
		}
	}
	return -1
}

// inTerm reports whether a rune is part of a term: a letter or a digit.
func inTerm(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

// term finds the needle as a whole term: no letter or digit continues it at the ends that
// are asked for. An end of the needle that is itself no letter or digit needs no border.
func (n needle) term(s string, left, right bool) bool {
	s = n.prepare(s)
	if n.text == "" {
		return true
	}
	first, _ := utf8.DecodeRuneInString(n.text)
	last, _ := utf8.DecodeLastRuneInString(n.text)
	left, right = left && inTerm(first), right && inTerm(last)
	for from := 0; ; {
		i := n.index(s, from)
		if i < 0 {
			return false
		}
		before, _ := utf8.DecodeLastRuneInString(s[:i])
		after, _ := utf8.DecodeRuneInString(s[i+len(n.text):])
		if (!left || i == 0 || !inTerm(before)) && (!right || !inTerm(after)) {
			return true
		}
		from = i + 1
	}
}

func (n needle) contains(s string) bool { return n.index(n.prepare(s), 0) >= 0 }
func (n needle) prefix(s string) bool   { return n.at(n.prepare(s), 0) }
func (n needle) suffix(s string) bool {
	s = n.prepare(s)
	return n.at(s, len(s)-len(n.text))
}
func (n needle) has(s string) bool       { return n.term(s, true, true) }
func (n needle) hasPrefix(s string) bool { return n.term(s, true, false) }
func (n needle) hasSuffix(s string) bool { return n.term(s, false, true) }

func texts() map[string]Func {
	out := map[string]Func{
		"has_any": {run: hasList(false)}, "has_all": {run: hasList(true)},
		"has_any_index": strict(hasAnyIndex),
	}
	for name, f := range map[string]func(needle, string) bool{
		"has": needle.has, "contains": needle.contains, "startswith": needle.prefix, "endswith": needle.suffix,
		"hasprefix": needle.hasPrefix, "hassuffix": needle.hasSuffix,
	} {
		out[name], out["!"+name] = matcher(f, false, false), matcher(f, false, true)
		out[name+"_cs"], out["!"+name+"_cs"] = matcher(f, true, false), matcher(f, true, true)
	}
	return out
}

// matcher makes an operator of a way to match: total, since a string is never null.
func matcher(f func(needle, string) bool, cs, negated bool) Func {
	return Func{run: func(c *Call) (vec.Vec, error) {
		s, m := textsOf(c.Args[0]), c.Args[0].Mask()
		if c.Args[1].Const {
			n := newNeedle(value.String(c.Args[1].At(0)), cs)
			return bools(c.N, nil, func(i int) bool { return f(n, s[i&m]) != negated }), nil
		}
		t := textsOf(c.Args[1])
		return bools(c.N, nil, func(i int) bool { return f(newNeedle(t[i], cs), s[i&m]) != negated }), nil
	}}
}

func hasList(all bool) func(c *Call) (vec.Vec, error) {
	return func(c *Call) (vec.Vec, error) {
		for _, a := range c.Args[1:] {
			if !a.Const {
				return row(func(_ *Call, a []any) any { return hasTerms(value.String(a[0]), a[1:], all) }).run(c)
			}
		}
		var terms []needle
		for _, a := range c.Args[1:] {
			for _, e := range elements(a) {
				terms = append(terms, newNeedle(value.String(e), false))
			}
		}
		s, m := textsOf(c.Args[0]), c.Args[0].Mask()
		return bools(c.N, nil, func(i int) bool {
			for _, n := range terms {
				if n.has(s[i&m]) != all {
					return !all
				}
			}
			return all
		}), nil
	}
}

// hasTerms is has_any or has_all with terms that differ from row to row; an array stands
// for its elements.
func hasTerms(s string, args []any, all bool) bool {
	for _, a := range args {
		list, ok := a.([]any)
		if !ok {
			list = []any{a}
		}
		for _, e := range list {
			if newNeedle(value.String(e), false).has(s) != all {
				return !all
			}
		}
	}
	return all
}

func hasAnyIndex(_ *Call, a []any) any {
	list, ok := a[1].([]any)
	if !ok {
		return int64(-1)
	}
	for i, e := range list {
		if newNeedle(value.String(e), false).has(value.String(a[0])) {
			return int64(i)
		}
	}
	return int64(-1)
}
