package pipeline

import (
	"time"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// Run is a run in a list. Times are zero until they have come.
type Run struct {
	Number    int64  `json:"number"` // unique in the installation
	Name      string `json:"name"`   // Build.BuildNumber
	Label     string `json:"label"`  // the name with the commit's message, unless the file says otherwise
	Project   string `json:"project"`
	Repo      string `json:"repo"` // "project/repo"
	File      string `json:"file"`
	Ref       string `json:"ref"`
	Commit    string `json:"commit"`
	Title     string `json:"title"`          // first line of the commit's message
	Reason    string `json:"reason"`         // Build.Reason: IndividualCI, BatchedCI, Manual, PullRequest, Schedule, ResourceTrigger
	Pull      int64  `json:"pull,omitempty"` // number of the pull request that it judges
	Head      string `json:"head,omitempty"` // of a pull request: the commit of its source; Commit is the merge
	Requester string `json:"requester"`
	RerunOf   int64  `json:"rerun_of,omitempty"`
	// TriggeredBy is the run that started this one, or that pushed the image that did.
	TriggeredBy int64       `json:"triggered_by,omitempty"`
	Status      plan.Status `json:"status"` // Pending, Running, Completed
	Result      plan.Result `json:"result,omitempty"`
	Why         string      `json:"why,omitempty"` // first error
	Queued      time.Time   `json:"queued"`
	Started     time.Time   `json:"started,omitzero"`
	Finished    time.Time   `json:"finished,omitzero"`
}

// Detail is a run with everything in it.
type Detail struct {
	Run
	Stages    []Stage             `json:"stages"`
	Artifacts []protocol.Artifact `json:"artifacts"`
	Tests     []TestRun           `json:"tests"`
	Images    []Image             `json:"images"`
	// Tags are those that steps gave the run.
	Tags        []string     `json:"tags"`
	Attachments []Attachment `json:"attachments"`
	Coverage    []Coverage   `json:"coverage"`
	// Kept says who keeps the run by hand, and why.
	Kept string `json:"kept,omitempty"`
	// Terminals are those that were opened in kept jobs, the last first.
	Terminals []TerminalUse `json:"terminals,omitempty"`
}

// Stage is a stage of a run.
type Stage struct {
	Name        string      `json:"name"`
	DisplayName string      `json:"display_name"`
	Group       string      `json:"group,omitempty" doc:"path of the group that it stands in: Rollout/EU"`
	DependsOn   []string    `json:"depends_on,omitempty"`
	Status      plan.Status `json:"status"`
	Result      plan.Result `json:"result,omitempty"`
	Why         string      `json:"why,omitempty"`
	// Attempt counts from 1 how often the stage was begun.
	Attempt int `json:"attempt"`
	// Skippable stages may be left out; LeftOut says who did.
	Skippable bool   `json:"skippable"`
	LeftOut   string `json:"left_out,omitempty"`
	// Manual stages wait until somebody starts them; Requested says who did.
	Manual    bool   `json:"manual,omitempty"`
	Requested string `json:"requested,omitempty"`
	// Held is since when checks hold the stage, zero when none does; HeldBy is whom or what
	// they wait for: "user:ada", "role:maintain", "run 7 has it".
	Held     time.Time `json:"held,omitzero"`
	HeldBy   []string  `json:"held_by,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	Jobs     []Job     `json:"jobs"`
}

// Job is a job of a run, or one leg of a job.
type Job struct {
	Path        string            `json:"path"` // "Stage.Job", "Stage.Job.leg"
	Name        string            `json:"name"`
	Leg         string            `json:"leg,omitempty"`
	DisplayName string            `json:"display_name"`
	Kind        plan.JobKind      `json:"kind"`
	DependsOn   []string          `json:"depends_on,omitempty"`
	Environment string            `json:"environment,omitempty"`
	Pool        string            `json:"pool,omitempty"` // in lower case; of a job that was queued
	Demands     []string          `json:"demands,omitempty"`
	Waits       string            `json:"waits,omitempty"` // of a queued job: for whom
	Agent       string            `json:"agent,omitempty"`
	Turns       []Turn            `json:"turns,omitempty"` // of a deployment that others had before
	Attempt     int               `json:"attempt"`         // from 1; Service.Attempts has those before
	Status      plan.Status       `json:"status"`          // also Queued, and Waiting for another leg
	Result      plan.Result       `json:"result,omitempty"`
	Why         string            `json:"why,omitempty"`
	Outputs     map[string]string `json:"outputs,omitempty"`
	Queued      time.Time         `json:"queued,omitzero"`
	Started     time.Time         `json:"started,omitzero"`
	Finished    time.Time         `json:"finished,omitzero"`
	// Kept is set while a failed job is left as it is.
	Kept  *Kept  `json:"kept,omitempty"`
	Steps []Step `json:"steps"`
}

// Step is a step of a job.
type Step struct {
	Number      int         `json:"number"` // from 1, over all hooks
	Hook        string      `json:"hook,omitempty"`
	Name        string      `json:"name,omitempty"`
	DisplayName string      `json:"display_name"`
	Task        string      `json:"task"`
	Status      plan.Status `json:"status"`
	Result      plan.Result `json:"result,omitempty"`
	Why         string      `json:"why,omitempty"`
	Started     time.Time   `json:"started,omitzero"`
	Finished    time.Time   `json:"finished,omitzero"`
	Lines       int64       `json:"lines"` // of its log so far
	// Progress is how far the step says that it is, in percent, and Operation what it is at.
	Progress  int    `json:"progress,omitempty"`
	Operation string `json:"operation,omitempty"`
	// Details are the records that the step made below itself.
	Details []protocol.Detail `json:"details,omitempty"`
}

// Image is an image that a step of the run put into the registry, as its output
// variables say.
type Image struct {
	Job    string `json:"job"`
	Step   string `json:"step"`
	Name   string `json:"name"` // host/repository:tag
	Digest string `json:"digest"`
}

// TestRun is a set of test results.
type TestRun struct {
	ID       string    `json:"id"`
	Job      string    `json:"job"`
	Title    string    `json:"title"`
	Total    int       `json:"total"`
	Passed   int       `json:"passed"`
	Failed   int       `json:"failed"`
	Skipped  int       `json:"skipped"`
	Seconds  float64   `json:"seconds"`
	Digest   string    `json:"digest"` // of the stored result file
	Failures []Failure `json:"failures,omitempty"`
}

// Failure is a test that failed.
type Failure struct {
	Suite   string  `json:"suite"`
	Name    string  `json:"name"`
	Message string  `json:"message"`
	Details string  `json:"details,omitempty"`
	Seconds float64 `json:"seconds"`
	// Flaky says that the test failed and passed on one commit lately.
	Flaky bool `json:"flaky,omitempty"`
}

// Filter selects runs; zero fields select everything.
type Filter struct {
	Project string // the project; needed unless Repo or Commit is set
	Repo    string // "project/repo"
	File    string // path of the pipeline file
	Ref     string // "refs/heads/main"
	Commit  string // full hash
	Pull    int64  // number of a pull request
	Name    string // Build.BuildNumber
	Reason  string // Build.Reason
	Tags    []string
	Status  plan.Status
	Result  plan.Result
	Before  int64 // only runs with a smaller number, for the next page
	Limit   int   // at most so many; 0 means 50, the most is 200
}
