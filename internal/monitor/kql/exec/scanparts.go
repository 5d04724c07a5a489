package exec

import (
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/table"
)

// partScan matches a parse pattern without its regular expression, where taking the first
// place for each piece of text is what the expression would do.
type partScan struct {
	x      *ir.Parse
	groups []int // of the expression, by part
	text   string
	at     int
	open   int   // the column that the next text ends; none or star
	m      []int // as FindStringSubmatchIndex has it
}

const (
	none = -1
	star = -2
)

// scanParts gives the match, nil for none. sure is false when only the expression can tell.
func scanParts(x *ir.Parse, groups []int, text string) (m []int, sure bool) {
	if x.Kind == "regex" {
		return nil, false
	}
	rest := text
	for _, p := range x.Parts { // all texts must be there, in order
		if p.Place < 0 && !p.Star {
			i := strings.Index(rest, p.Text)
			if i < 0 {
				return nil, true
			}
			rest = rest[i+len(p.Text):]
		}
	}
	s := &partScan{x: x, groups: groups, text: text, open: none, m: make([]int, 2*len(x.Parts)+2)}
	for i := range s.m {
		s.m[i] = -1
	}
	for k := range x.Parts {
		if !s.part(k) {
			return nil, false
		}
	}
	if s.open >= 0 {
		s.m[2*groups[s.open]+1] = len(text)
	}
	return s.m, s.open != none || s.at == len(text)
}

// part matches the k-th part; false when it cannot tell.
func (s *partScan) part(k int) bool {
	p, last := s.x.Parts[k], k == len(s.x.Parts)-1
	switch {
	case p.Star:
		if s.open >= 0 {
			return false
		}
		s.open = star
		return true
	case p.Place < 0:
		return s.piece(p.Text, last)
	case s.open != none:
		return false
	case p.To == table.String || s.x.Kind == "relaxed" || last && p.To != table.Long && p.To != table.Int && p.To != table.Real && p.To != table.Decimal:
		if s.x.Kind == "relaxed" && !last && s.x.Parts[k+1].Star {
			return false
		}
		s.m[2*s.groups[k]], s.open = s.at, k
		return true
	case p.To == table.Long || p.To == table.Int:
		return s.number(k, last)
	}
	return false // of a type that says by itself where it ends
}

// piece finds a text; the last one stands at the end.
func (s *partScan) piece(text string, last bool) bool {
	i := strings.Index(s.text[s.at:], text)
	if last {
		if !strings.HasSuffix(s.text, text) {
			return false
		}
		i = len(s.text) - len(text) - s.at
	}
	if i < 0 || i > 0 && s.open == none {
		return false
	}
	if s.open >= 0 {
		s.m[2*s.groups[s.open]+1] = s.at + i
	}
	s.at, s.open = s.at+i+len(text), none
	return true
}

// number takes a whole number, unless what follows could begin with one of its digits.
func (s *partScan) number(k int, last bool) bool {
	n := digitsAt(s.text[s.at:])
	if n == 0 {
		return false
	}
	if !last {
		if next := s.x.Parts[k+1]; !next.Star && (next.Place >= 0 || digitsAt(next.Text) > 0) {
			return false
		}
	}
	s.m[2*s.groups[k]], s.m[2*s.groups[k]+1] = s.at, s.at+n
	s.at += n
	return true
}

// digitsAt is the length of the whole number that a text begins with.
func digitsAt(s string) int {
	n := 0
	if s != "" && (s[0] == '-' || s[0] == '+') {
		n = 1
	}
	from := n
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	if n == from {
		return 0
	}
	return n
}
