package canary

import (
	"fmt"
	"math"
	"time"
)

// Phases of a trial.
const (
	Progressing = "progressing"
	Paused      = "paused" // a person is to say go on
	// InconclusivePhase: what was measured says neither; a person is to decide.
	InconclusivePhase = "inconclusive"
	Promoting         = "promoting"
	Promoted          = "promoted"
	Rejecting         = "rejecting"
	Rejected          = "rejected"
)

// Over reports whether a trial in this phase has ended.
func Over(phase string) bool { return phase == Promoted || phase == Rejected }

// Value is one measured value, the canary beside its baseline.
type Value struct {
	Canary   float64 `json:"canary"`
	Baseline float64 `json:"baseline"`
	Samples  int64   `json:"samples"`
	P        float64 `json:"p"`
}

// Measurement is a value with what it means.
type Measurement struct {
	Service string    `json:"service"`
	Metric  string    `json:"metric"`
	At      time.Time `json:"at"`
	Value
	Outcome string `json:"outcome"` // success, failure, inconclusive, error
	Why     string `json:"why,omitempty"`
}

// Count is what an analysis remembers of one metric of one service.
type Count struct {
	Service            string      `json:"service"`
	Metric             string      `json:"metric"`
	Taken              int         `json:"taken"` // in this step
	Successful         int         `json:"successful"`
	Failed             int         `json:"failed"`
	Inconclusive       int         `json:"inconclusive"`
	ConsecutiveErrors  int         `json:"consecutiveErrors"`
	ConsecutiveSuccess int         `json:"consecutiveSuccess"`
	Next               time.Time   `json:"next,omitzero"`    // when it is measured next
	Evidence           float64     `json:"evidence"`         // logarithm, of steps that are over
	Step               float64     `json:"step"`             // likewise, of this step so far
	Best               float64     `json:"best"`             // the largest sum of both so far
	Bursts             *Bursts     `json:"bursts,omitempty"` // of latency-p95 only
	Last               Measurement `json:"last"`
	Fault              string      `json:"fault,omitempty"` // what the last failure found
}

// Trial is where a canary stands. It is plain data: stored after each change, it goes on
// where it was.
type Trial struct {
	Strategy Strategy          `json:"strategy"`
	External bool              `json:"external,omitempty"` // somebody else (a pipeline) says when to go on
	Phase    string            `json:"phase"`
	Step     int               `json:"step"` // from 0
	Weight   int               `json:"weight"`
	Since    time.Time         `json:"since"` // of the step
	Begin    map[string]Sample `json:"begin"` // what was seen when the step began, by service
	Now      map[string]Sample `json:"now"`
	Counts   []Count           `json:"counts"`
	Why      string            `json:"why,omitempty"`
	// Phased is since when the trial is in the phase Stamped.
	Phased  time.Time `json:"phased,omitzero"`
	Stamped string    `json:"stamped,omitempty"`

	compiled map[string]conditions // by metric
}

// New begins a trial.
func New(s Strategy, now time.Time) *Trial {
	return &Trial{Strategy: s, Phase: Progressing, Weight: s.Steps[0].Weight, Since: now, Begin: map[string]Sample{}, Now: map[string]Sample{}}
}

// Enter begins a step: what was seen so far is no part of it, and the evidence is kept.
func (t *Trial) Enter(step, weight int, now time.Time) {
	t.Step, t.Weight, t.Since, t.Phase, t.Why = step, weight, now, Progressing, ""
	for k, v := range t.Now {
		t.Begin[k] = v
	}
	for i := range t.Counts {
		c := &t.Counts[i]
		c.Evidence, c.Step = c.Evidence+c.Step, 0
		c.Taken, c.Successful, c.Failed, c.Inconclusive, c.ConsecutiveErrors, c.ConsecutiveSuccess = 0, 0, 0, 0, 0, 0
		c.Next = time.Time{}
	}
}

func (t *Trial) step() Step {
	if t.Step >= 0 && t.Step < len(t.Strategy.Steps) {
		return t.Strategy.Steps[t.Step]
	}
	return Step{Weight: t.Weight}
}

// Samples returns how many requests the canary has had in this step.
func (t *Trial) Samples() int64 {
	n := int64(0)
	for k, now := range t.Now {
		n += now.Canary.Requests - t.Begin[k].Canary.Requests
	}
	return n
}

// Lost notes that nothing could be measured.
func (t *Trial) Lost(now time.Time, why string) {
	for i := range t.Counts {
		c := &t.Counts[i]
		if now.Before(c.Next) {
			continue
		}
		c.ConsecutiveErrors++
		c.ConsecutiveSuccess = 0
		c.Last = Measurement{Service: c.Service, Metric: c.Metric, At: now, Outcome: Trouble, Why: why}
		c.Next = now.Add(time.Duration(t.metric(c.Metric).Every()))
	}
}

func (t *Trial) metric(name string) Metric {
	for _, m := range t.Strategy.MetricsOrDefault() {
		if m.Name == name {
			return m
		}
	}
	return Metric{Name: name}
}

// Measure takes what was seen and returns the measurements that were due.
func (t *Trial) Measure(now time.Time, seen []Sample) ([]Measurement, error) {
	var out []Measurement
	for _, s := range seen {
		if _, known := t.Begin[s.Service]; !known {
			t.Begin[s.Service] = Sample{Service: s.Service}
		}
		t.Now[s.Service] = s
		for _, m := range t.Strategy.MetricsOrDefault() {
			c := t.count(s.Service, m.Name)
			if now.Before(c.Next) || now.Sub(t.Since) < time.Duration(m.InitialDelay) {
				continue
			}
			got, err := t.measure(c, m, s, now)
			if err != nil {
				return out, err
			}
			out = append(out, got)
		}
	}
	return out, nil
}

func (t *Trial) count(service, metric string) *Count {
	for i := range t.Counts {
		if t.Counts[i].Service == service && t.Counts[i].Metric == metric {
			return &t.Counts[i]
		}
	}
	t.Counts = append(t.Counts, Count{Service: service, Metric: metric})
	return &t.Counts[len(t.Counts)-1]
}

// conditions compiles the conditions of a metric once.
func (t *Trial) conditions(m Metric) (conditions, error) {
	if c, ok := t.compiled[m.Name]; ok {
		return c, nil
	}
	c, err := compile(m)
	if err != nil {
		return c, err
	}
	if t.compiled == nil {
		t.compiled = map[string]conditions{}
	}
	t.compiled[m.Name] = c
	return c, nil
}

func (t *Trial) measure(c *Count, m Metric, s Sample, now time.Time) (Measurement, error) {
	conditions, err := t.conditions(m)
	if err != nil {
		return Measurement{}, err
	}
	v := t.value(c, m.Name, s)
	out := Measurement{Service: s.Service, Metric: m.Name, At: now, Value: v}
	out.Outcome, err = conditions.judge(v)
	if err != nil {
		out.Why = err.Error()
	}
	c.Taken++
	c.Next = now.Add(time.Duration(m.Every()))
	if out.Outcome == Trouble {
		c.ConsecutiveErrors++
	} else {
		c.ConsecutiveErrors = 0
	}
	if out.Outcome == Success {
		c.Successful++
		c.ConsecutiveSuccess++
	} else {
		c.ConsecutiveSuccess = 0
	}
	switch out.Outcome {
	case Failure:
		c.Failed++
		out.Why = describe(out)
		c.Fault = out.Why
	case Inconclusive:
		c.Inconclusive++
	}
	c.Last = out
	return out, nil
}

// value computes what a metric has to judge, from the beginning of the step.
func (t *Trial) value(c *Count, metric string, s Sample) Value {
	begin := t.Begin[s.Service]
	canary, baseline := s.Canary.Minus(begin.Canary), s.Baseline.Minus(begin.Baseline)
	v := Value{Samples: canary.Requests, P: 1}
	share := 0.0
	if all := canary.Requests + baseline.Requests; all > 0 {
		share = float64(canary.Requests) / float64(all)
	}
	test := func(of, other int64) float64 {
		c.Step = evidence(of, of+other, share)
		return c.Evidence + c.Step
	}
	switch metric {
	case ErrorRate:
		v.Canary, v.Baseline = canary.share(), baseline.share()
		c.Best = math.Max(c.Best, test(canary.Errors, baseline.Errors))
		v.P = pOf(c.Best)
	case Latency:
		v.Canary, v.Baseline = canary.quantile(0.95), baseline.quantile(0.95)
		if v.Baseline > 0 {
			limit := v.Baseline * 1.25
			sure := test(canary.above(limit), baseline.above(limit))
			if c.Bursts == nil {
				c.Bursts = &Bursts{}
			}
			c.Bursts.look(s.Canary, s.Baseline, limit)
			c.Best = math.Max(c.Best, c.Bursts.discount(sure))
		}
		v.P = pOf(c.Best)
	case Restarts:
		v.Canary, v.Baseline = float64(s.CanaryHealth.Restarts), float64(s.BaselineHealth.Restarts)
	case OOM:
		v.Canary, v.Baseline = float64(s.CanaryHealth.OOM), float64(s.BaselineHealth.OOM)
	}
	return v
}

// describe says in one line what a measurement found.
func describe(m Measurement) string {
	switch m.Metric {
	case ErrorRate:
		return fmt.Sprintf("%s: %.1f %% of the canary's requests fail, %.1f %% of the baseline's (%d requests, p = %.2g)",
			m.Service, m.Canary*100, m.Baseline*100, m.Samples, m.P)
	case Latency:
		return fmt.Sprintf("%s: the p95 of the canary is %.0f ms, that of the baseline %.0f ms (%d requests, p = %.2g)",
			m.Service, m.Canary*1000, m.Baseline*1000, m.Samples, m.P)
	case Restarts:
		return fmt.Sprintf("%s: containers of the canary restarted %.0f times, those of the baseline %.0f times", m.Service, m.Canary, m.Baseline)
	case OOM:
		return fmt.Sprintf("%s: %.0f containers of the canary were killed for their memory, %.0f of the baseline", m.Service, m.Canary, m.Baseline)
	}
	return m.Service + ": " + m.Metric
}
