package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"towpath.dev/towpath/internal/policy/rule"
)

// Set is everything that is assigned, compiled. It is immutable but for the images that
// PutImage tells it, and safe for concurrent use.
type Set struct {
	digest     string
	rules      []compiled
	exemptions []rule.Exemption
	places     []rule.Place
	known      map[placeKey]rule.Place
	now        func() time.Time
	programs   *programs
	closed     error // why the set judges nothing
}

// compiled is a rule with its constraint and its reach.
type compiled struct {
	rule.Rule
	constraint *unstructured.Unstructured
	match      matcher
	deletes    bool // the template asks for DELETE
}

type placeKey struct{ cluster, namespace string }

// Compile makes a set of rules. A template or a constraint that is not good is an error
// that names the assignment, the rule in it and the cause; then there is no set. now tells
// the time at which the expiry of exemptions is judged.
func Compile(ctx context.Context, rules []rule.Rule, exemptions []rule.Exemption, places []rule.Place, now func() time.Time) (*Set, error) {
	return compile(ctx, nil, rules, exemptions, places, now)
}

func compile(ctx context.Context, before *programs, rules []rule.Rule, exemptions []rule.Exemption, places []rule.Place, now func() time.Time) (*Set, error) {
	p, err := newPrograms(before)
	if err != nil {
		return nil, err
	}
	s := &Set{rules: make([]compiled, 0, len(rules)), now: now, programs: p}
	kinds := map[string]rule.Rule{}
	for i, r := range rules {
		if first, ok := kinds[r.Template.Kind]; ok && first.Template.Digest != r.Template.Digest {
			return nil, named(r, fmt.Errorf("its template %s is not the template of the same kind that %s of assignment %s uses; give one of them another kind", r.Template.Kind, first.Reference, first.Assignment))
		}
		kinds[r.Template.Kind] = r
		c, err := p.add(ctx, r, fmt.Sprintf("rule-%04d", i))
		if err != nil {
			return nil, named(r, err)
		}
		s.rules = append(s.rules, c)
	}
	return s.With(exemptions, places)
}

// Closed returns a set that judges nothing: every review is an error, so that whoever asks
// refuses. It has no rules.
func Closed(why error) *Set { return &Set{closed: why, now: time.Now} }

// Next compiles another set, as Compile does; programs in CEL that this set has compiled
// already are shared.
func (s *Set) Next(ctx context.Context, rules []rule.Rule, exemptions []rule.Exemption, places []rule.Place, now func() time.Time) (*Set, error) {
	return compile(ctx, s.programs, rules, exemptions, places, now)
}

// named says which rule of which assignment is not good.
func named(r rule.Rule, err error) error {
	return fmt.Errorf("compiling rule %s of assignment %s: %w", r.Reference, r.Assignment, err)
}

// With returns the set with other exemptions and places; its programs are shared, so that
// it costs next to nothing.
func (s *Set) With(exemptions []rule.Exemption, places []rule.Place) (*Set, error) {
	out := *s
	out.exemptions, out.places = slices.Clone(exemptions), slices.Clone(places)
	out.known = make(map[placeKey]rule.Place, len(places))
	for _, p := range places {
		out.known[placeKey{p.Cluster, p.Namespace}] = p
	}
	d, err := out.sum()
	if err != nil {
		return nil, err
	}
	out.digest = d
	return &out, nil
}

// Digest names what the set decides with: "sha256:…" over its rules, exemptions and
// places.
func (s *Set) Digest() string { return s.digest }

// Rules returns the rules of the set, in their order.
func (s *Set) Rules() []rule.Rule {
	out := make([]rule.Rule, len(s.rules))
	for i, c := range s.rules {
		out[i] = c.Rule
	}
	return out
}

// Exemptions returns the exemptions of the set, expired ones too.
func (s *Set) Exemptions() []rule.Exemption { return slices.Clone(s.exemptions) }

// Places returns the places that the set knows.
func (s *Set) Places() []rule.Place { return slices.Clone(s.places) }

// PlaceOf returns what a namespace belongs to; of one that the set does not know the
// cluster and the name alone.
func (s *Set) PlaceOf(cluster, namespace string) rule.Place {
	if p, ok := s.known[placeKey{cluster, namespace}]; ok {
		return p
	}
	return rule.Place{Cluster: cluster, Namespace: namespace}
}

// Kinds returns the groups and kinds that some rule matches, in order, once each: what an
// audit must watch. With expansion, the workloads whose pods a rule judges are among them.
func (s *Set) Kinds() []schema.GroupKind {
	var out []schema.GroupKind
	for _, c := range s.rules {
		for _, gk := range c.match.kinds() {
			out = append(out, gk)
			if gk == podKind && c.expands() {
				out = append(out, workloadKinds()...)
			}
		}
	}
	slices.SortFunc(out, func(a, b schema.GroupKind) int {
		return slices.Compare([]string{a.Group, a.Kind}, []string{b.Group, b.Kind})
	})
	return slices.Compact(out)
}

func (s *Set) sum() (string, error) {
	text, err := json.Marshal(struct {
		Rules      []rule.Rule
		Exemptions []rule.Exemption
		Places     []rule.Place
	}{s.Rules(), s.exemptions, s.places})
	if err != nil {
		return "", fmt.Errorf("making the digest of the policy set: %w", err)
	}
	d := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(d[:]), nil
}
