package api

import (
	"context"
	"net/http"
	"os"
	"time"

	"towpath.dev/towpath/internal/cluster"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
)

// Status says how the installation is.
type Status struct {
	Version string         `json:"version"`
	URL     string         `json:"url"`
	SSH     string         `json:"ssh,omitempty" doc:"Git over SSH begins with it" example:"ssh://git@localhost:7022"`
	Started time.Time      `json:"started"`
	Cluster cluster.Status `json:"cluster"`
	Events  int64          `json:"events" doc:"length of the logbook"`
}

func (a *server) platformRoutes() {
	op(a, http.MethodGet, "/status", "status-show", "How the installation is", func(ctx context.Context, _ *Empty) (*Body[Status], error) {
		if !actor(ctx).Known() {
			return nil, fault.New(fault.Unauthentic, "You are not signed in.").WithNext("run `towpath login`")
		}
		seq, _, err := a.Log.Head(ctx)
		return body(Status{Version: a.Version, URL: a.PublicURL, SSH: a.SSH, Started: a.Started, Cluster: a.Cluster.Status(), Events: seq}, err)
	})
	op(a, http.MethodGet, "/kubeconfig", "kubeconfig-show", "The administrator's kubeconfig", func(ctx context.Context, _ *Empty) (*Body[Kubeconfig], error) {
		if err := a.Identity.RequireAdmin(ctx, actor(ctx)); err != nil {
			return nil, err
		}
		path := a.Cluster.Status().Kubeconfig
		if path == "" {
			return nil, fault.New(fault.Unavailable, "This server has no cluster.").WithNext("start it with `towpath up`")
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fault.Wrap(fault.Unavailable, err, "The cluster has no kubeconfig yet.").WithNext("watch it with `towpath status`")
		}
		return body(Kubeconfig{Content: string(b)}, nil)
	})
	op(a, http.MethodGet, "/log", "log-list", "Events of the logbook", func(ctx context.Context, in *struct {
		Project string `query:"project" doc:"empty: all, for administrators" maxLength:"63"`
		Subject string `query:"subject" maxLength:"256" example:"run:7"`
		Type    string `query:"type" maxLength:"64"`
		After   int64  `query:"after" doc:"only events with a larger seq"`
		Limit   int    `query:"limit" minimum:"0" maximum:"5000"`
		Newest  bool   `query:"newest" doc:"newest first"`
	}) (*Body[[]event.Event], error) {
		if err := a.mayRead(ctx, actor(ctx), in.Project); err != nil {
			return nil, err
		}
		return body(list(a.Log.Read(ctx, event.Query{
			After: in.After, Project: in.Project, Subject: event.Subject(in.Subject), Type: in.Type, Limit: in.Limit, Newest: in.Newest,
		})))
	})
	op(a, http.MethodPost, "/log/verify", "log-verify", "Verify the logbook's hash chain", func(ctx context.Context, _ *Empty) (*Body[event.Report], error) {
		if err := a.Identity.RequireAdmin(ctx, actor(ctx)); err != nil {
			return nil, err
		}
		return body(a.Log.Verify(ctx, nil))
	})
}

// Kubeconfig is a kubeconfig file.
type Kubeconfig struct {
	Content string `json:"content"`
}
