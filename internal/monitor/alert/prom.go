package alert

import (
	"context"
	"time"

	"towpath.dev/towpath/internal/identity"
)

// PromAlert is an alert as Prometheus' HTTP API gives it (/api/v1/alerts).
type PromAlert struct {
	Labels          map[string]string `json:"labels"`
	Annotations     map[string]string `json:"annotations"`
	State           string            `json:"state"` // pending, firing
	ActiveAt        *time.Time        `json:"activeAt,omitempty"`
	KeepFiringSince *time.Time        `json:"keepFiringSince,omitempty"`
	Value           string            `json:"value"`
}

// PromAlerts is the data of /api/v1/alerts.
type PromAlerts struct {
	Alerts []PromAlert `json:"alerts"`
}

// PromRules is the data of /api/v1/rules.
type PromRules struct {
	Groups []PromGroup `json:"groups"`
}

// PromGroup is a group of rules as Prometheus' HTTP API gives it.
type PromGroup struct {
	Name           string     `json:"name"`
	File           string     `json:"file"`
	Rules          []PromRule `json:"rules"`
	Interval       float64    `json:"interval"` // seconds
	Limit          int        `json:"limit"`
	EvaluationTime float64    `json:"evaluationTime"` // seconds
	LastEvaluation time.Time  `json:"lastEvaluation"`
}

// PromRule is an alerting rule as Prometheus' HTTP API gives it.
type PromRule struct {
	State          string            `json:"state"` // firing, pending, inactive
	Name           string            `json:"name"`
	Query          string            `json:"query"`
	Duration       float64           `json:"duration"`
	KeepFiringFor  float64           `json:"keepFiringFor"`
	Labels         map[string]string `json:"labels"`
	Annotations    map[string]string `json:"annotations"`
	Alerts         []PromAlert       `json:"alerts"`
	Health         string            `json:"health"` // ok, err, unknown
	LastError      string            `json:"lastError,omitempty"`
	EvaluationTime float64           `json:"evaluationTime"`
	LastEvaluation time.Time         `json:"lastEvaluation"`
	Type           string            `json:"type"` // alerting
}

// PromAlerts answers /api/v1/alerts for a project, or for everything when all is set. It
// needs read of the project; all needs an administrator.
func (s *Service) PromAlerts(ctx context.Context, a identity.Actor, project string, all bool) (PromAlerts, error) {
	return PromAlerts{}, errSoon
}

// PromRules answers /api/v1/rules for a project, or for everything when all is set. It
// needs read of the project; all needs an administrator.
func (s *Service) PromRules(ctx context.Context, a identity.Actor, project string, all bool) (PromRules, error) {
	return PromRules{}, errSoon
}
