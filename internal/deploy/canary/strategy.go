package canary

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// Limits of a strategy.
const (
	maxSteps   = 20
	maxMetrics = 20
	maxPause   = 24 * time.Hour
	maxHold    = 7 * 24 * time.Hour
)

// Duration is a time.Duration that is written as text: "30s".
type Duration time.Duration

// MarshalText writes it as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads "30s", "1m30s".
func (d *Duration) UnmarshalText(b []byte) error {
	got, err := time.ParseDuration(strings.TrimSpace(string(b)))
	if err != nil {
		return fmt.Errorf("reading a duration: %w", err)
	}
	*d = Duration(got)
	return nil
}

// Strategy says how a release is tried.
type Strategy struct {
	Steps      []Step   `json:"steps"`
	Metrics    []Metric `json:"metrics,omitempty"`    // none: DefaultMetrics
	MinSamples int64    `json:"minSamples,omitempty"` // requests that the canary must have had in a step; 0 means DefaultMinSamples
	Sticky     string   `json:"sticky,omitempty"`     // "", key, cookie or trace: what keeps a caller on one track
	// Hold is how long a canary waits for a person, also after the end of the job that made
	// it; then it is rejected. Without it the end of the job rejects it.
	Hold Duration `json:"hold,omitempty"`
}

// Step gives the canary a share of the traffic and waits.
type Step struct {
	Weight   int      `json:"weight"`             // percent, 1 to 100
	Pause    Duration `json:"pause,omitempty"`    // how long it is watched at that weight
	Person   bool     `json:"person,omitempty"`   // then a person must say go on
	Analysis string   `json:"analysis,omitempty"` // "" or on; off: the step passes whatever is measured
}

// Defaults of a strategy.
const (
	DefaultMinSamples = 50
	DefaultInterval   = Duration(5 * time.Second)
	DefaultPause      = Duration(30 * time.Second)
)

// Check returns fault.Invalid with the reason when a strategy cannot be carried out.
func (s Strategy) Check() error {
	if len(s.Steps) == 0 || len(s.Steps) > maxSteps {
		return fault.New(fault.Invalid, "A canary takes 1 to %d steps, not %d.", maxSteps, len(s.Steps))
	}
	if len(s.Metrics) > maxMetrics {
		return fault.New(fault.Invalid, "A canary takes at most %d metrics.", maxMetrics)
	}
	for i, step := range s.Steps {
		switch {
		case step.Weight < 1 || step.Weight > 100:
			return fault.New(fault.Invalid, "Step %d: a weight is 1 to 100 percent, not %d.", i+1, step.Weight)
		case step.Pause < 0 || time.Duration(step.Pause) > maxPause:
			return fault.New(fault.Invalid, "Step %d: a pause is at most %s.", i+1, maxPause).WithNext("let a person decide: \"person\": true")
		case step.Analysis != "" && step.Analysis != "on" && step.Analysis != "off":
			return fault.New(fault.Invalid, "Step %d: analysis is on or off, not %q.", i+1, step.Analysis)
		}
	}
	if s.Hold < 0 || time.Duration(s.Hold) > maxHold {
		return fault.New(fault.Invalid, "A canary is held for at most %s, not %s.", maxHold, time.Duration(s.Hold))
	}
	switch s.Sticky {
	case "", "key", "cookie", "trace":
	default:
		return fault.New(fault.Invalid, "sticky is key, cookie or trace, not %q.", s.Sticky)
	}
	for _, m := range s.Metrics {
		if _, err := compile(m); err != nil {
			return err
		}
	}
	return nil
}

// Parse reads a strategy as JSON; unknown words are refused.
func Parse(text string) (Strategy, error) {
	var s Strategy
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fault.Wrap(fault.Invalid, err, "The strategy cannot be read: %v.", err).
			WithNext(`write it as {"steps":[{"weight":10,"pause":"1m"},{"weight":50,"pause":"1m"}]}`)
	}
	if len(s.Steps) == 0 {
		return s, nil
	}
	return s, s.Check()
}

// MetricsOrDefault returns the metrics that judge a trial.
func (s Strategy) MetricsOrDefault() []Metric {
	if len(s.Metrics) > 0 {
		return s.Metrics
	}
	return DefaultMetrics()
}

// Samples returns how many requests a step needs.
func (s Strategy) Samples() int64 {
	if s.MinSamples > 0 {
		return s.MinSamples
	}
	return DefaultMinSamples
}
