package event

// The payloads of events about policy.

// PolicyChanged is the payload of TypePolicyChanged; the subject is project:NAME, or
// project: for the platform.
type PolicyChanged struct {
	V      int    `json:"v"`
	Kind   string `json:"kind"` // definition, initiative, assignment, exemption
	Name   string `json:"name"`
	Action string `json:"action"` // created, changed, deleted, expired
	Set    string `json:"set"`    // digest of the policy set afterwards
}

// DecisionMade is the payload of TypeDecisionMade; the subject is the decision. Links:
// judges pull, commit, run, release, image or pod (each).
type DecisionMade struct {
	V           int       `json:"v"`
	Decision    string    `json:"decision"`
	Point       string    `json:"point"` // pull, pipeline, deploy, admission, audit
	Allowed     bool      `json:"allowed"`
	Environment string    `json:"environment,omitempty"`
	Object      string    `json:"object,omitempty"` // "Deployment shop/cart", of several "12 objects"
	Input       string    `json:"input"`            // digest of what was judged
	Set         string    `json:"set"`              // digest of the policy set
	Run         int64     `json:"run,omitempty"`
	Commit      string    `json:"commit,omitempty"`
	Pull        int64     `json:"pull,omitempty"`
	Verdicts    []Verdict `json:"verdicts,omitempty"` // those that are not compliant, at most 50
}

// ComplianceChanged is the payload of TypeCompliance: a live object began, or ceased, to
// violate rules. The subject is project:NAME. Of violations by which an object was let in
// past its refusal a DecisionMade comes first. Links: judges pod, run, commit (each).
type ComplianceChanged struct {
	V           int    `json:"v"`
	Environment string `json:"environment,omitempty"`
	Object      string `json:"object"` // "Deployment shop/cart"
	UID         string `json:"uid"`
	Run         int64  `json:"run,omitempty"`    // that applied it
	Commit      string `json:"commit,omitempty"` // that the run was of
	// Verdicts are those that changed, at most 50. Their outcomes are also compliant, and
	// gone: of an object or a rule that is not there any more.
	Verdicts []Verdict `json:"verdicts"`
}

// Verdict is one rule of one assignment on one object.
type Verdict struct {
	Assignment string `json:"assignment"`
	Rule       string `json:"rule"`
	Policy     string `json:"policy"`  // digest of the assignment as compiled
	Outcome    string `json:"outcome"` // denied, audited, exempt, error
	Object     string `json:"object"`
	Path       string `json:"path,omitempty"` // in the object
	Message    string `json:"message"`
	Fix        string `json:"fix,omitempty"`
	File       string `json:"file,omitempty"` // in the repository
	Line       int    `json:"line,omitempty"`
}
