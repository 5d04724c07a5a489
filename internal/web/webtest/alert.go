package webtest

import (
	"context"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert"
)

// AlertID is the alert of the fixture that fires.
const AlertID = "01JD8ALERTFIRING0000000000"

// Alerts are two, and three rules.
type Alerts struct{ f *Fixture }

func alerts() []alert.Alert {
	one := alert.Alert{
		ID: AlertID, Fingerprint: "f1", Rule: "pod-crash-looping", Name: "KubePodCrashLooping", Kind: alert.Metric, Query: `increase(kube_pod_container_status_restarts_total[10m]) > 0`, Project: "shop", Environment: "production", Release: "shop/production/47",
		Severity: alert.Error, State: alert.Firing, Fired: Now.Add(-4 * time.Minute), Seen: Now.Add(-20 * time.Second), Value: 7, Labels: map[string]string{"container": "cart", "namespace": "shop-production", "pod": "cart-6c54b7d9f-x2k4q"},
		Summary: "Pod cart-6c54b7d9f-x2k4q restarts again and again <script>alert(1)</script>", Description: "It restarted 7 times in 10 minutes.", NextStep: "read the last lines of its log", Namespace: "shop-production", Pod: "cart-6c54b7d9f-x2k4q", PodUID: "1d2f",
	}
	two := one
	two.ID, two.Kind, two.Name, two.Rule, two.State, two.Resolved, two.Why, two.Severity = "01JD8ALERTRESOLVED00000000", alert.Query, "checkout fails", "01R1", alert.Resolved, Now.Add(-30*time.Minute), "the condition no longer holds", alert.Critical
	two.Query, two.Pod, two.Fired = "AppRequests\n| where Success == false", "", Now.Add(-49*time.Minute)
	return []alert.Alert{one, two}
}

// Alerts filters by state, environment and release.
func (l Alerts) Alerts(ctx context.Context, a identity.Actor, f alert.Filter) ([]alert.Alert, error) {
	if err := l.f.Require(ctx, a, f.Project, identity.Read); err != nil || l.f.Empty {
		return []alert.Alert{}, err
	}
	out := []alert.Alert{}
	for _, x := range alerts() {
		if (f.State == "" || x.State == f.State) && (f.Environment == "" || x.Environment == f.Environment) && (f.Release == "" || x.Release == f.Release) {
			out = append(out, x)
		}
	}
	return out, nil
}

// Alert finds one.
func (l Alerts) Alert(ctx context.Context, a identity.Actor, id string) (alert.Detail, error) {
	if err := l.f.Require(ctx, a, "shop", identity.Read); err != nil {
		return alert.Detail{}, err
	}
	list := alerts()
	for i, x := range list {
		if x.ID == id {
			all, err := l.Rules(ctx, a, "shop")
			return alert.Detail{
				Alert: x, Rule: &all[i], History: []alert.Change{{At: x.Fired, What: "fired", By: "system:alert"}},
				Evaluations:   []alert.Evaluation{{At: x.Seen, Took: 3.1, State: "firing", Groups: 1, Values: []alert.Value{{Labels: x.Labels, Value: 7, Bad: true, State: "firing"}}}, {At: x.Fired, State: "error", Error: "the query took too long"}},
				Notifications: []alert.Notification{{ID: "1", Receiver: "ops", Kind: alert.Webhook, State: "sent", Attempts: 1, Last: x.Fired}, {ID: "2", Receiver: "mail", Kind: alert.Mail, State: "failed", Error: "550 no such mailbox", Attempts: 5, Last: x.Fired}},
				Before:        list[1:],
			}, err
		}
	}
	return alert.Detail{}, fault.New(fault.NotFound, "There is no alert %.40q.", id)
}

func (l Alerts) write(ctx context.Context, a identity.Actor, format string, args ...any) error {
	if err := l.f.Require(ctx, a, "shop", identity.Write); err != nil {
		return err
	}
	Pulls(l).said(format, args...)
	return nil
}

// Acknowledge, Close and the others note what was asked for.
func (l Alerts) Acknowledge(ctx context.Context, a identity.Actor, id, note string) error {
	return l.write(ctx, a, "acknowledge %s %q", id, note)
}

// Close notes it.
func (l Alerts) Close(ctx context.Context, a identity.Actor, id, why string) error {
	return l.write(ctx, a, "close alert %s %q", id, why)
}

// Silence notes it.
func (l Alerts) Silence(ctx context.Context, a identity.Actor, s alert.Silence) (alert.Silence, error) {
	return s, l.write(ctx, a, "silence %v %s %q", s.Matchers, s.Until.Format(time.RFC3339), s.Why)
}

// OfRelease are those of a release.
func (l Alerts) OfRelease(ctx context.Context, a identity.Actor, project, environment string, number int64) ([]alert.Alert, error) {
	if number != 47 {
		return nil, l.f.Require(ctx, a, project, identity.Read)
	}
	return l.Alerts(ctx, a, alert.Filter{Project: project, Environment: environment, Release: "shop/production/47"})
}

// Open counts the one that fires.
func (l Alerts) Open(ctx context.Context, a identity.Actor, project string) (map[string]alert.Counts, error) {
	if err := l.f.Require(ctx, a, project, identity.Read); err != nil || l.f.Empty {
		return nil, err
	}
	return map[string]alert.Counts{"production": {Error: 1}}, nil
}

// Rules are a recommended one that fires, one's own and one that fails.
func (l Alerts) Rules(ctx context.Context, a identity.Actor, project string) ([]alert.RuleState, error) {
	if err := l.f.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	return []alert.RuleState{
		{Rule: alert.Rule{ID: "pod-crash-looping", Name: "KubePodCrashLooping", Kind: alert.Metric, Origin: alert.Recommended, Query: `increase(kube_pod_container_status_restarts_total[10m]) > 0`, Severity: alert.Error, Enabled: true, For: alert.Duration(5 * time.Minute), Every: alert.Duration(time.Minute), NextStep: "read the last lines of its log", Tuned: map[string]string{"for": "15m"}}, State: alert.Firing, Firing: 1, Evaluated: Now.Add(-20 * time.Second)},
		{Rule: alert.Rule{ID: "01R1", Project: "shop", Name: "checkout fails", Kind: alert.Query, Origin: alert.Own, Query: "AppRequests\n| where Success == false", Severity: alert.Critical, Enabled: true, Every: alert.Duration(time.Minute), Condition: &alert.Condition{Period: alert.Duration(5 * time.Minute), Operator: ">", Threshold: 10, Bad: 2, Of: 3, AutoResolve: true, Dimensions: []string{"AppRoleName"}}}, State: alert.Inactive, Evaluated: Now.Add(-30 * time.Second)},
		{Rule: alert.Rule{ID: "01R2", Project: "shop", Name: "broken", Kind: alert.Query, Origin: alert.Own, Query: "AppRequest", Severity: alert.Warning, Enabled: true, Every: alert.Duration(time.Minute)}, State: alert.Inactive, Error: "1:1: there is no table AppRequest"},
	}, nil
}

// PutRule notes it; a query with the word nonsense is refused.
func (l Alerts) PutRule(ctx context.Context, a identity.Actor, r alert.Rule) (alert.Rule, error) {
	if r.Query == "nonsense" {
		return r, fault.New(fault.Invalid, "1:1: there is no table nonsense").WithNext("see the tables")
	}
	r.ID = "01R9"
	text := ""
	if c := r.Condition; c != nil {
		text = c.Operator + " " + c.Period.String()
	}
	return r, l.write(ctx, a, "rule %s %s %q %s for=%s %s", r.Kind, r.Name, r.Query, r.Severity, r.For, text)
}

// DeleteRule notes it.
func (l Alerts) DeleteRule(ctx context.Context, a identity.Actor, id string) error {
	return l.write(ctx, a, "delete rule %s", id)
}

// MuteRule notes it.
func (l Alerts) MuteRule(ctx context.Context, a identity.Actor, id string, until time.Time) error {
	return l.write(ctx, a, "mute %s %v", id, !until.IsZero())
}

// Evaluations are those of the alert.
func (l Alerts) Evaluations(ctx context.Context, a identity.Actor, _ string, _ int) ([]alert.Evaluation, error) {
	d, err := l.Alert(ctx, a, AlertID)
	return d.Evaluations, err
}

// Draft makes a rule that counts rows.
func (l Alerts) Draft(_ context.Context, _ identity.Actor, project, text string) (alert.Rule, error) {
	if text == "nonsense" {
		return alert.Rule{}, fault.New(fault.Invalid, "1:1: there is no table nonsense")
	}
	return alert.Rule{Project: project, Kind: alert.Query, Query: text, Severity: alert.Warning, Every: alert.Duration(time.Minute), Condition: &alert.Condition{Period: alert.Duration(10 * time.Minute), Operator: ">", Bad: 1, Of: 1, Dimensions: []string{"AppRoleName"}}}, nil
}
