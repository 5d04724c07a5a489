package alert

import "time"

// A look at the clock comes at least every second, so a step of maxStep is a clock that
// jumped, or a machine that slept. For hold after it nothing is removed for its age: a person
// or a time server may set the clock right.
const (
	maxStep = time.Hour
	hold    = time.Hour
)

// jumps notices a clock that jumps.
type jumps struct{ last, until time.Time }

// look reports whether what is old may be removed at now.
func (j *jumps) look(now time.Time) bool {
	if now.Sub(j.last).Abs() > maxStep {
		j.until = now.Add(hold)
	}
	j.last = now
	return !now.Before(j.until)
}
