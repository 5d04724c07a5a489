package secret

import (
	"regexp/syntax"
	"strings"
)

// Parts of which gitleaks composes most of its expressions.
const (
	operators = `(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)`
	filler    = `[\x60'"\s=]{0,5}`
	suffix    = `(?:[\x60'"\s;]|\\[nr]|$)`
	flagged   = `(?i)`
	boundary  = `\b`
)

// shape is what an expression says about every text that it matches.
type shape struct {
	min   int       // shortest match in bytes
	max   int       // longest match in bytes, -1 when there is no longest one
	bytes [256]bool // the bytes that a match can hold
}

// spaces reports whether a match can hold white space or a quote.
func (s shape) spaces() bool {
	for _, c := range " \t\n\r'\"`" {
		if s.bytes[c] {
			return true
		}
	}
	return false
}

// shapeOf analyses an expression. It is exact about bytes below 0x80 and generous about
// others: any byte from 0x80 on counts as possible when one of them is.
func shapeOf(expr string) (shape, error) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return shape{}, err
	}
	var s shape
	s.min, s.max = s.walk(re)
	return s, nil
}

// walk returns the bounds of the length of what re matches and collects its bytes.
func (s *shape) walk(re *syntax.Regexp) (low, high int) {
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			s.add(r, r, re.Flags&syntax.FoldCase != 0)
			n := width(r, r)
			low, high = low+1, high+n
		}
		return low, high
	case syntax.OpCharClass:
		high = 1
		for i := 0; i < len(re.Rune); i += 2 {
			s.add(re.Rune[i], re.Rune[i+1], false)
			high = max(high, width(re.Rune[i], re.Rune[i+1]))
		}
		return 1, high
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		s.add(0, 0x10ffff, false)
		return 1, 4
	case syntax.OpCapture:
		return s.walk(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			l, h := s.walk(sub)
			low, high = low+l, times(high, h, 1)
		}
		return low, high
	case syntax.OpAlternate:
		for i, sub := range re.Sub {
			l, h := s.walk(sub)
			if i == 0 {
				low, high = l, h
				continue
			}
			low = min(low, l)
			if high >= 0 {
				high = max(high, h)
			}
			if h < 0 {
				high = -1
			}
		}
		return low, high
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		return s.repeat(re)
	}
	return 0, 0 // Conditions such as \b.
}

func (s *shape) repeat(re *syntax.Regexp) (low, high int) {
	least, most := re.Min, re.Max
	switch re.Op {
	case syntax.OpStar:
		least, most = 0, -1
	case syntax.OpPlus:
		least, most = 1, -1
	case syntax.OpQuest:
		least, most = 0, 1
	}
	low, high = s.walk(re.Sub[0])
	if most < 0 || high < 0 {
		return low * least, -1
	}
	return low * least, high * most
}

// times returns a + b*n, or -1 when either has no bound.
func times(a, b, n int) int {
	if a < 0 || b < 0 {
		return -1
	}
	return a + b*n
}

func (s *shape) add(from, to rune, fold bool) {
	for r := from; r <= min(to, 0x7f); r++ {
		s.bytes[r] = true
		if c := byte(r); fold && lower(c) >= 'a' && lower(c) <= 'z' {
			s.bytes[lower(c)], s.bytes[lower(c)-'a'+'A'] = true, true
		}
	}
	if to >= 0x80 {
		for i := 0x80; i < 0x100; i++ {
			s.bytes[i] = true
		}
	}
}

// width is the longest encoding in bytes of the runes from one to another. Those that
// fold to ASCII letters only (the long s, the Kelvin sign) are left out: no credential
// is written with them.
func width(from, to rune) int {
	switch {
	case to < 0x80, to == 0x17f, to == 0x212a:
		return 1
	case to < 0x800:
		return 2
	case to < 0x10000:
		return 3
	}
	return 4
}

// assignment cuts an expression of the form "name operator value" into name and value,
// both as expressions of their own; ok is false for other forms.
func assignment(expr string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(expr, operators+filler)
	if !ok || strings.Contains(value, operators) {
		return "", "", false
	}
	value, ok = strings.CutSuffix(value, suffix)
	if !ok {
		return "", "", false
	}
	if strings.HasPrefix(name, flagged) {
		value = flagged + value
	}
	return name, value, true
}

// token cuts what stands around a credential off an expression whose whole match is the
// credential.
func token(expr string) string {
	expr = strings.TrimSuffix(expr, suffix)
	if rest, ok := strings.CutPrefix(expr, flagged+boundary); ok {
		return flagged + rest
	}
	return strings.TrimPrefix(expr, boundary)
}
