package results

import "strings"

// dialect is what a format calls things.
type dialect struct {
	format string
	roots  []string // elements that a file begins with
	suites []string // elements that group cases and have a name
	test   string   // the element of a case
	below  string   // the parent of a case, when the name alone does not tell; "" for any
	judge  func(*test) verdict
	// define takes an element outside of cases that says something about them.
	define func(p *parser, name string, a attributes)
}

// begins says what a file begins with.
func (d dialect) begins() string { return "<" + strings.Join(d.roots, "> or <") + ">" }

// verdict is what a case says. The outcome "" is of a case that does not count.
type verdict struct {
	outcome          Outcome
	suite, name      string
	message, details string
	seconds          float64
	id               string // by which the suite is found in define's elements
}

var dialects = []dialect{
	{format: JUnit, roots: []string{"testsuites", "testsuite"}, suites: []string{"testsuites", "testsuite"}, test: "testcase", judge: judgeJUnit},
	{format: NUnit, roots: []string{"test-run", "test-results"}, suites: []string{"test-run", "test-results", "test-suite"}, test: "test-case", judge: judgeNUnit},
	{format: XUnit, roots: []string{"assemblies", "assembly"}, suites: []string{"assembly", "collection", "class"}, test: "test", judge: judgeXUnit},
	{format: VSTest, roots: []string{"TestRun"}, suites: []string{"TestRun"}, test: "UnitTestResult", judge: judgeTRX, define: defineTRX},
	{format: CTest, roots: []string{"Site"}, suites: []string{"Site"}, test: "Test", below: "Testing", judge: judgeCTest},
}

// or returns the first text that is not empty.
func or(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

func judgeJUnit(t *test) verdict {
	v := verdict{outcome: Passed, suite: or(t.attributes["classname"], t.suite), name: t.attributes["name"], seconds: seconds(t.attributes["time"])}
	for _, bad := range []string{"failure", "error"} {
		if t.has(bad) {
			v.outcome = Failed
			v.message, v.details = or(v.message, t.seen[bad]["message"]), or(v.details, t.says(bad))
		}
	}
	if v.outcome == Passed && t.has("skipped") {
		v.outcome = Skipped
	}
	return v
}

// judgeNUnit reads a case of NUnit 3 (result, duration) or 2 (executed, result or success,
// time).
func judgeNUnit(t *test) verdict {
	v := verdict{
		outcome: Passed, suite: or(t.attributes["classname"], t.suite), name: t.attributes["name"], seconds: seconds(or(t.attributes["duration"], t.attributes["time"])),
		message: t.says("failure/message"), details: t.says("failure/stack-trace"),
	}
	result := strings.ToLower(t.attributes["result"])
	switch {
	case strings.EqualFold(t.attributes["executed"], "False"):
		v.outcome = Skipped
	case result == "skipped", result == "ignored", result == "inconclusive", result == "notrunnable" && t.attributes["executed"] == "":
		v.outcome = Skipped
	case result == "failed", result == "failure", result == "error", result == "cancelled", strings.EqualFold(t.attributes["success"], "False"), t.has("failure"):
		v.outcome = Failed
	}
	v.details = joined(v.message, v.details)
	return v
}

func judgeXUnit(t *test) verdict {
	v := verdict{
		outcome: Passed, suite: or(t.attributes["type"], t.suite), name: or(t.attributes["method"], t.attributes["name"]), seconds: seconds(t.attributes["time"]),
		message: t.says("failure/message"), details: t.says("failure/stack-trace"),
	}
	switch strings.ToLower(t.attributes["result"]) {
	case "fail":
		v.outcome = Failed
	case "skip", "notrun":
		v.outcome = Skipped
	}
	v.message = or(v.message, t.seen["failure"]["exception-type"])
	v.details = joined(v.message, v.details)
	return v
}

// judgeTRX reads a result of VSTest; its class stands in the definition of the test.
func judgeTRX(t *test) verdict {
	v := verdict{
		outcome: Failed, suite: t.suite, name: t.attributes["testName"], id: t.attributes["testId"], seconds: seconds(t.attributes["duration"]),
		message: t.says("Output/ErrorInfo/Message"), details: t.says("Output/ErrorInfo/StackTrace"),
	}
	switch strings.ToLower(t.attributes["outcome"]) {
	case "passed", "passedbutrunaborted", "warning", "completed":
		v.outcome = Passed
	case "notexecuted", "notrunnable", "pending", "inconclusive", "":
		v.outcome = Skipped
	}
	v.details = joined(v.message, v.details)
	return v
}

// defineTRX notes the classes of <UnitTest id><TestMethod className>.
func defineTRX(p *parser, name string, a attributes) {
	if p.class == nil {
		p.class = map[string]string{}
	}
	switch name {
	case "UnitTest":
		p.class[""] = a["id"]
	case "TestMethod":
		class, _, _ := strings.Cut(a["className"], ",")
		if id := p.class[""]; id != "" && len(p.class) <= MaxKept {
			p.class[id] = class
		}
	}
}

func judgeCTest(t *test) verdict {
	v := verdict{
		outcome: Failed, suite: or(strings.Trim(t.says("Path"), "./"), t.suite), name: t.says("Name"),
		seconds: seconds(t.says("Results/NamedMeasurement[Execution Time]/Value")), details: t.says("Results/Measurement/Value"),
	}
	switch strings.ToLower(t.attributes["Status"]) {
	case "passed":
		v.outcome = Passed
	case "notrun", "disabled":
		v.outcome = Skipped
	}
	if exit := t.says("Results/NamedMeasurement[Exit Code]/Value"); v.outcome == Failed && exit != "" {
		v.message = exit
		if code := t.says("Results/NamedMeasurement[Exit Value]/Value"); code != "" {
			v.message += " (exit value " + code + ")"
		}
	}
	return v
}

// joined is a message with the place where it came up.
func joined(message, trace string) string {
	return strings.TrimSpace(message + "\n" + trace)
}
