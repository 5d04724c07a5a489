package api

import (
	"context"
	"net/http"
	"time"

	"towpath.dev/towpath/internal/work/dora"
	signals "towpath.dev/towpath/internal/work/insight"
)

// signalRoutes are what the engine of signals knows, and the numbers of DORA.
func (a *server) signalRoutes() {
	op(a, http.MethodGet, "/projects/{project}/signals", "signal-list", "What the platform saw that is work, the last seen first", func(ctx context.Context, in *struct {
		In
		State       string `query:"state" enum:"candidate,open,resolved,dismissed"`
		Source      string `query:"source" enum:"canary,regression,crash,error,alert,policy,admission,vulnerability,dependency,secret,pipeline,storm"`
		Environment string `query:"environment" maxLength:"63"`
		Item        int64  `query:"item" minimum:"0" doc:"only of this item"`
		Limit       int    `query:"limit" minimum:"0" maximum:"1000"`
	}) (*Body[[]signals.Signal], error) {
		return body(list(a.Insights.Signals(ctx, actor(ctx), in.Project, signals.Filter{
			State: in.State, Source: in.Source, Environment: in.Environment, Item: in.Item, Limit: in.Limit,
		})))
	})
	op(a, http.MethodGet, "/projects/{project}/signals/{key}", "signal-show", "A signal with its evidence", func(ctx context.Context, in *struct {
		In
		Key string `path:"key" pattern:"^[0-9a-f]{32}$"`
	}) (*Body[signals.Signal], error) {
		return body(a.Insights.Signal(ctx, actor(ctx), in.Project, in.Key))
	})
	op(a, http.MethodGet, "/projects/{project}/items/{item}/cause", "item-cause", "What is known behind an item: suspects, owner, impact, signals", func(ctx context.Context, in *struct {
		In
		Item int64 `path:"item" minimum:"1"`
	}) (*Body[signals.Cause], error) {
		return body(a.Insights.Cause(ctx, actor(ctx), in.Project, in.Item))
	})
	op(a, http.MethodGet, "/projects/{project}/dora", "dora-report", "The four numbers of DORA, with what they are made of", func(ctx context.Context, in *struct {
		In
		Environment string    `query:"environment" maxLength:"63" doc:"empty: production"`
		From        time.Time `query:"from"`
		To          time.Time `query:"to"`
		Bucket      string    `query:"bucket" enum:"day,week,month"`
	}) (*Body[dora.Report], error) {
		return body(a.Dora.Report(ctx, actor(ctx), in.Project, dora.Question{Environment: in.Environment, From: in.From, To: in.To, Bucket: in.Bucket}))
	})
}
