package webtest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/monitor/insight/drain"
	"towpath.dev/towpath/internal/monitor/kube"
)

// TraceID is the one trace of the fixture.
const TraceID = "5b8efff798038103d269b633813fc60c"

// Monitor answers with rows that are made up.
type Monitor struct{ f *Fixture }

func (m Monitor) may(ctx context.Context, a identity.Actor, in monitor.Scope) error {
	return m.f.Require(ctx, a, in.Project, identity.Read)
}

func moment(ago time.Duration) string { return Now.Add(-ago).Format(time.RFC3339Nano) }

// answerOf makes an answer of columns "Name type".
func answerOf(columns string, rows ...[]any) *monitor.Answer {
	a := &monitor.Answer{Columns: []monitor.Column{}, Rows: rows}
	if a.Rows == nil {
		a.Rows = [][]any{}
	}
	for c := range strings.SplitSeq(columns, ", ") {
		name, kind, _ := strings.Cut(c, " ")
		a.Columns = append(a.Columns, monitor.Column{Name: name, Type: kind})
	}
	a.Stats.Milliseconds, a.Stats.Segments, a.Stats.Read = 112, 41, 3
	return a
}

// Newest are lines of containers. A text with the word nonsense cannot be read.
func (m Monitor) Newest(ctx context.Context, a identity.Actor, q monitor.Question) (*monitor.Answer, error) {
	if err := m.may(ctx, a, q.Scope); err != nil {
		return nil, err
	}
	if strings.Contains(q.Text, "nonsense") {
		return nil, fault.New(fault.Invalid, "1:18: there is no operator \"nonsense\"").WithNext("did you mean count?")
	}
	const columns = "TimeGenerated datetime, PodName string, ContainerName string, LogMessage dynamic, LogLevel string, Release string"
	if m.f.Empty {
		return answerOf(columns), nil
	}
	var rows [][]any
	for i := range 60 {
		pod, text, level := "web-6c54b7d9f-x2k4q", fmt.Sprintf("GET /cart 200 %dms", 9+i), "INFO"
		switch {
		case i == 1:
			text = `=HYPERLINK("http://example.com","open me")`
		case i%7 == 0:
			pod, text, level = "cart-6c54b7d9f-x2k4q", fmt.Sprintf("checkout failed: pricing returned 503 after 3 retries order=%d", 88120-i), "ERROR"
		case i%5 == 0:
			pod, text, level = "cart-6c54b7d9f-x2k4q", "<script>alert(1)</script> retry 3/3 GET http://pricing/quote backoff=80ms", "WARNING"
		}
		raw, err := json.Marshal(text)
		if err != nil {
			return nil, err
		}
		rows = append(rows, []any{moment(time.Duration(i) * 1300 * time.Millisecond), pod, strings.SplitN(pod, "-", 2)[0], json.RawMessage(raw), level, "shop/production/47"})
	}
	return answerOf(columns, rows...), nil
}

// Query knows the questions of the pages by their words.
func (m Monitor) Query(ctx context.Context, a identity.Actor, q monitor.Question) (*monitor.Answer, error) {
	if err := m.may(ctx, a, q.Scope); err != nil || m.f.Empty {
		return answerOf("Nothing string"), err
	}
	switch {
	case strings.Contains(q.Text, "summarize Times"):
		return answerOf("Hour datetime, Times long", []any{moment(2 * time.Minute), int64(12)}, []any{moment(61 * time.Minute), int64(40)}, []any{moment(20 * time.Hour), int64(3)}), nil
	case strings.HasPrefix(q.Text, "AppExceptions"):
		details := json.RawMessage(`[{"rawStack": "PricingUnavailable: pricing returned 503\n\tat cart.Checkout (cart/checkout.go:88)\n\tat <script>alert(1)</script>"}]`)
		return answerOf("TimeGenerated datetime, OperationId string, Message string, Method string, Release string, Details dynamic",
			[]any{moment(2 * time.Minute), TraceID, "pricing returned 503 after 3 retries order=88120", "cart.Checkout", "shop/production/47", details},
			[]any{moment(3 * time.Minute), "", "pricing returned 503 after 3 retries order=88119", "cart.Checkout", "", nil}), nil
	case strings.Contains(q.Text, "countif(Success == false)"):
		if !strings.Contains(q.Text, TraceID) {
			return answerOf("AppRoleName string"), nil
		}
		return answerOf("AppRoleName string, Spans long, Failed long, First datetime, Last datetime",
			[]any{"web", int64(2), int64(0), moment(40 * time.Second), moment(38796 * time.Millisecond)}, []any{"cart <script>alert(1)", int64(2), int64(1), moment(39960 * time.Millisecond), moment(39 * time.Second)}), nil
	case strings.HasPrefix(q.Text, "union"):
		return answerOf("TimeGenerated datetime, Id string, ParentId string, AppRoleName string, Name string, DurationMs real",
			[]any{moment(40 * time.Second), "00f067aa0ba902b7", "", "web", "POST /checkout", 1204.0}, []any{moment(39980 * time.Millisecond), "00f067aa0ba902b8", "00f067aa0ba902b7", "web", "GET /quote", 900.0},
			[]any{moment(39960 * time.Millisecond), "00f067aa0ba902b9", "00f067aa0ba902b8", "cart <script>alert(1)", "GET /quote", 412.0}, []any{moment(39940 * time.Millisecond), "00f067aa0ba902ba", "00f067aa0ba902b9", "cart", "SELECT price", 12.0}), nil
	}
	return answerOf("TimeGenerated datetime, OperationId string, Id string, AppRoleName string, Name string, ResultCode string, Release string, DurationMs real, Success bool",
		[]any{moment(40 * time.Second), TraceID, "00f067aa0ba902b7", "cart", "POST /checkout", "503", "shop/production/47", 1204.0, false},
		[]any{moment(70 * time.Second), TraceID, "00f067aa0ba902b8", "web", "GET /cart", "200", "shop/production/46", 31.0, true}), nil
}

// Views are one's own and a shared one.
func (m Monitor) Views(ctx context.Context, a identity.Actor, project string) ([]monitor.View, error) {
	if err := m.f.Require(ctx, a, project, identity.Read); err != nil || m.f.Empty {
		return []monitor.View{}, err
	}
	return []monitor.View{
		{ID: "01V1", Project: project, Name: "errors of checkout", Query: "ContainerLogV2\n| where LogLevel == \"ERROR\"", Range: 3600, Owner: a.String()},
		{ID: "01V2", Project: project, Name: "slow requests <img src=x>", Query: "AppRequests\n| where DurationMs > 1000", Owner: "user:bob", Shared: true},
	}, nil
}

// Workloads are one that is well and one that crashes.
func (m Monitor) Workloads(ctx context.Context, a identity.Actor, in monitor.Scope) ([]kube.Workload, error) {
	if err := m.may(ctx, a, in); err != nil || m.f.Empty {
		return []kube.Workload{}, err
	}
	pod := func(name string, ready bool, restarts int) kube.PodState {
		return kube.PodState{Name: name + "-6c54b7d9f-x2k4q", UID: "1d2f", Phase: "Running", Ready: ready, Restarts: restarts, Release: "shop/production/46", Started: Now.Add(-5 * time.Hour)}
	}
	return []kube.Workload{
		{Project: "shop", Environment: "production", Namespace: "shop-production", Kind: "Deployment", Name: "cart", Release: "shop/production/46", State: kube.Shut, Why: "cart restarts again and again: it ended with code 1", Next: "read its last lines", Desired: 2, Ready: 1, Since: Now.Add(-4 * time.Minute), Pods: []kube.PodState{pod("cart", false, 7)}},
		{Project: "shop", Environment: "production", Namespace: "shop-production", Kind: "Deployment", Name: "web", Release: "shop/production/46", State: kube.Open, Desired: 1, Ready: 1, Since: Now.Add(-5 * time.Hour), Pods: []kube.PodState{pod("web", true, 0)}},
	}, nil
}

// Top is what two pods use.
func (m Monitor) Top(ctx context.Context, a identity.Actor, in monitor.Scope) (kube.Top, error) {
	return kube.Top{Pods: []kube.Usage{{Namespace: "shop-production", Name: "cart-6c54b7d9f-x2k4q", CPU: .012, Memory: 44 << 20}, {Namespace: "shop-production", Name: "web-6c54b7d9f-x2k4q", CPU: .004, Memory: 31 << 20}}}, m.may(ctx, a, in)
}

// Insight is what telemetry adds up to.
type Insight struct{ f *Fixture }

// GroupID is the fingerprint of the fixture's first error.
const GroupID = "v1-9c41e07d3b8a6c5e"

// Map is six services, one of them somebody else's.
func (i Insight) Map(ctx context.Context, a identity.Actor, in insight.Scope) (*insight.Map, error) {
	m := &insight.Map{Nodes: []insight.Node{}, Edges: []insight.Edge{}}
	if err := i.f.Require(ctx, a, in.Project, identity.Read); err != nil || i.f.Empty {
		return m, err
	}
	totals := func(n, failed int64, what string) insight.Totals {
		return insight.Totals{Count: n, Failures: failed, P50: 12, P95: 48.2, Query: "AppRequests\n| where AppRoleName == " + monitor.Quote(what) + "\n| summarize Count = sum(ItemCount)"}
	}
	for _, n := range []struct {
		role, kind string
		n, failed  int64
	}{{"web", "", 30127, 12}, {"cart", "", 2048, 214}, {"pricing", "", 2048, 30}, {"catalog", "", 9120, 0}, {"postgresql", "postgresql", 11000, 0}, {"<script>alert(1) with a long name", "HTTP", 12, 12}} {
		m.Nodes = append(m.Nodes, insight.Node{Role: n.role, External: n.kind != "", Kind: n.kind, Totals: totals(n.n, n.failed, n.role)})
	}
	for _, e := range [][2]string{{"web", "cart"}, {"web", "catalog"}, {"cart", "pricing"}, {"pricing", "postgresql"}, {"catalog", "postgresql"}, {"cart", "<script>alert(1) with a long name"}, {"cart", "cart"}} {
		m.Edges = append(m.Edges, insight.Edge{From: e[0], To: e[1], Kind: "HTTP", Totals: totals(2048, int64(len(e[1])), e[1])})
	}
	return m, nil
}

// Operations are two.
func (i Insight) Operations(ctx context.Context, a identity.Actor, in insight.Scope, _ string) ([]insight.Operation, error) {
	if err := i.f.Require(ctx, a, in.Project, identity.Read); err != nil || i.f.Empty {
		return []insight.Operation{}, err
	}
	one := func(role, name string, t insight.Totals, p99 float64) insight.Operation {
		t.Query = "AppRequests\n| where AppRoleName == " + monitor.Quote(role) + " and Name == " + monitor.Quote(name)
		return insight.Operation{Role: role, Name: name, Totals: t, P99: p99}
	}
	return []insight.Operation{
		one("web", "GET /cart", insight.Totals{Count: 30127, P50: 12.1, P95: 48}, 96.2),
		one("cart", "POST /checkout with a name that is long enough to be cut", insight.Totals{Count: 2048, Failures: 214, P50: 31, P95: 412.8}, 1204),
	}, nil
}

func groups() []insight.Group {
	one := func(id, role, kind, message, state string, n int64) insight.Group {
		return insight.Group{
			Project: "shop", Fingerprint: id, Role: role, Type: kind, Message: message, Operation: TraceID, Environment: "production", FirstSeen: Now.Add(-49 * time.Minute), LastSeen: Now.Add(-2 * time.Minute),
			FirstRelease: "shop/production/47", LastRelease: "shop/production/47", Count: n, State: state, Query: "AppExceptions\n| where ProblemId == " + monitor.Quote(id) + "\n| order by TimeGenerated desc",
		}
	}
	return []insight.Group{
		one(GroupID, "cart", "PricingUnavailable", "pricing returned 503 after 3 retries order=88120", insight.Open, 214),
		one("v1-aa", "web", "", "<img src=x onerror=alert(1)>", insight.Open, 3), one("v1-bb", "catalog", "ValueError", "no such tag", insight.Resolved, 18), one("v1-cc", "web", "TypeError", "x is undefined", insight.Ignored, 1204),
	}
}

// Groups lists error groups.
func (i Insight) Groups(ctx context.Context, a identity.Actor, project string, f insight.GroupFilter) ([]insight.Group, error) {
	if err := i.f.Require(ctx, a, project, identity.Read); err != nil || i.f.Empty {
		return []insight.Group{}, err
	}
	out := []insight.Group{}
	for _, g := range groups() {
		if (f.State == "" || g.State == f.State) && (f.FirstRelease == "" || g.FirstRelease == f.FirstRelease) {
			out = append(out, g)
		}
	}
	return out, nil
}

// Group finds one by its fingerprint.
func (i Insight) Group(ctx context.Context, a identity.Actor, project, fingerprint string) (insight.Group, error) {
	if err := i.f.Require(ctx, a, project, identity.Read); err != nil {
		return insight.Group{}, err
	}
	for _, g := range groups() {
		if g.Fingerprint == fingerprint {
			return g, nil
		}
	}
	return insight.Group{}, fault.New(fault.NotFound, "There is no error group %q in project %q.", fingerprint, project)
}

// SetState notes it; who may only read may not.
func (i Insight) SetState(ctx context.Context, a identity.Actor, project, fingerprint, state string) (insight.Group, error) {
	if err := i.f.Require(ctx, a, project, identity.Write); err != nil {
		return insight.Group{}, err
	}
	if state != insight.Open && state != insight.Resolved && state != insight.Ignored {
		return insight.Group{}, fault.New(fault.Invalid, "A group is open, resolved or ignored, not %.40q.", state)
	}
	g, err := i.Group(ctx, a, project, fingerprint)
	if err == nil {
		Pulls(i).said("error %s %s", fingerprint, state)
	}
	g.State = state
	return g, err
}

// Comparison is of release 47, which is worse than 46.
func (i Insight) Comparison(ctx context.Context, a identity.Actor, project, release string) (insight.Comparison, error) {
	if err := i.f.Require(ctx, a, project, identity.Read); err != nil {
		return insight.Comparison{}, err
	}
	if release != "shop/production/47" {
		return insight.Comparison{}, fault.New(fault.NotFound, "Release %s was not compared yet.", release)
	}
	return insight.Comparison{
		Release: release, Project: project, Environment: "production", Baseline: "shop/production/46", Verdict: insight.Worse, Why: "cart: POST /checkout: 10.4 % of requests fail, 0.1 % before", Final: true, Compared: Now.Add(-40 * time.Minute),
		Operations: []event.Operation{
			{Role: "cart", Name: "POST /checkout", Requests: 2048, RequestsBefore: 4100, FailureShare: .104, FailureBefore: .001, P95: 412, P95Before: 398, P: 1e-9, Verdict: insight.Worse},
			{Role: "web", Name: "GET /cart", Requests: 30127, RequestsBefore: 60110, P95: 48, P95Before: 47, P: .41, Verdict: insight.Same},
			{Role: "web", Name: "GET /new", Requests: 12, P95: 9, P: 1, Verdict: insight.Unclear},
		},
		Patterns: []drain.Pattern{{Text: "checkout failed: pricing returned <num> after <num> retries order=<num>", Count: 208, Sample: "checkout failed: pricing returned 503 after 3 retries order=88120"}},
		Queries:  []string{"AppRequests\n| where Release == \"shop/production/47\"", "AppRequests\n| where Release == \"shop/production/46\""},
	}, nil
}
