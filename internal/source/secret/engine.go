package secret

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"math"
	"slices"
	"strings"
	"sync"
)

//go:embed rules/gitleaks.json
var gitleaksRules []byte

//go:embed rules/towpath.json
var towpathRules []byte

// Engine finds credentials by the built-in rules. It is safe for concurrent use.
type Engine struct {
	lib  *library
	work sync.Pool // of *scan
}

// New compiles the built-in rules.
func New() (*Engine, error) {
	lib, err := loadLibrary(gitleaksRules, towpathRules)
	if err != nil {
		return nil, err
	}
	e := &Engine{lib: lib}
	e.work.New = func() any { return &scan{lib: lib, open: make([]window, len(lib.rules))} }
	return e, nil
}

// Rules returns how many rules the engine has.
func (e *Engine) Rules() int { return len(e.lib.rules) }

// MaxFindings is the largest number of findings that Scan returns for one input.
const MaxFindings = 200

// binaryProbe is how far Scan looks for a zero byte, the mark of a binary file.
const binaryProbe = 8 << 10

// Scan returns the credentials in data, sorted by place, at most MaxFindings. path is
// the file's name within its repository, with slashes; rules and lists of allowed paths
// look at it. "" means that it is not known yet: then every rule runs and no path is
// allowed. Of a binary file only keys in known formats are found; text in UTF-16 is read
// as text.
func (e *Engine) Scan(path string, data []byte) []Finding {
	if e.lib.allow.path(path) {
		return nil
	}
	if text, ok := utf16Text(data); ok {
		data = text
	}
	if bytes.IndexByte(data[:min(len(data), binaryProbe)], 0) >= 0 {
		return e.scanBinary(path, data)
	}
	s := e.work.Get().(*scan)
	defer e.work.Put(s)
	return s.run(path, data)
}

// window is the piece of the input on which a rule is about to run; end 0 is none.
type window struct{ begin, end int }

// maxWindow bounds how much a window grows by further hits before its rule runs.
const maxWindow = 64 << 10

// scan is the state of one Scan; it is reused.
type scan struct {
	lib   *library
	open  []window // by rule
	used  []int    // rules with an open window
	path  string
	data  []byte
	found []Finding
	seen  map[spot]bool
	// judged counts the matches; see maxJudged.
	judged int
}

// maxJudged bounds how many matches of one input are compared with the lists of what is
// no secret. An input with more is a flood in which a secret could hide: its further
// matches are findings.
const maxJudged = 5000

// spot tells findings of one rule apart.
type spot struct{ rule, offset int }

func (s *scan) run(path string, data []byte) []Finding {
	s.path, s.data, s.found, s.seen, s.judged = path, data, nil, nil, 0
	defer func() { s.data, s.found, s.seen, s.used = nil, nil, nil, s.used[:0] }()
	s.lib.words.each(data, s.hit)
	for _, r := range s.used {
		s.flush(r)
	}
	return s.sorted()
}

// hit is called for every keyword, in order of their ends.
func (s *scan) hit(word int32, end int) {
	begin := end - s.lib.lengths[word]
	for _, t := range s.lib.triggers[word] {
		if !t.gate(s.data, begin, end) {
			continue
		}
		r := s.lib.rules[t.rule]
		w := window{max(0, begin-r.before), min(len(s.data), end+r.after)}
		have := &s.open[t.rule]
		switch {
		case have.end == 0:
			if !slices.Contains(s.used, t.rule) {
				s.used = append(s.used, t.rule)
			}
			*have = w
		case w.begin <= have.end && w.end-have.begin <= maxWindow:
			have.end = w.end
		default:
			s.flush(t.rule)
			*have = w
		}
	}
}

// flush runs a rule on its window and closes that.
func (s *scan) flush(n int) {
	w := s.open[n]
	s.open[n] = window{}
	r := s.lib.rules[n]
	if w.end == 0 || len(s.found) >= MaxFindings || r.path != nil && s.path != "" && !r.path.MatchString(s.path) {
		return
	}
	if slices.ContainsFunc(r.allow, func(a *allow) bool { return a.path(s.path) }) {
		return
	}
	// A window that begins within a word would let \b match there.
	for stop := max(0, w.begin-64); w.begin > stop && word(s.data[w.begin-1]); {
		w.begin--
	}
	for _, m := range r.expr.FindAllSubmatchIndex(s.data[w.begin:w.end], MaxFindings) {
		if m[1] == w.end-w.begin && w.end < len(s.data) {
			s.again(n, w, m[0])
			return
		}
		s.match(n, w, m)
	}
}

// again looks once more at a match that touches the window's end: it may go on behind
// it, or match only because the window ends there.
func (s *scan) again(n int, w window, from int) {
	r := s.lib.rules[n]
	begin := w.begin + from
	for stop := max(0, begin-64); begin > stop && word(s.data[begin-1]); {
		begin--
	}
	wide := window{begin, min(len(s.data), w.end+maxWindow)}
	for _, m := range r.expr.FindAllSubmatchIndex(s.data[wide.begin:wide.end], MaxFindings) {
		if wide.begin+m[0] >= w.end {
			return // Behind the window: other hits lead there.
		}
		s.match(n, wide, m)
	}
}

func word(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || lower(c) >= 'a' && lower(c) <= 'z'
}

// match judges one match of rule n; m are its places within the window.
func (s *scan) match(n int, w window, m []int) {
	r := s.lib.rules[n]
	begin, end := w.begin+m[0], w.begin+m[1]
	text := strings.Trim(string(s.data[begin:end]), "\n")
	begin += strings.Index(string(s.data[begin:end]), text)
	from, value := begin, text
	for g := 1; g < len(m)/2; g++ {
		if i := m[2*g]; i >= 0 && m[2*g+1] > i && (r.group == 0 || r.group == g) {
			from, value = w.begin+i, string(s.data[w.begin+i:w.begin+m[2*g+1]])
			break
		}
	}
	if r.entropy != 0 && entropy(value) <= r.entropy {
		return
	}
	if s.seen[spot{n, from}] || len(s.found) >= MaxFindings || s.allowed(r, from, value, text, begin) {
		return
	}
	if s.seen == nil {
		s.seen = map[spot]bool{}
	}
	s.seen[spot{n, from}] = true
	s.found = append(s.found, Finding{Rule: r.id, Title: r.title, Offset: from, Secret: Raw(value), Redacted: Redact(value)})
}

// allowed reports whether a match of a rule is no secret after all. The cheap questions
// are asked first.
func (s *scan) allowed(r *rule, from int, value, text string, begin int) bool {
	if r.generic && (tests(s.path) || !jumbled(value)) || embedded(s.data, from, from+len(value)) || r.check != nil && !r.check(value) {
		return true
	}
	if s.judged++; s.judged > maxJudged {
		return false
	}
	c := candidate{path: s.path, secret: value, match: text, line: lineOf(s.data, begin, begin+len(text))}
	return s.lib.allow.allows(c) || slices.ContainsFunc(r.allow, func(a *allow) bool { return a.allows(c) }) ||
		s.lib.published[sha256.Sum256([]byte(Raw(value).Canonical()))]
}

// maxLine bounds what counts as the lines of a match, before and behind it.
const maxLine = 512

// lineOf returns the lines in which data[begin:end] stands.
func lineOf(data []byte, begin, end int) string {
	from := max(0, begin-maxLine)
	if i := bytes.LastIndexByte(data[from:begin], '\n'); i >= 0 {
		from += i + 1
	}
	to := min(len(data), end+maxLine)
	if i := bytes.IndexByte(data[end:to], '\n'); i >= 0 {
		to = end + i
	}
	return string(data[from:to])
}

// sorted returns the findings by place with their lines. A generic finding within a
// more telling one is left out.
func (s *scan) sorted() []Finding {
	generic := func(f Finding) bool { return strings.Contains(f.Rule, "generic") }
	covered := func(f Finding) bool {
		return slices.ContainsFunc(s.found, func(o Finding) bool {
			return !generic(o) && o.Offset < f.Offset+len(f.Secret) && f.Offset < o.Offset+len(o.Secret)
		})
	}
	var out []Finding
	for _, f := range s.found {
		if !generic(f) || !covered(f) {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		if a.Offset != b.Offset {
			return a.Offset - b.Offset
		}
		return strings.Compare(a.Rule, b.Rule)
	})
	place(out, s.data)
	return out
}

// place counts lines and columns; the findings are sorted by place.
func place(found []Finding, data []byte) {
	line, at := 1, 0
	for i := range found {
		f := &found[i]
		line += bytes.Count(data[at:f.Offset], []byte{'\n'})
		at = f.Offset
		f.Line = line
		f.Column = f.Offset - bytes.LastIndexByte(data[:f.Offset], '\n')
	}
}

// entropy is Shannon's, in bits for each byte.
func entropy(s string) float64 {
	var count [256]int
	for i := 0; i < len(s); i++ {
		count[s[i]]++
	}
	sum := 0.0
	for _, n := range count {
		if n > 0 {
			p := float64(n) / float64(len(s))
			sum -= p * math.Log2(p)
		}
	}
	return sum
}
