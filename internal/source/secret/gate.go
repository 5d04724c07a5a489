package secret

import (
	"math"
	"regexp"
	"strings"
)

// gate reports whether a rule can match where its keyword stands: data[begin:end] is the
// keyword. It may say yes too often, never no wrongly.
type gate func(data []byte, begin, end int) bool

func open([]byte, int, int) bool { return true }

// set is a set of bytes.
type set [256]bool

func setOf(chars string) (s set) {
	for i := 0; i < len(chars); i++ {
		s[chars[i]] = true
	}
	return s
}

// What may stand between a name and its operator, between operator and value, and behind
// a value; see the constants operators, filler and suffix.
func betweenSet() set {
	return setOf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-\t\n\f\r '\"")
}
func fillerSet() set { return setOf("`'\"= \t\n\f\r") }
func behindSet() set { return setOf("`'\"; \t\n\f\r\\") }

// Bounds of the same parts in bytes: [ \t\w.-]{0,20}[\s'"]{0,3} and the filler.
const (
	maxBetween = 23
	maxFiller  = 5
)

// longValue bounds how much of a value a gate looks at.
const longValue = 512

// gateOf makes the gate of a rule for one keyword.
func gateOf(expr, keyword string, entropy float64) (gate, error) {
	name, value, ok := assignment(expr)
	named := false
	if ok {
		var err error
		if named, err = regexp.MatchString(name, keyword); err != nil {
			return nil, err
		}
	}
	if named {
		s, err := shapeOf(value)
		if err != nil {
			return nil, err
		}
		return assignmentGate(s, entropy), nil
	}
	core := token(expr)
	if ok {
		core = value // The keyword is a part of the credential.
	}
	s, err := shapeOf(core)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(keyword); i++ {
		if c := keyword[i]; !s.bytes[c] && !s.bytes[upper(c)] {
			return open, nil
		}
	}
	if s.spaces() || s.min <= len(keyword) {
		return open, nil
	}
	return runGate(s), nil
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// runGate asks for an unbroken run of the credential's bytes that is long enough.
func runGate(s shape) gate {
	bytes, least := set(s.bytes), s.min
	return func(data []byte, begin, end int) bool {
		n := 0
		// The keyword itself may hold a byte in the other case.
		for i := begin; i < end; i++ {
			if !bytes[data[i]] {
				return false
			}
		}
		n = end - begin
		for i := end; i < len(data) && n < least && bytes[data[i]]; i++ {
			n++
		}
		for i := begin - 1; i >= 0 && n < least && bytes[data[i]]; i-- {
			n++
		}
		return n >= least
	}
}

// assignmentGate asks for an operator behind the name, and behind that for a value of
// the right bytes, long and varied enough, that ends where a value can end.
func assignmentGate(s shape, entropy float64) gate {
	g := &assigned{
		between: betweenSet(), filler: fillerSet(), behind: behindSet(),
		value: s.bytes, least: s.min, most: s.max,
	}
	if entropy > 0 {
		g.distinct = int(math.Exp2(entropy)) + 1
	}
	return g.ok
}

type assigned struct {
	between, filler, behind, value set
	least, most                    int
	// distinct is how many different bytes a value needs for its entropy: that of n
	// different ones is at most log2(n).
	distinct int
}

func (g *assigned) ok(data []byte, _, end int) bool {
	i, stop := end, min(end+maxBetween, len(data)-1)
	for i < stop && g.between[data[i]] {
		i++
	}
	if i >= len(data) {
		return false
	}
	// The operator's bytes are not in between, so it begins here or nowhere.
	var after [2]int
	n := operator(data, i, &after)
	for _, p := range after[:n] {
		if g.valueAt(data, p) {
			return true
		}
	}
	return false
}

// operator writes the places at which an operator that begins at i can end.
func operator(data []byte, i int, after *[2]int) int {
	second := byte(0)
	if i+1 < len(data) {
		second = data[i+1]
	}
	switch data[i] {
	case '>', ',':
		after[0] = i + 1
		return 1
	case '=':
		after[0] = i + 1
		if second == '>' {
			after[1] = i + 2
			return 2
		}
		return 1
	case ':':
		after[0] = i + 1
		for j := i + 1; j < len(data) && j <= i+3; j++ {
			if data[j] == '=' {
				after[1] = j + 1
				return 2
			}
			if data[j] != ':' {
				break
			}
		}
		return 1
	case '|', '?':
		if data[i] == '|' && second == '|' || data[i] == '?' && second == '=' {
			after[0] = i + 2
			return 1
		}
	}
	return 0
}

// valueAt looks at the value behind an operator that ends at p.
func (g *assigned) valueAt(data []byte, p int) bool {
	i, stop := p, min(p+maxFiller, len(data))
	for i < stop && g.filler[data[i]] {
		i++
	}
	begin := i
	// A byte that is in filler and value alike may belong to either.
	for begin > p && g.value[data[begin-1]] {
		begin--
	}
	for stop = min(len(data), begin+longValue); i < stop && g.value[data[i]]; i++ {
		if g.most > 0 && i-begin > g.most+maxFiller {
			return false
		}
	}
	if i == begin+longValue {
		return true // The expression decides about what is longer.
	}
	if i-begin < g.least || i < len(data) && !g.behind[data[i]] && !g.value['\\'] && !g.ends(data, begin, i) {
		return false
	}
	return g.distinct == 0 || varied(data[begin:i], g.distinct)
}

// ends reports whether a shorter value could end before i: at a byte that is both in
// the value and behind it.
func (g *assigned) ends(data []byte, begin, i int) bool {
	for j := begin + 1; j < i; j++ {
		if g.behind[data[j]] {
			return true
		}
	}
	return false
}

// varied reports whether text has at least n different bytes.
func varied(text []byte, n int) bool {
	var seen [4]uint64
	for _, c := range text {
		bit := uint64(1) << (c & 63)
		if seen[c>>6]&bit == 0 {
			seen[c>>6] |= bit
			if n--; n <= 0 {
				return true
			}
		}
	}
	return false
}

// kindGate asks for "kind:" before the word Secret of a Kubernetes manifest.
func kindGate(data []byte, begin, _ int) bool {
	i := begin
	for i > 0 && begin-i < 40 && strings.IndexByte(" \t\"'", data[i-1]) >= 0 {
		i--
	}
	return i >= 5 && strings.EqualFold(string(data[i-5:i]), "kind:")
}

// netrcGate asks for a host and the word login behind the word machine.
func netrcGate(data []byte, _, end int) bool {
	rest := string(data[end:min(end+300, len(data))])
	host := strings.TrimLeft(rest, " \t\r\n")
	if host == rest {
		return false
	}
	if i := strings.IndexAny(host, " \t\r\n"); i > 0 {
		return strings.HasPrefix(strings.TrimLeft(host[i:], " \t\r\n"), "login")
	}
	return false
}

// userinfoGate asks for a user and a password behind the :// of a URL.
func userinfoGate(data []byte, _, end int) bool {
	colon := false
	for _, c := range data[end:min(end+800, len(data))] {
		switch c {
		case ':':
			colon = true
		case '@':
			return colon
		case ' ', '\t', '\r', '\n', '/', '"', '\'', '`', '<', '>':
			return false
		}
	}
	return false
}
