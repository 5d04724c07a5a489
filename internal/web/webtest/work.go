package webtest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/work"
	"towpath.dev/towpath/internal/work/dora"
	"towpath.dev/towpath/internal/work/insight"
)

// Work has a few items, of which a signal made one, and three sprints.
type Work struct{ f *Fixture }

func items() []work.Item {
	at := Now.Add(-3 * time.Hour)
	insight := &work.Insight{Source: "canary", Key: "k1", Count: 214, Active: 1, Exposure: 8, FirstSeen: at, LastSeen: Now.Add(-2 * time.Minute), Auto: true}
	return []work.Item{
		{
			Number: 41, Project: "shop", Type: work.TypeBug, Title: "cart: GET /api/cart fails in 5 % of requests <b>since</b> release 48", State: "Active", Category: work.InProgress,
			Severity: work.Critical, Assignee: "ada", Points: 2, Sprint: "Sprint 12", SprintID: "s12", Body: "The **canary** of release 48 answered with 500.\n\n- It began with the rounding of `e81f0c7`.", Labels: []string{"insight", "cart"},
			Rank: "500000000000000", Version: 7, Created: at, CreatedBy: "system:insight", Updated: Now.Add(-2 * time.Minute), Insight: insight,
		},
		{Number: 40, Project: "shop", Type: work.TypeStory, Title: "Carts survive a restart", State: "New", Category: work.Proposed, Points: 5, Sprint: "Sprint 12", SprintID: "s12", Rank: "500000001000000", Version: 2, Created: at, CreatedBy: "user:ada", Updated: at},
		{Number: 39, Project: "shop", Type: work.TypeSecurity, Title: "CVE-2026-1234 in two images", State: "New", Category: work.Proposed, Severity: work.High, Rank: "500000002000000", Version: 1, Created: at, CreatedBy: "system:insight", Updated: at, Insight: &work.Insight{Source: "vulnerability", Key: "k2", Count: 2, Active: 2, FirstSeen: at, LastSeen: at}},
		{Number: 38, Project: "shop", Type: work.TypeTask, Title: "Say in the README how to run one service", State: "Closed", Category: work.Completed, Points: 1, Rank: "500000003000000", Version: 4, Created: at, CreatedBy: "user:bob", Updated: at, Ended: at},
	}
}

func states() []work.State {
	return []work.State{{Name: "New", Category: work.Proposed}, {Name: "Active", Category: work.InProgress}, {Name: "Resolved", Category: work.Resolved}, {Name: "Closed", Category: work.Completed}}
}

func sprints() []work.Sprint {
	day := 24 * time.Hour
	start := Now.Truncate(day).Add(-7 * day)
	return []work.Sprint{
		{ID: "s13", Project: "shop", Name: "Sprint 13", Start: start.Add(14 * day), End: start.Add(27 * day), State: work.SprintPlanned, Room: 20, Security: 20, Version: 1},
		{ID: "s12", Project: "shop", Name: "Sprint 12", Start: start, End: start.Add(13 * day), Goal: "Nobody loses a cart", State: work.SprintActive, Current: true, Points: 21, Done: 8, Items: 9, Room: 24, Security: 20, Version: 3},
		{ID: "s11", Project: "shop", Name: "Sprint 11", Start: start.Add(-14 * day), End: start.Add(-day), State: work.SprintClosed, Points: 19, Done: 18, Items: 7, Version: 5},
	}
}

// Board has a column for each state.
func (k Work) Board(ctx context.Context, a identity.Actor, project, sprint, lane string) (work.Board, error) {
	b := work.Board{Project: project}
	if err := k.f.Require(ctx, a, project, identity.Read); err != nil {
		return b, err
	}
	if all := sprints(); !k.f.Empty && sprint != "none" {
		b.Sprint = &all[1]
	}
	for _, st := range states() {
		c := work.Column{State: st, Items: []work.Item{}}
		for _, i := range items() {
			if !k.f.Empty && i.State == st.Name {
				c.Items, c.Count, c.Points = append(c.Items, i), c.Count+1, c.Points+i.Points
			}
		}
		b.Columns = append(b.Columns, c)
	}
	if lane == work.LaneAssignee {
		b.Lanes = []work.Lane{{Key: "ada", Title: "ada", Items: []int64{41}}, {Items: []int64{40, 39, 38}}}
	}
	return b, nil
}

// itemsOf are the items of what they link to.
var itemsOf = map[string][]int64{
	"commit:" + Newest: {41}, "commit:" + Second: {41, 39}, "commit:" + Third: {40}, "commit:" + Fourth: {38}, "release:shop/production/48": {41},
}

// Backlog lists the items.
func (k Work) Backlog(ctx context.Context, a identity.Actor, project string, f work.Filter) (work.Backlog, error) {
	b := work.Backlog{Items: []work.Item{}}
	if err := k.f.Require(ctx, a, project, identity.Read); err != nil || k.f.Empty {
		return b, err
	}
	for _, i := range items() {
		if f.Link != "" && !slices.Contains(itemsOf[f.Link], i.Number) {
			continue
		}
		if f.State == "closed" && i.Open() || f.State == "open" && !i.Open() || f.Source != "" && i.Insight == nil || f.Sprint != "" && f.Sprint != i.SprintID && (f.Sprint != "none" || i.SprintID != "") {
			continue
		}
		b.Items = append(b.Items, i)
	}
	return b, nil
}

// Get finds an item.
func (k Work) Get(ctx context.Context, a identity.Actor, number int64) (work.Detail, error) {
	if err := k.f.Require(ctx, a, "shop", identity.Read); err != nil {
		return work.Detail{}, err
	}
	for _, i := range items() {
		if i.Number != number || k.f.Empty {
			continue
		}
		d := work.Detail{Item: i, States: states()}
		if i.Number == 41 {
			d.Links = []work.Link{
				{Rel: "concerns", Kind: "release", Subject: "release:shop/production/48", Made: i.Created, By: "system:insight"},
				{Rel: "suspects", Kind: "commit", Subject: "commit:" + Newest, Title: "Price rounding for multi-currency carts", Made: i.Created, By: "system:insight"},
				{Rel: "concerns", Kind: "url", URL: "/projects/shop/monitor/logs?q=AppRequests", Title: "The requests that failed", By: "system:insight"},
			}
			d.Comments = []work.Comment{{ID: "c1", Author: "user:ada", Body: "It is the new cache. <script>alert(1)</script>", Made: Now.Add(-time.Hour)}}
			d.History = []work.Change{{ID: "h1", Time: i.Created, Actor: "system:insight", Field: "created"}, {ID: "h2", Time: Now.Add(-2 * time.Hour), Actor: "user:ada", Field: "state", From: "New", To: "Active"}}
			d.Signals = []work.SignalState{{Key: "k1", Rule: "error-rate", Resource: "cart", Title: "5.1 % of GET /api/cart fail, 0.0 % before", Count: 214, FirstSeen: i.Created, LastSeen: Now}}
			d.Children = []work.Item{{Number: 40, Title: "Carts survive a restart", State: "New", Category: work.Proposed}}
		}
		return d, nil
	}
	return work.Detail{}, fault.New(fault.NotFound, "There is no item %d.", number)
}

func (k Work) write(ctx context.Context, a identity.Actor, format string, args ...any) error {
	if err := k.f.Require(ctx, a, "shop", identity.Write); err != nil {
		return err
	}
	Pulls(k).said(format, args...)
	return nil
}

// Create and the others note what was asked for.
func (k Work) Create(ctx context.Context, a identity.Actor, _ string, in work.NewItem) (work.Item, error) {
	return items()[1], k.write(ctx, a, "create %s %q %v points", in.Type, in.Title, in.Points)
}

// Change notes it.
func (k Work) Change(ctx context.Context, a identity.Actor, number int64, in work.Edit) (work.Item, error) {
	return items()[0], k.write(ctx, a, "change %d at %d: %s, %q, %v points, %v", number, in.Expect, *in.State, *in.Assignee, *in.Points, *in.Labels)
}

// Move notes it.
func (k Work) Move(ctx context.Context, a identity.Actor, _ string, m work.Move) ([]work.Item, error) {
	return nil, k.write(ctx, a, "move %v before %d to %s", m.Items, m.Before, fmt.Sprint(deref(m.State)))
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Comment notes it.
func (k Work) Comment(ctx context.Context, a identity.Actor, number int64, text string) (work.Comment, error) {
	return work.Comment{}, k.write(ctx, a, "comment on %d: %q", number, text)
}

// WontFix notes it.
func (k Work) WontFix(ctx context.Context, a identity.Actor, number int64, why string, until time.Time) (work.Item, error) {
	return items()[0], k.write(ctx, a, "won't fix %d until %s: %s", number, until.Format(time.DateOnly), why)
}

// Sprints are three, or none.
func (k Work) Sprints(ctx context.Context, a identity.Actor, project string) ([]work.Sprint, error) {
	if err := k.f.Require(ctx, a, project, identity.Read); err != nil || k.f.Empty {
		return []work.Sprint{}, err
	}
	return sprints(), nil
}

// Sprint finds one.
func (k Work) Sprint(ctx context.Context, a identity.Actor, project, ref string) (work.Sprint, error) {
	all, err := k.Sprints(ctx, a, project)
	for _, s := range all {
		if s.ID == ref || s.Name == ref || ref == "@current" && s.Current {
			return s, err
		}
	}
	if err == nil {
		err = fault.New(fault.NotFound, "There is no sprint %.40q.", ref)
	}
	return work.Sprint{}, err
}

// CreateSprint notes it.
func (k Work) CreateSprint(ctx context.Context, a identity.Actor, _ string, in work.SprintEdit) (work.Sprint, error) {
	return sprints()[0], k.write(ctx, a, "create sprint %q from %s to %s", *in.Name, *in.Start, *in.End)
}

// ChangeSprint notes it.
func (k Work) ChangeSprint(ctx context.Context, a identity.Actor, _, ref string, in work.SprintEdit) (work.Sprint, error) {
	return sprints()[0], k.write(ctx, a, "change sprint %s at %d", ref, in.Expect)
}

// CloseSprint notes it.
func (k Work) CloseSprint(ctx context.Context, a identity.Actor, _, ref, carry string) (work.Sprint, error) {
	return sprints()[1], k.write(ctx, a, "close sprint %s into %s", ref, carry)
}

// Burndown has eight days of fourteen.
func (k Work) Burndown(ctx context.Context, a identity.Actor, project, ref string) (work.Burndown, error) {
	s, err := k.Sprint(ctx, a, project, ref)
	b := work.Burndown{Sprint: s}
	for i := range 14 {
		d := work.BurnDay{Day: s.Start.AddDate(0, 0, i).Format(time.DateOnly), Ideal: 18 * (1 - float64(i)/13)}
		if i < 8 {
			d.Known, d.Scope, d.Remaining, d.Items = true, 18+float64(i/3), 18+float64(i/3)-1.25*float64(i), 9-i/2
		}
		b.Days = append(b.Days, d)
	}
	return b, err
}

// Velocity is of one sprint.
func (k Work) Velocity(ctx context.Context, a identity.Actor, project string) (work.Velocity, error) {
	all, err := k.Sprints(ctx, a, project)
	if len(all) == 0 {
		return work.Velocity{}, err
	}
	return work.Velocity{Average: 18, Sprints: all[2:]}, err
}

// Tray has two insights.
func (k Work) Tray(ctx context.Context, a identity.Actor, project, _ string) (work.Tray, error) {
	all, err := k.Sprints(ctx, a, project)
	if len(all) == 0 {
		return work.Tray{}, err
	}
	i := items()
	return work.Tray{
		Sprint: &all[0], Since: Now.Add(-7 * 24 * time.Hour), Velocity: 18, Room: 20, Planned: 23, Budget: 4, Spent: 2, Unestimated: 3,
		Insights: []work.TrayItem{{Item: i[0], Score: 64, InSprint: true, Suggested: "@current"}, {Item: i[2], Score: 12, Suggested: "@next"}},
	}, err
}

// Triage notes it.
func (k Work) Triage(ctx context.Context, a identity.Actor, _ string, n []int64, decision, sprint string) ([]work.Item, error) {
	return nil, k.write(ctx, a, "%s %v into %q", decision, n, sprint)
}

// Dev has one session that is on and one that has ended.
type Dev struct{ f *Fixture }

// List lists them.
func (d Dev) List(ctx context.Context, a identity.Actor, project, environment string, all bool) ([]dev.Session, error) {
	if err := d.f.Require(ctx, a, project, identity.Read); err != nil || d.f.Empty {
		return []dev.Session{}, err
	}
	on := dev.Session{
		ID: "01JD8SESSION", Project: "shop", Environment: "staging", Namespace: "shop-staging", Service: "cart", Workload: "cart", User: "ada", Mode: "run", State: "connected",
		Started: Now.Add(-25 * time.Minute), Expires: Now.Add(40 * time.Second), Until: Now.Add(7 * time.Hour), Ports: []dev.Port{{Name: "http", Port: 80, Target: 8080}},
	}
	ended := on
	ended.ID, ended.User, ended.Ended, ended.Why = "01JD8SESSIONENDED", "bob", Now.Add(-time.Hour), "stopped"
	out := []dev.Session{}
	if environment == "" || environment == on.Environment {
		out = append(out, on)
		if all {
			out = append(out, ended)
		}
	}
	return out, nil
}

// Stop notes it.
func (d Dev) Stop(ctx context.Context, a identity.Actor, id string) error {
	if err := d.f.Require(ctx, a, "shop", identity.Write); err != nil {
		return err
	}
	Pulls(d).said("stop session %s", id)
	return nil
}

// Dora answers with the four numbers of six weeks.
type Dora struct{ f *Fixture }

// Report has two deployments, a change and an incident.
func (d Dora) Report(ctx context.Context, a identity.Actor, project string, q dora.Question) (dora.Report, error) {
	r := dora.Report{Project: project, Environment: q.Environment, Bucket: q.Bucket, From: Now.AddDate(0, 0, -42), To: Now}
	if r.Environment == "" {
		r.Environment = dora.Production
	}
	if r.Bucket == "" {
		r.Bucket = dora.Week
	}
	if err := d.f.Require(ctx, a, project, identity.Read); err != nil || d.f.Empty {
		return r, err
	}
	r.Total = dora.Numbers{Deployments: 31, PerDay: 0.74, Changes: 58, Lead: 5400, Incidents: 2, FailureRate: 2.0 / 31, Restored: 1, Restore: 1260}
	for i := range 6 {
		n := dora.Numbers{Deployments: 3 + i, PerDay: float64(3+i) / 7, Lead: float64(9000 - 900*i), FailureRate: float64(i%3) / 20, Restore: float64(600 * (i % 2))}
		r.Points = append(r.Points, dora.Point{Start: r.From.AddDate(0, 0, 7*i), Numbers: n})
	}
	r.Deployments = []dora.Deployment{{Release: "shop/production/48", Commit: Newest, Run: 2041, At: Now.Add(-time.Hour), Changes: 2}, {Release: "shop/production/47", Commit: Third, At: Now.Add(-30 * time.Hour), Changes: 1}}
	r.Changes = []dora.Change{{Repo: "shop/shop", Commit: Newest, Title: "Pick <i>products</i> by their score", Author: "Ada", Lead: 7300, Release: "shop/production/48"}}
	r.Incidents = []dora.Incident{{Item: 41, Title: "cart: GET /api/cart fails", Source: "canary", Release: "shop/production/48", Opened: Now.Add(-time.Hour)}, {Item: 38, Title: "web is slow", Opened: Now.Add(-50 * time.Hour), Closed: Now.Add(-49 * time.Hour)}}
	return r, nil
}

// Canary is that of release 48, which is tried.
func (d Deploy) Canary(ctx context.Context, a identity.Actor, release string) (canary.View, error) {
	if err := d.f.Require(ctx, a, "shop", identity.Read); err != nil {
		return canary.View{}, err
	}
	if release != "shop/production/48" || d.f.Empty {
		return canary.View{}, fault.New(fault.NotFound, "Release %.60q was not tried.", release)
	}
	v := canary.View{
		Release: release, Project: "shop", Environment: "production", Stable: "shop/production/46", State: canary.Paused, Why: "step 2 of 3 asks for a person <script>", Driver: "environment",
		Step: 2, Steps: canarySteps(), Weight: 25, Samples: 812, MinSamples: 100,
		Workloads: []string{"cart"}, Services: []string{"cart"}, Started: Now.Add(-6 * time.Minute), StepSince: Now.Add(-2 * time.Minute), Deadline: Now.Add(23*time.Hour + 58*time.Minute),
		Operations: []event.Operation{{Role: "cart", Name: "GET /api/cart", Requests: 812, FailureShare: 0.051, FailureBefore: 0}},
	}
	for _, m := range []string{"error-rate", "latency-p95"} {
		s := canary.Series{Service: "cart", Metric: m}
		for i := range 12 {
			s.Points = append(s.Points, canary.Measurement{Service: "cart", Metric: m, At: Now.Add(time.Duration(i-12) * 10 * time.Second), Outcome: "success", Value: canary.Value{Canary: 0.01 + float64(i%4)/200, Baseline: 0.012, Samples: int64(60 * i)}})
		}
		v.Series = append(v.Series, s)
	}
	return v, nil
}

func canarySteps() []canary.Step {
	return []canary.Step{{Weight: 10, Pause: canary.Duration(time.Minute)}, {Weight: 25, Person: true}, {Weight: 50}}
}

// Canaries has that of release 48.
func (d Deploy) Canaries(ctx context.Context, a identity.Actor, project, environment string) ([]canary.View, error) {
	if err := d.f.Require(ctx, a, project, identity.Read); err != nil || d.f.Empty || environment != "" && environment != "production" {
		return nil, err
	}
	v, err := d.Canary(ctx, a, "shop/production/48")
	v.Series, v.Operations = nil, nil
	return []canary.View{v}, err
}

// Edit notes what was asked for, as the JSON that the API takes.
func (d Deploy) Edit(ctx context.Context, a identity.Actor, project, name string, c deploy.Change) (deploy.Environment, error) {
	if err := d.f.Require(ctx, a, project, identity.Maintain); err != nil {
		return deploy.Environment{}, err
	}
	b, err := json.Marshal(c)
	if err != nil {
		return deploy.Environment{}, err
	}
	Pulls(d).said("edit %s %s", name, b)
	return d.Environment(ctx, a, project, name)
}

// EndReviewApp notes it.
func (d Deploy) EndReviewApp(ctx context.Context, a identity.Actor, project, name string) (deploy.Environment, error) {
	if err := d.f.Require(ctx, a, project, identity.Write); err != nil {
		return deploy.Environment{}, err
	}
	Pulls(d).said("end %s", name)
	return d.Environment(ctx, a, project, name)
}

// Redeploy notes it; what serves then is release 49.
func (d Deploy) Redeploy(ctx context.Context, a identity.Actor, release string, _ deploy.Say) (deploy.Release, error) {
	if err := d.f.Require(ctx, a, "shop", identity.Write); err != nil {
		return deploy.Release{}, err
	}
	Pulls(d).said("redeploy %s", release)
	return deploy.Release{Project: "shop", Environment: "production", Number: 49, Result: deploy.Deployed}, nil
}

// Signals knows what is behind item 41.
type Signals struct{ f *Fixture }

// Cause is of item 41: two commits are suspected.
func (k Signals) Cause(ctx context.Context, a identity.Actor, project string, item int64) (insight.Cause, error) {
	if err := k.f.Require(ctx, a, project, identity.Read); err != nil {
		return insight.Cause{}, err
	}
	if item != 41 || k.f.Empty {
		return insight.Cause{}, fault.New(fault.NotFound, "No signal opened item %d.", item)
	}
	return insight.Cause{
		Item: 41, Project: "shop", Release: "shop/production/48", Stable: "shop/production/46", Repo: "shop/shop", From: Fourth, To: Newest, Owner: "ada", OwnerBy: "CODEOWNERS",
		Suspects: []insight.Commit{
			{Hash: Newest, Title: "Price rounding for multi-currency carts <script>alert(1)</script>", Author: "cart-dev", User: "ada", When: Now.Add(-3 * time.Hour), Files: []string{"cart/rounding.go"}},
			{Hash: Second, Title: "Checkout: retry on 503 from pricing", Author: "web-dev", When: Now.Add(-4 * time.Hour)},
		},
		Impact: insight.Impact{Requests: 812, FailureShare: 0.051, P95: 25, Since: Now.Add(-3 * time.Hour)},
		Evidence: []insight.Evidence{
			{Subject: "release:shop/production/48", Text: "5.1 % of 812 requests GET /api/cart failed in the canary, 0.0 % in the baseline", Query: "AppRequests\n| where Release == 'shop/production/48'", Trace: TraceID, At: Now.Add(-2 * time.Minute)},
			{Text: "The alert “cart errors” fired <script>", Query: `sum(rate(towpath_router_requests_total{code="500"}[5m])) > 1`, At: Now.Add(-time.Minute)},
		},
		Signals: []insight.Signal{{Key: "k1", Source: "canary", Severity: "critical", State: "open"}},
	}, nil
}

// PromoteCanary notes what was asked for.
func (d Deploy) PromoteCanary(ctx context.Context, a identity.Actor, release string, full bool) (canary.View, error) {
	return d.decide(ctx, a, "promote %s full=%v", release, full)
}

// RejectCanary notes it.
func (d Deploy) RejectCanary(ctx context.Context, a identity.Actor, release, why string) (canary.View, error) {
	return d.decide(ctx, a, "reject %s %q", release, why)
}

func (d Deploy) decide(ctx context.Context, a identity.Actor, format string, args ...any) (canary.View, error) {
	if err := d.f.Require(ctx, a, "shop", identity.Write); err != nil {
		return canary.View{}, err
	}
	Pulls(d).said(format, args...)
	return canary.View{Release: "shop/production/48", Project: "shop", Environment: "production"}, nil
}
