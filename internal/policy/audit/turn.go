package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
)

// gone is the outcome of a verdict whose object or rule is not there any more.
const gone = "gone"

// maxTurned bounds the verdicts of one event (event.ComplianceChanged).
const maxTurned = 50

// violates reports whether an outcome is a violation. One that could not be found out
// (rule.Error) is none, and says nothing of what was before.
func violates(outcome string) bool { return outcome == rule.Denied || outcome == rule.Audited }

// turns reports whether a verdict is to be told after one with the outcome was, "" for none.
func turns(was, is string) bool {
	return is != rule.Error && (violates(was) != violates(is) || was == rule.Error)
}

// titleOf names an object: "Deployment shop/cart".
func titleOf(kind schema.GroupKind, namespace, name string) string {
	if namespace != "" {
		name = namespace + "/" + name
	}
	return kind.Kind + " " + name
}

// turn is a verdict as an event says it.
func turn(object string, v rule.Verdict) event.Verdict {
	s := said(v)
	return event.Verdict{
		Assignment: v.Assignment, Rule: v.Reference, Policy: v.Policy, Outcome: v.Outcome, Object: object, Path: s.path, Message: s.message, Fix: v.Fix,
	}
}

// ended lists the violations among stored verdicts that are there no more.
func ended(was former, rows map[[2]string]row) []event.Verdict {
	var out []event.Verdict
	for _, r := range rows {
		if violates(r.said.outcome) || r.said.outcome == rule.Error {
			out = append(out, event.Verdict{Assignment: r.assignment, Rule: r.rule, Policy: r.policy, Outcome: gone, Object: titleOf(was.kind, was.namespace, was.name)})
		}
	}
	slices.SortFunc(out, func(a, b event.Verdict) int {
		return strings.Compare(a.Assignment+"/"+a.Rule, b.Assignment+"/"+b.Rule)
	})
	return out
}

// tell says in the logbook what a write turned. What belongs to no project concerns nobody
// there, and what may not serve any more is spoken for by its workload.
func (w *writer) tell(ctx context.Context, tx *store.Tx, c write) error {
	if len(c.turned) == 0 || c.project == "" || c.past {
		return nil
	}
	p := event.ComplianceChanged{
		V: 1, Environment: c.environment, Object: c.turned[0].Object, UID: string(c.uid), Run: c.run, Commit: c.commit, Verdicts: c.turned[:min(len(c.turned), maxTurned)],
	}
	f := event.Fact{Type: event.TypeCompliance, Subject: event.Of(event.KindProject, c.project), Project: c.project, Actor: identity.SystemActor("audit").String(), Payload: p}
	for _, j := range w.judges(c) {
		f.Links = append(f.Links, event.Link{Rel: event.RelJudges, To: j})
	}
	if err := w.Log.Append(ctx, tx, f); err != nil {
		return fmt.Errorf("saying how %s complies: %w", p.Object, err)
	}
	return nil
}
