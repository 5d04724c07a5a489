package enforce

import (
	"context"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// calm is how many requests may be under way for each to be judged by every rule. With more
// of them, those rules are left to the API server that it has judged by itself before it
// asked: they would get the same verdict again.
const calm = 8

// takesHold is how long the API server may take until it judges by what was written.
const takesHold = 5 * time.Second

// First tells what the API server judges by itself: Sync.
type First interface {
	// State returns how things are, without asking the cluster.
	State() Enforcement
}

// firstLine returns which rules of a set the API server has judged by when it asks us. While
// it is not sure that it has, it is none.
func (w *Webhook) firstLine(set *engine.Set) func(rule.Rule) bool {
	if w.First == nil {
		return func(rule.Rule) bool { return false }
	}
	s := w.First.State()
	if s.Set != set.Digest() || s.Error != "" || w.Clock.Now().Sub(s.Since) < takesHold {
		return func(rule.Rule) bool { return false }
	}
	left := make(map[[2]string]bool, len(s.Skipped))
	for _, k := range s.Skipped {
		left[[2]string{k.Assignment, k.Rule}] = true
	}
	return func(r rule.Rule) bool {
		// It does not make the pods of a workload to look at them.
		whole := r.Source == rule.Original || r.Template.Workloads
		return whole && !left[[2]string{r.Assignment, r.Reference}]
	}
}

// passesQuickly reports whether a request can be let in although only those rules judged it
// that the API server did not.
func (w *Webhook) passesQuickly(ctx context.Context, a asked) (bool, error) {
	first := w.firstLine(a.set)
	verdicts, err := a.set.Review(ctx, w.review(a), engine.Options{Skip: func(r rule.Rule) bool {
		return first(r) || !r.Refuses() && !r.Warn
	}})
	if err != nil {
		return false, fmt.Errorf("judging quickly: %w", err)
	}
	for _, v := range verdicts {
		if v.Outcome != rule.Compliant {
			return false, nil // Worth the whole answer.
		}
	}
	return true, nil
}
