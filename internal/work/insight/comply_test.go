package insight_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/work"
	"towpath.dev/towpath/internal/work/insight"
)

// alive is what lives and violates a rule; nil is not known.
type alive struct{ violators []string }

func (a *alive) Violators(_ context.Context, project, environment, assignment, rule string) ([]string, error) {
	if a.violators == nil {
		return nil, fault.New(fault.Unavailable, "not yet")
	}
	if project != "shop" || environment != "production" || assignment != "baseline" || rule != "owner-label" {
		return nil, nil
	}
	return a.violators, nil
}

// turned is that an object began or ceased to violate a rule.
func turned(object, uid, outcome string) event.Fact {
	return event.Fact{
		Type: event.TypeCompliance, Subject: event.Of(event.KindProject, "shop"), Project: "shop", Actor: "system:audit",
		Payload: event.ComplianceChanged{V: 1, Environment: "production", Object: object, UID: uid, Verdicts: []event.Verdict{
			{Assignment: "baseline", Rule: "owner-label", Outcome: outcome, Object: object, Message: "it has no owner"},
		}},
	}
}

func TestNonComplianceIsAnItemUntilItComplies(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db, insight.Options{})
		live := &alive{}
		w.Compliance = live
		const deployment, pod = "Deployment shop-production/cart", "Pod shop-production/cart-7d9f8b6c5d-x2x4z"

		// What is put right at once is nothing.
		w.say(t, turned("Deployment shop-production/web", "w", "audited"))
		w.say(t, turned("Deployment shop-production/web", "w", "compliant"))
		w.pass(t, time.Hour)
		if list := w.all(t); len(list) != 0 {
			t.Fatalf("items %+v", list)
		}
		// The Deployment and its pod are one item, once.
		w.say(t, turned(deployment, "d", "audited"), turned(pod, "p", "audited"))
		w.pass(t, time.Hour)
		list := w.all(t)
		if len(list) != 1 || list[0].Title != "workload shop-production/cart does not comply with baseline/owner-label" || list[0].Type != work.TypeSecurity {
			t.Fatalf("items %+v", list)
		}
		// Another object of the workload still violates the rule, and a release is no proof.
		w.say(t, turned(deployment, "d", "compliant"))
		live.violators = []string{pod}
		w.say(t, event.Fact{
			Type: event.TypeReleaseFinished, Subject: "release:shop/production/9", Project: "shop", Actor: "system:deploy",
			Payload: event.Release{V: 1, Release: "shop/production/9", Environment: "production", Result: "deployed"},
		})
		w.pass(t, 5*time.Hour)
		if it := w.all(t)[0]; it.Category != work.Proposed {
			t.Fatalf("the item is %s while a pod violates the rule", it.State)
		}
		// The last one goes: after a while, once that is known, the item closes.
		live.violators = nil
		w.say(t, turned(pod, "p", "gone"))
		w.pass(t, 5*time.Hour)
		if it := w.all(t)[0]; it.Category != work.Proposed {
			t.Fatalf("the item is %s although nobody knows what lives", it.State)
		}
		live.violators = []string{"Deployment shop-production/other"}
		w.pass(t, time.Hour)
		d, err := w.items.Get(t.Context(), insight.Actor(), list[0].Number)
		if err != nil || d.Category != work.Completed {
			t.Fatalf("the item is %s, %v", d.State, err)
		}
		if last := d.Comments[len(d.Comments)-1].Body; !strings.Contains(last, "Nothing of it that lives violates the rule.") {
			t.Errorf("closed with %q", last)
		}
		// It comes again: the same item opens again.
		w.say(t, turned(deployment, "d2", "audited"))
		w.pass(t, time.Hour)
		if list := w.all(t); len(list) != 1 || list[0].Category != work.Proposed {
			t.Errorf("items %+v", list)
		}
	})
}
