package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"towpath.dev/towpath/internal/monitor"
)

// InLines selects lines of containers.
type InLines struct {
	InScope
	Environment string   `query:"environment" maxLength:"63"`
	Namespace   string   `query:"namespace" maxLength:"63"`
	Pod         string   `query:"pod" maxLength:"253" doc:"the beginning of its name"`
	Container   string   `query:"container" maxLength:"63"`
	Levels      []string `query:"level" maxItems:"7" doc:"ERROR, WARNING, …"`
	Contains    string   `query:"contains" maxLength:"1000"`
}

func (in InLines) lines() monitor.Lines {
	return monitor.Lines{Environment: in.Environment, Namespace: in.Namespace, Pod: in.Pod, Container: in.Container, Levels: in.Levels, Contains: in.Contains}
}

func (a *server) lineRoutes() {
	op(a, http.MethodGet, "/monitor/lines", "monitor-lines", "The newest lines of containers, oldest first", func(ctx context.Context, in *struct {
		InLines
		Since int `query:"since" doc:"seconds back; 0 is all that is kept" minimum:"0"`
		Limit int `query:"limit" default:"200" minimum:"1" maximum:"10000"`
	}) (*Body[[]monitor.Line], error) {
		scope, err := in.scope()
		if err != nil {
			return nil, err
		}
		return body(list(a.Monitor.Recent(ctx, actor(ctx), scope, in.lines(), time.Duration(in.Since)*time.Second, in.Limit)))
	})
}

// live streams lines of containers as server-sent events as they come: the parameters are
// those of /monitor/lines, data is a list of lines, the event "open" says that the stream follows, and "dropped" says how many
// the reader was too slow for.
func (a *server) live(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	in := InLines{
		InScope: InScope{Project: q.Get("project"), All: q.Get("all") == "true"}, Environment: q.Get("environment"), Namespace: q.Get("namespace"),
		Pod: q.Get("pod"), Container: q.Get("container"), Contains: q.Get("contains"),
	}
	if l := q.Get("level"); l != "" {
		in.Levels = strings.Split(l, ",")
	}
	scope, err := in.scope()
	if err != nil {
		a.problem(w, r, err)
		return
	}
	out := http.NewResponseController(w)
	if err := a.Monitor.MayRead(r.Context(), actor(r.Context()), scope); err != nil {
		a.problem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if out.Flush() != nil {
		return
	}
	open := false
	err = a.Monitor.Live(r.Context(), actor(r.Context()), scope, in.lines(), func(lines []monitor.Line, dropped int64) error {
		if dropped > 0 {
			if _, err := fmt.Fprintf(w, "event: dropped\ndata: %d\n\n", dropped); err != nil {
				return err
			}
		}
		if len(lines) == 0 {
			text := ": still here\n\n"
			if !open {
				text, open = "event: open\ndata: {}\n\n", true
			}
			if _, err := fmt.Fprint(w, text); err != nil {
				return err
			}
			return out.Flush()
		}
		data, err := json.Marshal(lines)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "event: lines\ndata: %s\n\n", data); err != nil {
			return err
		}
		return out.Flush()
	})
	if err != nil && r.Context().Err() == nil {
		a.log.Debug("a live stream of lines ended", "error", err)
	}
}

// tail streams the rows of a query as they are acknowledged, as server-sent events: "rows"
// with an answer, "dropped" with how many rows the reader was too slow for.
func (a *server) tail(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	scope, err := InScope{Project: q.Get("project"), All: q.Get("all") == "true"}.scope()
	if err != nil {
		a.problem(w, r, err)
		return
	}
	out := http.NewResponseController(w)
	// What is wrong with the query is answered as such, before the stream begins.
	if err := a.Monitor.MayTail(r.Context(), actor(r.Context()), scope, q.Get("query")); err != nil {
		a.problem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if out.Flush() != nil {
		return
	}
	err = a.Monitor.Tail(r.Context(), actor(r.Context()), scope, q.Get("query"), func(rows *monitor.Answer, dropped int64) error {
		if dropped > 0 {
			if _, err := fmt.Fprintf(w, "event: dropped\ndata: %d\n\n", dropped); err != nil {
				return err
			}
		}
		if rows != nil {
			data, err := json.Marshal(rows)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(w, "event: rows\ndata: %s\n\n", data); err != nil {
				return err
			}
		}
		return out.Flush()
	})
	if err != nil && r.Context().Err() == nil {
		a.log.Debug("a live query ended", "error", err)
	}
}
