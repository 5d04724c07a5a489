// Package minimatch owns the matching of paths against the patterns that the file tasks of
// pipelines use: those of the npm package minimatch, with dot files included.
//
// Nouns: a [Pattern] is one line; a [List] is several lines, of which those that begin with
// "!" take away again and those that begin with "#" are comments.
//
// In a pattern "*" stands for any text of one name, "?" for one character, "[a-z]" for one
// of a set, "**" as a whole name for any folders, and "@(a|b)", "?(a)", "*(a)", "+(a)" and
// "!(a)" for alternatives. A backslash takes the meaning of the next character away. Braces
// are expanded only when asked for, because most of the tasks do not.
//
// Invariants.
//   - A pattern is matched against a whole path with slashes.
//   - The work of one match is bounded: a pattern that would need more matches nothing.
//
// It imports the standard library alone.
package minimatch

import (
	"path"
	"strings"
)

// Limits of patterns.
const (
	maxSteps    = 100_000 // of one match
	maxExpanded = 1000    // patterns that braces make of one
	maxNested   = 16      // alternatives in alternatives
)

// Pattern is a pattern for whole paths. The zero value matches the empty path alone.
type Pattern struct{ parts []part }

// part matches one name, or any folders.
type part struct {
	folders bool // "**"
	seq     []piece
}

// piece matches a piece of a name.
type piece struct {
	kind    byte // 'l' literal, '?', '*', '[', or 'g' for alternatives
	literal rune
	not     bool      // of a set
	set     [][2]rune // ranges
	mark    byte      // of alternatives: @ ? * + !
	options [][]piece
}

// Compile reads a pattern. Every text is one: what has no meaning stands for itself.
func Compile(pattern string) Pattern {
	var p Pattern
	for _, name := range strings.Split(pattern, "/") {
		if name == "**" {
			if n := len(p.parts); n == 0 || !p.parts[n-1].folders {
				p.parts = append(p.parts, part{folders: true})
			}
			continue
		}
		seq, _ := parse([]rune(name), 0, 0, false)
		p.parts = append(p.parts, part{seq: seq})
	}
	return p
}

// Match reports whether the pattern matches a path.
func (p Pattern) Match(name string) bool {
	m := &matcher{left: maxSteps}
	return m.path(p.parts, strings.Split(name, "/"))
}

// parse reads the pieces of a name up to its end or, inside alternatives, to "|" or ")".
func parse(text []rune, at, depth int, inside bool) (seq []piece, next int) {
	for at < len(text) {
		c := text[at]
		switch {
		case inside && (c == '|' || c == ')'):
			return seq, at
		case c == '\\' && at+1 < len(text):
			seq = append(seq, piece{kind: 'l', literal: text[at+1]})
			at += 2
			continue
		case at+1 < len(text) && text[at+1] == '(' && strings.ContainsRune("@?*+!", c) && depth < maxNested:
			if g, end, ok := parseGroup(text, at, depth); ok {
				seq, at = append(seq, g), end
				continue
			}
		case c == '[':
			if set, end, ok := parseSet(text, at); ok {
				seq, at = append(seq, set), end
				continue
			}
		}
		switch c {
		case '*', '?':
			seq = append(seq, piece{kind: byte(c)})
		default:
			seq = append(seq, piece{kind: 'l', literal: c})
		}
		at++
	}
	return seq, at
}

// parseGroup reads alternatives; at is the place of their mark.
func parseGroup(text []rune, at, depth int) (g piece, next int, ok bool) {
	g = piece{kind: 'g', mark: byte(text[at])}
	at += 2
	for {
		option, end := parse(text, at, depth+1, true)
		if end >= len(text) {
			return g, 0, false
		}
		g.options = append(g.options, option)
		if at = end + 1; text[end] == ')' {
			return g, at, true
		}
	}
}

// parseSet reads "[a-z]", "[!a]" or "[^a]"; at is the place of the bracket.
func parseSet(text []rune, at int) (p piece, next int, ok bool) {
	p = piece{kind: '['}
	at++
	if at < len(text) && (text[at] == '!' || text[at] == '^') {
		p.not = true
		at++
	}
	for first := true; at < len(text); first = false {
		c := text[at]
		if c == ']' && !first {
			return p, at + 1, true
		}
		if c == '\\' && at+1 < len(text) {
			at++
			c = text[at]
		}
		to := c
		if at+2 < len(text) && text[at+1] == '-' && text[at+2] != ']' {
			at += 2
			to = text[at]
		}
		p.set = append(p.set, [2]rune{c, to})
		at++
	}
	return p, 0, false
}

// matcher counts the steps of one match.
type matcher struct{ left int }

func (m *matcher) path(parts []part, names []string) bool {
	if m.left--; m.left < 0 {
		return false
	}
	if len(parts) == 0 {
		return len(names) == 0
	}
	if parts[0].folders {
		if len(parts) == 1 {
			return len(names) > 0
		}
		for i := range names {
			if m.path(parts[1:], names[i:]) {
				return true
			}
		}
		return false
	}
	return len(names) > 0 && m.seq(parts[0].seq, []rune(names[0]), func(rest []rune) bool { return len(rest) == 0 }) && m.path(parts[1:], names[1:])
}

// seq matches pieces at the beginning of a text; then says whether the rest will do.
func (m *matcher) seq(seq []piece, text []rune, then func(rest []rune) bool) bool {
	if m.left--; m.left < 0 {
		return false
	}
	if len(seq) == 0 {
		return then(text)
	}
	p, more := seq[0], func(rest []rune) bool { return m.seq(seq[1:], rest, then) }
	switch p.kind {
	case '*':
		for i := 0; i <= len(text); i++ {
			if more(text[i:]) {
				return true
			}
		}
		return false
	case 'g':
		return m.group(p, text, more)
	}
	return len(text) > 0 && p.one(text[0]) && more(text[1:])
}

// one reports whether a piece of one character matches it.
func (p piece) one(c rune) bool {
	switch p.kind {
	case 'l':
		return c == p.literal
	case '?':
		return true
	}
	for _, r := range p.set {
		if r[0] <= c && c <= r[1] {
			return !p.not
		}
	}
	return p.not
}

// group matches alternatives.
func (m *matcher) group(p piece, text []rune, then func([]rune) bool) bool {
	any := func(then func([]rune) bool) bool {
		for _, o := range p.options {
			if m.seq(o, text, then) {
				return true
			}
		}
		return false
	}
	again := func(rest []rune) bool {
		if len(rest) == len(text) {
			return false // An empty alternative would go on for ever.
		}
		p := p
		p.mark = '*'
		return m.group(p, rest, then)
	}
	switch p.mark {
	case '@':
		return any(then)
	case '?':
		return then(text) || any(then)
	case '*':
		return then(text) || any(again)
	case '+':
		return any(func(rest []rune) bool { return then(rest) || again(rest) })
	}
	for i := 0; i <= len(text); i++ {
		taken := text[:i]
		hit := false
		for _, o := range p.options {
			hit = hit || m.seq(o, taken, func(rest []rune) bool { return len(rest) == 0 })
		}
		if !hit && then(text[i:]) {
			return true
		}
	}
	return false
}

// List is an ordered list of patterns.
type List []item

type item struct {
	not     bool
	pattern Pattern
}

// NewList reads patterns for absolute paths; one that is relative is taken below root, an
// absolute path without special meaning. braces says whether "{a,b}" stands for both.
func NewList(root string, lines []string, braces bool) List {
	var out List
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		not := false
		for strings.HasPrefix(line, "!") && !strings.HasPrefix(line, "!(") {
			line, not = line[1:], !not
		}
		each := []string{line}
		if braces {
			each = expand(line)
		}
		for _, text := range each {
			text = strings.TrimPrefix(text, "./")
			if !path.IsAbs(text) {
				text = escape(strings.TrimSuffix(root, "/")) + "/" + text
			}
			out = append(out, item{not, Compile(strings.TrimSuffix(text, "/"))})
		}
	}
	return out
}

// Match reports whether the list has a path: the last pattern that matches it counts.
func (l List) Match(name string) bool {
	for i := len(l) - 1; i >= 0; i-- {
		if l[i].pattern.Match(name) {
			return !l[i].not
		}
	}
	return false
}

// escape makes a text stand for itself.
func escape(text string) string {
	var b strings.Builder
	for _, c := range text {
		if strings.ContainsRune(`\*?[]()|@+!`, c) {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// expand writes braces out. Braces without a comma stand for themselves.
func expand(text string) []string {
	done, todo := []string{}, []string{text}
	for len(todo) > 0 && len(done)+len(todo) <= maxExpanded {
		t := todo[0]
		todo = todo[1:]
		open, end, commas := braces(t)
		if open < 0 {
			done = append(done, t)
			continue
		}
		from := open + 1
		for _, to := range append(commas, end) {
			todo = append(todo, t[:open]+t[from:to]+t[end+1:])
			from = to + 1
		}
	}
	return append(done, todo...)
}

// braces finds the first braces with a comma: where they open and end, and the commas.
func braces(t string) (open, end int, commas []int) {
	for open = 0; open < len(t); open++ {
		if t[open] == '\\' {
			open++
			continue
		}
		if t[open] != '{' {
			continue
		}
		depth := 0
		commas = nil
		for end = open + 1; end < len(t); end++ {
			switch {
			case t[end] == '{':
				depth++
			case t[end] == '}' && depth == 0 && len(commas) > 0:
				return open, end, commas
			case t[end] == '}':
				depth--
			case t[end] == ',' && depth == 0:
				commas = append(commas, end)
			}
			if depth < 0 {
				break
			}
		}
	}
	return -1, -1, nil
}
