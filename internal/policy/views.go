package policy

import (
	"encoding/json"
	"time"

	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/rule"
)

// Definition is a policy definition as it is shown.
type Definition struct {
	azure.Definition
	BuiltIn     bool      `json:"builtIn"`
	Kind        string    `json:"kind"`                  // of the template; "" when the template is missing
	Engine      string    `json:"engine"`                // rule.CEL or rule.Rego
	Program     string    `json:"program"`               // the template as YAML
	Digest      string    `json:"digest"`                // of the template
	Referential bool      `json:"referential,omitempty"` // reads what is known of images: judged by the webhook, not by the API server
	UsedBy      []string  `json:"usedBy,omitempty"`      // assignments that the reader may see, in order
	Changed     time.Time `json:"changed,omitzero"`
	By          string    `json:"by,omitempty"`
	// Document is the definition as it was given.
	Document json.RawMessage `json:"document"`
}

// Initiative is a policy initiative as it is shown.
type Initiative struct {
	azure.Initiative
	BuiltIn  bool            `json:"builtIn"`
	UsedBy   []string        `json:"usedBy,omitempty"`
	Changed  time.Time       `json:"changed,omitzero"`
	By       string          `json:"by,omitempty"`
	Document json.RawMessage `json:"document"`
}

// Assignment is a policy assignment as it is shown, with the rules that it comes to.
type Assignment struct {
	azure.Assignment
	Policy   string          `json:"policy"` // digest of the assignment as compiled
	Rules    []RuleView      `json:"rules"`
	Effect   string          `json:"effect"` // the strongest of its rules: rule.Deny, rule.Audit or rule.Disabled
	Created  time.Time       `json:"created"`
	Changed  time.Time       `json:"changed"`
	By       string          `json:"by"`
	Document json.RawMessage `json:"document"`
}

// RuleView is one rule of an assignment as it is shown.
type RuleView struct {
	Reference   string         `json:"reference"`
	Definition  string         `json:"definition"`
	Version     string         `json:"version"`
	Title       string         `json:"title"`
	Effect      string         `json:"effect"`
	Enforced    bool           `json:"enforced"`
	Engine      string         `json:"engine"`
	Referential bool           `json:"referential,omitempty"`
	Match       rule.Match     `json:"match"`
	Parameters  map[string]any `json:"parameters,omitempty"`
	Fix         string         `json:"fix,omitempty"`
}

// Exemption is a policy exemption as it is shown.
type Exemption struct {
	azure.Exemption
	Expired  bool            `json:"expired"`
	Created  time.Time       `json:"created"`
	Changed  time.Time       `json:"changed"`
	By       string          `json:"by"`
	Document json.RawMessage `json:"document"`
}

// Applied says what Apply did.
type Applied struct {
	Kind   string `json:"kind"` // definition, initiative, assignment, exemption
	Name   string `json:"name"`
	Action string `json:"action"` // created, changed, unchanged
	Set    string `json:"set"`    // digest of the policy set afterwards
}

// DecisionFilter selects decisions. Zero fields select everything.
type DecisionFilter struct {
	Project     string // "" needs an administrator of the installation
	Environment string
	Point       string
	Allowed     *bool
	Run         int64
	Commit      string
	Pull        int64
	Limit       int    // at most so many, newest first; 0 means 50, the most is 500
	Before      string // only decisions older than the one with this id
}
