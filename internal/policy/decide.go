package policy

import (
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/policy/rule"
)

// Points at which a decision is made.
const (
	PointPull      = "pull"      // a pull request's rendered manifests
	PointPipeline  = "pipeline"  // a step of a run asked
	PointDeploy    = "deploy"    // what a release is about to apply
	PointAdmission = "admission" // the API server asked, or refused by itself
	PointAudit     = "audit"     // a live object
	PointTest      = "test"      // somebody tries
)

// Question is what Decide answers. All objects are judged against one set.
type Question struct {
	Point   string
	Actor   string          // who caused it, "user:ada", "run:12", "serviceaccount:kube-system/replicaset-controller"
	Judges  []event.Subject // what the decision is about: pull, commit, run, release, pod
	Project string          // for the record; "" when the place belongs to none

	Environment string
	Run         int64
	Job         string // "stage.job"
	Commit      string
	Pull        int64
	Objects     []Object

	// Record says which answers are kept: every one, or refusals (and errors) only, or
	// none (a preview).
	Record string
}

// What of a decision is recorded.
const (
	RecordAll      = "all"
	RecordRefusals = "refusals"
	RecordNone     = "none"
)

// Object is one object to judge.
type Object struct {
	rule.Review
	// Source is where the object comes from in a repository, for messages.
	Source Source
	// Generated says that it was expanded from a workload: for rules with source Original
	// it does not count.
	Generated bool
}

// Source is a place in a repository.
type Source struct {
	File string `json:"file,omitempty"` // path from the repository's root
	Line int    `json:"line,omitempty"` // of the object's beginning, from 1
	// Lines finds the line of a path in the object; nil when only the beginning is known.
	Lines func(path string) (file string, line int) `json:"-"`
}

// Decision is an answer.
type Decision struct {
	ID          string          `json:"id"` // "" when it was not recorded
	Time        time.Time       `json:"time"`
	Point       string          `json:"point"`
	Allowed     bool            `json:"allowed"`
	Actor       string          `json:"actor"`
	Judges      []event.Subject `json:"judges,omitempty"`
	Project     string          `json:"project,omitempty"`
	Environment string          `json:"environment,omitempty"`
	Run         int64           `json:"run,omitempty"`
	Job         string          `json:"job,omitempty"`
	Commit      string          `json:"commit,omitempty"`
	Pull        int64           `json:"pull,omitempty"`
	Input       string          `json:"input"` // "sha256:…" of the objects judged, canonical JSON
	Set         string          `json:"set"`   // digest of the policy set
	Objects     []Judged        `json:"objects"`
}

// Judged is one object with the verdicts of every rule that matched it.
type Judged struct {
	Group     string    `json:"group,omitempty"`
	Version   string    `json:"version"`
	Kind      string    `json:"kind"`
	Namespace string    `json:"namespace,omitempty"`
	Name      string    `json:"name"`
	UID       string    `json:"uid,omitempty"`
	Operation string    `json:"operation,omitempty"`
	Sub       string    `json:"subresource,omitempty"`
	Input     string    `json:"input"` // digest of this object
	Verdicts  []Located `json:"verdicts"`
}

// Located is a verdict with the lines of the source that its violations stand on, one
// for each violation, where known.
type Located struct {
	rule.Verdict
	At []Source `json:"at,omitempty"`
}
