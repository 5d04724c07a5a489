package alert

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/rules"

	"towpath.dev/towpath/internal/fault"
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
	list, err := s.PromRules(ctx, a, project, all)
	out := PromAlerts{Alerts: []PromAlert{}}
	for _, g := range list.Groups {
		for _, r := range g.Rules {
			out.Alerts = append(out.Alerts, r.Alerts...)
		}
	}
	return out, err
}

// PromRules answers /api/v1/rules for a project, or for everything when all is set. Each
// rule is a group of its own; query rules are among them, with their text as the query. It
// needs read of the project; all needs an administrator.
func (s *Service) PromRules(ctx context.Context, a identity.Actor, project string, all bool) (PromRules, error) {
	if all {
		project = ""
	} else if project == "" {
		return PromRules{}, fault.New(fault.Invalid, "The question names no project.").WithNext("name one, or ask for all as an administrator")
	}
	list, err := s.Rules(ctx, a, project)
	if err != nil {
		return PromRules{}, err
	}
	if all {
		more, err := bodies[Rule](ctx, s.DB, `SELECT body FROM alert_rule WHERE project <> ''`)
		if err != nil {
			return PromRules{}, err
		}
		for _, r := range more {
			list = append(list, s.stateOf(r, 0, "", true))
		}
	}
	open, err := bodies[Alert](ctx, s.DB, `SELECT body FROM alert WHERE resolved = 0 AND (project = ? OR ? = 1) ORDER BY id`, project, flag(all))
	if err != nil {
		return PromRules{}, err
	}
	byRule := map[string][]Alert{}
	for _, x := range open {
		byRule[x.Rule] = append(byRule[x.Rule], x)
	}
	out := PromRules{Groups: []PromGroup{}}
	for _, r := range list {
		if r.Enabled {
			out.Groups = append(out.Groups, s.promGroup(r, byRule[r.ID], project, all))
		}
	}
	return out, nil
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (s *Service) promGroup(r RuleState, open []Alert, project string, all bool) PromGroup {
	file := "platform"
	if r.Project != "" {
		file = "project/" + r.Project
	}
	rule := PromRule{
		State: Inactive, Name: r.Name, Query: r.Query, Duration: r.For.Go().Seconds(), KeepFiringFor: r.KeepFiringFor.Go().Seconds(),
		Labels: map[string]string{"severity": r.Severity}, Annotations: map[string]string{"summary": r.Summary, "description": r.Description, "next_step": r.NextStep},
		Alerts: []PromAlert{}, Health: "ok", LastError: r.Error, EvaluationTime: r.Took / 1000, LastEvaluation: r.Evaluated, Type: "alerting",
	}
	maps.Copy(rule.Labels, r.Labels)
	switch {
	case r.Error != "":
		rule.Health = "err"
	case r.Evaluated.IsZero():
		rule.Health = "unknown"
	}
	for _, x := range s.statusOf(r.ID).pending {
		if all || x.labels["project"] == project {
			rule.State = Pending
			rule.Alerts = append(rule.Alerts, PromAlert{Labels: x.labels, Annotations: x.annotations, State: Pending, ActiveAt: x.since, Value: written(x.value)})
		}
	}
	for _, x := range open {
		rule.State = Firing
		rule.Alerts = append(rule.Alerts, PromAlert{
			Labels: routed(x), Annotations: map[string]string{"summary": x.Summary, "description": x.Description, "next_step": x.NextStep}, State: Firing,
			ActiveAt: &x.Fired, Value: written(x.Value),
		})
	}
	return PromGroup{Name: r.Name, File: file, Rules: []PromRule{rule}, Interval: r.Every.Go().Seconds(), EvaluationTime: rule.EvaluationTime, LastEvaluation: r.Evaluated}
}

// written writes a number as Prometheus does.
func written(v float64) string { return strconv.FormatFloat(v, 'e', -1, 64) }

// RuleGroups returns the metric rules of everybody as Prometheus' library has them; the file
// of a group is "platform" or "project/NAME". It asks for no rights.
func (s *Service) RuleGroups() []*rules.Group { return s.engine.RuleGroups() }
