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
	TypeStageFinished     = "stage.finished"
	TypeJobStarted        = "job.started"
	TypeJobFinished       = "job.finished"
	TypeTestsPublished    = "tests.published"
	TypeArtifactPublished = "artifact.published"
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
}

// RunFinished is the payload of TypeRunFinished; the subject is the run.
type RunFinished struct {
	V       int     `json:"v"`
	Run     int64   `json:"run"`
	Result  string  `json:"result"` // succeeded, succeededWithIssues, failed, canceled
	Seconds float64 `json:"seconds"`
	Why     string  `json:"why,omitempty"` // first error, one line
}

// RunRefused is the payload of TypeRunRefused: a pushed pipeline file did not
// compile, so no run was made. The subject is the commit.
type RunRefused struct {
	V      int      `json:"v"`
	Repo   string   `json:"repo"`
	File   string   `json:"file"`
	Errors []string `json:"errors"` // "file (Line: n, Col: m): …", at most 20
}

// StageFinished is the payload of TypeStageFinished; the subject is the run.
type StageFinished struct {
	V       int     `json:"v"`
	Run     int64   `json:"run"`
	Stage   string  `json:"stage"`
	Result  string  `json:"result"`
	Seconds float64 `json:"seconds"`
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
	Digest  string  `json:"digest"` // of the stored result file
}

// ArtifactPublished is the payload of TypeArtifactPublished; the subject is the run.
type ArtifactPublished struct {
	V      int    `json:"v"`
	Run    int64  `json:"run"`
	Name   string `json:"name"`
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"`
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
