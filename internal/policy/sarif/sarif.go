package sarif

import "io"

// Levels of rules and results.
const (
	Error   = "error"
	Warning = "warning"
	Note    = "note"
)

// Rule is something that can be broken.
type Rule struct {
	ID    string // unique in the report: "baseline/privileged"
	Name  string // one word, "Privileged"; "" for none
	Title string // one line
	Help  string // what to do; plain text
	Level string // of results without one: Error, Warning or Note
	Tags  []string
}

// Result is one place where a rule is broken.
type Result struct {
	Rule    string // ID of a Rule of the report
	Level   string // Error, Warning or Note
	Message string
	File    string // path from the repository's root, with slashes; "" when there is none
	Line    int    // from 1; 0 for the whole file
	// Object and Path name the place in the object: "Deployment shop/cart" and
	// "spec.template.spec.hostNetwork".
	Object string
	Path   string
	// Related are further places: the template, when File is a values file.
	Related []Location
}

// Location is a further place of a result.
type Location struct {
	File string
	Line int
	Text string // what it is, "the template"
}

// Report is what is written.
type Report struct {
	Tool    string // "towpath policy"
	Version string // of the tool
	URL     string // about the tool; "" for none
	// Category tells reports of one commit apart, "policy/production/"; "" for none.
	Category string
	Rules    []Rule
	Results  []Result
	// Source returns the content of a file of the repository, for fingerprints; ok is
	// false when it is not known. nil means that none is.
	Source func(file string) (data []byte, ok bool)
}

// Write writes a report as one JSON document.
func Write(w io.Writer, r Report) error { return r.write(w) }
