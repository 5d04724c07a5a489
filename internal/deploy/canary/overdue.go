package canary

import (
	"fmt"
	"time"
)

// How long a trial may stay in a phase: each has a way out by time alone, so that no release
// sticks when nobody decides, a pipeline never comes back or a cluster stays away.
const (
	DefaultHold = 24 * time.Hour // of one that waits for a person, unless Strategy.Hold says otherwise
	roundLimit  = 72 * time.Hour // of a round of a pipeline
	stepGrace   = 24 * time.Hour // of a step, beyond its pause
	endLimit    = 6 * time.Hour  // of promoting and of rejecting
)

// Stamp notes since when the trial is in its phase. It is called whenever a trial is stored.
func (t *Trial) Stamp(now time.Time) {
	if t.Stamped != t.Phase || t.Phased.IsZero() {
		t.Stamped, t.Phased = t.Phase, now
	}
}

// Waits reports whether a person is to decide.
func (t *Trial) Waits() bool { return t.Phase == Paused || t.Phase == InconclusivePhase }

// Deadline is when a trial that waits for a person is rejected; zero for any other.
func (t *Trial) Deadline() time.Time {
	if !t.Waits() || t.Phased.IsZero() {
		return time.Time{}
	}
	if t.Strategy.Hold > 0 {
		return t.Phased.Add(time.Duration(t.Strategy.Hold))
	}
	return t.Phased.Add(DefaultHold)
}

// Overdue says what becomes of a trial that was too long in its phase: Reject, or GiveUp for
// one that could not even be rejected; Stay otherwise.
func (t *Trial) Overdue(now time.Time) Decision {
	if t.Phased.IsZero() || t.Stamped != t.Phase {
		return Decision{Do: Stay}
	}
	in := now.Sub(t.Phased)
	switch t.Phase {
	case Paused, InconclusivePhase:
		if !now.Before(t.Deadline()) {
			return Decision{Do: Reject, Why: fmt.Sprintf("nobody decided within %s: %s", t.Deadline().Sub(t.Phased), t.Why)}
		}
	case Progressing:
		limit := time.Duration(t.step().Pause) + stepGrace
		if t.External {
			limit = roundLimit
		}
		if since := now.Sub(t.Since); since >= limit {
			return Decision{Do: Reject, Why: fmt.Sprintf("step %d did not end within %s", t.Step+1, limit)}
		}
	case Promoting:
		if in >= endLimit {
			return Decision{Do: Reject, Why: fmt.Sprintf("it could not be promoted within %s", endLimit)}
		}
	case Rejecting:
		if in >= endLimit {
			return Decision{Do: GiveUp, Why: fmt.Sprintf("%s; what it added could not be taken away within %s", t.Why, endLimit)}
		}
	}
	return Decision{Do: Stay}
}
