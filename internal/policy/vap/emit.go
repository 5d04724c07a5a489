package vap

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"towpath.dev/towpath/internal/policy/rule"
)

// Managed is the label of everything that this package writes. Its value tells
// installations apart that share a cluster: Options.Owner, "true" when there is none.
const Managed = "policy.towpath.dev/managed"

// Annotations of a policy and its binding.
const (
	AssignmentAnnotation = "policy.towpath.dev/assignment" // name of the assignment
	ReferencesAnnotation = "policy.towpath.dev/rules"      // references of its rules, joined by ","
	PolicyAnnotation     = "policy.towpath.dev/policy"     // "sha256:…", digest of the assignment as compiled
	ContentAnnotation    = "policy.towpath.dev/content"    // "sha256:…" of what was written, to notice drift
)

// Pair is a policy with its binding; they have the same name.
type Pair struct {
	Policy  *admissionv1.ValidatingAdmissionPolicy
	Binding *admissionv1.ValidatingAdmissionPolicyBinding
}

// Skipped is a rule that the API server does not judge by itself.
type Skipped struct {
	Rule rule.Rule
	Why  string // one sentence
}

// Resource is how the API server serves a kind.
type Resource struct {
	Group        string
	Versions     []string // all that are served; the first is preferred
	Plural       string   // "pods"
	Subresources []string // those that carry the object itself: "ephemeralcontainers", "resize"
	Namespaced   bool
}

// Options are what rules are written out with.
type Options struct {
	Cluster string       // the cluster that the pairs are for
	Owner   string       // names the installation on a cluster that it may share: lower-case letters and digits; "" where it is alone
	Places  []rule.Place // namespaces with an owner
	Now     time.Time    // exemptions that ended before are left out
	// KindResources finds the resource of a kind; false when the cluster does not serve
	// it. nil stands for Builtin.
	KindResources func(schema.GroupKind) (Resource, bool)
}

// namePrefix begins the names of everything that is written.
const namePrefix = "towpath-"

// Emit writes rules as policies, sorted by name. Exemptions that are for other assignments
// do no harm. An error means that a rule cannot be written although its engine is CEL.
//
// A rule with source All that does not look into workloads by itself is written for the
// objects as they are: the pods that its workloads make are judged when they are made.
func Emit(rules []rule.Rule, exemptions []rule.Exemption, o Options) ([]Pair, []Skipped, error) {
	var skipped []Skipped
	groups := map[string]*group{}
	for _, r := range rules {
		t, why := target{}, unfit(r)
		if why == "" {
			t, why = targetOf(r, o)
		}
		if why != "" {
			skipped = append(skipped, Skipped{Rule: r, Why: why})
			continue
		}
		w := waiverOf(r, exemptions, o)
		if w.always {
			skipped = append(skipped, Skipped{Rule: r, Why: "every object is exempt from it"})
			continue
		}
		text, err := json.Marshal(t)
		if err != nil {
			return nil, nil, fmt.Errorf("writing what rule %s of assignment %s matches: %w", r.Reference, r.Assignment, err)
		}
		key := r.Assignment + "\x00" + string(text)
		g := groups[key]
		if g == nil {
			g = &group{assignment: r.Assignment, order: len(groups), target: t, program: program{have: map[string]string{}}}
			groups[key] = g
		}
		if err := g.add(r, w); err != nil {
			return nil, nil, fmt.Errorf("writing rule %s of assignment %s: %w", r.Reference, r.Assignment, err)
		}
	}
	pairs, err := pairsOf(groups, o)
	return pairs, skipped, err
}

// unfit says in a sentence why the API server cannot judge a rule; "" when it can.
func unfit(r rule.Rule) string {
	switch {
	case r.Effect == rule.Disabled:
		return "it is disabled"
	case r.Template.Engine != rule.CEL || r.Template.Native == nil:
		return "it is written in " + r.Template.Engine + ", which the API server does not run; the webhook judges it"
	case r.Template.Referential:
		return "it reads what is known of other things, which the API server does not have; the webhook judges it"
	case r.Source == rule.Generated:
		return "it judges the pods that workloads would make, which the API server does not expand; the webhook judges it"
	}
	return ""
}

// group is the rules of an assignment that share a policy.
type group struct {
	assignment string
	order      int
	target     target
	program    program
	references []string
	policies   []string // policy digests
}

func (g *group) add(r rule.Rule, w waiver) error {
	if err := g.program.add(r, w); err != nil {
		return err
	}
	g.references = append(g.references, r.Reference)
	if !slices.Contains(g.policies, r.Policy) {
		g.policies = append(g.policies, r.Policy)
	}
	return nil
}

// pairsOf names groups and writes them. The first of each assignment bears its name, the
// others a number as well that no assignment's name ends in.
func pairsOf(groups map[string]*group, o Options) ([]Pair, error) {
	sorted := slices.SortedFunc(maps.Values(groups), func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.assignment, b.assignment), cmp.Compare(a.order, b.order))
	})
	taken := map[string]bool{}
	for _, g := range sorted {
		taken[objectName(o.Owner, g.assignment)] = true
	}
	out := make([]Pair, 0, len(sorted))
	for i, n := 0, 1; i < len(sorted); i++ {
		g := sorted[i]
		name := objectName(o.Owner, g.assignment)
		if i == 0 || sorted[i-1].assignment != g.assignment {
			n = 1
		} else {
			for taken[name] {
				n++
				name = fmt.Sprintf("%s-%d", objectName(o.Owner, g.assignment), n)
			}
			taken[name] = true
		}
		p, err := g.pair(name, o.Owner)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Pair) int { return cmp.Compare(a.Policy.Name, b.Policy.Name) })
	return out, nil
}

// plain are assignment names that can be part of an object's name as they are.
var plain = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,150}[a-z0-9])?$`)

// objectName names the first policy of an assignment.
func objectName(owner, assignment string) string {
	prefix := namePrefix
	if owner != "" {
		prefix += owner + "-"
	}
	if plain.MatchString(assignment) {
		return prefix + assignment
	}
	sum := sha256.Sum256([]byte(assignment))
	return prefix + "assignment-" + hex.EncodeToString(sum[:8])
}

// Mark is the value of the label Managed on what an installation writes.
func Mark(owner string) string {
	if owner == "" {
		return "true"
	}
	return owner
}

func (g *group) pair(name, owner string) (Pair, error) {
	fail := admissionv1.Fail
	policy := &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicy"},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: &fail, MatchConstraints: &g.target.Constraints, MatchConditions: g.target.Conditions,
			Variables: g.program.variables, Validations: g.program.validations,
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicyBinding"},
		Spec:     admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: g.target.Actions},
	}
	var err error
	if policy.ObjectMeta, err = g.meta(name, owner, policy.Spec); err != nil {
		return Pair{}, err
	}
	binding.ObjectMeta, err = g.meta(name, owner, binding.Spec)
	return Pair{Policy: policy, Binding: binding}, err
}

func (g *group) meta(name, owner string, spec any) (metav1.ObjectMeta, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return metav1.ObjectMeta{}, fmt.Errorf("making the digest of %s: %w", name, err)
	}
	sum := sha256.Sum256(text)
	return metav1.ObjectMeta{
		Name:   name,
		Labels: map[string]string{Managed: Mark(owner)},
		Annotations: map[string]string{
			AssignmentAnnotation: g.assignment, ReferencesAnnotation: strings.Join(g.references, ","),
			PolicyAnnotation: strings.Join(g.policies, ","), ContentAnnotation: "sha256:" + hex.EncodeToString(sum[:]),
		},
	}, nil
}
