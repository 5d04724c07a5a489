package kube

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/table"
)

// How long an event is remembered; the API server forgets it after an hour by default, and
// shows it again to whoever lists until then. And how many are remembered at most.
const (
	remember    = 3 * time.Hour
	maxRemember = 50_000
)

// journal knows which events wait to be stored and which were.
type journal struct {
	file string
	wake chan struct{}

	mu      sync.Mutex
	waiting []*corev1.Event
	queued  map[string]bool     // keys of waiting
	stored  map[string]occurred // by uid
}

// occurred is how far an event was stored.
type occurred struct {
	Count int64 `json:"n"`
	Last  int64 `json:"t"` // Unix milliseconds
}

func newJournal(file string) *journal {
	return &journal{file: file, wake: make(chan struct{}, 1), queued: map[string]bool{}, stored: map[string]occurred{}}
}

// load reads what an earlier process remembered.
func (j *journal) load(now time.Time) error {
	if j.file == "" {
		return nil
	}
	text, err := os.ReadFile(j.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := json.Unmarshal(text, &j.stored); err != nil {
		return fmt.Errorf("decoding %s: %w", filepath.Base(j.file), err)
	}
	j.prune(now)
	return nil
}

// prune forgets what is old; the caller holds the lock.
func (j *journal) prune(now time.Time) {
	limit := now.Add(-remember).UnixMilli()
	for uid, o := range j.stored {
		if o.Last < limit || len(j.stored) > maxRemember {
			delete(j.stored, uid)
		}
	}
}

// note queues an event that was not stored at this count.
func (j *journal) note(o any) {
	e, ok := o.(*corev1.Event)
	if !ok {
		return
	}
	count, last := occurrence(e)
	j.mu.Lock()
	defer j.mu.Unlock()
	s, known := j.stored[string(e.UID)]
	if known && count <= s.Count && last.UnixMilli() <= s.Last || j.queued[eventKey(e)] || len(j.waiting) >= maxRemember {
		return
	}
	j.waiting = append(j.waiting, e)
	j.queued[eventKey(e)] = true
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// occurrence returns how often an event has happened and when last. Events of the newer API
// have a series, or a time of microseconds, instead.
func occurrence(e *corev1.Event) (count int64, last time.Time) {
	count, last = int64(e.Count), e.LastTimestamp.Time
	if e.Series != nil {
		count, last = int64(e.Series.Count), e.Series.LastObservedTime.Time
	}
	if last.IsZero() {
		last = cmp.Or(e.EventTime.Time, e.CreationTimestamp.Time)
	}
	return max(count, 1), last.UTC()
}

func eventKey(e *corev1.Event) string {
	count, last := occurrence(e)
	return string(e.UID) + "/" + strconv.FormatInt(count, 10) + "/" + strconv.FormatInt(last.UnixMilli(), 10)
}

// take returns what waits, up to a limit.
func (j *journal) take(limit int) []*corev1.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := min(limit, len(j.waiting))
	out := slices.Clone(j.waiting[:n])
	j.waiting = slices.Delete(j.waiting, 0, n)
	return out
}

// back queues events again that could not be stored.
func (j *journal) back(events []*corev1.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.waiting = append(slices.Clone(events), j.waiting...)
}

// done notes events as stored, here and in the file.
func (j *journal) done(events []*corev1.Event, now time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range events {
		count, last := occurrence(e)
		delete(j.queued, eventKey(e))
		j.stored[string(e.UID)] = occurred{count, last.UnixMilli()}
	}
	j.prune(now)
	if j.file == "" {
		return nil
	}
	text, err := json.Marshal(j.stored)
	if err != nil {
		return err
	}
	next := j.file + ".next"
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	return os.Rename(next, j.file)
}

// writeEvents stores events as they come, some at a time, until ctx ends.
func (w *Watcher) writeEvents(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.events.wake:
		}
		for {
			events := w.events.take(500)
			if len(events) == 0 {
				break
			}
			if err := w.storeEvents(ctx, events); err != nil {
				w.events.back(events)
				if ctx.Err() != nil {
					return
				}
				w.o.Logger.Warn("events of the cluster are not stored yet", "error", err)
				select {
				case <-ctx.Done():
					return
				case <-time.After(2 * time.Second):
				}
			}
		}
	}
}

// storeEvents stores a batch per event, named after it and its count: a crash between the
// lake and the file makes the lake refuse it the second time.
func (w *Watcher) storeEvents(ctx context.Context, events []*corev1.Event) error {
	batches := make([]*table.Batch, 0, len(events))
	for _, e := range events {
		batches = append(batches, w.eventRow(ctx, e))
	}
	if err := w.o.Sink.Append(ctx, batches); err != nil {
		return err
	}
	if err := w.events.done(events, w.o.Clock.Now()); err != nil {
		w.o.Logger.Warn("what was stored of events cannot be remembered", "error", err)
	}
	return nil
}

func (w *Watcher) eventRow(ctx context.Context, e *corev1.Event) *table.Batch {
	count, last := occurrence(e)
	about := e.InvolvedObject
	at := w.placeOfEvent(ctx, e)
	first := e.FirstTimestamp.Time
	if first.IsZero() {
		first = cmp.Or(e.EventTime.Time, last)
	}
	source := cmp.Or(e.Source.Component, e.ReportingController)
	out := newRows(table.KubeEvents)
	out.add(w, last, at, "", row{
		"Computer": cmp.Or(e.Source.Host, at.Node, w.o.Name), "ObjectKind": about.Kind, "Namespace": about.Namespace, "Name": about.Name,
		"Reason": e.Reason, "Message": table.Clip(e.Message, 32<<10), "KubeEventType": e.Type, "SourceComponent": source,
		"FirstSeen": first, "LastSeen": last, "Count": float64(count),
	})
	sum := sha256.Sum256([]byte("kubeevent\x00" + w.o.Name + "\x00" + eventKey(e)))
	return out.Batch([16]byte(sum[:16]))
}

// placeOfEvent returns the place of what an event is about: the pod's, else its namespace's.
func (w *Watcher) placeOfEvent(ctx context.Context, e *corev1.Event) place.Place {
	if e.InvolvedObject.Kind == "Pod" {
		// The uid is what the reporter says; the namespace is what the API server has checked.
		if at, ok := w.ByUID(string(e.InvolvedObject.UID)); ok && at.Namespace == e.Namespace {
			return at
		}
	}
	at := place.Place{}
	if e.InvolvedObject.Namespace != "" {
		at.Namespace = e.Namespace
		at.Project, at.Environment = w.book.owner(ctx, at.Namespace, w.o.Clock.Now())
	}
	return at
}
