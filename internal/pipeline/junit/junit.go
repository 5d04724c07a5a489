// Package junit owns the reading of JUnit result files, as every test runner writes
// them a little differently: <testsuites>, <testsuite> inside each other or alone.
//
// Input is foreign: its size, depth and number of cases are bounded, entities and other
// documents are never resolved, and a file that cannot be read is an error, never a
// result with no tests.
//
// It imports the standard library alone.
package junit

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a result file.
const (
	MaxCases    = 1_000_000
	MaxFailures = 1000     // that are kept with their text
	MaxDepth    = 64       // of elements
	MaxMessage  = 1000     // bytes of a failure's message
	MaxDetails  = 16 << 10 // bytes of a failure's text
)

// Result is what a file says. The counts are of the cases in it, whatever its summary
// attributes claim.
type Result struct {
	Name     string // of the outermost suite
	Total    int
	Passed   int
	Failed   int
	Skipped  int
	Seconds  float64 // sum over the cases
	Failures []Failure
}

// Failure is a case that failed or ended with an error.
type Failure struct {
	Suite   string
	Name    string
	Message string // one line
	Details string
	Seconds float64
}

// Parse reads a result file.
func Parse(r io.Reader) (*Result, error) {
	p := &parser{dec: xml.NewDecoder(r), res: &Result{}}
	p.dec.Strict = true
	// Text in another encoding is taken as it is; invalid bytes are replaced below.
	p.dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	for {
		token, err := p.dec.Token()
		if errors.Is(err, io.EOF) {
			if !p.root {
				return nil, errors.New("it holds no <testsuites> or <testsuite>")
			}
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

type parser struct {
	dec   *xml.Decoder
	res   *Result
	root  bool
	depth int

	suites []string // names of the open suites
	current
}

// current is the case that is open.
type current struct {
	open    bool
	failure Failure
	bad     bool
	skipped bool
	text    *strings.Builder // collects the text of a failure
}

func (p *parser) token(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		p.depth++
		if p.depth > MaxDepth {
			return fmt.Errorf("elements are nested more than %d deep", MaxDepth)
		}
		return p.start(t)
	case xml.EndElement:
		p.depth--
		p.end(t.Name.Local)
	case xml.CharData:
		if p.text != nil && p.text.Len() < MaxDetails {
			p.text.Write(t)
		}
	}
	return nil
}

func (p *parser) start(t xml.StartElement) error {
	name := t.Name.Local
	if !p.root && name != "testsuites" && name != "testsuite" {
		return fmt.Errorf("it begins with <%s>, not with <testsuites> or <testsuite>", cut(name, 40))
	}
	p.root = true
	switch name {
	case "testsuites", "testsuite":
		suite := attribute(t, "name")
		if p.res.Name == "" {
			p.res.Name = cut(suite, MaxMessage)
		}
		p.suites = append(p.suites, suite)
	case "testcase":
		if p.res.Total++; p.res.Total > MaxCases {
			return fmt.Errorf("it holds more than %d test cases", MaxCases)
		}
		p.current = current{open: true, failure: Failure{
			Suite: cut(p.suite(attribute(t, "classname")), MaxMessage), Name: cut(attribute(t, "name"), MaxMessage), Seconds: seconds(attribute(t, "time")),
		}}
		p.res.Seconds += p.failure.Seconds
	case "failure", "error":
		if p.open {
			if !p.bad {
				p.failure.Message = cut(firstLine(attribute(t, "message")), MaxMessage)
			}
			p.bad, p.text = true, &strings.Builder{}
		}
	case "skipped":
		p.skipped = p.open
	}
	return nil
}

func (p *parser) end(name string) {
	switch name {
	case "testsuites", "testsuite":
		if len(p.suites) > 0 {
			p.suites = p.suites[:len(p.suites)-1]
		}
	case "failure", "error":
		if p.text != nil && p.failure.Details == "" {
			p.failure.Details = cut(strings.TrimSpace(p.text.String()), MaxDetails)
		}
		p.text = nil
	case "testcase":
		if p.open {
			p.count()
		}
	}
}

// count adds the case that ends.
func (p *parser) count() {
	switch {
	case p.bad:
		p.res.Failed++
		if len(p.res.Failures) < MaxFailures {
			if p.failure.Message == "" {
				p.failure.Message = cut(firstLine(p.failure.Details), MaxMessage)
			}
			p.res.Failures = append(p.res.Failures, p.failure)
		}
	case p.skipped:
		p.res.Skipped++
	default:
		p.res.Passed++
	}
	p.current = current{}
}

// suite is the class of a case, or the innermost suite that has a name.
func (p *parser) suite(class string) string {
	for i := len(p.suites) - 1; class == "" && i >= 0; i-- {
		class = p.suites[i]
	}
	return class
}

func attribute(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// seconds reads a duration; some runners write thousands separators.
func seconds(text string) float64 {
	s, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(text), ",", ""), 64)
	if err != nil || !(s >= 0 && s < 1e9) {
		return 0
	}
	return s
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(line)
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
