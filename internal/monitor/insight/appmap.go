package insight

import (
	"context"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/kql/syntax"
)

// Bounds of a map: a person sees no more, and the numbers of what is left out would be missed.
const (
	maxNodes = 500
	maxEdges = 2_000
)

// Totals are what a node, an edge or an operation adds up to.
type Totals struct {
	Count    int64   `json:"count" doc:"weighted by what sampling left out"`
	Failures int64   `json:"failures" doc:"of them"`
	P50      float64 `json:"p50_ms"`
	P95      float64 `json:"p95_ms"`
	// Query is KQL whose one row these totals are: Count, Failures, P50 and P95.
	Query string `json:"query"`
}

// Node is a role of a service, or something outside that one calls.
type Node struct {
	Role     string `json:"role"`
	External bool   `json:"external,omitempty" doc:"no telemetry of its own comes from it"`
	Kind     string `json:"kind,omitempty" doc:"of an external one: HTTP, postgresql, …"`
	Totals
}

// Edge is the calls of one role to another, or to something outside.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
	Kind string `json:"kind" doc:"DependencyType of the calls"`
	Totals
}

// Map is who calls whom.
type Map struct {
	Nodes []Node `json:"nodes" doc:"by role"`
	Edges []Edge `json:"edges" doc:"by from, to and kind"`
	// Truncated says that there are more roles or calls than a map shows.
	Truncated bool `json:"truncated,omitempty"`
}

// totals is the end of every query that adds calls up; by follows.
const totals = "\n| summarize Count = sum(ItemCount), Failures = sumif(ItemCount, Success == false), P50 = percentile(DurationMs, 50), P95 = percentile(DurationMs, 95)"

// requestsOf begins a query of requests.
func requestsOf(in Scope) string { return "AppRequests" + in.where() }

// callsOf begins a query of calls: each with the role that answered it, found by the
// request that names the call as its parent, else with what was called.
func callsOf(in Scope) string {
	return "AppDependencies" + in.where() + `
| where DependencyType != "InProc"
| join kind=leftouter (
    AppRequests` + in.where() + `
    | where isnotempty(ParentId)
    | summarize Callee = min(AppRoleName) by OperationId, ParentId
  ) on OperationId, $left.Id == $right.ParentId
| extend To = iff(isnotempty(Callee), Callee, iff(isnotempty(Target), Target, Name)), Answered = isnotempty(Callee)`
}

// Map answers who calls whom.
func (s *Service) Map(ctx context.Context, a identity.Actor, in Scope) (*Map, error) {
	if err := s.check(ctx, a, &in); err != nil {
		return nil, err
	}
	roles, err := s.ask(ctx, in, requestsOf(in)+totals+" by AppRoleName\n| order by AppRoleName asc", maxNodes)
	if err != nil {
		return nil, err
	}
	calls, err := s.ask(ctx, in, callsOf(in)+totals+" by AppRoleName, To, DependencyType, Answered\n| order by AppRoleName asc, To asc, DependencyType asc", maxEdges)
	if err != nil {
		return nil, err
	}
	outside, err := s.ask(ctx, in, outsideOf(in)+totals+" by To", maxNodes)
	if err != nil {
		return nil, err
	}
	m := &Map{Nodes: []Node{}, Edges: []Edge{}, Truncated: roles.truncated || calls.truncated || outside.truncated}
	known := map[string]bool{}
	for i := range roles.Rows() {
		role := roles.text("AppRoleName", i)
		known[role] = true
		m.Nodes = append(m.Nodes, Node{Role: role, Totals: totalsOf(roles, i, requestsOf(in)+"\n| where AppRoleName == "+syntax.Quote(role)+totals)})
	}
	for i := range calls.Rows() {
		e := Edge{From: calls.text("AppRoleName", i), To: calls.text("To", i), Kind: calls.text("DependencyType", i)}
		answered := calls.integer("Answered", i) != 0
		e.Totals = totalsOf(calls, i, callsOf(in)+"\n| where AppRoleName == "+syntax.Quote(e.From)+" and To == "+syntax.Quote(e.To)+" and DependencyType == "+syntax.Quote(e.Kind)+
			" and Answered == "+map[bool]string{true: "true", false: "false"}[answered]+totals)
		m.Edges = append(m.Edges, e)
		m.meet(in, known, e, answered)
	}
	m.called(in, outside)
	return m, nil
}

// outsideOf begins a query of the calls that no telemetry answers.
func outsideOf(in Scope) string { return callsOf(in) + "\n| where Answered == false" }

// called gives what no telemetry comes from the totals of all calls of it.
func (m *Map) called(in Scope, outside *answer) {
	row := map[string]int{}
	for i := range outside.Rows() {
		row[outside.text("To", i)] = i
	}
	for i := range m.Nodes {
		n := &m.Nodes[i]
		if at, ok := row[n.Role]; ok && n.External {
			n.Totals = totalsOf(outside, at, outsideOf(in)+"\n| where To == "+syntax.Quote(n.Role)+totals)
		}
	}
}

// meet adds the nodes of an edge that answered no request in this time: a service that
// only calls, and what no telemetry comes from.
func (m *Map) meet(in Scope, known map[string]bool, e Edge, answered bool) {
	if !known[e.From] {
		known[e.From] = true
		m.Nodes = append(m.Nodes, Node{Role: e.From, Totals: Totals{Query: requestsOf(in) + "\n| where AppRoleName == " + syntax.Quote(e.From) + totals}})
	}
	if !known[e.To] {
		known[e.To] = true
		m.Nodes = append(m.Nodes, Node{Role: e.To, External: !answered, Kind: e.Kind, Totals: Totals{Query: requestsOf(in) + "\n| where AppRoleName == " + syntax.Quote(e.To) + totals}})
	}
}

// totalsOf reads the totals of a row.
func totalsOf(a *answer, row int, query string) Totals {
	return Totals{Count: a.integer("Count", row), Failures: a.integer("Failures", row), P50: a.real("P50", row), P95: a.real("P95", row), Query: query}
}

// Operation is one request name of one role: rate, errors and duration.
type Operation struct {
	Role string `json:"role"`
	Name string `json:"name"`
	Totals
	Rate float64 `json:"rate" doc:"requests a second"`
	P99  float64 `json:"p99_ms"`
}

// maxOperations is how many operations one answer lists.
const maxOperations = 500

// Operations answers rate, errors and duration of every operation, the most frequent
// first; role "" is every role.
func (s *Service) Operations(ctx context.Context, a identity.Actor, in Scope, role string) ([]Operation, error) {
	if err := s.check(ctx, a, &in); err != nil {
		return nil, err
	}
	base := requestsOf(in)
	if role != "" {
		base += "\n| where AppRoleName == " + syntax.Quote(role)
	}
	const more = ", P99 = percentile(DurationMs, 99)"
	r, err := s.ask(ctx, in, base+totals+more+" by AppRoleName, Name\n| order by Count desc, AppRoleName asc, Name asc", maxOperations)
	if err != nil {
		return nil, err
	}
	out := make([]Operation, r.Rows())
	for i := range out {
		o := Operation{Role: r.text("AppRoleName", i), Name: r.text("Name", i), P99: r.real("P99", i)}
		o.Totals = totalsOf(r, i, requestsOf(in)+"\n| where AppRoleName == "+syntax.Quote(o.Role)+" and Name == "+syntax.Quote(o.Name)+totals+more)
		o.Rate = float64(o.Count) / in.To.Sub(in.From).Seconds()
		out[i] = o
	}
	return out, nil
}
