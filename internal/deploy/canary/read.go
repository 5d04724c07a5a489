package canary

import (
	"time"

	"towpath.dev/towpath/internal/event"
)

// Weight is how the traffic of a service is shared, in percent.
type Weight struct {
	Service  string `json:"service"`
	Stable   int    `json:"stable"`
	Baseline int    `json:"baseline"`
	Canary   int    `json:"canary"`
}

// View is a canary as people see it.
type View struct {
	Release     string            `json:"release"` // that is tried: "shop/production/48"
	Project     string            `json:"project"`
	Environment string            `json:"environment"`
	Stable      string            `json:"stable"` // release that serves meanwhile
	State       string            `json:"state"`  // progressing, paused, inconclusive, promoting, promoted, rejecting, rejected
	Why         string            `json:"why,omitempty"`
	By          string            `json:"by,omitempty"`     // who promoted or rejected it; "" for the analysis
	Driver      string            `json:"driver"`           // environment, or pipeline: who says when to go on
	Step        int               `json:"step"`             // from 1
	Steps       []Step            `json:"steps"`            // weights and pauses
	Weight      int               `json:"weight"`           // percent of the traffic that the canary has
	Samples     int64             `json:"samples"`          // requests of the canary in this step
	MinSamples  int64             `json:"min_samples"`      // that it needs
	Workloads   []string          `json:"workloads"`        // Deployments that are tried
	Services    []string          `json:"services"`         // whose traffic is shared
	Run         int64             `json:"run,omitempty"`    // that made it
	Commit      string            `json:"commit,omitempty"` //
	Started     time.Time         `json:"started"`
	StepSince   time.Time         `json:"step_since"`
	Finished    time.Time         `json:"finished,omitzero"`
	Deadline    time.Time         `json:"deadline,omitzero"` // of one that waits for a person: when it is rejected
	Counts      []Count           `json:"counts,omitempty"`
	Series      []Series          `json:"series,omitempty"` // of one canary only
	Operations  []event.Operation `json:"operations,omitempty"`
}

// Series is one metric of one service over time, oldest first, at most the last 200.
type Series struct {
	Service string        `json:"service"`
	Metric  string        `json:"metric"`
	Points  []Measurement `json:"points"`
}
