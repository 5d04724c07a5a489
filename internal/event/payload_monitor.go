package event

// The payloads of events about telemetry.

import "time"

// Alert is the payload of TypeAlertFired and TypeAlertResolved; the subject is the alert.
// Links: concerns release, concerns pod (each that is known).
type Alert struct {
	V           int               `json:"v"`
	Alert       string            `json:"alert"` // id
	Rule        string            `json:"rule"`
	Kind        string            `json:"kind"` // metric, query
	Severity    string            `json:"severity"`
	Environment string            `json:"environment,omitempty"`
	Release     string            `json:"release,omitempty"`
	Summary     string            `json:"summary"`
	Labels      map[string]string `json:"labels,omitempty"`
	Value       float64           `json:"value"`
	Query       string            `json:"query"` // PromQL or KQL behind it
	Fired       time.Time         `json:"fired"`
	Resolved    time.Time         `json:"resolved,omitzero"`
	Why         string            `json:"why,omitempty"` // of the resolution
}

// AlertRuleChanged is the payload of TypeAlertRuleChanged; the subject is the project.
type AlertRuleChanged struct {
	V    int    `json:"v"`
	Rule string `json:"rule"`
	What string `json:"what"` // created, changed, removed, muted
}

// SilenceChanged is the payload of TypeSilenceChanged; the subject is the project.
type SilenceChanged struct {
	V        int       `json:"v"`
	Silence  string    `json:"silence"`
	What     string    `json:"what"` // created, expired
	Matchers []string  `json:"matchers"`
	Until    time.Time `json:"until"`
	Why      string    `json:"why"`
}

// ErrorFound is the payload of TypeErrorFound: an error group that was not seen before, or
// that came back after it was resolved. The subject is the release that it came with.
type ErrorFound struct {
	V           int    `json:"v"`
	Group       string `json:"group"` // fingerprint
	Release     string `json:"release"`
	Environment string `json:"environment"`
	Role        string `json:"role"`
	Type        string `json:"type"`
	Message     string `json:"message"`
	Operation   string `json:"operation,omitempty"` // trace id of one occurrence
	Again       bool   `json:"again,omitempty"`
}

// ViewSaved is the payload of TypeViewSaved; the subject is the project.
type ViewSaved struct {
	V     int    `json:"v"`
	View  string `json:"view"`
	Name  string `json:"name"`
	Query string `json:"query"`
}
