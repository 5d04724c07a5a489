package api

import (
	"context"
	"net/http"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/kql/bind"
	"towpath.dev/towpath/internal/monitor/kube"
	"towpath.dev/towpath/internal/monitor/metric"
)

// QueryText is a question about telemetry.
type QueryText struct {
	Query   string    `json:"query" doc:"text of the Kusto query language" example:"AppRequests | summarize count() by Name" maxLength:"262144"`
	From    time.Time `json:"from,omitzero" doc:"rows from then on; the text may narrow it further"`
	To      time.Time `json:"to,omitzero" doc:"rows before then"`
	MaxRows int       `json:"max_rows,omitempty" doc:"default 10000" minimum:"0" maximum:"200000"`
}

// question makes the question that the text asks of a scope.
func (q QueryText) question(scope monitor.Scope) monitor.Question {
	return monitor.Question{Scope: scope, Text: q.Query, From: q.From, To: q.To, MaxRows: q.MaxRows}
}

// InScope says whose telemetry is meant: of the project, or with all of the whole
// installation, which administrators may see.
type InScope struct {
	Project string `query:"project" maxLength:"63"`
	All     bool   `query:"all" doc:"every project and the platform instead of one project"`
}

func (in InScope) scope() (monitor.Scope, error) {
	if in.All == (in.Project != "") {
		return monitor.Scope{}, fault.New(fault.Invalid, "Whose telemetry is meant is not said.").WithNext("add ?project=NAME, or as an administrator ?all=true")
	}
	return monitor.Scope{Project: in.Project, All: in.All}, nil
}

func (a *server) monitorRoutes() {
	a.queryRoutes()
	a.traceRoutes()
	a.viewRoutes()
	a.metricRoutes()
	a.lineRoutes()
	a.alertRoutes()
	a.insightRoutes()
}

func (a *server) queryRoutes() {
	op(a, http.MethodPost, "/monitor/query", "monitor-query", "Answer a query of the Kusto query language", answered(a.Monitor.Query))
	op(a, http.MethodPost, "/monitor/explore", "monitor-explore", "What stands around the rows of a query: counts over time, facets, releases", answered(a.Monitor.Explore))
	op(a, http.MethodPost, "/monitor/newest", "monitor-newest", "The newest rows of a query whose rows have a time; the answer of any other", answered(a.Monitor.Newest))
	op(a, http.MethodPost, "/monitor/check", "monitor-check", "What is wrong with a query, or what it would answer; nothing is run", func(ctx context.Context, in *struct{ Body QueryText }) (*Body[monitor.Checked], error) {
		return body(a.Monitor.Check(ctx, actor(ctx), in.Body.Query))
	})
	op(a, http.MethodPost, "/monitor/complete", "monitor-complete", "What may stand at a place of a query", func(ctx context.Context, in *struct {
		Body struct {
			Query    string `json:"query" maxLength:"262144"`
			Position int    `json:"position" doc:"bytes from the beginning" minimum:"0"`
		}
	}) (*Body[[]bind.Item], error) {
		return body(list(a.Monitor.Complete(ctx, actor(ctx), in.Body.Query, in.Body.Position)))
	})
}

// questionIn is a question and whose telemetry it is about.
type questionIn struct {
	InScope
	Body QueryText
}

// answered puts the question of a request to one of the service's methods.
func answered[T any](ask func(context.Context, identity.Actor, monitor.Question) (T, error)) func(context.Context, *questionIn) (*Body[T], error) {
	return func(ctx context.Context, in *questionIn) (*Body[T], error) {
		scope, err := in.scope()
		if err != nil {
			return nil, err
		}
		return body(ask(ctx, actor(ctx), in.Body.question(scope)))
	}
}

func (a *server) traceRoutes() {
	op(a, http.MethodGet, "/monitor/traces/{trace}", "monitor-trace", "All spans of one trace, as columns", func(ctx context.Context, in *struct {
		InScope
		Trace string `path:"trace" maxLength:"32" doc:"32 hexadecimal digits"`
	}) (*Body[*monitor.Trace], error) {
		scope, err := in.scope()
		if err != nil {
			return nil, err
		}
		return body(a.Monitor.Trace(ctx, actor(ctx), scope, in.Trace))
	})
	op(a, http.MethodGet, "/monitor/traces/{trace}/{span}", "monitor-span", "One span with its attributes, log records and exceptions", func(ctx context.Context, in *struct {
		InScope
		Trace string `path:"trace" maxLength:"32"`
		Span  string `path:"span" maxLength:"16" doc:"16 hexadecimal digits"`
	}) (*Body[*monitor.Span], error) {
		scope, err := in.scope()
		if err != nil {
			return nil, err
		}
		return body(a.Monitor.Span(ctx, actor(ctx), scope, in.Trace, in.Span))
	})
}

func (a *server) metricRoutes() {
	op(a, http.MethodGet, "/monitor/promql", "monitor-promql", "Evaluate a PromQL expression: now, or at each step of a time", func(ctx context.Context, in *struct {
		InScope
		Query string    `query:"query" required:"true" maxLength:"65536" example:"sum by (pod) (rate(container_cpu_usage_seconds_total[5m]))"`
		At    time.Time `query:"time" doc:"the moment; now when it is left out"`
		Start time.Time `query:"start" doc:"with end and step: a series instead of one value"`
		End   time.Time `query:"end"`
		Step  int       `query:"step" doc:"seconds" minimum:"0"`
	}) (*Body[[]metric.Series], error) {
		scope, err := in.scope()
		if err != nil {
			return nil, err
		}
		if !in.Start.IsZero() {
			return body(list(a.Monitor.Range(ctx, actor(ctx), scope, in.Query, in.Start, in.End, time.Duration(in.Step)*time.Second)))
		}
		points, err := a.Monitor.Instant(ctx, actor(ctx), scope, in.Query, in.At)
		out := make([]metric.Series, 0, len(points))
		for _, p := range points {
			out = append(out, metric.Series{Labels: p.Labels, Times: []time.Time{p.At}, Values: []metric.Value{metric.Value(p.Value)}})
		}
		return body(out, err)
	})
	op(a, http.MethodGet, "/monitor/workloads", "monitor-workloads", "How what runs is, the worst first", func(ctx context.Context, in *InScope) (*Body[[]kube.Workload], error) {
		scope, err := in.scope()
		if err != nil {
			return nil, err
		}
		return body(list(a.Monitor.Workloads(ctx, actor(ctx), scope)))
	})
	op(a, http.MethodGet, "/monitor/top", "monitor-top", "What pods use, with all=true nodes too", func(ctx context.Context, in *InScope) (*Body[kube.Top], error) {
		scope, err := in.scope()
		if err != nil {
			return nil, err
		}
		return body(a.Monitor.Top(ctx, actor(ctx), scope))
	})
}

func (a *server) viewRoutes() {
	op(a, http.MethodGet, "/projects/{project}/views", "monitor-views", "Saved queries: your own and the shared ones", func(ctx context.Context, in *In) (*Body[[]monitor.View], error) {
		return body(a.Monitor.Views(ctx, actor(ctx), in.Project))
	})
	op(a, http.MethodPost, "/projects/{project}/views", "monitor-save-view", "Keep a query; your view of the same name is replaced", func(ctx context.Context, in *struct {
		In
		Body struct {
			Name   string `json:"name" maxLength:"100"`
			Query  string `json:"query" maxLength:"65536"`
			Range  int64  `json:"range,omitempty" doc:"seconds back from now" minimum:"0"`
			Shared bool   `json:"shared,omitempty" doc:"everybody of the project sees it"`
		}
	}) (*Body[monitor.View], error) {
		v := in.Body
		return body(a.Monitor.SaveView(ctx, actor(ctx), monitor.View{Project: in.Project, Name: v.Name, Query: v.Query, Range: v.Range, Shared: v.Shared}))
	})
	op(a, http.MethodDelete, "/projects/{project}/views/{view}", "monitor-remove-view", "Remove a saved query", func(ctx context.Context, in *struct {
		In
		View string `path:"view" maxLength:"26"`
	}) (*struct{}, error) {
		return nil, a.Monitor.DeleteView(ctx, actor(ctx), in.Project, in.View)
	})
}
