package main

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// maxOutput limits the text kept of one test, in bytes; the end is kept because failures are explained there.
const maxOutput = 64 << 10

// event is one line of go test -json (see go doc test2json).
type event struct {
	Time        time.Time
	Action      string
	Package     string
	ImportPath  string // of build-output
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// result is the outcome of one test: "pass", "fail", "skip", or "" while it runs.
type result struct {
	name    string
	outcome string
	seconds float64
	output  strings.Builder
}

// suite is one package.
type suite struct {
	result
	started     time.Time
	failedBuild string
	tests       []*result
	byName      map[string]*result
}

// report collects the results of a whole go test run.
type report struct {
	suites []*suite
	byName map[string]*suite
	builds map[string]*strings.Builder // compiler output by import path
}

// read consumes go test -json and echoes a readable log: every line of a failed test, and one line a package. Lines that are no
// JSON (go vet, the go command itself) are echoed as they are.
func read(in io.Reader, log io.Writer) (*report, error) {
	r := &report{byName: map[string]*suite{}, builds: map[string]*strings.Builder{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil && e.Action != "" {
				r.add(e, log)
			} else {
				_, _ = log.Write(line)
			}
		}
		if err == io.EOF {
			return r, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading test events: %w", err)
		}
	}
}

// add books one event.
func (r *report) add(e event, log io.Writer) {
	if e.Package == "" {
		r.build(e, log)
		return
	}
	s := r.suite(e.Package, e.Time)
	at := &s.result
	if e.Test != "" {
		at = s.test(e.Test)
	}
	switch e.Action {
	case "output":
		at.output.WriteString(e.Output)
		if e.Test == "" && strings.TrimSpace(e.Output) != "PASS" {
			_, _ = io.WriteString(log, e.Output)
		}
	case "pass", "fail", "skip":
		at.outcome, at.seconds = e.Action, e.Elapsed
		if e.Test == "" {
			s.failedBuild = e.FailedBuild
		} else if e.Action == "fail" {
			_, _ = io.WriteString(log, at.output.String())
		}
	}
}

// build books what the compiler said about a package.
func (r *report) build(e event, log io.Writer) {
	if e.Action != "build-output" {
		return
	}
	if r.builds[e.ImportPath] == nil {
		r.builds[e.ImportPath] = &strings.Builder{}
	}
	r.builds[e.ImportPath].WriteString(e.Output)
	_, _ = io.WriteString(log, e.Output)
}

func (r *report) suite(name string, at time.Time) *suite {
	if s, ok := r.byName[name]; ok {
		return s
	}
	s := &suite{result: result{name: name}, started: at, byName: map[string]*result{}}
	r.suites, r.byName[name] = append(r.suites, s), s
	return s
}

func (s *suite) test(name string) *result {
	if t, ok := s.byName[name]; ok {
		return t
	}
	t := &result{name: name}
	s.tests, s.byName[name] = append(s.tests, t), t
	return t
}

// cases returns the tests to report: those without subtests, and parents that failed although no subtest did. A package that
// failed without a failing test (it did not build, or it crashed outside one) is a case of its own, so that it is never lost.
func (s *suite) cases() []*result {
	var out []*result
	failed := func(t *result) bool { return t.outcome == "fail" || t.outcome == "" }
	for _, t := range s.tests {
		child := func(o *result) bool { return strings.HasPrefix(o.name, t.name+"/") }
		failedChild := func(o *result) bool { return child(o) && failed(o) }
		if !slices.ContainsFunc(s.tests, child) || failed(t) && !slices.ContainsFunc(s.tests, failedChild) {
			out = append(out, t)
		}
	}
	if failed(&s.result) && !slices.ContainsFunc(out, failed) {
		out = append(out, &s.result)
	}
	return out
}

// The JUnit document, as test publishers read it.
type (
	xmlRun struct {
		XMLName  xml.Name   `xml:"testsuites"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Time     string     `xml:"time,attr"`
		Suites   []xmlSuite `xml:"testsuite"`
	}
	xmlSuite struct {
		XMLName   xml.Name  `xml:"testsuite"`
		Name      string    `xml:"name,attr"`
		Tests     int       `xml:"tests,attr"`
		Failures  int       `xml:"failures,attr"`
		Skipped   int       `xml:"skipped,attr"`
		Time      string    `xml:"time,attr"`
		Timestamp string    `xml:"timestamp,attr,omitempty"`
		Cases     []xmlCase `xml:"testcase"`
	}
	xmlCase struct {
		XMLName xml.Name  `xml:"testcase"`
		Class   string    `xml:"classname,attr"`
		Name    string    `xml:"name,attr"`
		Time    string    `xml:"time,attr"`
		Failure *xmlTrace `xml:"failure"`
		Skipped *xmlTrace `xml:"skipped"`
	}
	xmlTrace struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// document makes the JUnit document; packages without tests and without failure are left out.
func (r *report) document() xmlRun {
	var run xmlRun
	var total float64
	for _, s := range r.suites {
		cases := s.cases()
		if len(cases) == 0 {
			continue
		}
		out := xmlSuite{Name: s.name, Tests: len(cases), Time: seconds(s.seconds)}
		if !s.started.IsZero() {
			out.Timestamp = s.started.UTC().Format("2006-01-02T15:04:05")
		}
		for _, c := range cases {
			x := r.testCase(s, c)
			if x.Failure != nil {
				out.Failures++
			}
			if x.Skipped != nil {
				out.Skipped++
			}
			out.Cases = append(out.Cases, x)
		}
		run.Suites = append(run.Suites, out)
		run.Tests, run.Failures, run.Skipped = run.Tests+out.Tests, run.Failures+out.Failures, run.Skipped+out.Skipped
		total += s.seconds
	}
	run.Time = seconds(total)
	return run
}

func (r *report) testCase(s *suite, c *result) xmlCase {
	x := xmlCase{Class: s.name, Name: c.name, Time: seconds(c.seconds)}
	text := c.output.String()
	if c == &s.result {
		x.Name = "(package)"
		if built := r.builds[s.failedBuild]; built != nil {
			text = built.String() + text
		}
	}
	if len(text) > maxOutput {
		text = "…" + strings.ToValidUTF8(text[len(text)-maxOutput:], "")
	}
	switch {
	case c.outcome == "skip":
		x.Skipped = &xmlTrace{Message: "skipped", Text: text}
	case c.outcome == "":
		x.Failure = &xmlTrace{Message: "did not finish", Text: text}
	case c.outcome == "fail" && s.failedBuild != "":
		x.Failure = &xmlTrace{Message: "did not build", Text: text}
	case c.outcome == "fail":
		x.Failure = &xmlTrace{Message: "failed", Text: text}
	}
	return x
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }
