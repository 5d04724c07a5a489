package event

import "time"

// The types of events. Each has one payload struct, below, pinned by a golden test.
const (
	TypeUserCreated       = "user.created"
	TypeTokenCreated      = "token.created"
	TypeTokenRevoked      = "token.revoked"
	TypeRoleGranted       = "role.granted"
	TypeLoginFailed       = "login.failed"
	TypeProjectCreated    = "project.created"
	TypeRepoCreated       = "repo.created"
	TypeCommitPushed      = "commit.pushed"
	TypeRefDeleted        = "ref.deleted"
	TypeRunQueued         = "run.queued"
	TypeRunStarted        = "run.started"
	TypeRunFinished       = "run.finished"
	TypeRunRefused        = "run.refused"
	TypeRunRepeated       = "run.repeated"
	TypePipelineVariable  = "pipeline.variable"
	TypeStageFinished     = "stage.finished"
	TypeJobStarted        = "job.started"
	TypeJobFinished       = "job.finished"
	TypeTestsPublished    = "tests.published"
	TypeArtifactPublished = "artifact.published"
	TypeAttachmentAdded   = "attachment.added"
	TypeCoveragePublished = "coverage.published"
	TypeRunChanged        = "run.changed"
	TypeImagePushed       = "image.pushed"
	TypeImageDeleted      = "image.deleted"
	TypeSBOMCreated       = "sbom.created"
	TypeScanFinished      = "scan.finished"
	TypeImageSigned       = "image.signed"
	TypeProvenanceCreated = "provenance.created"
	TypeAdvisoriesLoaded  = "advisories.loaded"
	TypeEnvironmentMade   = "environment.created"
	TypeReleaseStarted    = "release.started"
	TypeReleaseFinished   = "release.finished"
	TypePodChanged        = "pod.changed"
	TypeClusterChanged    = "cluster.changed"

	TypePullOpened     = "pull.opened"
	TypePullUpdated    = "pull.updated"
	TypePullReviewed   = "pull.reviewed"
	TypePullCommented  = "pull.commented"
	TypePullMerged     = "pull.merged"
	TypePullClosed     = "pull.closed"
	TypeCheckFinished  = "check.finished"
	TypePushRefused    = "push.refused"
	TypeSecretBypassed = "secret.bypassed"
	TypeRulesetChanged = "ruleset.changed"
	TypeRulesetJudged  = "ruleset.judged"
	TypeKeyAdded       = "key.added"
	TypeKeyRemoved     = "key.removed"
	TypePolicyChanged  = "policy.changed"
	TypeCompliance     = "compliance.changed"
	TypeDecisionMade   = "decision.made"

	TypeReleaseObserved  = "release.observed"
	TypeReleaseCompared  = "release.compared"
	TypeAlertFired       = "alert.fired"
	TypeAlertResolved    = "alert.resolved"
	TypeAlertRuleChanged = "alertrule.changed"
	TypeSilenceChanged   = "silence.changed"
	TypeErrorFound       = "error.found"
	TypeViewSaved        = "view.saved"

	TypeEnvironmentChanged = "environment.changed"
	TypeCanaryStepped      = "canary.stepped"
	TypeCanaryFinished     = "canary.finished"
	TypeDriftFound         = "drift.found"
	TypeSessionStarted     = "session.started"
	TypeSessionShared      = "session.shared"
	TypeSessionEnded       = "session.ended"
	TypeItemCreated        = "item.created"
	TypeItemChanged        = "item.changed"
	TypeItemCommented      = "item.commented"
	TypeStatesChanged      = "states.changed"
	TypeSprintChanged      = "sprint.changed"
	TypeCheckChanged       = "check.changed"
	TypeCheckHeld          = "check.held"
	TypeCheckAnswered      = "check.answered"
	TypeCheckDecided       = "check.decided"
	TypeLibraryChanged     = "library.changed"
	TypeTaskChanged        = "task.changed"
	TypeLibraryLent        = "library.lent"
	TypePoolChanged        = "pool.changed"
	TypeWebhookReceived    = "webhook.received"
)

// UserCreated is the payload of TypeUserCreated; the subject is the user.
type UserCreated struct {
	V     int    `json:"v"`
	Name  string `json:"name"`
	Admin bool   `json:"admin"`
}

// Token is the payload of TypeTokenCreated and TypeTokenRevoked; the subject is
// the user whose token it is. It never holds the token itself.
type Token struct {
	V       int       `json:"v"`
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Scopes  []string  `json:"scopes"`
	Expires time.Time `json:"expires,omitzero"`
}

// RoleGranted is the payload of TypeRoleGranted; the subject is the project.
type RoleGranted struct {
	V    int    `json:"v"`
	User string `json:"user"`
	Role string `json:"role"` // none, read, write, maintain, admin
}

// LoginFailed is the payload of TypeLoginFailed; the subject is the user named.
type LoginFailed struct {
	V      int    `json:"v"`
	Method string `json:"method"` // password, token
	Remote string `json:"remote"` // address of the client
}

// Created is the payload of TypeProjectCreated, TypeRepoCreated and
// TypeEnvironmentMade; the subject is the thing made.
type Created struct {
	V    int    `json:"v"`
	Name string `json:"name"`
}

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

// Run is the payload of TypeRunQueued and TypeRunStarted; the subject is the run.
// Link: built-from commit.
type Run struct {
	V        int    `json:"v"`
	Run      int64  `json:"run"`
	Name     string `json:"name"`
	Repo     string `json:"repo"`
	Ref      string `json:"ref"`
	Commit   string `json:"commit"`
	Title    string `json:"title"`
	Reason   string `json:"reason"` // IndividualCI, Manual, PullRequest: Build.Reason
	Pipeline string `json:"pipeline"`
	Pull     int64  `json:"pull,omitempty"` // of a pull request: its number
	Head     string `json:"head,omitempty"` // of a pull request: the commit of its source; Commit is the merge
	// TriggeredBy is the run that started this one, or that pushed the image that did.
	TriggeredBy int64 `json:"triggered_by,omitempty"`
	// Repositories are the other ones that the run is made of: templates and checkouts.
	Repositories []LinkedRepo `json:"repositories,omitempty"`
}

// LinkedRepo is a repository resource of a run at the commit that the run uses.
type LinkedRepo struct {
	Alias  string `json:"alias"`
	Repo   string `json:"repo"` // "project/repo"
	Ref    string `json:"ref"`
	Commit string `json:"commit"`
}

// RunFinished is the payload of TypeRunFinished; the subject is the run.
type RunFinished struct {
	V       int     `json:"v"`
	Run     int64   `json:"run"`
	Result  string  `json:"result"` // succeeded, succeededWithIssues, failed, canceled
	Seconds float64 `json:"seconds"`
	Why     string  `json:"why,omitempty"` // first error, one line
	Repo    string  `json:"repo,omitempty"`
	Pull    int64   `json:"pull,omitempty"` // of a pull request: its number
	Head    string  `json:"head,omitempty"` // of a pull request: the commit of its source
}

// RunRefused is the payload of TypeRunRefused: a pushed pipeline file, or that of a pull
// request, did not compile, so no run was made. The subject is the commit, of a pull
// request its head.
type RunRefused struct {
	V      int      `json:"v"`
	Repo   string   `json:"repo"`
	File   string   `json:"file"`
	Errors []string `json:"errors"` // "file (Line: n, Col: m): …", at most 20
	Pull   int64    `json:"pull,omitempty"`
}

// StageFinished is the payload of TypeStageFinished; the subject is the run.
type StageFinished struct {
	V       int     `json:"v"`
	Run     int64   `json:"run"`
	Stage   string  `json:"stage"`
	Result  string  `json:"result"`
	Seconds float64 `json:"seconds"`
	Attempt int     `json:"attempt,omitempty"` // of the stage, from 1
}

// RunRepeated is the payload of TypeRunRepeated: a part of the run runs again, in the same
// run. The subject is the run, the actor who asked for it.
type RunRepeated struct {
	V         int      `json:"v"`
	Run       int64    `json:"run"`
	Stages    []string `json:"stages"`         // that begin a new attempt
	Jobs      []string `json:"jobs,omitempty"` // paths of those that run again: "Build.Go", "Build.Go.leg"
	Failed    bool     `json:"failed,omitempty"`
	Following bool     `json:"following,omitempty"`
}

// PipelineVariable is the payload of TypePipelineVariable: a variable of a pipeline was
// changed or removed; the subject is the repository. It never holds a value.
type PipelineVariable struct {
	V      int    `json:"v"`
	Repo   string `json:"repo"`
	Name   string `json:"name"`
	Action string `json:"action"` // changed, removed
}

// Job is the payload of TypeJobStarted and TypeJobFinished; the subject is the
// job. Link: part-of run.
type Job struct {
	V           int     `json:"v"`
	Run         int64   `json:"run"`
	Stage       string  `json:"stage"`
	Job         string  `json:"job"`
	Environment string  `json:"environment,omitempty"`
	Agent       string  `json:"agent,omitempty"`
	Result      string  `json:"result,omitempty"`
	Seconds     float64 `json:"seconds,omitempty"`
	Why         string  `json:"why,omitempty"`
	Attempt     int     `json:"attempt,omitempty"` // from 1; 0 in events of old
}

// TestsPublished is the payload of TypeTestsPublished; the subject is the run.
type TestsPublished struct {
	V       int     `json:"v"`
	Run     int64   `json:"run"`
	Title   string  `json:"title"`
	Total   int     `json:"total"`
	Passed  int     `json:"passed"`
	Failed  int     `json:"failed"`
	Skipped int     `json:"skipped"`
	Seconds float64 `json:"seconds"`
	Digest  string  `json:"digest"`            // of the stored result file
	Attempt int     `json:"attempt,omitempty"` // of the job
	Job     string  `json:"job,omitempty"`     // path of the job
}

// ArtifactPublished is the payload of TypeArtifactPublished; the subject is the run.
type ArtifactPublished struct {
	V      int    `json:"v"`
	Run    int64  `json:"run"`
	Name   string `json:"name"`
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"`
	// Attempt is that of the job; what it publishes takes the place of what the one
	// before published under the name.
	Attempt int `json:"attempt,omitempty"`
}

// AttachmentAdded is the payload of TypeAttachmentAdded: a step left a file beside its log.
// The subject is the run.
type AttachmentAdded struct {
	V      int    `json:"v"`
	Run    int64  `json:"run"`
	Job    string `json:"job"` // path of the job
	Step   int    `json:"step"`
	Type   string `json:"type"`
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"`
}

// CoveragePublished is the payload of TypeCoveragePublished: a job published a coverage
// file. The subject is the run.
type CoveragePublished struct {
	V               int    `json:"v"`
	Run             int64  `json:"run"`
	File            string `json:"file"`
	Format          string `json:"format"` // Cobertura or JaCoCo
	Lines           int64  `json:"lines"`
	LinesCovered    int64  `json:"lines_covered"`
	Branches        int64  `json:"branches"`
	BranchesCovered int64  `json:"branches_covered"`
	Digest          string `json:"digest"` // of the stored file
}

// RunChanged is the payload of TypeRunChanged: a step gave its run another name, or tags.
// The subject is the run.
type RunChanged struct {
	V    int      `json:"v"`
	Run  int64    `json:"run"`
	Job  string   `json:"job"` // path of the job
	Step int      `json:"step"`
	Name string   `json:"name,omitempty"` // the new one
	Tags []string `json:"tags,omitempty"` // the added ones
}

// ImagePushed is the payload of TypeImagePushed: a manifest was put under a tag or
// by digest. The subject is the image. Link when a run pushed it: produced-by run.
// Referrers (SBOM, signature, …) are not announced by it.
type ImagePushed struct {
	V          int    `json:"v"`
	Repository string `json:"repository"` // "shop/web"
	Digest     string `json:"digest"`
	Tag        string `json:"tag,omitempty"`
	MediaType  string `json:"media_type"`
	Bytes      int64  `json:"bytes"` // config and layers, compressed
	Run        int64  `json:"run,omitempty"`
}

// ImageDeleted is the payload of TypeImageDeleted; the subject is the image.
type ImageDeleted struct {
	V          int    `json:"v"`
	Repository string `json:"repository"`
	Digest     string `json:"digest,omitempty"`
	Tag        string `json:"tag,omitempty"`
}

// SBOMCreated is the payload of TypeSBOMCreated; the subject is the sbom. Link:
// describes image.
type SBOMCreated struct {
	V          int    `json:"v"`
	Repository string `json:"repository"`
	Image      string `json:"image"`
	Digest     string `json:"digest"`
	Format     string `json:"format"` // spdx, cyclonedx
	Packages   int    `json:"packages"`
}

// ScanFinished is the payload of TypeScanFinished; the subject is the scan. Link:
// describes image.
type ScanFinished struct {
	V          int       `json:"v"`
	Scan       string    `json:"scan"`
	Repository string    `json:"repository"`
	Image      string    `json:"image"`
	Digest     string    `json:"digest,omitempty"` // of the report's referrer manifest
	Status     string    `json:"status"`           // clean, findings, no advisory data
	Critical   int       `json:"critical"`
	High       int       `json:"high"`
	Medium     int       `json:"medium"`
	Low        int       `json:"low"`
	Unknown    int       `json:"unknown"`
	Packages   int       `json:"packages"`
	Advisories time.Time `json:"advisories,omitzero"` // date of the advisory data
	Missing    []string  `json:"missing,omitempty"`   // ecosystems without advisory data
}

// ImageSigned is the payload of TypeImageSigned; the subject is the signature.
// Link: describes image.
type ImageSigned struct {
	V          int    `json:"v"`
	Repository string `json:"repository"`
	Image      string `json:"image"`
	Digest     string `json:"digest"`
	Identity   string `json:"identity"` // subject of the signing certificate
	Run        int64  `json:"run,omitempty"`
}

// ProvenanceCreated is the payload of TypeProvenanceCreated; the subject is the
// provenance. Link: describes image.
type ProvenanceCreated struct {
	V          int    `json:"v"`
	Repository string `json:"repository"`
	Image      string `json:"image"`
	Digest     string `json:"digest"`
	Builder    string `json:"builder"`
	Commit     string `json:"commit"`
	Run        int64  `json:"run"`
}

// AdvisoriesLoaded is the payload of TypeAdvisoriesLoaded; the subject is project:"".
type AdvisoriesLoaded struct {
	V         int       `json:"v"`
	Source    string    `json:"source"`
	Ecosystem string    `json:"ecosystem"`
	Count     int       `json:"count"`
	Date      time.Time `json:"date"`
}

// Release is the payload of TypeReleaseStarted and TypeReleaseFinished; the
// subject is the release. Links: released-by run, deploys image (each).
type Release struct {
	V           int      `json:"v"`
	Release     string   `json:"release"` // "shop/production/48"
	Environment string   `json:"environment"`
	Namespace   string   `json:"namespace"`
	Name        string   `json:"name"`  // Helm release name
	Chart       string   `json:"chart"` // name-version, empty for plain manifests
	Revision    int      `json:"revision"`
	Run         int64    `json:"run,omitempty"`
	Commit      string   `json:"commit,omitempty"`
	Images      []string `json:"images"`           // "host/repository@sha256:…"
	Result      string   `json:"result,omitempty"` // deployed, failed, rolled-back
	Why         string   `json:"why,omitempty"`
	Seconds     float64  `json:"seconds,omitempty"`
	Pods        []Pod    `json:"pods,omitempty"`
	Hosts       []string `json:"hosts,omitempty"` // URLs that serve it
}

// Pod is one pod of a release.
type Pod struct {
	UID    string   `json:"uid"`
	Name   string   `json:"name"`
	Images []string `json:"images"` // digests that run
	Ready  bool     `json:"ready"`
}

// PodChanged is the payload of TypePodChanged: a pod of a release became ready or
// stopped being so, or is gone. The subject is the pod. Links: part-of release,
// runs image.
type PodChanged struct {
	V         int    `json:"v"`
	Release   string `json:"release"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	Ready     bool   `json:"ready"`
	Gone      bool   `json:"gone,omitempty"`
	Restarts  int    `json:"restarts,omitempty"`
	Why       string `json:"why,omitempty"`
}

// ClusterChanged is the payload of TypeClusterChanged; the subject is project:"".
type ClusterChanged struct {
	V       int    `json:"v"`
	Kind    string `json:"kind"` // embedded, adopted
	State   string `json:"state"`
	Version string `json:"version,omitempty"`
	Why     string `json:"why,omitempty"`
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

// Key is the payload of TypeKeyAdded and TypeKeyRemoved; the subject is the user, or of a
// deploy key the repository.
type Key struct {
	V           int    `json:"v"`
	ID          string `json:"id"`
	Title       string `json:"title"`
	Fingerprint string `json:"fingerprint"`     // "SHA256:…"
	Repo        string `json:"repo,omitempty"`  // of a deploy key
	Write       bool   `json:"write,omitempty"` // of a deploy key
}

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

// ReleaseObserved is the payload of TypeReleaseObserved: the first telemetry of a release
// arrived. The subject is the release.
type ReleaseObserved struct {
	V           int      `json:"v"`
	Release     string   `json:"release"`
	Environment string   `json:"environment"`
	Signal      string   `json:"signal"`          // logs, traces
	Seconds     float64  `json:"seconds"`         // since the release started
	Roles       []string `json:"roles,omitempty"` // services or pods that sent it
}

// ReleaseCompared is the payload of TypeReleaseCompared: what a release does was compared
// with what the one before it did. The subject is the release.
type ReleaseCompared struct {
	V           int         `json:"v"`
	Release     string      `json:"release"`
	Environment string      `json:"environment"`
	Baseline    string      `json:"baseline"` // the release before
	Verdict     string      `json:"verdict"`  // better, same, worse, unclear
	Why         string      `json:"why,omitempty"`
	Operations  []Operation `json:"operations,omitempty"` // those that changed, worst first
}

// Operation is one operation of a service, before and after.
type Operation struct {
	Role           string  `json:"role"`
	Name           string  `json:"name"`
	Requests       int64   `json:"requests"`
	RequestsBefore int64   `json:"requests_before"`
	FailureShare   float64 `json:"failure_share"` // 0 to 1
	FailureBefore  float64 `json:"failure_before"`
	P95            float64 `json:"p95_ms"`
	P95Before      float64 `json:"p95_before_ms"`
	P              float64 `json:"p"` // of the test that decided
	Verdict        string  `json:"verdict"`
}

// Alert is the payload of TypeAlertFired and TypeAlertResolved; the subject is the alert.
// Links: concerns release, concerns pod (each that is known).
type Alert struct {
	V           int               `json:"v"`
	Alert       string            `json:"alert"` // id
	Rule        string            `json:"rule"`
	Kind        string            `json:"kind"` // metric, query
	Severity    string            `json:"severity"`
	Environment string            `json:"environment,omitempty"`
	Release     string            `json:"release,omitempty"`
	Summary     string            `json:"summary"`
	Labels      map[string]string `json:"labels,omitempty"`
	Value       float64           `json:"value"`
	Query       string            `json:"query"` // PromQL or KQL behind it
	Fired       time.Time         `json:"fired"`
	Resolved    time.Time         `json:"resolved,omitzero"`
	Why         string            `json:"why,omitempty"` // of the resolution
}

// AlertRuleChanged is the payload of TypeAlertRuleChanged; the subject is the project.
type AlertRuleChanged struct {
	V    int    `json:"v"`
	Rule string `json:"rule"`
	What string `json:"what"` // created, changed, removed, muted
}

// SilenceChanged is the payload of TypeSilenceChanged; the subject is the project.
type SilenceChanged struct {
	V        int       `json:"v"`
	Silence  string    `json:"silence"`
	What     string    `json:"what"` // created, expired
	Matchers []string  `json:"matchers"`
	Until    time.Time `json:"until"`
	Why      string    `json:"why"`
}

// ErrorFound is the payload of TypeErrorFound: an error group that was not seen before, or
// that came back after it was resolved. The subject is the release that it came with.
type ErrorFound struct {
	V           int    `json:"v"`
	Group       string `json:"group"` // fingerprint
	Release     string `json:"release"`
	Environment string `json:"environment"`
	Role        string `json:"role"`
	Type        string `json:"type"`
	Message     string `json:"message"`
	Operation   string `json:"operation,omitempty"` // trace id of one occurrence
	Again       bool   `json:"again,omitempty"`
}

// ViewSaved is the payload of TypeViewSaved; the subject is the project.
type ViewSaved struct {
	V     int    `json:"v"`
	View  string `json:"view"`
	Name  string `json:"name"`
	Query string `json:"query"`
}

// EnvironmentChanged is the payload of TypeEnvironmentChanged; the subject is the project.
type EnvironmentChanged struct {
	V           int    `json:"v"`
	Environment string `json:"environment"`
	Field       string `json:"field"` // routing, sessions, strategy, drift, target
	Value       string `json:"value"`
}

// Canary is the payload of TypeCanaryStepped (a step began, or it waits) and
// TypeCanaryFinished; the subject is the release that is tried.
type Canary struct {
	V           int            `json:"v"`
	Release     string         `json:"release"` // that is tried
	Environment string         `json:"environment"`
	Stable      string         `json:"stable"` // release that serves meanwhile
	Step        int            `json:"step"`   // from 1
	Steps       int            `json:"steps"`
	Weight      int            `json:"weight"` // percent of the traffic that the canary has
	State       string         `json:"state"`  // progressing, paused, inconclusive, promoting, promoted, rejecting, rejected
	Why         string         `json:"why,omitempty"`
	By          string         `json:"by,omitempty"`      // who promoted or rejected; "" for the analysis
	Metrics     []CanaryMetric `json:"metrics,omitempty"` // as they stood
	Operations  []Operation    `json:"operations,omitempty"`
}

// CanaryMetric is one metric of the analysis: the canary beside a baseline of its size.
type CanaryMetric struct {
	Service  string  `json:"service"`
	Name     string  `json:"name"` // error-rate, latency-p95, restarts, oom
	Canary   float64 `json:"canary"`
	Baseline float64 `json:"baseline"`
	Samples  int64   `json:"samples"` // requests of the canary
	P        float64 `json:"p,omitempty"`
	Verdict  string  `json:"verdict"` // success, failure, inconclusive
	Why      string  `json:"why,omitempty"`
}

// DriftFound is the payload of TypeDriftFound: an object of a release is not as it was
// deployed. The subject is the release.
type DriftFound struct {
	V           int      `json:"v"`
	Release     string   `json:"release"`
	Environment string   `json:"environment"`
	Object      string   `json:"object"` // "Deployment shop/cart"
	Fields      []string `json:"fields"` // at most 20, without values
	Manager     string   `json:"manager,omitempty"`
	Mended      bool     `json:"mended"` // drift is enforced: it was put back
}

// Session is the payload of TypeSessionStarted, TypeSessionShared and TypeSessionEnded; the
// subject is the session. It never holds the key.
type Session struct {
	V           int       `json:"v"`
	Session     string    `json:"session"`
	User        string    `json:"user"`
	Environment string    `json:"environment"`
	Namespace   string    `json:"namespace"`
	Service     string    `json:"service"`
	Mode        string    `json:"mode"`              // run, sync, attach
	Secrets     []string  `json:"secrets,omitempty"` // names of environment values that came from Secrets
	Expires     time.Time `json:"expires"`
	Why         string    `json:"why,omitempty"` // of the end: stopped, expired, replaced
}

// Item is the payload of TypeItemCreated and TypeItemChanged; the subject is the item.
// Links: concerns release, alert, image, run, pull or session; suspects commit (each);
// fixed-by commit or pull; mentioned-by commit or pull.
type Item struct {
	V        int    `json:"v"`
	Item     int64  `json:"item"`
	Type     string `json:"type"` // bug, task, story, security
	Title    string `json:"title"`
	State    string `json:"state"`
	Category string `json:"category"` // proposed, in-progress, resolved, completed, removed
	Sprint   string `json:"sprint,omitempty"`
	Assignee string `json:"assignee,omitempty"`
	Severity string `json:"severity,omitempty"`
	Source   string `json:"source,omitempty"` // of an insight: canary, regression, error, alert, …
	Signal   string `json:"signal,omitempty"` // of an insight: its stable key
	Change   string `json:"change,omitempty"` // state, title, sprint, assignee, points, labels, link, reopened, …
	Why      string `json:"why,omitempty"`
}

// ItemCommented is the payload of TypeItemCommented; the subject is the item.
type ItemCommented struct {
	V       int    `json:"v"`
	Item    int64  `json:"item"`
	Comment string `json:"comment"` // id
	Author  string `json:"author"`
	Edited  bool   `json:"edited,omitempty"` // its author wrote it anew
}

// StatesChanged is the payload of TypeStatesChanged: the states of a project's items were
// replaced. The subject is the project.
type StatesChanged struct {
	V      int     `json:"v"`
	States []State `json:"states"` // in the order of the board; none are the default ones
}

// State is one column of a board.
type State struct {
	Name     string `json:"name"`
	Category string `json:"category"` // as in Item
}

// SprintChanged is the payload of TypeSprintChanged; the subject is the project.
type SprintChanged struct {
	V      int       `json:"v"`
	Sprint string    `json:"sprint"`
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	What   string    `json:"what"` // created, changed, closed
}

// CheckChanged is the payload of TypeCheckChanged: a check on a resource of pipelines was
// added or removed, or a pipeline was permitted to use the resource; the subject is the
// project.
type CheckChanged struct {
	V        int    `json:"v"`
	Resource string `json:"resource"` // "environment/production"
	Check    string `json:"check,omitempty"`
	Type     string `json:"type"` // approval, branchControl, …; permission
	Title    string `json:"title,omitempty"`
	Pipeline string `json:"pipeline,omitempty"` // of a permission: "shop/web", "*" for all
	Action   string `json:"action"`             // added, removed, permitted, forbidden
}

// TaskChanged is the payload of TypeTaskChanged: a version of a task was added beside those
// that are built in, or removed; the subject is the project, project:"" for a task of the
// whole installation.
type TaskChanged struct {
	V         int    `json:"v"`
	Name      string `json:"name"`
	Version   string `json:"version"`
	ID        string `json:"id"`
	Digest    string `json:"digest"`
	Extension string `json:"extension,omitempty"` // publisher.extension
	Action    string `json:"action"`              // added, removed
}

// LibraryChanged is the payload of TypeLibraryChanged: a variable group, a secure file or a
// service connection was created, changed or removed; the subject is the project. It never
// holds a value.
type LibraryChanged struct {
	V        int      `json:"v"`
	Resource string   `json:"resource"`         // "group/production"
	Action   string   `json:"action"`           // created, changed, removed
	Values   []string `json:"values,omitempty"` // names of the values that were set or removed
}

// PoolChanged is the payload of TypePoolChanged: a pool of agents, or an agent of it, was
// created, changed or removed; the subject is the pool.
type PoolChanged struct {
	V     int    `json:"v"`
	Pool  string `json:"pool"`
	Agent string `json:"agent,omitempty"` // when it is about one agent
	Field string `json:"field"`           // created, settings, token, enabled, capabilities, removed
	Value string `json:"value,omitempty"` // what it is now; never a token
}

// WebhookReceived is the payload of TypeWebhookReceived: a call from outside with the right
// signature. The subject is the project.
type WebhookReceived struct {
	V          int      `json:"v"`
	Connection string   `json:"connection"`
	Delivery   string   `json:"delivery"` // SHA-256 of the payload, hex
	Bytes      int      `json:"bytes"`
	Pipelines  []string `json:"pipelines,omitempty"` // that start
	Held       []string `json:"held,omitempty"`      // that are not permitted to use the connection
}

// LibraryLent is the payload of TypeLibraryLent: a job was given secrets of the library;
// the subject is the job. It never holds a value. Link: part-of the run.
type LibraryLent struct {
	V         int      `json:"v"`
	Run       int64    `json:"run"`
	Stage     string   `json:"stage"`
	Job       string   `json:"job"`
	Resources []string `json:"resources"` // "group/production", "connection/hub"
}

// CheckHeld is the payload of TypeCheckHeld (a check holds a stage of a run),
// TypeCheckAnswered (somebody said something about it, which need not release it) and
// TypeCheckDecided (it holds the stage no more); the subject is the run. Link: built-from
// the commit of the run.
type CheckHeld struct {
	V           int      `json:"v"`
	Run         int64    `json:"run"`
	Stage       string   `json:"stage"`
	Entry       string   `json:"entry"` // what is approved or rejected
	Type        string   `json:"type"`
	Title       string   `json:"title"`
	Resource    string   `json:"resource"`              // "environment/production"
	Environment string   `json:"environment,omitempty"` // to which the stage deploys
	Waits       []string `json:"waits,omitempty"`       // for whom or what: "user:ada", "role:maintain"
	Action      string   `json:"action,omitempty"`      // answered: approved, rejected, deferred, reassigned
	Result      string   `json:"result,omitempty"`      // decided: passed, refused, expired, withdrawn
	Why         string   `json:"why,omitempty"`
	Repo        string   `json:"repo"`
	Ref         string   `json:"ref"`
	Commit      string   `json:"commit"`
}
