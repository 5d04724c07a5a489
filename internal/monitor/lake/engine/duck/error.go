//go:build cgo

package duck

import (
	"strings"

	bindings "github.com/duckdb/duckdb-go-bindings"
)

// Reason says what sort of failure an Error is.
type Reason uint8

// The reasons.
const (
	Wrong       Reason = iota // the statement is wrong, or meets values that it cannot take
	OutOfMemory               // it needs more memory or spill space than there is
	Interrupted               // its context ended
	Input                     // reading or writing a file
	Broken                    // DuckDB itself
	Aborted                   // what was done before it in the transaction failed
)

// Error is a failure of DuckDB.
type Error struct {
	Reason Reason
	Text   string // DuckDB's words
}

// Error returns DuckDB's words.
func (e *Error) Error() string { return "duckdb: " + e.Text }

func errorOf(t bindings.ErrorType, text string) *Error {
	e := &Error{Text: text}
	for _, said := range []string{"failed to pin block", "failed to allocate", "failed to offload"} {
		if strings.Contains(text, said) { // A commit that finds no memory says so under another type.
			e.Reason = OutOfMemory
			return e
		}
	}
	if strings.Contains(text, "Current transaction is aborted") {
		e.Reason = Aborted
		return e
	}
	switch t {
	case bindings.ErrorTypeOutOfMemory:
		e.Reason = OutOfMemory
	case bindings.ErrorTypeInterrupt:
		e.Reason = Interrupted
	case bindings.ErrorTypeErrorIO:
		e.Reason = Input
	case bindings.ErrorTypeFatal, bindings.ErrorTypeInternal:
		e.Reason = Broken
	case bindings.ErrorTypeInvalid:
		e.Reason = reasonOf(text)
	}
	return e
}

// reasonOf reads the words where the C API has no type (of a prepared statement, an
// appender): each begins with the name of DuckDB's exception.
func reasonOf(text string) Reason {
	for prefix, r := range map[string]Reason{
		"Out of Memory Error": OutOfMemory, "INTERRUPT Error": Interrupted, "IO Error": Input, "FATAL Error": Broken, "INTERNAL Error": Broken,
	} {
		if strings.HasPrefix(text, prefix) {
			return r
		}
	}
	return Wrong
}
