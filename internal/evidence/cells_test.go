package evidence_test

import (
	"testing"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// turn is what happens to a change, and what a lock shows afterwards.
type turn struct {
	state  evidence.State
	fact   string
	events []event.Fact
}

// turns has for each lock a story of one change, in which the lock opens, holds and shuts.
// Every story begins with the change "a" and its run 1, on the branch of pull request 7.
func turns() map[string][]turn {
	deny := []event.Verdict{verdict("denied")}
	const r1 = "shop/production/1"
	serving := []event.Fact{released("production", 1, 1, ""), released("production", 1, 1, "deployed", "b"), pod("u1", r1, "b", true, "")}
	return map[string][]turn{
		evidence.LockReview: {
			{evidence.Held, "in review", []event.Fact{opened("a")}},
			{evidence.Shut, "changes asked", []event.Fact{reviewed("ada", "changes-requested", "a")}},
			{evidence.Open, "approved", []event.Fact{reviewed("ada", "approved", "a")}},
		},
		evidence.LockBuild: {
			{evidence.Held, "run 1", []event.Fact{finished(1, "canceled", "")}},
			{evidence.Shut, "run 2", []event.Fact{queued(2, "a", "fix"), finished(2, "failed", "make: Error 2")}},
			{evidence.Open, "run 3", []event.Fact{queued(3, "a", "fix"), finished(3, "succeeded", "")}},
		},
		evidence.LockTest: {
			{evidence.Held, "0 of 3", []event.Fact{tests(1, "unit", 0, 0, 3)}},
			{evidence.Shut, "11 of 12", []event.Fact{queued(2, "a", "fix"), tests(2, "unit", 11, 1, 0)}},
			{evidence.Open, "12 of 12", []event.Fact{queued(3, "a", "fix"), tests(3, "unit", 12, 0, 0)}},
		},
		evidence.LockScan: {
			{evidence.Held, "2 high", []event.Fact{image(1, "b", "shop/web", "1"), scan("s1", "b", 0, 2)}},
			{evidence.Shut, "1 critical", []event.Fact{scan("s2", "b", 1, 2)}},
			{evidence.Open, "0 high", []event.Fact{scan("s3", "b", 0, 0)}},
		},
		evidence.LockSign: {
			{evidence.Held, "0 of 1 signed", []event.Fact{image(1, "b", "shop/web", "1"), finished(1, "succeeded", "")}},
			{evidence.Open, "signed", []event.Fact{signed("b"), provenance("b", 1)}},
			{evidence.Shut, "1 of 1 deleted", []event.Fact{fact(event.TypeImageDeleted, event.Of(event.KindImage, digest("b")), event.ImageDeleted{V: 1, Repository: "shop/web", Digest: digest("b")})}},
			{evidence.Open, "signed", []event.Fact{image(1, "b", "shop/web", "1"), signed("b")}},
		},
		evidence.LockPolicy: {
			{evidence.Shut, "denied", []event.Fact{decided("a", "deploy", "production", "9 objects", deny, "run:1")}},
			{evidence.Open, "9 allowed", []event.Fact{decided("b", "deploy", "production", "9 objects", nil, "run:1")}},
			{evidence.Held, "violation", []event.Fact{decided("c", "audit", "production", "Deployment shop-production/web", deny, "run:1")}},
			{evidence.Open, "9 allowed", []event.Fact{decided("d", "deploy", "production", "9 objects", nil, "run:1")}},
		},
		evidence.LockDeploy: {
			{evidence.Held, "25 % canary", []event.Fact{released("production", 2, 1, "", "b"), canary(2, 2, 25, "paused")}},
			{evidence.Shut, "release 2", []event.Fact{canary(2, 2, 25, "rejected"), released("production", 2, 1, "rolled-back", "b")}},
			{evidence.Open, "release 3", []event.Fact{released("production", 3, 1, "", "b"), canary(3, 4, 50, "promoted"), released("production", 3, 1, "deployed", "b")}},
		},
		evidence.LockHealth: {
			{evidence.Open, "1 of 1", serving},
			{evidence.Held, "worse", []event.Fact{compared(r1, "worse")}},
			{evidence.Shut, "1 alert", []event.Fact{alerted("a1", "critical", r1, "u1")}},
			{evidence.Open, "1 of 1", []event.Fact{resolved("a1", r1, "u1"), compared(r1, "same")}},
		},
		evidence.LockBacklog: {
			{evidence.Held, "1 item", []event.Fact{itemFact(event.TypeItemCreated, 12, "proposed", "high", link(event.RelSuspects, commitOf("a")))}},
			{evidence.Shut, "2 items", []event.Fact{itemFact(event.TypeItemCreated, 13, "proposed", "critical", link(event.RelSuspects, commitOf("a")))}},
			{evidence.Open, "2 items", []event.Fact{itemFact(event.TypeItemChanged, 12, "completed", "high"), itemFact(event.TypeItemChanged, 13, "completed", "critical")}},
		},
	}
}

// TestEveryCellOpensHoldsAndShuts plays a story for each lock that the product has; a new
// lock without one fails.
func TestEveryCellOpensHoldsAndShuts(t *testing.T) {
	stories := turns()
	for _, lock := range evidence.Locks() {
		t.Run(lock, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				w := build(db)
				w.say(t, push("a", "fix"), queued(1, "a", "fix"))
				seen := map[evidence.State]bool{}
				for n, step := range stories[lock] {
					w.say(t, step.events...)
					c := cellOf(t, w, lock)
					if c.State != step.state || c.Fact != step.fact {
						t.Errorf("turn %d: %s is %s (%s, %s), want %s (%s)", n+1, lock, c.State, c.Fact, c.Detail, step.state, step.fact)
					}
					if c.State != evidence.None && (c.Since.IsZero() || c.Who == "" || c.Detail == "" && c.Link == "") {
						t.Errorf("turn %d: %s does not say since when, by whom and where it is shown: %+v", n+1, lock, c)
					}
					seen[c.State] = true
				}
				for _, s := range []evidence.State{evidence.Open, evidence.Held, evidence.Shut} {
					if !seen[s] {
						t.Errorf("nothing makes %s %s", lock, s)
					}
				}
			})
		})
	}
	if len(stories) != len(evidence.Locks()) {
		t.Errorf("%d stories for the locks %v", len(stories), evidence.Locks())
	}
}

// cellOf is a lock of the only change.
func cellOf(t *testing.T, w *world, lock string) evidence.Cell {
	t.Helper()
	rows := board(t, w, evidence.Filter{}).Rows
	if len(rows) != 1 {
		t.Fatalf("%d changes", len(rows))
	}
	for _, c := range rows[0].Cells {
		if c.Lock == lock {
			return c
		}
	}
	t.Fatalf("the change has no cell %s", lock)
	return evidence.Cell{}
}
