package page

import (
	"strconv"
	"time"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/policy"
)

// Run is a run as the lists and its own page show it.
type Run struct {
	Number    int64
	Name      string // "20261123.1"
	Title     string // of the commit
	Repo      string // "shop/shop"
	Commit    string
	Branch    string
	Pipeline  string // file
	Reason    string // in words: "push", "by hand"
	Requester string
	State     State
	Word      string // "running", "failed", …
	Why       string
	Queued    time.Time
	Started   time.Time
	Finished  time.Time
	Stages    []Stage
	CanCancel bool
	CanRerun  bool
	CanRepeat bool // something in it failed
}

// Stage is one box of the strip.
type Stage struct {
	Name, Title string
	State       State
	Note        string
	Began       time.Time // while it goes on, else zero
	After       []string  // names of the stages that it depends on
	Group       string    // path of the group that it stands in
	Jobs        []Job
	Current     bool
}

// Job is a job with its steps.
type Job struct {
	ID      string   // names the job's logs
	Name    string   // within its stage
	After   []string // names of the jobs of its stage that it depends on
	Attempt int      // the last one, from 1
	Title   string   // "Build / cart"
	State   State
	Note    string    // duration, "skipped", "waits for an agent"
	Began   time.Time // while it goes on, else zero
	Steps   []Step
	Why     string
	Current bool
}

// Step is a line of the step list.
type Step struct {
	Number  int
	Hook    string // of a deployment, at the first step of each: "deploy", "deploy on agent-1"
	Title   string
	State   State
	Note    string
	Began   time.Time // while it goes on, else zero
	Current bool
}

// Log is the log that the run page shows.
type Log struct {
	Job   string // id
	Step  int
	Title string
	Total int64
	Live  bool // the step goes on
	First int64
	HTML  string // lines from First on, made by LogLines
}

// Failure is one failed test, with the set of results that it stands in.
type Failure struct {
	Set string
	pipeline.Failure
}

// Artifact is one published artifact.
type Artifact struct {
	Name   string
	Files  int
	Bytes  int64
	Digest string
	Href   string
}

// RunView is what the run page shows.
type RunView struct {
	Run
	Tab       string // "", "timeline", "tests", "coverage", "artifacts", "summary", "compare", "given", "file"
	Log       *Log
	Tests     []pipeline.TestRun
	Failures  []Failure // after the filter
	Artifacts []Artifact
	File      string // the pipeline file at the run's commit
	Query     string
	Kept      []KeptJob
	Terminals []pipeline.TerminalUse // that were opened in kept jobs, the last first
	CanKeep   bool
	CanEnter  bool
	Images    []pipeline.Image // what it pushed
	Refused   []policy.Decision
	Holds     []Hold // what holds its stages now
	Gates     []Hold // every check that stood at a gate of it

	Stage       *StageNow    // that is looked at; nil for none
	Issues      []StepIssues // what went wrong, in the tab of the jobs
	Attempts    []Attempt    // of the job that is looked at; none when it ran once
	Attempt     int          // that is looked at
	Base        int64        // the last green run before this one, 0 for none
	Compared    *RunComparison
	Bars        []Lane
	Coverage    []pipeline.Coverage
	Tags        []string
	Attachments []Attachment
	HasSummary  int // how many summaries there are
	Summaries   []Summary
	Given       pipeline.Given
}

// RunList is what the runs page shows.
type RunList struct {
	Runs []Run
	// Pipeline is whose runs they are; "" means all of the project.
	Pipeline string
	Filters  []Filter
	Query    string
	Start    bool // the form that starts a run is open
	CanKeep  bool // failed jobs may be kept
	Repos    []string
	Queue    *Queue // of the form that starts a run
	Remote   string
	More     string
}

func (v Run) path(s Shell) string { return s.At("/runs/" + strconv.FormatInt(v.Number, 10)) }

func (v RunView) logPath(s Shell) string {
	return v.path(s) + "/log/" + Esc(v.Log.Job) + "/" + strconv.Itoa(v.Log.Step)
}

func (v RunView) tally() (total, failed int) {
	for _, t := range v.Tests {
		total, failed = total+t.Total, failed+t.Failed
	}
	return total, failed
}

// stageClass is the mock's word for the state of a stage or step.
func stageClass(s State) string {
	switch s {
	case Open:
		return "ok"
	case Shut:
		return "bad"
	case Passing:
		return "run"
	case Held:
		return "held"
	}
	return "next"
}

func seconds(f float64) string { return Took(time.Duration(f * float64(time.Second))) }

func (r Run) began() time.Time {
	if r.Started.IsZero() {
		return r.Queued
	}
	return r.Started
}

// since is when a run began that goes on, else zero.
func (r Run) since() time.Time {
	if r.Finished.IsZero() {
		return r.Started
	}
	return time.Time{}
}

// took says how long the run took, or takes by now.
func (r Run) took(s Shell) string {
	switch {
	case r.Started.IsZero():
		return "–"
	case r.Finished.IsZero():
		return TookSoFar(s.Now.Sub(r.Started))
	}
	return Took(r.Finished.Sub(r.Started))
}

// stageHref leads to the step of a stage that one wants to see first, or to the stage
// itself.
func (v RunView) stageHref(s Shell, st Stage) string {
	for _, failed := range []bool{true, false} {
		for _, j := range st.Jobs {
			if len(j.Steps) > 0 && (!failed || j.State == Shut || j.State == Passing) {
				return v.stepHref(s, j, j.first())
			}
		}
	}
	return v.path(s) + Query("stage", st.Name)
}

func (v RunView) stepHref(s Shell, j Job, step Step) string {
	return v.path(s) + Query("job", j.ID, "step", strconv.Itoa(step.Number))
}

func commitHref(s Shell, repo, commit string) string {
	return s.At("/code/" + RepoName(repo) + "/commit/" + commit)
}
