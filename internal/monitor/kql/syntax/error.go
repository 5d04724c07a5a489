package syntax

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"towpath.dev/towpath/internal/monitor/kql/ir"
)

// The limits of a text.
const (
	MaxText   = 256 << 10 // bytes
	MaxDepth  = 150       // nested expressions
	MaxTokens = 60_000
	MaxErrors = 20 // that are told
	maxShown  = 40 // bytes of the text that a message repeats
)

// Span is where something stands in the text: bytes, End exclusive.
type Span = ir.Span

// Error is something wrong with a text. Line and Col count from one; Col counts characters,
// not bytes. Next is what to do about it, "" when the message says enough.
type Error struct {
	Span    Span   `json:"span"`
	Line    int    `json:"line"`
	Col     int    `json:"col"`
	Message string `json:"message"`
	Next    string `json:"next,omitempty"`
}

// Error returns the message with its place: "3:7: there is no column named \"x\"".
func (e Error) Error() string {
	s := fmt.Sprintf("%d:%d: %s", e.Line, e.Col, e.Message)
	if e.Next != "" {
		s += "; " + e.Next
	}
	return s
}

// ErrorAt makes an Error at a place of a text.
func ErrorAt(text string, at Span, next, format string, args ...any) Error {
	at = clamp(at, len(text))
	line, col := Position(text, at.Start)
	return Error{Span: at, Line: line, Col: col, Message: fmt.Sprintf(format, args...), Next: next}
}

// Position returns line and column, both from one, of a byte of the text.
func Position(text string, at int) (line, col int) {
	if at > len(text) {
		at = len(text)
	}
	before := text[:at]
	line = 1 + strings.Count(before, "\n")
	if i := strings.LastIndexByte(before, '\n'); i >= 0 {
		before = before[i+1:]
	}
	return line, 1 + utf8.RuneCountInString(before)
}

func clamp(at Span, size int) Span {
	at.Start = min(max(at.Start, 0), size)
	at.End = min(max(at.End, at.Start), size)
	return at
}
