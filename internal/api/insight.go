package api

import (
	"context"
	"net/http"
	"time"

	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/monitor/insight/drain"
)

// InTime says of which time something is asked; without it of the last hour.
type InTime struct {
	InScope
	Environment string    `query:"environment" maxLength:"63"`
	From        time.Time `query:"from"`
	To          time.Time `query:"to"`
}

func (in InTime) insight() (insight.Scope, error) {
	scope, err := in.scope()
	return insight.Scope{Project: scope.Project, All: scope.All, Environment: in.Environment, From: in.From, To: in.To}, err
}

// InGroup names an error group.
type InGroup struct {
	In
	Group string `path:"group" maxLength:"200" doc:"fingerprint"`
}

func (a *server) insightRoutes() {
	op(a, http.MethodGet, "/monitor/map", "insight-map", "Which service calls which, with counts, failures and durations", func(ctx context.Context, in *InTime) (*Body[*insight.Map], error) {
		scope, err := in.insight()
		if err != nil {
			return nil, err
		}
		return body(a.Insight.Map(ctx, actor(ctx), scope))
	})
	op(a, http.MethodGet, "/monitor/operations", "insight-operations", "Rate, errors and duration of every operation", func(ctx context.Context, in *struct {
		InTime
		Role string `query:"role" maxLength:"200" doc:"only of this service"`
	}) (*Body[[]insight.Operation], error) {
		scope, err := in.insight()
		if err != nil {
			return nil, err
		}
		return body(list(a.Insight.Operations(ctx, actor(ctx), scope, in.Role)))
	})
	op(a, http.MethodPost, "/monitor/patterns", "insight-patterns", "What the lines of a query have in common", func(ctx context.Context, in *struct {
		InScope
		Body QueryText
	}) (*Body[[]drain.Pattern], error) {
		scope, err := in.scope()
		if err != nil {
			return nil, err
		}
		q := in.Body
		got, err := a.Insight.Patterns(ctx, actor(ctx), insight.PatternQuestion{
			Scope: insight.Scope{Project: scope.Project, All: scope.All, From: q.From, To: q.To}, Text: q.Query,
		})
		if err != nil {
			return nil, err
		}
		return body(list(got.Patterns, nil))
	})
	op(a, http.MethodGet, "/projects/{project}/envs/{env}/releases/{release}/comparison", "insight-comparison", "What a release does beside what the one before did", func(ctx context.Context, in *struct {
		In
		Env     string `path:"env" maxLength:"63"`
		Release string `path:"release" maxLength:"18" pattern:"^[0-9]+$"`
	}) (*Body[insight.Comparison], error) {
		return body(a.Insight.Comparison(ctx, actor(ctx), in.Project, in.Project+"/"+in.Env+"/"+in.Release))
	})
	a.errorRoutes()
}

func (a *server) errorRoutes() {
	op(a, http.MethodGet, "/projects/{project}/errors", "insight-errors", "Exceptions that are one problem, the last seen first", func(ctx context.Context, in *struct {
		In
		State   string `query:"state" enum:"open,resolved,ignored"`
		Release string `query:"release" maxLength:"150" doc:"that came with this release"`
		Limit   int    `query:"limit" minimum:"0" maximum:"1000"`
	}) (*Body[[]insight.Group], error) {
		return body(list(a.Insight.Groups(ctx, actor(ctx), in.Project, insight.GroupFilter{State: in.State, FirstRelease: in.Release, Limit: in.Limit})))
	})
	op(a, http.MethodGet, "/projects/{project}/errors/{group}", "insight-error", "An error group", func(ctx context.Context, in *InGroup) (*Body[insight.Group], error) {
		return body(a.Insight.Group(ctx, actor(ctx), in.Project, in.Group))
	})
	op(a, http.MethodPost, "/projects/{project}/errors/{group}/state", "insight-set-error", "Resolve, ignore or open an error group", func(ctx context.Context, in *struct {
		InGroup
		Body struct {
			State string `json:"state" enum:"open,resolved,ignored"`
		}
	}) (*Body[insight.Group], error) {
		return body(a.Insight.SetState(ctx, actor(ctx), in.Project, in.Group, in.Body.State))
	})
}
