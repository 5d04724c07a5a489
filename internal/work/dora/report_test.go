package dora_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/work/dora"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC) // a Monday

// hands is a clock that a test moves.
type hands struct {
	clock.Clock
	now time.Time
}

func (h *hands) Now() time.Time { return h.now }

// members lets ada read shop.
type members struct{}

func (members) Require(_ context.Context, a identity.Actor, project string, _ identity.Role) error {
	if a.Name != "ada" || project != "shop" {
		return fault.New(fault.NotFound, "no such project")
	}
	return nil
}

type world struct {
	*dora.Service
	t     *testing.T
	db    *store.DB
	log   *event.Log
	clock *hands
	fed   int64
}

func build(t *testing.T, db *store.DB) *world {
	c := &hands{Clock: clock.Fixed(start, 0), now: start}
	log := event.New(db, c)
	return &world{Service: dora.New(dora.Parts{DB: db, Log: log, Auth: members{}, Clock: c}), t: t, db: db, log: log, clock: c}
}

// say appends a fact after some time and feeds the projection with it twice.
func (w *world) say(after time.Duration, typ string, subject event.Subject, payload any, links ...event.Link) {
	w.t.Helper()
	ctx := w.t.Context()
	w.clock.now = w.clock.now.Add(after)
	err := w.db.Tx(ctx, func(tx *store.Tx) error {
		return w.log.Append(ctx, tx, event.Fact{Type: typ, Subject: subject, Project: "shop", Actor: "system:test", Payload: payload, Links: links})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	events, err := w.log.Read(ctx, event.Query{After: w.fed})
	if err != nil {
		w.t.Fatal(err)
	}
	for range 2 {
		for _, e := range events {
			if err := w.db.Tx(ctx, func(tx *store.Tx) error { return w.Handle(ctx, tx, e) }); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	w.fed = events[len(events)-1].Seq
}

func (w *world) push(after time.Duration, commit string, authored time.Time) {
	w.say(after, event.TypeCommitPushed, event.Of(event.KindCommit, commit), event.CommitPushed{V: 1, Repo: "shop/web", Ref: "refs/heads/main", Commit: commit, Title: commit, Author: "Ada", Authored: authored, Default: true})
}

func (w *world) deploy(after time.Duration, n int, commit, result string) {
	id := fmt.Sprintf("shop/production/%d", n)
	w.say(after, event.TypeReleaseFinished, event.Of(event.KindRelease, id), event.Release{V: 1, Release: id, Environment: "production", Commit: commit, Result: result})
}

func (w *world) item(after time.Duration, typ, change, category, source string, links ...event.Link) {
	w.say(after, typ, "item:1", event.Item{V: 1, Item: 1, Type: "bug", Title: "it fails", Category: category, Source: source, Change: change}, links...)
}

func ada() identity.Actor {
	return identity.Actor{Kind: identity.KindUser, Name: "ada", Cap: identity.Admin}
}

func TestReport(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		w.push(0, "aa", start.Add(-time.Hour))
		w.push(time.Hour, "bb", time.Time{})     // 10:00, without a date of its own
		w.deploy(time.Hour, 1, "bb", "deployed") // 11:00: leads of 3 h and 1 h
		w.push(0, "cc", start.Add(48*time.Hour)) // dated in the future: as pushed
		w.deploy(time.Hour, 2, "cc", "rolled-back")
		concerns := event.Link{Rel: event.RelConcerns, To: "release:shop/production/2"}
		w.item(0, event.TypeItemCreated, "", "proposed", "canary", concerns)
		w.item(0, event.TypeItemCreated, "", "proposed", "vulnerability", concerns) // is no incident
		w.push(time.Hour, "dd", time.Time{})
		w.deploy(time.Hour, 3, "dd", "deployed") // 14:00: cc waited for 3 h, dd for 1 h
		w.item(time.Hour, event.TypeItemChanged, "state", "completed", "canary")
		w.deploy(24*time.Hour, 4, "dd", "deployed") // Tuesday, nothing new
		w.item(0, event.TypeItemChanged, "state,reopened", "proposed", "canary")
		r, err := w.Report(t.Context(), ada(), "shop", dora.Question{From: start, Bucket: dora.Day})
		if err != nil {
			t.Fatal(err)
		}
		want := []dora.Point{
			{Start: start.Add(-9 * time.Hour), Numbers: dora.Numbers{
				Deployments: 2, PerDay: 2, Changes: 4, Lead: 2 * 3600, Incidents: 1, FailureRate: 0.5, Restored: 1, Restore: 3 * 3600,
			}},
			{Start: start.Add(15 * time.Hour), Numbers: dora.Numbers{Deployments: 1, PerDay: 1, Incidents: 1, FailureRate: 1}},
		}
		if diff := cmp.Diff(want, r.Points, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })); diff != "" {
			t.Errorf("points (-want +got):\n%s", diff)
		}
		if r.Total.Deployments != 3 || r.Total.Incidents != 2 || len(r.Incidents) != 2 || len(r.Deployments) != 3 || r.Deployments[2].Changes != 2 {
			t.Errorf("the whole: %+v of %+v", r.Total, r.Deployments)
		}
		if r.Changes[0].Lead != 3*3600 {
			t.Errorf("the slowest change: %+v", r.Changes[0])
		}
	})
}

func TestBuckets(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	w.clock.now = time.Date(2026, 3, 18, 12, 0, 0, 0, time.UTC) // a Wednesday
	for _, tt := range []struct {
		q           dora.Question
		points      int
		first, last string
	}{
		{dora.Question{From: time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)}, 3, "2026-03-02", "2026-03-16"},
		{dora.Question{From: time.Date(2026, 1, 31, 5, 0, 0, 0, time.UTC), Bucket: dora.Month}, 3, "2026-01-01", "2026-03-01"},
		{dora.Question{From: time.Date(2026, 3, 15, 23, 0, 0, 0, time.UTC), Bucket: dora.Day}, 4, "2026-03-15", "2026-03-18"},
	} {
		r, err := w.Report(t.Context(), ada(), "shop", tt.q)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{r.Points[0].Start.Format(time.DateOnly), r.Points[len(r.Points)-1].Start.Format(time.DateOnly)}
		if len(r.Points) != tt.points || got[0] != tt.first || got[1] != tt.last {
			t.Errorf("%+v: %d buckets from %s to %s", tt.q, len(r.Points), got[0], got[1])
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	for _, tt := range []struct {
		who     identity.Actor
		project string
		q       dora.Question
		want    fault.Kind
	}{
		{identity.Actor{Kind: identity.KindUser, Name: "eve"}, "shop", dora.Question{}, fault.NotFound},
		{ada(), "blog", dora.Question{}, fault.NotFound},
		{ada(), "shop", dora.Question{Bucket: "hour"}, fault.Invalid},
		{ada(), "shop", dora.Question{From: start, To: start}, fault.Invalid},
		{ada(), "shop", dora.Question{From: start.AddDate(-5, 0, 0), Bucket: dora.Day}, fault.TooLarge},
	} {
		if _, err := w.Report(t.Context(), tt.who, tt.project, tt.q); !fault.Is(err, tt.want) {
			t.Errorf("%+v: %v, want %s", tt.q, err, tt.want)
		}
	}
}
