package engine

import (
	"fmt"
	"slices"

	"github.com/open-policy-agent/gatekeeper/v3/pkg/mutation/match"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/wildcard"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/policy/rule"
)

// matcher is a rule's match, ready to use: the kinds by look-up, because that is what
// turns most rules away, the rest by Gatekeeper's own functions.
type matcher struct {
	gks  map[schema.GroupKind]bool
	rest *match.Match // nil when only kinds are asked for
}

func newMatcher(m rule.Match) (matcher, error) {
	out := matcher{gks: map[schema.GroupKind]bool{}}
	for _, gk := range m.Kinds {
		for _, g := range gk.Groups {
			for _, k := range gk.Kinds {
				if g == "*" || k == "*" || k == "" {
					return matcher{}, fmt.Errorf("its match names the kind %q of group %q; every kind must be named, because all requests would be judged otherwise", k, g)
				}
				out.gks[schema.GroupKind{Group: g, Kind: k}] = true
			}
		}
	}
	if len(out.gks) == 0 {
		return matcher{}, fmt.Errorf("its match names no kinds, so that it would never judge anything")
	}
	if _, err := metav1.LabelSelectorAsSelector(m.LabelSelector); err != nil {
		return matcher{}, fmt.Errorf("its label selector is not valid: %w", err)
	}
	if len(m.Namespaces)+len(m.ExcludedNamespaces) == 0 && m.LabelSelector == nil {
		return out, nil
	}
	out.rest = &match.Match{Namespaces: globs(m.Namespaces), ExcludedNamespaces: globs(m.ExcludedNamespaces), LabelSelector: m.LabelSelector}
	return out, nil
}

func globs(names []string) []wildcard.Wildcard {
	out := make([]wildcard.Wildcard, len(names))
	for i, n := range names {
		out[i] = wildcard.Wildcard(n)
	}
	return out
}

// kinds returns the kinds that it names, in no order.
func (m matcher) kinds() []schema.GroupKind {
	out := make([]schema.GroupKind, 0, len(m.gks))
	for gk := range m.gks {
		out = append(out, gk)
	}
	return out
}

// matches reports whether one of the objects (the new one, the old one; nil ones are left
// out) is selected, as the API server does for object selectors.
func (m matcher) matches(kind schema.GroupKind, namespace string, objects ...*unstructured.Unstructured) (bool, error) {
	if !m.gks[kind] {
		return false, nil
	}
	if m.rest == nil {
		return true, nil
	}
	t := match.Matchable{}
	if namespace != "" {
		t.Namespace = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	}
	for _, o := range objects {
		if o == nil {
			continue
		}
		t.Object = o
		// Every object here may be from any source: that was decided before.
		ok, err := match.Matches(m.rest, &t)
		if ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// Holds reports whether a scope includes a place. Things without a namespace, clusterWide,
// belong to the platform and to their cluster only.
func Holds(s rule.Scope, p rule.Place, clusterWide bool) bool {
	switch s.Kind {
	case rule.Platform:
		return true
	case rule.Cluster:
		return s.Name != "" && s.Name == p.Cluster
	case rule.Project:
		return !clusterWide && s.Name != "" && s.Name == p.Project
	case rule.Environment:
		// A review app is of the environment that it is named after.
		environment, _, _ := event.ReviewApp(p.Environment)
		return !clusterWide && p.Project != "" && p.Environment != "" && (s.Name == p.Project+"/"+p.Environment || s.Name == p.Project+"/"+environment)
	}
	return false
}

// InScope reports whether a rule holds in a place: within its scope and in none of the
// scopes that are taken out.
func InScope(r rule.Rule, p rule.Place, clusterWide bool) bool {
	if !Holds(r.Scope, p, clusterWide) {
		return false
	}
	return !slices.ContainsFunc(r.NotScopes, func(s rule.Scope) bool { return Holds(s, p, clusterWide) })
}

// Reach is where a rule holds in one cluster, in words that the API server understands: by
// the label kubernetes.io/metadata.name, which only the API server sets.
type Reach struct {
	// All says that it holds in every namespace but those Excluded, and for things
	// without a namespace. Otherwise it holds in Namespaces only.
	All        bool
	Namespaces []string // in order
	Excluded   []string // in order
}

// ReachOf works out where a rule holds in a cluster, its match's own lists of namespaces
// not regarded.
func ReachOf(r rule.Rule, cluster string, places []rule.Place) Reach {
	out := Reach{All: InScope(r, rule.Place{Cluster: cluster}, true)}
	for _, p := range places {
		if p.Cluster != cluster || p.Namespace == "" {
			continue
		}
		in := InScope(r, p, false)
		switch {
		case out.All && !in:
			out.Excluded = append(out.Excluded, p.Namespace)
		case !out.All && in:
			out.Namespaces = append(out.Namespaces, p.Namespace)
		}
	}
	slices.Sort(out.Namespaces)
	slices.Sort(out.Excluded)
	return out
}
