package scalar

import (
	"io"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
)

// The bounds of regular expressions. A search takes at the most as many steps as the text
// has bytes times the program has instructions; all matches of a text, at the worst, that
// for each byte.
const (
	maxPattern  = 64 << 10 // bytes of an expression
	maxProgram  = 16 << 10 // instructions of one: \w{1000} has a thousand
	maxPrograms = 1 << 20  // instructions of all that are kept of one call
	// quickSteps is how many steps may be taken at once, without a look at the time: a
	// fraction of a second.
	quickSteps = 1 << 24
	// quickAll is the same for all matches of a text, which seldom come near it.
	quickAll = 1 << 27
	// slowSteps is how many are taken between two looks in a search that may take longer.
	slowSteps = 1 << 20
)

// Regex is a regular expression of RE2's syntax whose search ends when the query does. What
// a search that was ended returns means nothing: the query's end is the answer then.
type Regex struct {
	re     *regexp.Regexp
	size   int            // instructions
	behind *regexp.Regexp // re somewhere behind one rune; nil until it is asked for
	ended  func() error
}

// NewRegex compiles an expression for the function or operator of that name. It refuses
// what is none with fault.Invalid, and what is too large with fault.TooLarge. ended tells
// that the query is to end; nil when nothing can tell.
func NewRegex(name, pattern string, ended func() error) (*Regex, error) {
	if len(pattern) > maxPattern {
		return nil, fault.New(fault.TooLarge, "%s: a regular expression has at the most %d bytes", name, maxPattern)
	}
	wrong := func(err error) error {
		return fault.Wrap(fault.Invalid, err, "%s: %q is no regular expression of RE2's syntax", name, pattern)
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, wrong(err)
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, wrong(err)
	}
	if len(prog.Inst) > maxProgram {
		return nil, fault.New(fault.TooLarge, "%s: the regular expression becomes %d steps when its repeats are written out; %d are allowed", name, len(prog.Inst), maxProgram).
			WithNext("repeat less, or use + and *")
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, wrong(err)
	}
	if ended == nil {
		ended = func() error { return nil }
	}
	return &Regex{re: re, size: len(prog.Inst), ended: ended}, nil
}

// Group returns the number of the group of a name, -1 when there is none.
func (x *Regex) Group(name string) int { return x.re.SubexpIndex(name) }

// Find returns the places of the first match and of its groups, in pairs as package regexp
// has them; nil when there is none.
func (x *Regex) Find(s string) []int {
	if len(s)*x.size <= quickSteps {
		return x.re.FindStringSubmatchIndex(s)
	}
	return x.re.FindReaderSubmatchIndex(x.reader(s))
}

// Match reports whether there is a match.
func (x *Regex) Match(s string) bool {
	if len(s)*x.size <= quickSteps {
		return x.re.MatchString(s)
	}
	return x.re.MatchReader(x.reader(s))
}

// Each calls f for the matches in their order, none overlapping another, until it returns
// false: which ones they are is said at regexp.Regexp.FindAllString.
func (x *Regex) Each(s string, f func(m []int) bool) {
	if len(s)*len(s)*x.size <= quickAll {
		for _, m := range x.re.FindAllStringSubmatchIndex(s, -1) {
			if !f(m) {
				return
			}
		}
		return
	}
	for pos, before := 0, -1; pos <= len(s); {
		m := x.from(s, pos)
		if m == nil || x.ended() != nil {
			return
		}
		empty := m[1] == pos
		if !(empty && m[0] == before) && !f(m) { // An empty match right behind another is none.
			return
		}
		before = m[1]
		if pos = m[1]; empty {
			_, width := utf8.DecodeRuneInString(s[pos:])
			pos += max(1, width)
		}
	}
}

// from is Find from a place on. The rune before it is given to the search too, because \b
// and (?m)^ ask for it.
func (x *Regex) from(s string, pos int) []int {
	if pos == 0 {
		return x.Find(s)
	}
	if x.behind == nil {
		x.behind = behind(x.re)
	}
	_, width := utf8.DecodeLastRuneInString(s[:pos])
	at := pos - width
	m := x.behind.FindReaderSubmatchIndex(x.reader(s[at:]))
	if m == nil {
		return nil
	}
	m = m[2:] // The first group is the match.
	for i := range m {
		if m[i] >= 0 {
			m[i] += at
		}
	}
	return m
}

// behind returns an expression whose first group is what re matches behind one rune. Of a
// tree, because the text may end in the middle of a quotation: \Qabc.
func behind(re *regexp.Regexp) *regexp.Regexp {
	tree, err := syntax.Parse(re.String(), syntax.Perl)
	if err != nil {
		return re // It was parsed before.
	}
	return regexp.MustCompile(`\A(?s:.)(?s:.*?)(` + tree.String() + `)`)
}

// reader reads a text rune by rune and ends when the query does.
func (x *Regex) reader(s string) io.RuneReader {
	return &runes{rest: s, every: max(1, slowSteps/x.size), ended: x.ended}
}

type runes struct {
	rest        string
	every, left int // runes between two looks, and until the next one
	ended       func() error
}

// ReadRune returns the next rune, and io.EOF behind the last or when the query is to end.
func (r *runes) ReadRune() (rune, int, error) {
	if r.left--; r.left < 0 {
		if r.left = r.every; r.ended() != nil {
			r.rest = ""
		}
	}
	if r.rest == "" {
		return 0, 0, io.EOF
	}
	c, width := utf8.DecodeRuneInString(r.rest)
	r.rest = r.rest[width:]
	return c, width, nil
}

// cache compiles patterns once; most are constants.
type cache struct {
	c    *Call
	done map[string]*Regex
	size int // of all that are kept
}

func newCache(c *Call) *cache { return &cache{c: c, done: map[string]*Regex{}} }

func (k *cache) get(pattern string) (*Regex, error) {
	if x, ok := k.done[pattern]; ok {
		return x, nil
	}
	x, err := NewRegex(k.c.Name, pattern, k.c.ended)
	if err != nil {
		return nil, err
	}
	if k.size+x.size <= maxPrograms {
		k.size += x.size
		k.done[pattern] = x
	}
	return x, nil
}

// constantPattern compiles an argument that is the same for every row; an error there is
// an error of the query. nil when the argument varies.
func constantPattern(c *Call, arg int) (*cache, error) {
	k := newCache(c)
	if c.Args[arg].Const {
		_, err := k.get(value.String(c.Args[arg].At(0)))
		return k, err
	}
	return k, nil
}

// matching makes a function of one that has a regular expression as an argument and sees the
// other cells of a row beside it. A pattern that varies and is none gives null.
func matching(arg int, f func(c *Call, x *Regex, a []any) any) Func {
	return fallible(func(c *Call) (func(a []any) any, error) {
		k, err := constantPattern(c, arg)
		if err != nil {
			return nil, err
		}
		return func(a []any) any {
			if c.ended() != nil {
				return nil
			}
			x, err := k.get(value.String(a[arg]))
			if err != nil {
				return nil
			}
			return f(c, x, a)
		}, nil
	})
}

func matchesRegex(c *Call) (vec.Vec, error) {
	k, err := constantPattern(c, 1)
	if err != nil {
		return vec.Vec{}, err
	}
	s, m := textsOf(c.Args[0]), c.Args[0].Mask()
	p, mp := textsOf(c.Args[1]), c.Args[1].Mask()
	return bools(c.N, nil, func(i int) bool {
		if c.ended() != nil {
			return false
		}
		x, err := k.get(p[i&mp])
		return err == nil && x.Match(s[i&m])
	}), nil
}

// replaceAll is that of a regular expression, within the bounds of the call.
func replaceAll(c *Call, x *Regex, s, with string) any {
	var out []byte
	last, fits := 0, true
	x.Each(s, func(m []int) bool {
		out = append(out, s[last:m[0]]...) // What grows is copied: it is there twice.
		// Each sign of the rewrite may be all that was matched.
		if fits = c.fits(2*int64(len(out)) + int64(len(with))*int64(1+m[1]-m[0])); fits {
			out = x.re.ExpandString(out, with, s, m)
		}
		last = m[1]
		return fits
	})
	switch {
	case !fits:
		return beyond{}
	case last == 0 && len(out) == 0:
		return s
	}
	return string(append(out, s[last:]...))
}
