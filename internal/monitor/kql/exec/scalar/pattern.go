package scalar

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"towpath.dev/towpath/internal/monitor/kql/value"
)

func patterns() map[string]Func {
	return map[string]Func{
		"matches regex":  {run: matchesRegex},
		"extract":        matching(0, extract),
		"extract_all":    matching(0, extractAll),
		"replace_regex":  matching(1, replaceRegex),
		"replace_string": strict(replaceString), "replace_strings": strict(replaceStrings),
		"trim": fallible(trimmer(true, true)), "trim_start": fallible(trimmer(true, false)), "trim_end": fallible(trimmer(false, true)),
		"countof":       fallible(countOf),
		"indexof_regex": matching(1, indexOfRegex),
		"regex_quote":   strict(func(_ *Call, a []any) any { return regexp.QuoteMeta(value.String(a[0])) }),
	}
}

// extract(regex, group, text[, type]): "" becomes null for other types than string.
func extract(c *Call, x *Regex, a []any) any {
	s := value.String(a[2])
	m := x.Find(s)
	g := int(long(a[1]))
	if g < 0 || 2*g+1 >= len(m) || m[2*g] < 0 {
		return nil
	}
	return value.To(s[m[2*g]:m[2*g+1]], c.Kind)
}

// extractAll(regex, [groups,] text).
func extractAll(c *Call, x *Regex, a []any) any {
	var groups []int
	for g := 1; g <= x.re.NumSubexp(); g++ {
		groups = append(groups, g)
	}
	if len(a) == 3 {
		groups = chosenGroups(x.re, a[1])
	}
	s, used := value.String(a[len(a)-1]), int64(0)
	var out []any
	x.Each(s, func(m []int) bool {
		var one []any
		for _, g := range groups {
			switch {
			case g < 0 || g >= len(m)/2:
			case m[2*g] < 0:
				one = append(one, "")
			default:
				one = append(one, s[m[2*g]:m[2*g+1]])
			}
		}
		// An entry of the list, and a list of texts in it.
		if used += int64(64 + 40*len(one)); !c.fits(used) {
			return false
		}
		if len(groups) == 1 && len(one) == 1 {
			out = append(out, one[0])
		} else {
			out = append(out, one)
		}
		return true
	})
	switch {
	case !c.fits(used):
		return beyond{}
	case out == nil:
		return nil
	}
	return out
}

func chosenGroups(re *regexp.Regexp, v any) []int {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []int
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, re.SubexpIndex(s))
			continue
		}
		out = append(out, int(long(e)))
	}
	return out
}

// rewrite turns \1 of a rewrite pattern into Go's ${1}.
func rewrite(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '$':
			b.WriteString("$$")
		case s[i] == '\\' && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9':
			b.WriteString("${" + s[i+1:i+2] + "}")
			i++
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '\\':
			b.WriteByte('\\')
			i++
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// replaceRegex(text, regex, rewrite).
func replaceRegex(c *Call, x *Regex, a []any) any {
	return replaceAll(c, x, value.String(a[0]), rewrite(value.String(a[2])))
}

func replaceString(c *Call, a []any) any {
	return replaced(c, value.String(a[0]), value.String(a[1]), value.String(a[2]))
}

// replaced replaces a text by another, unless too much would become of it.
func replaced(c *Call, s, old, with string) any {
	if old == "" {
		return s
	}
	if n := int64(strings.Count(s, old)); !c.fits(int64(len(s)) + n*int64(len(with)-len(old))) {
		return beyond{}
	}
	return strings.ReplaceAll(s, old, with)
}

// replaceStrings replaces each of a list by its partner, or all by one text.
func replaceStrings(c *Call, a []any) any {
	s := value.String(a[0])
	old, ok := a[1].([]any)
	if !ok {
		return nil
	}
	with, many := a[2].([]any)
	if many && len(with) != len(old) {
		return nil
	}
	for i, o := range old {
		w := a[2]
		if many {
			w = with[i]
		}
		next := replaced(c, s, value.String(o), value.String(w))
		text, fits := next.(string)
		if !fits {
			return next
		}
		s = text
	}
	return s
}

// trimmer makes trim(regex, text): the pattern is taken off the ends, once.
func trimmer(start, end bool) func(c *Call) (func(a []any) any, error) {
	return func(c *Call) (func(a []any) any, error) {
		if _, err := constantPattern(c, 0); err != nil {
			return nil, err
		}
		k := newCache(c)
		return func(a []any) any {
			s, p := value.String(a[1]), value.String(a[0])
			if start {
				s = cut(k, `\A(?:`+p+`)`, s)
			}
			if end {
				s = cut(k, `(?:`+p+`)\z`, s)
			}
			return s
		}, nil
	}
}

func cut(k *cache, pattern, s string) string {
	x, err := k.get(pattern)
	if err != nil {
		return s
	}
	if at := x.Find(s); at != nil {
		return s[:at[0]] + s[at[1]:]
	}
	return s
}

// countOf counts plain matches with overlaps, those of a regular expression without.
func countOf(c *Call) (func(a []any) any, error) {
	regex := len(c.Args) > 2 && c.N > 0 && value.String(c.Args[2].At(0)) == "regex"
	k := newCache(c)
	if regex {
		var err error
		if k, err = constantPattern(c, 1); err != nil {
			return nil, err
		}
	}
	return func(a []any) any {
		s, what := value.String(a[0]), value.String(a[1])
		if regex {
			x, err := k.get(what)
			if err != nil {
				return nil
			}
			n := int64(0)
			x.Each(s, func([]int) bool { n++; return true })
			return n
		}
		n := int64(0)
		for what != "" {
			i := strings.Index(s, what)
			if i < 0 {
				break
			}
			n, s = n+1, s[i+1:]
		}
		return n
	}, nil
}

// indexOfRegex(text, regex[, start[, length[, occurrence]]]).
func indexOfRegex(c *Call, x *Regex, a []any) any {
	return locate(c, a, func(window []rune) (int, int) {
		s := string(window)
		found := x.Find(s)
		if found == nil {
			return -1, 0
		}
		return utf8.RuneCountInString(s[:found[0]]), max(1, utf8.RuneCountInString(s[found[0]:found[1]]))
	})
}
