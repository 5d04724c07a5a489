package rule

import (
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Engines of templates.
const (
	CEL  = "cel"
	Rego = "rego"
)

// Template is the text of a check: a constraint template of the OPA constraint framework
// (templates.gatekeeper.sh/v1) with exactly one engine.
type Template struct {
	// Kind names the check and is the kind of its constraints: "TowpathPrivileged". It is
	// unique in a set; the same kind with another digest is a conflict.
	Kind   string
	Engine string // CEL or Rego
	Digest string // "sha256:…" of Raw
	Raw    []byte // the template as JSON
	// Native is the CEL program when Engine is CEL: what the API server runs as well.
	Native *Native
	// Workloads says that the check finds the pod in a Deployment, Job or CronJob itself
	// (variables of the program look for it), so that nothing needs to be expanded.
	Workloads bool
	// Referential says that the check reads what is known of other things (images); the
	// API server cannot answer it by itself.
	Referential bool
}

// Native is a program for the API server's CEL (K8sNativeValidation of Gatekeeper's
// template, admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy). The parameters
// are `variables.params`.
type Native struct {
	Variables   []Variable   `json:"variables,omitempty"`
	Validations []Validation `json:"validations"`
}

// Variable is a named expression, usable as variables.NAME in those after it.
type Variable struct {
	Name       string `json:"name"`
	Expression string `json:"expression"`
}

// Validation is an expression that must be true.
type Validation struct {
	Expression        string `json:"expression"`
	Message           string `json:"message,omitempty"`
	MessageExpression string `json:"messageExpression,omitempty"`
}

// Effects of an assignment.
const (
	Deny     = "deny"
	Audit    = "audit"
	Disabled = "disabled"
)

// Kinds of scopes, widest first.
const (
	Platform    = "platform"
	Project     = "project"
	Cluster     = "cluster"
	Environment = "environment"
)

// Scope is where an assignment or an exemption holds. Written "platform",
// "project:shop", "cluster:embedded", "environment:shop/production".
type Scope struct {
	Kind string `json:"kind"`
	Name string `json:"name,omitempty"` // "" for the platform
}

// String returns the scope as it is written.
func (s Scope) String() string {
	if s.Name == "" {
		return s.Kind
	}
	return s.Kind + ":" + s.Name
}

// Of returns the project that a scope lies in; "" for the platform and for clusters.
func (s Scope) Of() string {
	switch s.Kind {
	case Project:
		return s.Name
	case Environment:
		project, _, _ := strings.Cut(s.Name, "/")
		return project
	}
	return ""
}

// Place is a namespace of a cluster with what it belongs to. A namespace that no
// environment owns has no project.
type Place struct {
	Cluster     string `json:"cluster"` // "embedded", or the name of an adopted one
	Namespace   string `json:"namespace"`
	Project     string `json:"project,omitempty"`
	Environment string `json:"environment,omitempty"`
}

// Match selects objects. All parts must hold; an empty part holds for everything.
type Match struct {
	// Groups and Kinds are never "*": Azure Policy refuses it, because every request
	// would be sent to the engine. "" is the core group.
	Kinds              []GroupKinds          `json:"kinds"`
	Namespaces         []string              `json:"namespaces,omitempty"`
	ExcludedNamespaces []string              `json:"excludedNamespaces,omitempty"`
	LabelSelector      *metav1.LabelSelector `json:"labelSelector,omitempty"`
}

// GroupKinds pairs API groups with kinds.
type GroupKinds struct {
	Groups []string `json:"apiGroups"`
	Kinds  []string `json:"kinds"`
}

// Sources of pods for a rule (templateInfo `source` of Azure Policy).
const (
	Original  = "Original"  // the object as it is
	Generated = "Generated" // the pod that a workload would make
	All       = "All"
)

// Rule is one definition as one assignment uses it.
type Rule struct {
	Assignment string // name of the assignment, unique: "baseline", "shop-restricted"
	Reference  string // policyDefinitionReferenceId in the initiative, or the definition's name
	Definition string // name of the definition
	Version    string // of the definition
	Title      string // display name of the definition
	Policy     string // "sha256:…" of the whole assignment as compiled: the policy digest
	Scope      Scope
	// NotScopes are scopes within Scope in which it does not hold.
	NotScopes []Scope
	Effect    string // Deny or Audit; disabled rules are not in a set
	// Enforced is false for enforcementMode DoNotEnforce: judged, shown, never refused.
	Enforced   bool
	Warn       bool   // tell the caller of kubectl also where nothing is refused
	Source     string // Original, Generated or All
	Match      Match
	Parameters map[string]any
	Message    string // nonComplianceMessage of the assignment, said before the rule's own; "" for none
	Fix        string // what to do, from the definition's metadata
	Template   Template
}

// Refuses reports whether a violation of the rule refuses the request.
func (r Rule) Refuses() bool { return r.Effect == Deny && r.Enforced }

// Categories of exemptions.
const (
	Waiver    = "Waiver"
	Mitigated = "Mitigated"
)

// Exemption takes objects out of rules. Every part that is given must hold.
type Exemption struct {
	Name       string
	Assignment string
	References []string  // rules of the assignment; none means all of them
	Category   string    // Waiver or Mitigated
	Expires    time.Time // zero means never
	Scope      Scope
	// Objects limits it to objects; none means everything in the scope. An object of a
	// workload kind stands for the pods that it makes as well.
	Objects []ObjectRef
	Reason  string
}

// ObjectRef names objects exactly; "" as a name means every object of the kind there.
type ObjectRef struct {
	Group     string `json:"apiGroup,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
}

// Review is one object with the circumstances in which it is judged. Object is never
// changed.
type Review struct {
	Object    map[string]any // the object; of a DELETE the object that goes
	Old       map[string]any // before an update, else nil
	Operation string         // CREATE, UPDATE, DELETE, CONNECT; "" judges the object at rest (pull request, audit)
	Kind      schema.GroupVersionKind
	Resource  string // "pods"
	Sub       string // "ephemeralcontainers", "resize"
	Name      string
	Place     Place
	// Labels of the namespace, as the API server has them; nil when it does not exist yet.
	NamespaceLabels map[string]string
	User            authenticationv1.UserInfo
	DryRun          bool
}

// Outcomes of a rule on an object.
const (
	Compliant = "compliant"
	Denied    = "denied"  // violated, and the rule refuses
	Audited   = "audited" // violated, and the rule only says so
	Exempt    = "exempt"  // violated, and an exemption allows it
	Error     = "error"   // the rule could not judge; it refuses as Denied does when Rule.Refuses
)

// Verdict is what one rule says about one object.
type Verdict struct {
	Assignment string      `json:"assignment"`
	Reference  string      `json:"rule"`
	Definition string      `json:"definition"`
	Title      string      `json:"title"`
	Policy     string      `json:"policy"` // digest of the assignment as compiled
	Outcome    string      `json:"outcome"`
	Refuses    bool        `json:"refuses"`              // the request is refused because of it
	Violations []Violation `json:"violations,omitempty"` // of denied, audited and exempt ones
	Exemption  string      `json:"exemption,omitempty"`
	Fix        string      `json:"fix,omitempty"`
	Why        string      `json:"why,omitempty"` // of an error
}

// Violation is one place of an object that breaks a rule.
type Violation struct {
	// Path leads to the place: "spec.template.spec.containers[name=cart].securityContext.privileged".
	// Lists with names are indexed by name, others by number: "spec.hostAliases[0]". "" is
	// the whole object.
	Path    string `json:"path,omitempty"`
	Message string `json:"message"` // one sentence, without the path
}

// Image is what the platform knows of an image, by digest.
type Image struct {
	Digest       string   `json:"digest"`       // "sha256:…"
	Repositories []string `json:"repositories"` // in which it lies: "shop/web"
	Signed       bool     `json:"signed"`       // a valid signature of a pipeline of this installation
	Scanned      bool     `json:"scanned"`
	Fixable      []string `json:"fixable"` // critical findings that have a fixed version: "GO-2024-2687 in golang.org/x/net, fixed in 0.23.0"
}
