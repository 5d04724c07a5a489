package judge

import (
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// The bounds of what one rule may leave behind. Groups of earlier evaluations are
// remembered beside those of the last one, so that maxGroups alone does not bound them.
const (
	maxRemembered      = 2000
	maxRememberedBytes = 1 << 20 // of names and values of dimensions
	maxFiring          = 500
)

// Bounded says what is too much of an evaluation: more alerts of one rule firing at once, or
// more groups to remember, than anybody could look at. It is fault.TooLarge; nothing of the
// evaluation must be kept then. dimensions are the rule's, for the message.
func Bounded(verdicts []Verdict, after Memory, dimensions []string) error {
	firing := 0
	for _, v := range verdicts {
		if v.State == Firing {
			firing++
		}
	}
	names := strings.Join(dimensions, ", ")
	if firing > maxFiring {
		return fault.New(fault.TooLarge, "%d combinations of %s would fire at once; one rule fires for at most %d.", firing, names, maxFiring).
			WithNext("choose dimensions with fewer values, or raise the threshold")
	}
	size := 0
	for _, t := range after {
		for k, v := range t.Labels {
			size += len(k) + len(v)
		}
	}
	if len(after) > maxRemembered || size > maxRememberedBytes {
		return fault.New(fault.TooLarge, "The rule has %d combinations of %s with %d KiB of text to remember between evaluations; at most %d with %d KiB are.",
			len(after), names, size>>10, maxRemembered, maxRememberedBytes>>10).
			WithNext("choose dimensions with fewer and shorter values, or look at fewer evaluations")
	}
	return nil
}
