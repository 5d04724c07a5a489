package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// stayFor reads for how long failed jobs are kept: seconds, or -1 for the installation's time.
func stayFor(seconds int) time.Duration {
	if seconds < 0 {
		return pipeline.StayDefault
	}
	return time.Duration(seconds) * time.Second
}

func (a *server) stayRoutes() {
	op(a, http.MethodPost, "/runs/{run}/release", "run-release", "Let the agent of a kept job clear up", func(ctx context.Context, in *struct {
		InRun
		Body struct {
			Job string `json:"job,omitempty" doc:"path of the job; empty means the only one that is kept" maxLength:"300"`
		}
	}) (*Empty, error) {
		return &Empty{}, a.Pipeline.Release(ctx, actor(ctx), in.Run, in.Body.Job)
	})
}

// terminal joins the connection of a request with a terminal in a kept job. The request asks
// for it by "Upgrade: towpath-terminal", which no page of another site can send.
func (a *server) terminal(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("run"), 10, 64)
	if err != nil || n < 1 {
		a.problem(w, r, fault.New(fault.NotFound, "A run has a number; this is none."))
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), protocol.UpgradeTerminal) {
		a.problem(w, r, fault.New(fault.Invalid, "A terminal is asked for by the header Upgrade: %s.", protocol.UpgradeTerminal).WithNext("use `towpath run attach`"))
		return
	}
	q := r.URL.Query()
	one, err := a.Pipeline.OpenTerminal(r.Context(), actor(r.Context()), n, q.Get("job"), protocol.ParseSize(q.Get("columns"), q.Get("rows")))
	if err != nil {
		a.problem(w, r, err)
		return
	}
	defer one.Close()
	way, err := pipeline.TakeOver(w, protocol.UpgradeTerminal)
	if err != nil {
		a.problem(w, r, err)
		return
	}
	defer way.Close()
	one.Join(context.WithoutCancel(r.Context()), protocol.NewFrames(way))
}
