package vap

import (
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"towpath.dev/towpath/internal/policy/rule"
)

// Managed is the label of everything that this package writes; its value is "true".
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
	Places  []rule.Place // namespaces with an owner
	Now     time.Time    // exemptions that ended before are left out
	// KindResources finds the resource of a kind; false when the cluster does not serve
	// it. nil stands for Builtin.
	KindResources func(schema.GroupKind) (Resource, bool)
}

// Emit writes rules as policies, sorted by name. Exemptions that are for other assignments
// do no harm. An error means that a rule cannot be written although its engine is CEL.
func Emit(rules []rule.Rule, exemptions []rule.Exemption, o Options) ([]Pair, []Skipped, error) {
	return nil, nil, nil
}
