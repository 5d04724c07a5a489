package parse

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in a pipeline file. Line and Col count from one; a zero Line
// means that the place is the file as a whole.
type Pos struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"col,omitempty"`
}

// String returns the place in the form that the service prints:
// "file (Line: n, Col: m)", or the file alone when there is no line.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s (Line: %d, Col: %d)", p.File, p.Line, p.Col)
}

// Severity says whether a diagnostic stops the compilation.
type Severity string

// The two severities. A warning never stops a run; it names something that is
// understood but has no effect here.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Diagnostic is one finding about a pipeline file.
type Diagnostic struct {
	Severity Severity `json:"severity"`
	Pos      Pos      `json:"pos"`
	// Message says what is wrong and, where that is not obvious, what to do
	// next. It is one line without a final full stop being required.
	Message string `json:"message"`
	// Rule is the row of the conformance table that the finding enforces, such
	// as "X006"; it is empty when the finding has no row.
	Rule string `json:"rule,omitempty"`
}

// Error returns the finding in the form "file (Line: n, Col: m): message", so
// that a Diagnostic is an error.
func (d Diagnostic) Error() string {
	if place := d.Pos.String(); place != "" {
		return place + ": " + d.Message
	}
	return d.Message
}

// Diagnostics is a list of findings. The zero value is an empty list.
type Diagnostics []Diagnostic

// Errorf appends an error at pos.
func (ds *Diagnostics) Errorf(pos Pos, rule, format string, args ...any) {
	*ds = append(*ds, Diagnostic{Severity: SeverityError, Pos: pos, Rule: rule, Message: fmt.Sprintf(format, args...)})
}

// Warnf appends a warning at pos.
func (ds *Diagnostics) Warnf(pos Pos, rule, format string, args ...any) {
	*ds = append(*ds, Diagnostic{Severity: SeverityWarning, Pos: pos, Rule: rule, Message: fmt.Sprintf(format, args...)})
}

// Failed reports whether the list holds at least one error.
func (ds Diagnostics) Failed() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == SeverityError })
}

// Errors returns the errors of the list without the warnings.
func (ds Diagnostics) Errors() Diagnostics {
	return slices.DeleteFunc(slices.Clone(ds), func(d Diagnostic) bool { return d.Severity != SeverityError })
}

// Err returns the list as an error, or nil when it holds no error (warnings
// alone do not make one).
func (ds Diagnostics) Err() error {
	if !ds.Failed() {
		return nil
	}
	return ds
}

// Error returns every finding on a line of its own.
func (ds Diagnostics) Error() string {
	lines := make([]string, len(ds))
	for i, d := range ds {
		lines[i] = d.Error()
		if d.Severity == SeverityWarning {
			lines[i] = "warning: " + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

// Sort orders the findings by file, line and column and drops exact
// repetitions, which templates that are used twice would otherwise produce.
func (ds *Diagnostics) Sort() {
	slices.SortStableFunc(*ds, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(a.Pos.File, b.Pos.File),
			cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Col, b.Pos.Col),
		)
	})
	*ds = slices.Compact(*ds)
}
