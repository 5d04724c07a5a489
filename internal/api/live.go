package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
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
// those of /monitor/lines, data is a list of lines, the event "open" says that the stream
// follows, and "dropped" says how many the reader was too slow for.
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
	if err := a.Monitor.MayRead(r.Context(), actor(r.Context()), scope); err != nil {
		a.problem(w, r, err)
		return
	}
	a.stream(w, r, "lines", func(s *stream) error {
		open := false
		return a.Monitor.Live(r.Context(), actor(r.Context()), scope, in.lines(), func(lines []monitor.Line, dropped int64) error {
			switch {
			case len(lines) > 0:
				return s.send(lines, dropped)
			case open:
				return s.idle(dropped)
			}
			open = true
			return s.say("open", "{}", dropped)
		})
	})
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
	// What is wrong with the query is answered as such, before the stream begins.
	if err := a.Monitor.MayTail(r.Context(), actor(r.Context()), scope, q.Get("query")); err != nil {
		a.problem(w, r, err)
		return
	}
	a.stream(w, r, "rows", func(s *stream) error {
		return a.Monitor.Tail(r.Context(), actor(r.Context()), scope, q.Get("query"), func(rows *monitor.Answer, dropped int64) error {
			if rows == nil {
				return s.idle(dropped)
			}
			return s.send(rows, dropped)
		})
	})
}

// stream is an answer of server-sent events.
type stream struct {
	w    http.ResponseWriter
	out  *http.ResponseController
	kind string // of the events that carry data
}

// stream begins a stream and has it written until follow ends, which is when the reader goes.
func (a *server) stream(w http.ResponseWriter, r *http.Request, kind string, follow func(*stream) error) {
	s := &stream{w, http.NewResponseController(w), kind}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if s.out.Flush() != nil {
		return
	}
	if err := follow(s); err != nil && r.Context().Err() == nil {
		a.log.Debug("a live stream ended", "of", kind, "error", err)
	}
}

// send sends data, after an event that says how much was dropped before it.
func (s *stream) send(data any, dropped int64) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return s.say(s.kind, string(text), dropped)
}

// idle shows that the stream is alive; it finds out whether somebody still reads.
func (s *stream) idle(dropped int64) error {
	return s.write(": still here\n\n", dropped)
}

// say sends one event.
func (s *stream) say(kind, data string, dropped int64) error {
	return s.write("event: "+kind+"\ndata: "+data+"\n\n", dropped)
}

func (s *stream) write(text string, dropped int64) error {
	if dropped > 0 {
		text = fmt.Sprintf("event: dropped\ndata: %d\n\n", dropped) + text
	}
	if _, err := io.WriteString(s.w, text); err != nil {
		return err
	}
	return s.out.Flush()
}
