// Package results owns the reading of test result files: JUnit, NUnit 2 and 3, xUnit 1 and
// 2, TRX (VSTest) and CTest, which every test runner writes a little differently.
//
// Input is foreign: its size, depth and number of cases are bounded, entities and other
// documents are never resolved, and a file that cannot be read is an error, never a
// result with no tests. The counts are of the cases in the file, whatever its summary
// attributes claim.
//
// It imports the standard library alone.
package results

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a result file.
const (
	MaxCases    = 1_000_000
	MaxKept     = 50_000   // cases that are kept with their names
	MaxFailures = 1000     // that are kept with their text
	MaxDepth    = 64       // of elements
	MaxMessage  = 1000     // bytes of a failure's message
	MaxDetails  = 16 << 10 // bytes of a failure's text
)

// The formats, as PublishTestResults@2 calls them. Their names are compared without regard
// to case.
const (
	JUnit  = "JUnit"
	NUnit  = "NUnit"
	XUnit  = "XUnit"
	VSTest = "VSTest"
	CTest  = "CTest"
)

// Formats are all the formats that are read.
func Formats() []string { return []string{JUnit, NUnit, XUnit, VSTest, CTest} }

// Outcome is how a case ended.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "Passed"
	Failed  Outcome = "Failed" // also one that ended with an error
	Skipped Outcome = "Skipped"
)

// Result is what a file says.
type Result struct {
	Name     string // of the outermost suite
	Total    int
	Passed   int
	Failed   int
	Skipped  int
	Seconds  float64 // sum over the cases
	Failures []Failure
	// Cases are the cases in the order of the file, at most MaxKept.
	Cases []Case
}

// Case is a test of a file.
type Case struct {
	Suite   string
	Name    string
	Outcome Outcome
	Seconds float64
}

// Failure is a case that failed or ended with an error.
type Failure struct {
	Suite   string
	Name    string
	Message string // one line
	Details string
	Seconds float64
}

// Parse reads a result file of a format.
func Parse(format string, r io.Reader) (*Result, error) {
	i := slices.IndexFunc(dialects, func(d dialect) bool { return strings.EqualFold(d.format, format) })
	if i < 0 {
		return nil, fmt.Errorf("test results in the format %q are not read; use one of %s", format, strings.Join(Formats(), ", "))
	}
	p := &parser{dec: xml.NewDecoder(r), res: &Result{}, dialect: dialects[i]}
	// Text in another encoding is taken as it is; invalid bytes are replaced below.
	p.dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	for {
		token, err := p.dec.Token()
		if errors.Is(err, io.EOF) {
			if !p.root {
				return nil, fmt.Errorf("it holds no %s", p.dialect.begins())
			}
			p.classes()
			return p.res, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading XML: %w", err)
		}
		if err := p.token(token); err != nil {
			return nil, err
		}
	}
}

// attributes are those of an element by local name.
type attributes map[string]string

func of(t xml.StartElement) attributes {
	a := make(attributes, len(t.Attr))
	for _, x := range t.Attr {
		a[x.Name.Local] = x.Value
	}
	return a
}

// test is a case that is open.
type test struct {
	attributes
	suite string // innermost named suite
	// seen are the attributes of the elements in the case by their path without the case,
	// "failure" or "Results/NamedMeasurement[Execution Time]"; the first of a path counts.
	seen  map[string]attributes
	text  map[string]*strings.Builder // of the open elements
	done  map[string]string           // of the others
	depth int                         // of elements when it was opened
}

// has reports whether the case has an element.
func (t *test) has(path string) bool { return t.seen[path] != nil }

// says is the text of an element of the case.
func (t *test) says(path string) string { return t.done[path] }

type parser struct {
	dec     *xml.Decoder
	dialect dialect
	res     *Result
	root    bool
	open    []string // names of the open elements
	named   []bool   // which of them is a suite
	suites  []string
	test    *test
	inside  []string // path in the open case

	// late are the cases and failures whose suite is known by an id only at the end.
	late  []late
	class map[string]string
}

func (p *parser) token(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		if len(p.open) == MaxDepth {
			return fmt.Errorf("elements are nested more than %d deep", MaxDepth)
		}
		return p.start(t)
	case xml.EndElement:
		p.end()
	case xml.CharData:
		if p.test == nil || len(p.inside) == 0 {
			return nil
		}
		if b := p.test.text[strings.Join(p.inside, "/")]; b != nil && b.Len() < MaxDetails {
			b.Write(t)
		}
	}
	return nil
}

func (p *parser) start(t xml.StartElement) error {
	name, a := t.Name.Local, of(t)
	if !p.root && !slices.Contains(p.dialect.roots, name) {
		return fmt.Errorf("it begins with <%s>, not with %s", cut(name, 40), p.dialect.begins())
	}
	parent := ""
	if len(p.open) > 0 {
		parent = p.open[len(p.open)-1]
	}
	p.root = true
	p.open = append(p.open, name)
	suite := p.test == nil && slices.Contains(p.dialect.suites, name)
	p.named = append(p.named, suite)
	switch {
	case suite:
		if p.res.Name == "" {
			p.res.Name = cut(a["name"], MaxMessage)
		}
		p.suites = append(p.suites, a["name"])
	case name == p.dialect.test && (p.dialect.below == "" || p.dialect.below == parent):
		if p.test != nil {
			p.test = nil // A case in a case, as of data-driven tests: the outer one is none.
		}
		if p.res.Total >= MaxCases {
			return fmt.Errorf("it holds more than %d test cases", MaxCases)
		}
		p.test = &test{attributes: a, suite: p.suite(), seen: map[string]attributes{}, text: map[string]*strings.Builder{}, depth: len(p.open)}
		p.inside = nil
	case p.test != nil:
		if n := a["name"]; name == "NamedMeasurement" && n != "" {
			name += "[" + n + "]"
		}
		p.inside = append(p.inside, name)
		at := strings.Join(p.inside, "/")
		if p.test.seen[at] == nil {
			p.test.seen[at], p.test.text[at] = a, &strings.Builder{}
		}
	case p.dialect.define != nil:
		p.dialect.define(p, name, a)
	}
	return nil
}

func (p *parser) end() {
	depth := len(p.open)
	if p.named[depth-1] {
		p.suites = p.suites[:len(p.suites)-1]
	}
	p.open, p.named = p.open[:depth-1], p.named[:depth-1]
	switch {
	case p.test == nil:
	case p.test.depth == depth:
		p.count()
	case len(p.inside) > 0:
		p.closed(strings.Join(p.inside, "/"))
		p.inside = p.inside[:len(p.inside)-1]
	}
}

// closed keeps the text of the first element of a path: what a second one says goes nowhere.
func (p *parser) closed(at string) {
	if b := p.test.text[at]; b != nil {
		if p.test.done == nil {
			p.test.done = map[string]string{}
		}
		p.test.done[at] = strings.TrimSpace(b.String())
		p.test.text[at] = nil
	}
}

// suite is the innermost suite that has a name.
func (p *parser) suite() string {
	for i := len(p.suites) - 1; i >= 0; i-- {
		if p.suites[i] != "" {
			return p.suites[i]
		}
	}
	return ""
}

// count adds the case that ends.
func (p *parser) count() {
	t := p.test
	p.test, p.inside = nil, nil
	v := p.dialect.judge(t)
	if v.outcome == "" {
		return
	}
	suite, name := cut(v.suite, MaxMessage), cut(v.name, MaxMessage)
	p.res.Total++
	p.res.Seconds += v.seconds
	if len(p.res.Cases) < MaxKept {
		p.res.Cases = append(p.res.Cases, Case{Suite: suite, Name: name, Outcome: v.outcome, Seconds: v.seconds})
		p.lateSuite(v.id, len(p.res.Cases)-1, -1)
	}
	switch v.outcome {
	case Failed:
		p.res.Failed++
		if len(p.res.Failures) < MaxFailures {
			message := firstLine(v.message)
			if message == "" {
				message = firstLine(v.details)
			}
			p.res.Failures = append(p.res.Failures, Failure{
				Suite: suite, Name: name, Message: cut(message, MaxMessage), Details: cut(strings.TrimSpace(v.details), MaxDetails), Seconds: v.seconds,
			})
			p.lateSuite(v.id, -1, len(p.res.Failures)-1)
		}
	case Skipped:
		p.res.Skipped++
	default:
		p.res.Passed++
	}
}

// late is a case, or a failure, that waits for its suite; -1 is none.
type late struct {
	id            string
	kept, failure int
}

func (p *parser) lateSuite(id string, kept, failure int) {
	if id != "" {
		p.late = append(p.late, late{id, kept, failure})
	}
}

// classes gives the cases their suites that were said elsewhere in the file.
func (p *parser) classes() {
	for _, l := range p.late {
		class := cut(p.class[l.id], MaxMessage)
		if class == "" {
			continue
		}
		if l.kept >= 0 {
			p.res.Cases[l.kept].Suite = class
		}
		if l.failure >= 0 {
			p.res.Failures[l.failure].Suite = class
		}
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(line)
}

// seconds reads a duration; some runners write thousands separators, others 00:00:01.5.
func seconds(text string) float64 {
	text = strings.TrimSpace(text)
	total, scale := 0.0, 1.0
	parts := strings.Split(text, ":")
	if len(parts) > 3 {
		return 0
	}
	for _, part := range slices.Backward(parts) {
		s, err := strconv.ParseFloat(strings.ReplaceAll(part, ",", ""), 64)
		if err != nil || !(s >= 0 && s < 1e9) {
			return 0
		}
		total += s * scale
		scale *= 60
	}
	return total
}

// cut bounds a text and makes it valid UTF-8 that a database takes.
func cut(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		s = s[:max(len(s)-1, 0)] + "…"
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
}
