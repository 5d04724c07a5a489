package insight_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/work"
	"towpath.dev/towpath/internal/work/insight"
)

func failing(group, release string) event.Fact {
	return event.Fact{
		Type: event.TypeErrorFound, Subject: event.Of(event.KindRelease, release), Project: "shop", Actor: "system:test",
		Payload: event.ErrorFound{V: 1, Group: group, Release: release, Environment: "production", Role: "role-" + group, Type: "E", Message: "m" + group, Again: true},
	}
}

// TestTenThousandRepeatsAreOneItem also counts what the repeats write: the logbook holds the
// repeats themselves, the one item, and nothing for each of them.
func TestTenThousandRepeatsAreOneItem(t *testing.T) {
	w := build(t, storetest.SQLite(t), insight.Options{})
	const repeats, batch = 10_000, 500
	for range repeats / batch {
		facts := make([]event.Fact, batch)
		for i := range facts {
			facts[i] = failing("v1:aa", "shop/production/1")
		}
		w.say(t, facts...)
		w.clock.Add(30 * time.Second)
	}
	w.pass(t, time.Hour)
	items := w.all(t)
	if len(items) != 1 || items[0].Insight.Count != repeats {
		t.Fatalf("%d items: %+v", len(items), items)
	}
	list, err := w.Signals(t.Context(), insight.Actor(), "shop", insight.Filter{})
	if err != nil || len(list) != 1 || list[0].Count != repeats {
		t.Fatalf("signals: %+v, %v", list, err)
	}
	head, _, err := w.log.Head(t.Context())
	if err != nil || head > repeats+10 {
		t.Errorf("the logbook has %d events of %d repeats: %v", head, repeats, err)
	}
}

// TestFiftyCleanDeploysAreNoItem rolls out releases as they are when nothing is wrong: pods
// start, a canary is promoted, comparisons say same or better, one is unclear.
func TestFiftyCleanDeploysAreNoItem(t *testing.T) {
	w := build(t, storetest.SQLite(t), insight.Options{})
	for n := 1; n <= 50; n++ {
		id := fmt.Sprintf("shop/production/%d", n)
		stable := fmt.Sprintf("shop/production/%d", n-1)
		subject := event.Of(event.KindRelease, id)
		say := func(typ string, subject event.Subject, payload any, links ...event.Link) {
			w.clock.Add(5 * time.Second)
			w.say(t, event.Fact{Type: typ, Subject: subject, Project: "shop", Actor: "system:test", Payload: payload, Links: links})
		}
		commit, run := sha(fmt.Sprint("clean", n)), event.OfRun(int64(n))
		say(event.TypeCommitPushed, event.Of(event.KindCommit, commit), event.CommitPushed{V: 1, Repo: "shop/web", Ref: "refs/heads/main", Commit: commit, Default: true})
		say(event.TypeRunQueued, run, event.Run{V: 1, Run: int64(n), Repo: "shop/web", Ref: "refs/heads/main", Commit: commit, Pipeline: "azure-pipelines.yml"})
		say(event.TypeReleaseStarted, subject, event.Release{V: 1, Release: id, Environment: "production", Commit: commit})
		pod := event.PodChanged{V: 1, Release: id, Namespace: "shop", Name: fmt.Sprintf("cart-7d9f8b6c5d-x2x4%c", 'b'+n%10), UID: fmt.Sprint("u", n), Why: "running, not ready yet"}
		say(event.TypePodChanged, event.Of(event.KindPod, pod.UID), pod)
		if n > 1 {
			c := event.Canary{V: 1, Release: id, Environment: "production", Stable: stable, Step: 1, Steps: 2, Weight: 10, State: "progressing"}
			say(event.TypeCanaryStepped, subject, c)
			c.State = "promoted"
			say(event.TypeCanaryFinished, subject, c)
		}
		pod.Ready, pod.Why = true, ""
		say(event.TypePodChanged, event.Of(event.KindPod, pod.UID), pod)
		say(event.TypeReleaseFinished, subject, event.Release{V: 1, Release: id, Environment: "production", Commit: commit, Result: "deployed"})
		say(event.TypeReleaseCompared, subject, event.ReleaseCompared{V: 1, Release: id, Environment: "production", Baseline: stable, Verdict: []string{"same", "better", "unclear"}[n%3]})
		say(event.TypeJobFinished, event.Of(event.KindJob, fmt.Sprintf("%d/Deploy.prod", n)), event.Job{V: 1, Run: int64(n), Stage: "Deploy", Job: "prod", Result: "succeeded"}, event.Link{Rel: event.RelPartOf, To: run})
		say(event.TypeRunFinished, run, event.RunFinished{V: 1, Run: int64(n), Result: "succeeded", Repo: "shop/web"})
		w.clock.Add(10 * time.Minute)
	}
	w.pass(t, 2*time.Hour)
	list, err := w.Signals(t.Context(), insight.Actor(), "shop", insight.Filter{})
	if err != nil || len(list) > 0 || len(w.all(t)) > 0 {
		t.Errorf("signals of clean deploys: %+v, %v", list, err)
	}
}

// TestAStormIsOneUmbrella opens more items of one source than the guard lets pass.
func TestAStormIsOneUmbrella(t *testing.T) {
	w := build(t, storetest.SQLite(t), insight.Options{Storm: 5})
	for i := range 40 {
		w.say(t, failing(fmt.Sprintf("v1:%02d", i), fmt.Sprintf("shop/production/%d", i+1)))
	}
	w.pass(t, 2*time.Minute)
	items := w.all(t)
	if len(items) != 6 {
		t.Fatalf("%d items, want five and the umbrella: %+v", len(items), items)
	}
	umbrella := items[5]
	c, err := w.Cause(t.Context(), insight.Actor(), "shop", umbrella.Number)
	if err != nil || umbrella.Insight.Source != insight.SourceStorm || len(c.Signals) != 36 {
		t.Fatalf("umbrella %+v with %d signals: %v", umbrella, len(c.Signals), err)
	}
	// All of them are absent from a later release: the umbrella goes with the last.
	w.say(t, event.Fact{Type: event.TypeReleaseFinished, Subject: "release:shop/production/99", Project: "shop", Actor: "system:test",
		Payload: event.Release{V: 1, Release: "shop/production/99", Environment: "production", Result: "deployed"}})
	w.pass(t, time.Hour)
	for _, i := range w.all(t) {
		if i.Category != work.Completed {
			t.Errorf("item %d (%s) is %s", i.Number, i.Title, i.Category)
		}
	}
}

// model is what a random stream of alerts must lead to: a plain map and a few rules.
type model struct {
	item     int // of the alert, 0 for none
	fired    time.Time
	resolved time.Time
	open     bool // an item stands for it
}

// TestRandomStreamsAgreeWithTheModel fires and resolves alerts at random and compares with
// the model after each step: one item for each rule, whatever happens; it opens when its
// alert has held for the debounce, and closes when it was resolved for long enough.
func TestRandomStreamsAgreeWithTheModel(t *testing.T) {
	const debounce, quiet = 20 * time.Second, 10 * time.Minute
	for seed := range uint64(6) {
		w := build(t, storetest.SQLite(t), insight.Options{Storm: 1000})
		random := rand.New(rand.NewPCG(seed, 1))
		rules := map[string]*model{}
		made := 0
		step := func() {
			now := w.clock.Now()
			for _, m := range rules {
				switch {
				case !m.open && m.resolved.IsZero() && !m.fired.IsZero() && !now.Before(m.fired.Add(debounce)):
					m.open = true
					if m.item == 0 {
						made++
						m.item = made
					}
				case m.open && !m.resolved.IsZero() && !now.Before(m.resolved.Add(quiet)):
					m.open, m.fired = false, time.Time{}
				}
			}
		}
		for range 150 {
			name := fmt.Sprintf("rule-%d", random.IntN(4))
			m := rules[name]
			if m == nil {
				m = &model{}
				rules[name] = m
			}
			alert := event.Alert{V: 1, Alert: "alert-of-" + name, Rule: name, Kind: "metric", Severity: "warning", Environment: "production", Labels: map[string]string{"service": name}}
			fact := event.Fact{Subject: event.Of(event.KindAlert, alert.Alert), Project: "shop", Actor: "system:test", Payload: alert}
			switch random.IntN(3) {
			case 0:
				w.clock.Add(time.Duration(1+random.IntN(400)) * time.Second)
				step()
				w.say(t)
			case 1:
				fact.Type = event.TypeAlertFired
				step()
				w.say(t, fact)
				if m.fired.IsZero() || !m.open && !m.resolved.IsZero() {
					m.fired = w.clock.Now()
				}
				m.resolved = time.Time{}
			case 2:
				fact.Type = event.TypeAlertResolved
				step()
				w.say(t, fact)
				if m.fired.IsZero() {
					continue // It never fired, or it is over.
				}
				m.resolved = w.clock.Now()
				if !m.open {
					m.fired, m.resolved = time.Time{}, time.Time{} // Over before anybody was told.
				}
			}
			open := 0
			for _, m := range rules {
				if m.open {
					open++
				}
			}
			items := w.all(t)
			got := 0
			for _, i := range items {
				if i.Category != work.Completed {
					got++
				}
			}
			if len(items) != made || got != open {
				t.Fatalf("seed %d: %d items, %d open; the model has %d and %d", seed, len(items), got, made, open)
			}
		}
		if made == 0 {
			t.Errorf("seed %d opened nothing", seed)
		}
	}
}
