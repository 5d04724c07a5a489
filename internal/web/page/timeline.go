package page

import (
	"strconv"
	"time"
)

// Lane is a row of a run's timeline: when a job waited for an agent and when it ran, with
// its steps, or since when a stage is held. Times are zero until they have come.
type Lane struct {
	Title    string
	State    State
	Word     string
	Queued   time.Time
	Started  time.Time
	Finished time.Time
	Agent    string
	Hold     bool // checks hold it since Queued
	Job      string
	Step     int
	Steps    []Lane
}

// axis is the time that a timeline shows.
type axis struct {
	from time.Time
	span time.Duration
	now  time.Time
}

// ticks is how many parts an axis is divided into.
const ticks = 5

// units is how wide a timeline is drawn; it is stretched to the room that it has.
const units = 1000

// axis is the time from the start of the run to its end, or to now.
func (v RunView) axis(s Shell) axis {
	a := axis{from: v.Queued, now: s.Now}
	if !v.Finished.IsZero() {
		a.now = v.Finished
	}
	// An attempt may have begun before the run as it is now, and clocks of rows may differ.
	for _, b := range v.Bars {
		for _, t := range []time.Time{b.Queued, b.Started} {
			if !t.IsZero() && (a.from.IsZero() || t.Before(a.from)) {
				a.from = t
			}
		}
		if b.Finished.After(a.now) {
			a.now = b.Finished
		}
	}
	a.span = max(a.now.Sub(a.from), time.Second)
	return a
}

// labels are the words below the axis.
func (a axis) labels() []string {
	out := make([]string, 0, ticks+1)
	for i := range ticks + 1 {
		d := a.span * time.Duration(i) / ticks
		if a.span >= 10*time.Second {
			out = append(out, TookSoFar(d))
		} else {
			out = append(out, Took(d))
		}
	}
	return out
}

// x is where a time stands.
func (a axis) x(t time.Time) float64 {
	return min(max(float64(t.Sub(a.from))/float64(a.span)*units, 0), units)
}

// piece is a part of a row: from where and how wide.
type piece struct{ X, Width string }

func (a axis) piece(from, to time.Time) piece {
	if to.IsZero() {
		to = a.now
	}
	x := a.x(from)
	// What took no time is seen all the same.
	return piece{px(x), px(max(a.x(to)-x, 2))}
}

// waited is how long a job waited for an agent, or a stage is held.
func (b Lane) waited(a axis) time.Duration {
	switch {
	case b.Queued.IsZero():
		return 0
	case b.Started.IsZero():
		if !b.Finished.IsZero() {
			return b.Finished.Sub(b.Queued)
		}
		return a.now.Sub(b.Queued)
	}
	return b.Started.Sub(b.Queued)
}

// ran is how long it ran, below zero when it has not.
func (b Lane) ran(a axis) time.Duration {
	switch {
	case b.Started.IsZero():
		return -1
	case b.Finished.IsZero():
		return a.now.Sub(b.Started)
	}
	return b.Finished.Sub(b.Started)
}

// words say the row to who does not see it drawn.
func (b Lane) words(a axis) string {
	text := b.Title + ": " + b.Word
	if w := b.waited(a); w >= time.Second/10 && !b.Queued.IsZero() {
		if b.Hold {
			text += " for " + Took(w)
		} else {
			text += ", waited " + Took(w)
		}
	}
	if r := b.ran(a); r >= 0 {
		text += ", ran " + Took(r) + " from " + Took(b.Started.Sub(a.from)) + " on"
	}
	if b.Agent != "" {
		text += ", on " + b.Agent
	}
	return text
}

// tookWords is what stands beside the row.
func (b Lane) tookWords(a axis) string {
	r := b.ran(a)
	switch {
	case r >= 0:
		return Took(r)
	case b.waited(a) > 0:
		return Took(b.waited(a))
	}
	return b.Word
}

// href leads to the log of a row.
func (v RunView) barHref(s Shell, b Lane) string {
	step := b.Step
	if step == 0 && len(b.Steps) > 0 {
		step = b.Steps[0].Step
		for _, p := range b.Steps {
			if p.State == Shut {
				step = p.Step
				break
			}
		}
	}
	if b.Job == "" || step == 0 {
		return ""
	}
	return v.path(s) + Query("job", b.Job, "step", strconv.Itoa(step))
}

// unfolded reports whether the steps of all jobs are shown at first.
func (v RunView) unfolded() bool {
	n := 0
	for _, b := range v.Bars {
		n += 1 + len(b.Steps)
	}
	return n <= 40
}

// queueEnd is when the waiting ended; zero while it goes on.
func (b Lane) queueEnd() time.Time {
	if b.Started.IsZero() {
		return b.Finished
	}
	return b.Started
}
