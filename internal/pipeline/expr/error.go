package expr

import "fmt"

// The bounds of the language (X010), and a bound of ours on the size of a
// result, without which a short expression could build an arbitrarily large
// string.
const (
	MaxDepth  = 50
	MaxLength = 21000
	MaxResult = 10 << 20
	// MaxItems is how many items a list may have that an expression makes.
	MaxItems = 500_000
	// MaxWork is how many bytes one evaluation may look at, see [Work].
	MaxWork = 256 << 20
)

// Error is a fault in an expression or in its evaluation.
type Error struct {
	// Message says what is wrong, in the words of the service where it has any.
	Message string
	// Offset is the place in the expression, in bytes from its start; -1 when
	// the fault has no place.
	Offset int
	// Source is the expression.
	Source string
	// Syntax tells a text that is no expression from one that cannot be
	// evaluated; the former is an error even in a branch that is not taken (T011).
	Syntax bool
	// Limit says that the allowance for work is used up: whatever is evaluated with it
	// from then on fails, too.
	Limit bool
}

// Error returns the message with the place, as the service words it.
func (e *Error) Error() string {
	if e.Offset < 0 {
		return e.Message
	}
	return fmt.Sprintf("%s. Located at position %d within expression: %s", e.Message, e.Offset+1, shorten(e.Source))
}

// shorten keeps messages readable when the expression is long.
func shorten(s string) string {
	const limit = 200
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && s[cut]&0xC0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}
