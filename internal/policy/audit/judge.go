package audit

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// result is a task that was judged, ready to be stored.
type result struct {
	task
	uid      types.UID
	version  uint64
	apiV     string // version of the API that the object was read in
	place    rule.Place
	name     string
	by       enforce.Applied
	images   []string
	set      *engine.Set
	verdicts []rule.Verdict
	past     bool    // a version of a workload that may not serve any more: a ReplicaSet of a Deployment
	input    string  // digest of the object, when a rule refuses it
	forget   []int64 // rules that are no longer needed
}

// judgeAll judges the tasks of one worker until ctx ends.
func (s *session) judgeAll(ctx context.Context, tasks <-chan task) {
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-tasks:
			r, ok := s.judge(ctx, t)
			if !ok {
				continue
			}
			select {
			case <-ctx.Done():
				return
			case s.results <- r:
			}
		}
	}
}

// judge works out what is to be stored of a task; false for nothing.
func (s *session) judge(ctx context.Context, t task) (result, bool) {
	r := result{task: t, uid: t.gone}
	if t.object == nil {
		return r, true
	}
	r.object = nil // From here on nobody keeps it.
	u := t.object
	gk := t.kind
	r.uid, r.version, r.name, r.apiV = u.GetUID(), version(u.GetResourceVersion()), u.GetName(), u.GroupVersionKind().Version
	r.set = s.set.Load()
	r.place = r.set.PlaceOf(s.opts.Cluster, u.GetNamespace())
	verdicts, err := s.verdicts(ctx, r.set, u.Object, gk, r.place)
	if err != nil {
		if ctx.Err() == nil {
			s.Logger.Error("judging a live object", "kind", gk.Kind, "namespace", r.place.Namespace, "name", r.name, "error", err)
		}
		return r, false
	}
	r.verdicts = verdicts
	r.images = digests(u.Object)
	r.past = gk.Kind == "ReplicaSet" && metav1.GetControllerOfNoCopy(u) != nil
	for _, v := range verdicts {
		if v.Refuses && r.input == "" { // For the decision that may come of it.
			if r.input, err = policy.InputDigest(u.Object); err != nil {
				s.Logger.Error("making the digest of a live object", "kind", gk.Kind, "error", err)
				return r, false
			}
		}
	}
	self := enforce.SelfOf(gk, u)
	by, _, err := s.Appliers.Behind(ctx, self)
	if err != nil && ctx.Err() == nil {
		s.Logger.Debug("finding who applied an object", "kind", gk.Kind, "namespace", r.place.Namespace, "name", r.name, "error", err)
	}
	r.by = by
	return r, ctx.Err() == nil
}

// verdicts judges a live object, as it is at rest.
func (s *session) verdicts(ctx context.Context, set *engine.Set, object map[string]any, gk schema.GroupKind, p rule.Place) ([]rule.Verdict, error) {
	all, err := set.Review(ctx, rule.Review{Object: object, Place: p, NamespaceLabels: s.Namespaces.Labels(p.Namespace)}, engine.Options{})
	if err != nil {
		return nil, fmt.Errorf("judging %s: %w", gk.Kind, err)
	}
	return all, nil
}

// digestOf returns the digest in an image's name, "" when it has none.
func digestOf(image string) string {
	_, d, ok := strings.Cut(image, "@")
	if !ok || !strings.HasPrefix(d, "sha256:") || len(d) != len("sha256:")+64 {
		return ""
	}
	return d
}

// change says what differs between two sets.
type change struct {
	everything  bool
	rules       []rule.Rule     // that came, went or are others now
	assignments map[string]bool // whose exemptions differ
	namespaces  map[string]bool // that belong to somebody else now
}

// differences compares two sets.
func differences(old, set *engine.Set) change {
	c := change{assignments: map[string]bool{}, namespaces: map[string]bool{}}
	type id struct{ assignment, rule, policy, template, effect string }
	idOf := func(r rule.Rule) id {
		return id{r.Assignment, r.Reference, r.Policy, r.Template.Digest, fmt.Sprint(r.Effect, r.Enforced)}
	}
	have := map[id]rule.Rule{}
	for _, r := range old.Rules() {
		have[idOf(r)] = r
	}
	for _, r := range set.Rules() {
		if _, same := have[idOf(r)]; same {
			delete(have, idOf(r))
			continue
		}
		c.rules = append(c.rules, r)
	}
	for _, r := range have {
		c.rules = append(c.rules, r)
	}
	exemptions := map[string]int{}
	for _, e := range old.Exemptions() {
		exemptions[e.Assignment+"\x00"+fmt.Sprint(e)]--
	}
	for _, e := range set.Exemptions() {
		exemptions[e.Assignment+"\x00"+fmt.Sprint(e)]++
	}
	for e, n := range exemptions {
		if assignment, _, _ := strings.Cut(e, "\x00"); n != 0 {
			c.assignments[assignment] = true
		}
	}
	places := map[rule.Place]int{}
	for _, p := range old.Places() {
		places[p]--
	}
	for _, p := range set.Places() {
		places[p]++
	}
	for p, n := range places {
		if n != 0 {
			c.namespaces[p.Namespace] = true
		}
	}
	return c
}

// concerns reports whether objects of a kind are to be judged again because of rules.
func (c change) concerns(gk schema.GroupKind) bool {
	for _, r := range c.rules {
		pods := false
		for _, k := range r.Match.Kinds {
			for _, g := range k.Groups {
				for _, kind := range k.Kinds {
					if g == gk.Group && kind == gk.Kind {
						return true
					}
					pods = pods || g == podKind.Group && kind == podKind.Kind
				}
			}
		}
		if pods && r.Source != rule.Original && r.Source != "" && makesPods(gk) {
			return true
		}
	}
	return false
}

// makesPods reports whether objects of a kind have a pod template.
func makesPods(gk schema.GroupKind) bool {
	switch gk.Group {
	case "apps":
		return true
	case "batch":
		return gk.Kind == "Job" || gk.Kind == "CronJob"
	}
	return gk == schema.GroupKind{Kind: "ReplicationController"}
}
