package event

// The payloads of events about repositories and pull requests.

import "time"

// CommitPushed is the payload of TypeCommitPushed: one ref moved to a commit, which
// is the subject. Link: into repo.
type CommitPushed struct {
	V        int       `json:"v"`
	Repo     string    `json:"repo"`     // "project/repo"
	Ref      string    `json:"ref"`      // "refs/heads/main"
	Before   string    `json:"before"`   // previous commit, 40 zeros for a new ref
	Commit   string    `json:"commit"`   // new commit
	Title    string    `json:"title"`    // first line of the message, at most 200 bytes
	Author   string    `json:"author"`   // name of the Git author
	Authored time.Time `json:"authored"` // author time
	Commits  int       `json:"commits"`  // how many commits are new, counted up to 1000
	Default  bool      `json:"default"`  // the ref is the default branch
}

// RefDeleted is the payload of TypeRefDeleted; the subject is the repo.
type RefDeleted struct {
	V      int    `json:"v"`
	Ref    string `json:"ref"`
	Before string `json:"before"`
}

// Pull is the payload of TypePullOpened, TypePullUpdated (new commits, a new target, a
// draft made ready, a new title), TypePullMerged and TypePullClosed; the subject is the
// pull request. Links: proposes commit (the head), and of a merge brought commit (what
// the target branch points to now).
type Pull struct {
	V       int    `json:"v"`
	Repo    string `json:"repo"` // "project/repo"
	Number  int64  `json:"number"`
	Title   string `json:"title"`
	Author  string `json:"author"` // user
	Source  string `json:"source"` // "refs/heads/fix"
	Target  string `json:"target"` // "refs/heads/main"
	Head    string `json:"head"`   // commit
	Base    string `json:"base"`   // merge base with the target
	Draft   bool   `json:"draft"`
	Change  string `json:"change,omitempty"`  // of an update: commits, target, ready, draft, title, reopened
	Method  string `json:"method,omitempty"`  // of a merge: merge, squash, rebase
	Merged  string `json:"merged,omitempty"`  // commit
	Dropped int    `json:"dropped,omitempty"` // approvals that the update made stale
}

// PullReviewed is the payload of TypePullReviewed; the subject is the pull request. Link:
// reviews commit.
type PullReviewed struct {
	V        int    `json:"v"`
	Repo     string `json:"repo"`
	Number   int64  `json:"number"`
	Reviewer string `json:"reviewer"` // user
	Verdict  string `json:"verdict"`  // approved, changes-requested, dismissed
	Commit   string `json:"commit"`   // head that was reviewed
}

// PullCommented is the payload of TypePullCommented; the subject is the pull request.
type PullCommented struct {
	V        int    `json:"v"`
	Repo     string `json:"repo"`
	Number   int64  `json:"number"`
	Thread   string `json:"thread"`
	Path     string `json:"path,omitempty"` // "" for the conversation
	Line     int    `json:"line,omitempty"`
	Resolved bool   `json:"resolved,omitempty"`
}

// CheckFinished is the payload of TypeCheckFinished; the subject is the commit.
type CheckFinished struct {
	V      int    `json:"v"`
	Repo   string `json:"repo"`
	Commit string `json:"commit"`
	Name   string `json:"name"`   // "policy", "azure-pipelines.yml"
	Source string `json:"source"` // who said so: "system:policy", "system:pipeline", "user:ada"
	State  string `json:"state"`  // success, failure, error, neutral
	Title  string `json:"title,omitempty"`
	Pull   int64  `json:"pull,omitempty"`
}

// PushRefused is the payload of TypePushRefused; the subject is the repository. It never
// holds a secret.
type PushRefused struct {
	V        int       `json:"v"`
	Repo     string    `json:"repo"`
	Refs     []string  `json:"refs"`
	Refusals []Refusal `json:"refusals"` // at most 20
}

// Refusal is one reason for which a push was refused.
type Refusal struct {
	Guard  string `json:"guard"` // secrets, ruleset
	Rule   string `json:"rule"`
	Ref    string `json:"ref,omitempty"`
	Commit string `json:"commit,omitempty"`
	Path   string `json:"path,omitempty"`
	Line   int    `json:"line,omitempty"`
}

// SecretBypassed is the payload of TypeSecretBypassed: somebody allowed a finding of the
// secret scan; the subject is the repository.
type SecretBypassed struct {
	V           int       `json:"v"`
	Repo        string    `json:"repo"`
	Rule        string    `json:"rule"`
	Fingerprint string    `json:"fingerprint"` // keyed hash of the secret
	Reason      string    `json:"reason"`      // test-value, false-positive, fix-later
	Comment     string    `json:"comment,omitempty"`
	Expires     time.Time `json:"expires"`
	Revoked     bool      `json:"revoked,omitempty"` // ended before its time, at Expires
}

// RulesetChanged is the payload of TypeRulesetChanged; the subject is the repository.
type RulesetChanged struct {
	V       int    `json:"v"`
	Repo    string `json:"repo"`
	Ruleset string `json:"ruleset"`
	Action  string `json:"action"` // created, changed, deleted
}

// RulesetJudged is the payload of TypeRulesetJudged: a ruleset let a push pass that it would
// have refused; the subject is the repository. Whether the push came to its end stands in
// events of its own.
type RulesetJudged struct {
	V        int       `json:"v"`
	Repo     string    `json:"repo"`
	Ruleset  string    `json:"ruleset"`
	Outcome  string    `json:"outcome"` // bypassed (the actor is on its list), evaluated (it refuses nothing yet)
	Door     string    `json:"door"`    // http, ssh, merge, edit
	Pull     int64     `json:"pull,omitempty"`
	Refusals []Refusal `json:"refusals"` // at most 50
}
