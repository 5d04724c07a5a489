package azure

import (
	"encoding/json"
	"time"

	"towpath.dev/towpath/internal/policy/rule"
)

// Mode is the only mode of definitions that is taken.
const Mode = "Microsoft.Kubernetes.Data"

// MaxDocument is the largest document in bytes.
const MaxDocument = 1 << 20

// Definition is one check.
type Definition struct {
	Name        string               `json:"name"`
	Title       string               `json:"title"` // displayName
	Description string               `json:"description,omitempty"`
	Version     string               `json:"version"` // "9.2.0", "1.1.0-preview"
	Category    string               `json:"category,omitempty"`
	Fix         string               `json:"fix,omitempty"` // metadata.fix, ours: what to do about a violation
	Parameters  map[string]Parameter `json:"parameters,omitempty"`
	Effect      any                  `json:"effect"` // a text, usually "[parameters('effect')]"
	Details     Details              `json:"details"`
	Raw         json.RawMessage      `json:"-"` // the document as it was given
}

// Parameter is what a definition or an initiative may be given.
type Parameter struct {
	Type        string `json:"type"` // String, Array, Object, Boolean, Integer, Float, as Azure writes them
	Default     any    `json:"defaultValue,omitempty"`
	HasDefault  bool   `json:"-"`
	Allowed     []any  `json:"allowedValues,omitempty"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
}

// Details are policyRule.then.details. Every value but the template may hold expressions.
type Details struct {
	Template           TemplateInfo   `json:"templateInfo"`
	APIGroups          any            `json:"apiGroups,omitempty"`
	Kinds              any            `json:"kinds,omitempty"`
	Namespaces         any            `json:"namespaces,omitempty"`
	ExcludedNamespaces any            `json:"excludedNamespaces,omitempty"`
	LabelSelector      any            `json:"labelSelector,omitempty"`
	Values             map[string]any `json:"values,omitempty"`
	Warn               any            `json:"warn,omitempty"`
	Source             any            `json:"source,omitempty"`
	// Constraint is the explicit constraint of constraintInfo; nil when it is generated
	// from the fields above.
	Constraint map[string]any `json:"constraint,omitempty"`
}

// TemplateInfo says where the template is: in the local catalogue under Key, or here.
type TemplateInfo struct {
	URL     string `json:"url,omitempty"`
	Key     string `json:"key,omitempty"` // "container-no-privilege/v2", from the end of the URL
	Content []byte `json:"-"`             // decoded, of Base64Encoded
}

// Initiative is a list of definitions.
type Initiative struct {
	Name        string               `json:"name"`
	Title       string               `json:"title"`
	Description string               `json:"description,omitempty"`
	Version     string               `json:"version"`
	Category    string               `json:"category,omitempty"`
	Parameters  map[string]Parameter `json:"parameters,omitempty"`
	Members     []Member             `json:"members"`
	Raw         json.RawMessage      `json:"-"`
}

// Member is one definition of an initiative.
type Member struct {
	Reference  string         `json:"reference"`  // policyDefinitionReferenceId
	Definition string         `json:"definition"` // name of the definition
	Version    string         `json:"version,omitempty"`
	Parameters map[string]any `json:"parameters,omitempty"` // values, may hold expressions over the initiative's parameters
}

// Enforcement modes of an assignment.
const (
	EnforceDefault = "Default"
	DoNotEnforce   = "DoNotEnforce"
)

// Assignment puts a definition or an initiative to work in a scope.
type Assignment struct {
	Name        string          `json:"name"`
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description,omitempty"`
	Target      string          `json:"target"`         // name of the definition or initiative
	Kind        string          `json:"kind,omitempty"` // KindDefinition or KindInitiative; "" takes the initiative of the name if there is one
	Version     string          `json:"version,omitempty"`
	Parameters  map[string]any  `json:"parameters,omitempty"`
	Scope       rule.Scope      `json:"scope"`
	NotScopes   []rule.Scope    `json:"notScopes,omitempty"`
	Enforcement string          `json:"enforcementMode"` // EnforceDefault or DoNotEnforce
	Messages    []Message       `json:"nonComplianceMessages,omitempty"`
	Overrides   []Override      `json:"overrides,omitempty"`
	Raw         json.RawMessage `json:"-"`
}

// Message is said before a rule's own message.
type Message struct {
	Message   string `json:"message"`
	Reference string `json:"reference,omitempty"` // "" for every rule without a message of its own
}

// Override replaces the effect of rules.
type Override struct {
	Effect     string   `json:"effect"`               // rule.Deny, rule.Audit or rule.Disabled
	References []string `json:"references,omitempty"` // none means every rule
	Not        []string `json:"not,omitempty"`        // except these
}

// Exemption takes objects out of an assignment.
type Exemption struct {
	Name        string           `json:"name"`
	Title       string           `json:"title,omitempty"`
	Description string           `json:"description,omitempty"`
	Assignment  string           `json:"assignment"`
	References  []string         `json:"references,omitempty"`
	Category    string           `json:"category"` // rule.Waiver or rule.Mitigated
	Expires     time.Time        `json:"expires,omitzero"`
	Scope       rule.Scope       `json:"scope"` // the assignment's when it gives none
	HasScope    bool             `json:"-"`
	Objects     []rule.ObjectRef `json:"objects,omitempty"` // ours
	RequestedBy string           `json:"requestedBy,omitempty"`
	ApprovedBy  string           `json:"approvedBy,omitempty"`
	Ticket      string           `json:"ticket,omitempty"`
	Raw         json.RawMessage  `json:"-"`
}

// Kinds of documents.
const (
	KindDefinition = "definition"
	KindInitiative = "initiative"
	KindAssignment = "assignment"
	KindExemption  = "exemption"
)

// Catalogue has the templates that definitions name by a public URL.
type Catalogue interface {
	// Template returns the template with the key at the end of the URL,
	// "container-no-privilege/v2"; ok is false when there is none.
	Template(key string) (t rule.Template, ok bool)
}
