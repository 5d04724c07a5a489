package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// keepAlive is how often an idle stream says something, so that proxies keep it open;
// every so often the reader's permission is asked again, too.
const keepAlive = 15 * time.Second

// mayRead asks whether an actor may read a project's events; "" stands for all of the
// installation's.
func (a *server) mayRead(ctx context.Context, who identity.Actor, project string) error {
	if project == "" {
		return a.Identity.RequireAdmin(ctx, who)
	}
	return a.Identity.Require(ctx, who, project, identity.Read)
}

// events streams the logbook as server-sent events: id is the seq, event the type, data
// the event as JSON. ?project=NAME chooses one project. Last-Event-ID or ?after=SEQ
// continue a broken stream; without them it begins with what comes next.
func (a *server) events(w http.ResponseWriter, r *http.Request) {
	ctx, who := r.Context(), actor(r.Context())
	project := r.URL.Query().Get("project")
	if err := a.mayRead(ctx, who, project); err != nil {
		a.problem(w, r, err)
		return
	}
	after, err := a.from(r)
	if err != nil {
		a.problem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	for {
		changed := a.Log.Changed()
		got, err := a.Log.Read(ctx, event.Query{After: after, Project: project})
		if err != nil {
			return
		}
		for _, e := range got {
			data, err := json.Marshal(e)
			if err != nil {
				return
			}
			if _, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Type, data); err != nil {
				return
			}
			after = e.Seq
		}
		if out.Flush() != nil {
			return
		}
		if len(got) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(keepAlive):
			if a.mayRead(ctx, who, project) != nil {
				return
			}
			if _, err := fmt.Fprint(w, ": still here\n\n"); err != nil {
				return
			}
		}
	}
}

func (a *server) from(r *http.Request) (int64, error) {
	at := r.Header.Get("Last-Event-ID")
	if at == "" {
		at = r.URL.Query().Get("after")
	}
	if at == "" {
		seq, _, err := a.Log.Head(r.Context())
		return seq, err
	}
	n, err := strconv.ParseInt(at, 10, 64)
	if err != nil || n < 0 {
		return 0, fault.New(fault.Invalid, "%q is no event's seq.", at)
	}
	return n, nil
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	// The client is gone when this fails; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(v)
}
