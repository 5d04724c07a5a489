package work_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/work"
)

var system = identity.SystemActor("insight")

func signal(resource string) work.Signal {
	return work.Signal{
		Project: "shop", Source: "error", Rule: "panic", Resource: resource, Title: "cart panics in " + resource, Severity: work.High, Note: "It is back.",
		Links: []work.Link{{Rel: event.RelSuspects, Subject: "commit:" + strings.Repeat("a", 40), Title: "cart: faster"}},
	}
}

func (w *world) raise(g work.Signal) work.Raised {
	w.t.Helper()
	r, err := w.Raise(w.t.Context(), system, g)
	check(w.t, err)
	return r
}

func (w *world) clear(g work.Signal) work.Item {
	w.t.Helper()
	it, err := w.Clear(w.t.Context(), system, "shop", g.Key(), "no occurrence in the last hour", []work.Link{{Rel: event.RelFixedBy, Subject: "release:shop/production/49"}})
	check(w.t, err)
	return it
}

func TestKeysAreStable(t *testing.T) {
	a, b := signal("GET /cart"), signal("GET /cart")
	b.Title, b.Body, b.Severity, b.Seen = "other", "words", "low", start
	if a.Key() != b.Key() || a.Key() != a.GroupKey() || len(a.Key()) != 32 {
		t.Error("the key depends on more than source, rule and resource")
	}
	if a.Key() == signal("GET /").Key() || (work.Signal{Source: "a", Rule: "bc"}).Key() == (work.Signal{Source: "ab", Rule: "c"}).Key() {
		t.Error("different signals have one key")
	}
}

func TestLifeOfASignal(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		g := signal("GET /cart")
		one := w.raise(g)
		if one.What != work.RaisedCreated || one.Item.Insight == nil || one.Item.Type != work.TypeBug || !one.Item.Insight.Auto {
			t.Fatalf("%+v", one)
		}
		w.clock.Add(time.Hour)
		again := w.raise(g)
		if again.What != work.RaisedRepeated || again.Item.Number != one.Item.Number || again.Item.Insight.Count != 2 || again.Item.Version != one.Item.Version {
			t.Fatalf("%+v %+v", again, again.Item.Insight)
		}
		done := w.clear(g)
		if done.Category != work.Completed || done.Insight.Active != 0 || !done.Insight.Auto {
			t.Fatalf("%+v %+v", done, done.Insight)
		}
		d := w.get(done.Number)
		if len(d.Comments) != 1 || !strings.Contains(d.Comments[0].Body, "no occurrence") || !strings.Contains(d.Comments[0].Body, "release:shop/production/49") || d.Signals[0].Cleared.IsZero() {
			t.Errorf("%+v", d.Comments)
		}
		w.clear(g) // A second time nothing happens.
		if n := len(w.get(done.Number).Comments); n != 1 {
			t.Errorf("%d comments", n)
		}
		w.clock.Add(29 * 24 * time.Hour)
		back := w.raise(g)
		if back.What != work.RaisedReopened || back.Item.Number != one.Item.Number || back.Item.Category != work.Proposed || !back.Item.Ended.IsZero() {
			t.Fatalf("%+v", back)
		}
		w.clear(g)
		w.clock.Add(31 * 24 * time.Hour)
		late := w.raise(g)
		if late.What != work.RaisedRegressed || late.Item.Number == one.Item.Number {
			t.Fatalf("%+v", late)
		}
		if links := w.get(late.Item.Number).Links; !linked(links, work.RelRegressionOf, "item:1") {
			t.Errorf("%+v", links)
		}
		found, err := w.Find(t.Context(), user("rita"), "shop", g.Key())
		if err != nil || found.Number != late.Item.Number {
			t.Errorf("%v %v", found, err)
		}
		_, err = w.Find(t.Context(), user("rita"), "shop", "none")
		refused(t, err, fault.NotFound)
		_, err = w.Clear(t.Context(), system, "shop", "none", "x", nil)
		refused(t, err, fault.NotFound)
		// The old item cannot be opened beside the new one.
		_, err = w.Change(t.Context(), user("wanda"), one.Item.Number, work.Edit{State: ptr("Active")})
		refused(t, err, fault.Conflict)
	})
}

func linked(links []work.Link, rel, subject string) bool {
	for _, l := range links {
		if l.Rel == rel && l.Subject == subject {
			return true
		}
	}
	return false
}

// TestTenThousandRepeats is the reference's: repeats make one item, one event and no
// history.
func TestTenThousandRepeats(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	g := signal("GET /cart")
	g.Links, g.Note = nil, ""
	w.raise(g)
	g.Times = 100
	for range 100 {
		w.raise(g)
	}
	d := w.get(1)
	if d.Insight.Count != 10001 || len(d.History) != 1 || len(d.Comments) != 0 || d.Version != 1 || w.order() != g.Title {
		t.Errorf("%+v %+v", d, d.Insight)
	}
	if n := len(w.said(event.TypeItemCreated)) + len(w.said(event.TypeItemChanged)); n != 1 {
		t.Errorf("%d events", n)
	}
}

func TestAGroupIsOneItem(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		image := func(n int) work.Signal {
			g := signal(fmt.Sprintf("shop/image%d", n))
			g.Source, g.Rule, g.Group, g.Type, g.Note = "vulnerability", "CVE-2026-1", "CVE-2026-1", work.TypeSecurity, ""
			return g
		}
		for n := range 14 {
			want := work.RaisedJoined
			if n == 0 {
				want = work.RaisedCreated
			}
			if r := w.raise(image(n)); r.What != want || r.Item.Number != 1 || r.Item.Insight.Active != n+1 {
				t.Fatalf("%+v %+v", r, r.Item.Insight)
			}
		}
		for n := range 14 {
			it := w.clear(image(n))
			if it.Insight.Active != 13-n || (it.Category == work.Completed) != (n == 13) {
				t.Fatalf("after %d: %+v %+v", n, it, it.Insight)
			}
		}
		if d := w.get(1); len(d.Signals) != 14 {
			t.Errorf("%d signals", len(d.Signals))
		}
	})
}

// A signal that holds on an item of its own stays there when it gets a group.
func TestASignalStaysWhereItHolds(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	g := signal("GET /cart")
	w.raise(g)
	g.Group = "storm"
	if r := w.raise(g); r.Item.Number != 1 || r.What != work.RaisedRepeated {
		t.Errorf("%+v", r)
	}
	if it := w.clear(g); it.Category != work.Completed {
		t.Errorf("%+v", it)
	}
}

func TestWontFix(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		g := signal("GET /cart")
		w.raise(g)
		_, err := w.Change(t.Context(), user("wanda"), 1, work.Edit{State: ptr("Removed")})
		refused(t, err, fault.Invalid)
		for _, bad := range []time.Time{{}, start, start.AddDate(3, 0, 0)} {
			_, err := w.WontFix(t.Context(), user("wanda"), 1, "the service goes away", bad)
			refused(t, err, fault.Invalid)
		}
		_, err = w.WontFix(t.Context(), user("wanda"), 1, "", start.AddDate(0, 1, 0))
		refused(t, err, fault.Invalid)
		it, err := w.WontFix(t.Context(), user("wanda"), 1, "the service goes away", start.AddDate(0, 2, 0))
		check(t, err)
		if it.Category != work.Removed || it.Insight.WontFix == "" {
			t.Errorf("%+v", it)
		}
		w.clock.Add(40 * 24 * time.Hour) // Longer than an item reopens.
		if r := w.raise(g); r.What != work.RaisedSuppressed || r.Item.Insight.Count != 2 {
			t.Errorf("%+v", r)
		}
		check(t, w.Expire(t.Context()))
		if d := w.get(1); d.Category != work.Removed {
			t.Errorf("%+v", d)
		}
		w.clock.Add(30 * 24 * time.Hour)
		check(t, w.Expire(t.Context()))
		if d := w.get(1); d.Category != work.Proposed || d.Insight.WontFix != "" || !d.Insight.Until.IsZero() {
			t.Errorf("%+v %+v", d, d.Insight)
		}
		check(t, w.Expire(t.Context()))
	})
}

func TestOneSeverityTheWorst(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	g := signal("GET /cart")
	var got []string
	for _, sev := range []string{work.Medium, work.Low, work.Critical, work.High} {
		g.Severity = sev
		got = append(got, w.raise(g).Item.Severity)
	}
	if d := cmp.Diff([]string{"medium", "medium", "critical", "critical"}, got); d != "" {
		t.Error(d)
	}
}
