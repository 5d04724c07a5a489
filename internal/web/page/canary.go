package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/deploy/canary"
)

// canaryState is a canary in the product's four states.
func canaryState(phase string) State {
	switch phase {
	case canary.Promoted:
		return Open
	case canary.Rejected, canary.Rejecting:
		return Shut
	case canary.Paused, canary.InconclusivePhase:
		return Held
	}
	return Passing
}

// canaryOpen reports whether a person may still decide.
func canaryOpen(v canary.View) bool {
	return v.Finished.IsZero() && v.State != canary.Promoting && v.State != canary.Rejecting
}

// canaryNext is what the button to go on says.
func canaryNext(v canary.View) string {
	if v.State == canary.Paused && v.Step < len(v.Steps) {
		return "Go on to " + strconv.Itoa(v.Steps[v.Step].Weight) + " %"
	}
	return "Promote"
}

// deadlineWords says until when a person may decide; "" when nobody is asked.
func (s Shell) deadlineWords(v canary.View) string {
	switch left := v.Deadline.Sub(s.Now); {
	case v.Deadline.IsZero() || !v.Finished.IsZero():
		return ""
	case left < time.Minute:
		return "Without a decision it is rejected now"
	default:
		return "Without a decision it is rejected in " + TookSoFar(left.Truncate(time.Minute))
	}
}

// holdWords says how long a strategy waits for a person.
func holdWords(st *canary.Strategy) string {
	hold := canary.DefaultHold
	if st.Hold > 0 {
		hold = time.Duration(st.Hold)
	}
	return spell(hold) + ", then it is rejected"
}

// stepClass marks steps that are done, the one that goes on, and those to come.
func stepClass(v canary.View, i int) string {
	switch {
	case v.State == canary.Promoted || i+1 < v.Step:
		return "done"
	case i+1 == v.Step:
		return string(canaryState(v.State))
	}
	return ""
}

// metricWord says what a metric measures.
func metricWord(name string) string {
	words := map[string]string{"error-rate": "Failed requests", "latency-p95": "Latency p95", "restarts": "Restarts", "oom": "Out of memory"}
	if w, ok := words[name]; ok {
		return w
	}
	return name
}

// metricValue writes a value of a metric.
func metricValue(name string, v float64) string {
	switch name {
	case "error-rate":
		return Percent(100 * v)
	case "latency-p95":
		return milliseconds(1000 * v)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// measuredState is a measurement's outcome in the product's four states.
func measuredState(outcome string) State {
	switch outcome {
	case "success":
		return Open
	case "failure", "error":
		return Shut
	}
	return Held
}

// line draws one track of a metric's measurements in a box of 320 by 72.
func (m metricLine) line(value func(canary.Value) float64) string {
	points := m.Points
	if len(points) == 0 {
		return ""
	}
	most := 0.0
	for _, p := range points {
		most = max(most, p.Canary, p.Baseline)
	}
	if most == 0 {
		most = 1
	}
	from, span := points[0].At, points[len(points)-1].At.Sub(points[0].At)
	var b strings.Builder
	for i, p := range points {
		x := 320.0
		if span > 0 {
			x = 320 * float64(p.At.Sub(from)) / float64(span)
		}
		op := "L"
		if i == 0 {
			op = "M"
			if span == 0 {
				x = 0
			}
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", op, x, 68-64*value(p.Value)/most)
		if span == 0 {
			fmt.Fprintf(&b, "H320")
			break
		}
	}
	return b.String()
}

// metricLine is what was measured of one service.
type metricLine struct{ canary.Series }

func (m metricLine) last() canary.Measurement { return m.Points[len(m.Points)-1] }

func ofCanary(v canary.Value) float64   { return v.Canary }
func ofBaseline(v canary.Value) float64 { return v.Baseline }

// spell writes a duration that somebody chose, without the parts that are zero: "10m",
// "1h30m", "45s".
func spell(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// stepWords says what a step of a strategy asks for.
func stepWords(st canary.Step) string {
	words := strconv.Itoa(st.Weight) + " %"
	if st.Pause > 0 {
		took := strings.TrimSuffix(TookSoFar(time.Duration(st.Pause)), " 0 s")
		words += " for " + strings.TrimSuffix(took, " 0 min")
	}
	if st.Person {
		words += ", then a person"
	}
	return words
}
