package event

// The payloads of events about runs and what they leave.

import "time"

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
	// Agents are those that had a deployment one after the other, when there was more than one.
	Agents []string `json:"agents,omitempty"`
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

// RetentionChanged is the payload of TypeRetentionChanged. The subject is the project, or the
// empty project for the installation.
type RetentionChanged struct {
	V     int    `json:"v"`
	Rules string `json:"rules"` // as JSON
}

// RunKept is the payload of TypeRunKept: somebody keeps a run, or lets it go. The subject is
// the run.
type RunKept struct {
	V      int    `json:"v"`
	Run    int64  `json:"run"`
	Action string `json:"action"` // kept, let go
	Why    string `json:"why,omitempty"`
}

// RunRemoved is the payload of TypeRunRemoved: the rules of retention took a run away, with
// its logs and what it published. The subject is the run; its earlier events stay.
type RunRemoved struct {
	V         int               `json:"v"`
	Run       int64             `json:"run"`
	Name      string            `json:"name"`
	Repo      string            `json:"repo"`
	Ref       string            `json:"ref"`
	Commit    string            `json:"commit"`
	Result    string            `json:"result"`
	Finished  time.Time         `json:"finished"`
	Artifacts []RemovedArtifact `json:"artifacts,omitempty"`
	Results   []string          `json:"results,omitempty"` // digests of the files of test results
}

// RemovedArtifact is an artifact that went with its run.
type RemovedArtifact struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Bytes  int64  `json:"bytes"`
}

// JobStay is the payload of TypeJobKept, TypeJobReleased and TypeTerminalOpened: a failed job
// is left as it is with its agent, is cleared up, or somebody opens a terminal in it. The
// subject is the job, the actor who asked for it.
type JobStay struct {
	V       int     `json:"v"`
	Run     int64   `json:"run"`
	Job     string  `json:"job"` // path: "Build.Go"
	Agent   string  `json:"agent"`
	Seconds float64 `json:"seconds"`       // for which it may be kept
	Why     string  `json:"why,omitempty"` // of released
}
