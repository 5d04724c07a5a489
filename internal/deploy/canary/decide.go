package canary

import (
	"fmt"
	"time"
)

// What a trial does next.
const (
	Stay    = "stay"
	Advance = "advance" // to the next step
	Pause   = "pause"   // until a person says go on
	Unsure  = "unsure"  // until a person decides
	Promote = "promote"
	Reject  = "reject"
	GiveUp  = "give up" // what cannot be taken away stays, and the trial ends
)

// Decision is what a trial does next, and why.
type Decision struct {
	Do  string
	Why string
}

// patience is how much longer than its pause a step waits for enough requests, at least.
const patience = time.Minute

// Decide says what a trial in phase Progressing does next.
func (t *Trial) Decide(now time.Time) Decision {
	step := t.step()
	judged := step.Analysis != "off"
	if judged {
		if d := t.analysis(); d.Do != Stay {
			return d
		}
	}
	if t.External {
		return Decision{Do: Stay}
	}
	if now.Sub(t.Since) < time.Duration(step.Pause) && !(judged && t.settled()) {
		return Decision{Do: Stay}
	}
	if need := t.Strategy.Samples(); judged && t.Samples() < need {
		wait := max(2*time.Duration(step.Pause), patience)
		if now.Sub(t.Since) < time.Duration(step.Pause)+wait {
			return Decision{Do: Stay}
		}
		return Decision{Do: Unsure, Why: fmt.Sprintf("the canary had %d requests at %d %%, it needs %d to be judged", t.Samples(), t.Weight, need)}
	}
	switch {
	case step.Person:
		return Decision{Do: Pause, Why: fmt.Sprintf("step %d of %d asks for a person", t.Step+1, len(t.Strategy.Steps))}
	case t.Step+1 >= len(t.Strategy.Steps):
		return Decision{Do: Promote}
	}
	return Decision{Do: Advance}
}

// analysis is the worst that the metrics say.
func (t *Trial) analysis() Decision {
	out := Decision{Do: Stay}
	for _, c := range t.Counts {
		m := t.metric(c.Metric)
		switch {
		case m.DryRun:
		case c.Failed > m.FailureLimit:
			return Decision{Do: Reject, Why: c.Fault}
		case c.Inconclusive > m.InconclusiveLimit:
			out = Decision{Do: Unsure, Why: fmt.Sprintf("%s of %s is inconclusive: %.4g on the canary, %.4g on the baseline", c.Metric, c.Service, c.Last.Canary, c.Last.Baseline)}
		case c.ConsecutiveErrors > m.errorLimit():
			out = Decision{Do: Unsure, Why: fmt.Sprintf("%s of %s could not be measured %d times in a row: %s", c.Metric, c.Service, c.ConsecutiveErrors, c.Last.Why)}
		}
	}
	return out
}

// settled reports whether every metric that says how many measurements are enough has had
// them; a step without such a metric lasts as long as its pause.
func (t *Trial) settled() bool {
	asked := false
	for _, c := range t.Counts {
		m := t.metric(c.Metric)
		if m.DryRun || m.Count == 0 && m.ConsecutiveSuccessLimit == 0 {
			continue
		}
		asked = true
		enough := m.Count > 0 && c.Taken >= m.Count
		enough = enough || m.ConsecutiveSuccessLimit > 0 && c.ConsecutiveSuccess >= m.ConsecutiveSuccessLimit
		if !enough {
			return false
		}
	}
	return asked
}

// Shares returns the weights of stable, baseline and canary when the canary has weight
// percent: the baseline has as much as long as there is room for both.
func Shares(weight int) (stable, baseline, canary int) {
	if weight <= 50 {
		return 100 - 2*weight, weight, weight
	}
	return 0, 100 - weight, weight
}

// Replicas returns how many pods canary and baseline get: at least one, so that a share is
// real however few pods there are.
func Replicas(stable, weight int) int {
	return max(1, (stable*weight+50)/100)
}
