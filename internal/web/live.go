package web

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/plan"
)

const (
	// settle is how long changes are gathered before a page is told once of all of them.
	settle = 350 * time.Millisecond
	// beat is how often a stream says that it is alive, and asks whether its reader may
	// still read.
	beat = 20 * time.Second
)

// stream sends server-sent events (HTML Living Standard, 9.2). It is safe for concurrent
// use.
type stream struct {
	mu   sync.Mutex
	w    http.ResponseWriter
	rc   *http.ResponseController
	stop context.CancelFunc
}

// openStream begins a stream with a heartbeat, which ends with close.
func openStream(w http.ResponseWriter, r request) *stream {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	ctx, stop := context.WithCancel(r.Context())
	s := &stream{w: w, rc: http.NewResponseController(w), stop: stop}
	_ = s.rc.SetWriteDeadline(time.Time{}) // Not every server has one; then there is nothing to lift.
	w.WriteHeader(http.StatusOK)
	_ = s.write("retry: 2000\n\n") // An error shows at the next send.
	go func() {
		t := time.NewTicker(beat)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				if s.write(": alive\n\n") != nil {
					return
				}
			}
		}
	}()
	return s
}

// close ends the heartbeat; after it nothing is written any more.
func (s *stream) close() {
	s.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = nil
}

func (s *stream) write(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.w == nil {
		return http.ErrHandlerTimeout
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.rc.Flush()
}

// send sends one event. data is JSON without line breaks.
func (s *stream) send(kind, id string, data []byte) error {
	text := "event: " + kind + "\n"
	if id != "" {
		text += "id: " + id + "\n"
	}
	return s.write(text + "data: " + string(data) + "\n\n")
}

// resume is where a stream goes on: after the event that the browser saw last, else where
// the address says.
func resume(r request, name string) int64 {
	if n, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64); err == nil && n >= 0 {
		return n
	}
	n, _ := strconv.ParseInt(r.query(name), 10, 64)
	return max(n, 0)
}

// fact is what a page hears of an event: enough to say it, not its payload.
type fact struct {
	Seq     int64  `json:"seq"`
	Type    string `json:"type"`
	Subject string `json:"subject"`
	Actor   string `json:"actor"`
	Words   string `json:"words,omitempty"` // for those who listen
}

// projectEvents streams the project's part of the logbook: each event as "fact" with its
// seq as id, and "change" once for all that came together, also when the Path has
// followed the log or a verdict on a live object is another one.
func (h *handler) projectEvents(w http.ResponseWriter, r request) error {
	if err := h.Identity.Require(r.Context(), r.actor, r.project(), identity.Read); err != nil {
		return err
	}
	after := resume(r, "after")
	st := openStream(w, r)
	defer st.close()
	asked := h.Clock.Now()
	for {
		grown, moved, judged := h.Log.Changed(), h.Evidence.Changed(), h.Compliance.Changed()
		next, err := h.sendFacts(r, st, after)
		if err != nil {
			return nil // The reader left, or the log cannot be read now: they come back.
		}
		after = next
		select {
		case <-r.Context().Done():
			return nil
		case <-grown:
		case <-moved:
			if st.send("change", "", []byte("{}")) != nil {
				return nil
			}
		case <-judged:
			if st.send("change", "", []byte("{}")) != nil {
				return nil
			}
		case <-time.After(beat):
		}
		if now := h.Clock.Now(); now.Sub(asked) >= beat {
			asked = now
			if !h.still(r) {
				return nil
			}
		}
		if !pause(r.Context(), settle) {
			return nil
		}
	}
}

// still reports whether the reader of a stream may go on reading: sessions end and roles
// are taken away while a page stays open.
func (h *handler) still(r request) bool {
	actor, err := h.Identity.Authenticate(r.Context(), identity.FromRequest(r.Request))
	return err == nil && h.Identity.Require(r.Context(), actor, r.project(), identity.Read) == nil
}

// sendFacts sends what was appended after seq and returns the newest seq sent.
func (h *handler) sendFacts(r request, st *stream, after int64) (int64, error) {
	list, err := h.Log.Read(r.Context(), event.Query{After: after, Project: r.project(), Limit: 200})
	if err != nil || len(list) == 0 {
		return after, err
	}
	for _, e := range list {
		body, err := json.Marshal(fact{Seq: e.Seq, Type: e.Type, Subject: string(e.Subject), Actor: e.Actor, Words: words(e)})
		if err != nil {
			return after, err
		}
		if err := st.send("fact", strconv.FormatInt(e.Seq, 10), body); err != nil {
			return after, err
		}
		after = e.Seq
	}
	return after, st.send("change", "", []byte("{}"))
}

// words say an event to somebody who cannot see the page change; most need none.
func words(e event.Event) string {
	switch e.Type {
	case event.TypeCommitPushed:
		var p event.CommitPushed
		if e.Into(&p) == nil {
			return "Pushed: " + p.Title
		}
	case event.TypeRunFinished:
		var p event.RunFinished
		if e.Into(&p) == nil {
			return "Run " + strconv.FormatInt(p.Run, 10) + " " + p.Result
		}
	case event.TypePullOpened, event.TypePullMerged, event.TypePullClosed:
		var p event.Pull
		if e.Into(&p) == nil {
			return "Pull request " + strconv.FormatInt(p.Number, 10) + " " + strings.TrimPrefix(e.Type, "pull.") + ": " + p.Title
		}
	case event.TypePullReviewed:
		var p event.PullReviewed
		if e.Into(&p) == nil {
			return "Pull request " + strconv.FormatInt(p.Number, 10) + " " + strings.ReplaceAll(p.Verdict, "-", " ") + " by " + p.Reviewer
		}
	case event.TypeDecisionMade:
		var p event.DecisionMade
		if e.Into(&p) == nil && !p.Allowed {
			return "Policy refused " + p.Object + " at " + p.Point
		}
	case event.TypeReleaseFinished:
		var p event.Release
		if e.Into(&p) == nil {
			return "Release " + p.Release + " " + p.Result
		}
	}
	return ""
}

// runEvents tells a run's page that a part of the run has changed, until it has ended.
func (h *handler) runEvents(w http.ResponseWriter, r request) error {
	n, err := h.runNumber(r)
	if err != nil {
		return err
	}
	if _, err := h.Pipeline.Show(r.Context(), r.actor, n); err != nil {
		return err
	}
	st := openStream(w, r)
	defer st.close()
	for {
		changed := h.Pipeline.Changed(n)
		d, err := h.Pipeline.Show(r.Context(), r.actor, n)
		if err != nil || st.send("change", "", []byte("{}")) != nil {
			return nil
		}
		if d.Status == plan.Completed {
			_ = st.send("over", "", []byte("{}")) // The last word; nobody may be listening.
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-changed:
		case <-time.After(beat):
		}
		if !pause(r.Context(), settle) {
			return nil
		}
	}
}

// pause waits for d; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
