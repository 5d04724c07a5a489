package router

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Record is what the router remembers of a request.
type Record struct {
	Time    time.Time `json:"time"`
	Key     string    `json:"key,omitempty"`
	Trace   string    `json:"trace,omitempty"` // trace id of traceparent
	Service string    `json:"service"`
	Port    int       `json:"port"`
	Track   string    `json:"track,omitempty"`   // that answered, "" for a session
	Session string    `json:"session,omitempty"` // id of the one that answered
	Method  string    `json:"method"`
	Path    string    `json:"path"` // at most 256 bytes
	Status  int       `json:"status"`
	Reason  string    `json:"reason,omitempty"`
	Millis  float64   `json:"ms"`
}

// journalSize is how many requests with a key are remembered, and how many without one
// that belong to a trace.
const journalSize = 1000

const maxPath = 256

// journal remembers requests. Those without a key are kept apart: they are many, and only
// tell where a trace lost its key.
type journal struct {
	mu      sync.Mutex
	keyed   ring
	unkeyed ring
}

type ring struct {
	list []Record
	next int
}

func (r *ring) add(rec Record) {
	if len(r.list) < journalSize {
		r.list = append(r.list, rec)
		return
	}
	r.list[r.next] = rec
	r.next = (r.next + 1) % journalSize
}

// each calls f with the records from the oldest on.
func (r *ring) each(f func(Record)) {
	for i := range r.list {
		f(r.list[(r.next+i)%len(r.list)])
	}
}

func newJournal() *journal { return &journal{} }

func (j *journal) add(rec Record) {
	if rec.Key == "" && rec.Trace == "" {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if rec.Key != "" {
		j.keyed.add(rec)
	} else {
		j.unkeyed.add(rec)
	}
}

// of returns the requests with the key and, of the traces that those belong to, the
// requests without it. In order of their arrival here.
func (j *journal) of(key string) []Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	out, traces := []Record{}, map[string]bool{}
	j.keyed.each(func(r Record) {
		if r.Key == key {
			out = append(out, r)
			if r.Trace != "" {
				traces[r.Trace] = true
			}
		}
	})
	j.unkeyed.each(func(r Record) {
		if traces[r.Trace] {
			out = append(out, r)
		}
	})
	return out
}

// record counts and remembers a request that is over; broken says that it ended before
// its time.
func (r *Router) record(f *forward, w *response, start time.Time, broken bool) {
	status, end := w.status, r.cfg.Now()
	if w.record != 0 {
		status = w.record
	}
	if f.resp != nil {
		if isGRPC(f.resp.Header) && status == http.StatusOK {
			status = httpOf(grpcStatus(f.resp))
		}
		if status == http.StatusSwitchingProtocols || strings.HasPrefix(f.resp.Header.Get("Content-Type"), "text/event-stream") {
			// How long such a stream lives says nothing about its service.
			end = start.Add(w.header.Sub(start))
		}
	}
	gone := f.in.Context().Err() != nil
	switch {
	case broken && gone && status == 0:
		status = statusGone
	case broken && !gone:
		status = http.StatusBadGateway
	}
	took := max(end.Sub(start), 0)
	rec := Record{
		Time: start, Key: f.key, Trace: traceID(f.in.Header), Service: f.p.service.Name, Port: f.p.Port.Port, Method: f.in.Method,
		Path: f.in.URL.Path, Status: status, Reason: f.reason, Millis: float64(took.Microseconds()) / 1000,
	}
	if len(rec.Path) > maxPath {
		rec.Path = rec.Path[:maxPath]
	}
	track := f.track.Name
	if f.session != nil {
		rec.Session, track = f.session.ID, trackSession
	} else {
		rec.Track = track
	}
	r.access.add(rec)
	if track != "" {
		r.seen.count(rec.Service, track, status, took)
	}
	f.mirror()
}

func isGRPC(h http.Header) bool {
	return strings.HasPrefix(h.Get("Content-Type"), "application/grpc")
}

// grpcStatus returns the status of a gRPC response whose body was read; one without any
// was cut off.
func grpcStatus(resp *http.Response) string {
	if s := resp.Trailer.Get("Grpc-Status"); s != "" {
		return s
	}
	if s := resp.Header.Get("Grpc-Status"); s != "" {
		return s
	}
	return "2"
}
