package metric

import (
	"cmp"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/rules"
)

// likePrometheus is the version of Prometheus whose API this is: Grafana asks it to know
// what it may use.
const likePrometheus = "3.14.0"

func (s *Store) apiBuildInfo(*asked) (any, error) {
	return map[string]string{
		"version": likePrometheus, "revision": "towpath", "branch": "", "buildUser": "", "buildDate": "", "goVersion": strings.TrimPrefix(runtime.Version(), "go"),
	}, nil
}

func (s *Store) apiRuntimeInfo(a *asked) (any, error) {
	info := map[string]any{
		"startTime": s.opened, "CWD": "", "reloadConfigSuccess": true, "lastConfigTime": s.opened, "corruptionCount": 0,
		"goroutineCount": runtime.NumGoroutine(), "GOMAXPROCS": runtime.GOMAXPROCS(0), "GOGC": "", "GODEBUG": "", "storageRetention": s.o.Retention.String(),
		"serverTime": a.now,
	}
	return info, nil
}

// tsdbCount is an entry of /status/tsdb.
type tsdbCount struct {
	Name  string `json:"name"`
	Value int    `json:"value"`
}

// apiCardinality answers /status/tsdb with what a project may know: its own series.
func (s *Store) apiCardinality(a *asked) (any, error) {
	total, perMetric := 0, map[string]int{}
	s.limit.mu.Lock()
	for project, p := range s.limit.projects {
		if a.in.All || project == a.in.Project {
			total += p.total
			for name, n := range p.metrics {
				perMetric[name] += n
			}
		}
	}
	s.limit.mu.Unlock()
	counts := []tsdbCount{}
	for name, n := range perMetric {
		counts = append(counts, tsdbCount{name, n})
	}
	slices.SortFunc(counts, func(a, b tsdbCount) int { return cmp.Or(b.Value-a.Value, cmp.Compare(a.Name, b.Name)) })
	head := map[string]any{"numSeries": total, "numLabelPairs": 0, "chunkCount": 0, "minTime": s.db.Head().MinTime(), "maxTime": s.db.Head().MaxTime()}
	return map[string]any{
		"headStats": head, "seriesCountByMetricName": counts[:min(len(counts), 10)],
		"labelValueCountByLabelName": []tsdbCount{}, "memoryInBytesByLabelName": []tsdbCount{}, "seriesCountByLabelValuePair": []tsdbCount{},
	}, nil
}

// meaning is an entry of /metadata.
type meaning struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

func (s *Store) apiMetadata(a *asked) (any, error) {
	limit, err := a.limit()
	if err != nil {
		return nil, err
	}
	all := map[string][]meaning{}
	only := a.Form.Get("metric")
	add := func(name string, m metadata.Metadata) {
		one := meaning{string(m.Type), m.Help, m.Unit}
		if (only == "" || only == name) && !slices.Contains(all[name], one) {
			all[name] = append(all[name], one)
		}
	}
	s.meta.each(a.in, add)
	s.pools.metadata(a.in, add)
	if limit > 0 {
		for i, name := range slices.Sorted(maps.Keys(all)) {
			if i >= limit {
				delete(all, name)
			}
		}
	}
	return all, nil
}

func (s *Store) apiTargets(a *asked) (any, error) {
	active := s.pools.status(a.in)
	return map[string]any{"activeTargets": active, "droppedTargets": []any{}, "droppedTargetCounts": map[string]int{}}, nil
}

// ruleGroup, alertingRule, recordingRule and alert are the shapes of /rules and /alerts.
type (
	ruleGroup struct {
		Name           string    `json:"name"`
		File           string    `json:"file"`
		Rules          []any     `json:"rules"`
		Interval       float64   `json:"interval"`
		Limit          int       `json:"limit"`
		EvaluationTime float64   `json:"evaluationTime"`
		LastEvaluation time.Time `json:"lastEvaluation"`
	}
	ruleBase struct {
		Name           string        `json:"name"`
		Query          string        `json:"query"`
		Labels         labels.Labels `json:"labels"`
		Health         string        `json:"health"`
		LastError      string        `json:"lastError,omitempty"`
		EvaluationTime float64       `json:"evaluationTime"`
		LastEvaluation time.Time     `json:"lastEvaluation"`
		Type           string        `json:"type"`
	}
	alertingRule struct {
		ruleBase
		State         string        `json:"state"`
		Duration      float64       `json:"duration"`
		KeepFiringFor float64       `json:"keepFiringFor"`
		Annotations   labels.Labels `json:"annotations"`
		Alerts        []alert       `json:"alerts"`
	}
	alert struct {
		Labels          labels.Labels `json:"labels"`
		Annotations     labels.Labels `json:"annotations"`
		State           string        `json:"state"`
		ActiveAt        *time.Time    `json:"activeAt,omitempty"`
		KeepFiringSince *time.Time    `json:"keepFiringSince,omitempty"`
		Value           string        `json:"value"`
	}
)

// apiRules answers /rules. In a project's scope a rule of another project is not there, and
// alerts are those of the project.
func apiRules(a *asked, from Rules) (any, error) {
	kind := a.Form.Get("type")
	if kind != "" && kind != "alert" && kind != "record" {
		return nil, bad("invalid parameter \"type\": not supported value %q", kind)
	}
	named := func(param, value string) bool {
		return len(a.Form[param]) == 0 || slices.Contains(a.Form[param], value)
	}
	groups := []ruleGroup{}
	if from == nil {
		return map[string]any{"groups": groups}, nil
	}
	for _, g := range from.RuleGroups() {
		if !named("rule_group[]", g.Name()) || !named("file[]", g.File()) {
			continue
		}
		out := ruleGroup{
			Name: g.Name(), File: g.File(), Rules: []any{}, Interval: g.Interval().Seconds(), Limit: g.Limit(),
			EvaluationTime: g.GetEvaluationTime().Seconds(), LastEvaluation: g.GetLastEvaluation(),
		}
		for _, r := range g.Rules() {
			if rule := apiRule(a, r, kind); rule != nil && named("rule_name[]", r.Name()) {
				out.Rules = append(out.Rules, rule)
			}
		}
		if len(out.Rules) > 0 {
			groups = append(groups, out)
		}
	}
	return map[string]any{"groups": groups}, nil
}

// apiRule returns a rule as /rules has it, nil when it is not asked for or not to be seen.
func apiRule(a *asked, r rules.Rule, kind string) any {
	if owner := r.Labels().Get(labelProject); !a.in.All && owner != "" && owner != a.in.Project {
		return nil
	}
	base := ruleBase{
		Name: r.Name(), Query: r.Query().String(), Labels: r.Labels(), Health: string(r.Health()),
		EvaluationTime: r.GetEvaluationDuration().Seconds(), LastEvaluation: r.GetEvaluationTimestamp(),
	}
	if err := r.LastError(); err != nil {
		base.LastError = err.Error()
	}
	rule, alerting := r.(*rules.AlertingRule)
	switch {
	case !alerting && kind != "alert":
		base.Type = "recording"
		return base
	case alerting && kind != "record":
		base.Type = "alerting"
		alerts, state := alertsOf(a, rule)
		if a.Form.Get("exclude_alerts") == "true" {
			alerts = nil
		}
		return alertingRule{base, state.String(), rule.HoldDuration().Seconds(), rule.KeepFiringFor().Seconds(), rule.Annotations(), alerts}
	}
	return nil
}

// alertsOf returns the alerts of a rule that may be seen, and the rule's state by them.
func alertsOf(a *asked, r *rules.AlertingRule) (out []alert, state rules.AlertState) {
	out, state = []alert{}, rules.StateInactive
	for _, x := range r.ActiveAlerts() {
		if !a.in.All && x.Labels.Get(labelProject) != a.in.Project {
			continue
		}
		state = max(state, x.State)
		one := alert{
			Labels: x.Labels, Annotations: x.Annotations, State: x.State.String(), ActiveAt: &x.ActiveAt, Value: strconv.FormatFloat(x.Value, 'e', -1, 64),
		}
		if !x.KeepFiringSince.IsZero() {
			one.KeepFiringSince = &x.KeepFiringSince
		}
		out = append(out, one)
	}
	return out, state
}

func apiAlerts(a *asked, from Rules) (any, error) {
	all := []alert{}
	if from != nil {
		for _, g := range from.RuleGroups() {
			for _, r := range g.AlertingRules() {
				got, _ := alertsOf(a, r)
				all = append(all, got...)
			}
		}
	}
	return map[string]any{"alerts": all}, nil
}
