package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/work"
)

// SprintsView lists the sprints of a project.
type SprintsView struct {
	Sprints  []work.Sprint
	Velocity work.Velocity
	MayWrite bool
}

// SprintView is one sprint with what it burns down.
type SprintView struct {
	Sprint   work.Sprint
	Burndown work.Burndown
	Items    []work.Item
	MayWrite bool
}

// PlanningView is what a planning looks at.
type PlanningView struct {
	work.Tray
	Sprints  []work.Sprint
	MayWrite bool
}

// SprintHref is the address of a sprint.
func SprintHref(s Shell, id string) string { return s.At("/sprints/" + id) }

// sprintState is the state of a sprint in the product's four states.
func sprintState(state string) State {
	switch state {
	case work.SprintActive:
		return Passing
	case work.SprintClosed:
		return Open
	}
	return Wait
}

// The drawing of a burndown, in its own units.
const (
	burnWidth  = 640
	burnHeight = 200
)

// burnLine is the path of one value over the days of a sprint.
func burnLine(b work.Burndown, value func(work.BurnDay) (y float64, known bool)) string {
	most := burnMost(b)
	var out strings.Builder
	for i, d := range b.Days {
		y, known := value(d)
		if !known {
			break
		}
		op := "L"
		if out.Len() == 0 {
			op = "M"
		}
		x := float64(burnWidth)
		if len(b.Days) > 1 {
			x = float64(i) * burnWidth / float64(len(b.Days)-1)
		}
		fmt.Fprintf(&out, "%s%.1f %.1f", op, x, burnHeight*(1-y/most))
	}
	return out.String()
}

func burnMost(b work.Burndown) float64 {
	most := 1.0
	for _, d := range b.Days {
		most = max(most, d.Scope, d.Ideal, d.Remaining)
	}
	return most
}

func burnIdeal(d work.BurnDay) (float64, bool)  { return d.Ideal, true }
func burnScope(d work.BurnDay) (float64, bool)  { return d.Scope, d.Known }
func burnRemain(d work.BurnDay) (float64, bool) { return d.Remaining, d.Known }

// burnWords says the chart for who does not see it.
func burnWords(b work.Burndown) string {
	last := ""
	for _, d := range b.Days {
		if d.Known {
			day := d.Day
			if at, err := time.Parse(time.DateOnly, d.Day); err == nil {
				day = Day(at)
			}
			last = fmt.Sprintf("On %s, %s of %s and %s items remain.", day, pointsOrZero(d.Remaining), pointsWords(d.Scope), Count(d.Items))
		}
	}
	if last == "" {
		return "It has not begun."
	}
	return last
}

// burnDay is a day on the axis of a burndown.
func burnDay(t time.Time) string { return t.UTC().Format("2 Jan") }

// trayNote says where an insight comes from and where it should go.
func trayNote(i work.TrayItem) string {
	note := insightWord(i.Insight)
	switch {
	case i.InSprint:
		note += " · in the sprint"
	case i.Suggested == "@current":
		note += " · for this sprint"
	case i.Suggested == "@next":
		note += " · for the next sprint"
	case i.Suggested != "" && i.Suggested != "none":
		note += " · for " + i.Suggested
	}
	return note
}

func pointsOrZero(p float64) string { return strconv.FormatFloat(p, 'f', -1, 64) }

// share is a part of a whole in percent, at most 100.
func share(part, whole float64) int {
	if whole <= 0 {
		if part > 0 {
			return 100
		}
		return 0
	}
	return min(100, int(100*part/whole+0.5))
}

// roomTone says whether more is planned than there is room for.
func roomTone(planned, room float64) string {
	if room > 0 && planned > room {
		return "bad"
	}
	return ""
}
