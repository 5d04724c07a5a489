package protocol

import (
	"encoding/base64"
	"strings"
	"time"

	"towpath.dev/towpath/internal/pipeline/plan"
)

// Paths and headers of the protocol.
const (
	// Prefix is where the server answers agents.
	Prefix = "/agent/v1"
	// HeaderLease carries the lease of the job that the request is about.
	HeaderLease = "Towpath-Lease"
	// The parameters of a request for the artifacts of another run: a pipeline resource or
	// the name or number of a pipeline, its project, a run, or the branch and the tags of the
	// newest one. Without QueryPipeline they are those of the job's run.
	QueryPipeline = "pipeline"
	QueryProject  = "project"
	QueryRun      = "run"
	QueryBranch   = "branch"
	QueryTags     = "tags"
	// These say with "true" which results the newest one may have beside Succeeded, and that
	// the run that started the job's goes before all others.
	QueryPartially  = "partially"
	QueryFailed     = "failed"
	QueryTriggering = "triggering"
	// HeaderTests carries TestsHeader as JSON.
	HeaderTests = "Towpath-Tests"
	// HeaderAttachment carries AttachmentHeader as JSON.
	HeaderAttachment = "Towpath-Attachment"
)

// Limits that both sides keep.
const (
	// MaxLine is the longest line of a log in bytes; the agent breaks longer ones.
	MaxLine = 1 << 20
	// MaxChunk is the largest body of a log request in bytes.
	MaxChunk = 4 << 20
	// MaxJSON is the largest JSON body in bytes.
	MaxJSON = 8 << 20
	// MaxOutput is the longest value of an output variable in bytes.
	MaxOutput = 1 << 20
	// MaxArtifact is the largest artifact in bytes, as a tar.
	MaxArtifact = 4 << 30
	// MaxContext is the largest tar that goes with a task in bytes.
	MaxContext = 2 << 30
	// MaxAttachment is the largest attachment in bytes.
	MaxAttachment = 64 << 20
	// MaxSecureFile is the largest secure file in bytes.
	MaxSecureFile = 10 << 20
	// MaxTests is the largest tar of test result files in bytes.
	MaxTests = 256 << 20
)

// Register says that an agent is there. An agent sends it when it starts and
// whenever it has lost touch with the server.
type Register struct {
	Name    string `json:"name"`
	OS      string `json:"os"`   // "linux", as runtime.GOOS
	Arch    string `json:"arch"` // "amd64", as runtime.GOARCH
	Version string `json:"version"`
	Slots   int    `json:"slots"` // jobs at a time
	// Environment is set by the agent on a machine of an environment, "project/environment".
	Environment string `json:"environment,omitempty"`
	// Tags are those of the machine; what was set at the server goes before them.
	Tags []string `json:"tags,omitempty"`
	// Pool is the pool that the agent belongs to; "" means that of its token, or Default.
	Pool string `json:"pool,omitempty"`
	// Capabilities are what the host has: tools with their paths, and what its owner says.
	Capabilities map[string]string `json:"capabilities,omitempty"`
}

// Registered is the answer to Register.
type Registered struct {
	// LeaseSeconds is how long a job survives without a heartbeat.
	LeaseSeconds float64 `json:"lease_seconds"`
	// Tags are those of the machine that count, when the agent is on one.
	Tags []string `json:"tags,omitempty"`
}

// Claim asks for a job.
type Claim struct {
	Agent string `json:"agent"`
	// Ticket is a random word for this claim, at most 64 bytes. A claim that is
	// repeated with the same ticket, because the answer was lost, gets the same job.
	Ticket string `json:"ticket"`
	// WaitSeconds is how long the server may hold the request, at most 60.
	WaitSeconds float64 `json:"wait_seconds"`
}

// Job is what an agent has to do: everything is in it, no other question is needed.
type Job struct {
	ID    string `json:"id"`
	Lease string `json:"lease"`

	Run         int64        `json:"run"`
	RunName     string       `json:"run_name"`
	Project     string       `json:"project"`
	Repo        string       `json:"repo"`
	Ref         string       `json:"ref"`
	Commit      string       `json:"commit"`
	Stage       string       `json:"stage"`
	Name        string       `json:"name"` // without the leg
	Leg         string       `json:"leg,omitempty"`
	DisplayName string       `json:"display_name"`
	Kind        plan.JobKind `json:"kind"`

	// CloneURL is the repository over HTTP; Token is the job token that opens it,
	// the registry and the API.
	CloneURL string `json:"clone_url"`
	Token    string `json:"token"`
	// Repositories are those beside its own that the job checks out; Token opens them.
	Repositories []Repository `json:"repositories,omitempty"`
	// Connections are the service connections that the tasks of the job name.
	Connections []Connection `json:"connections,omitempty"`
	// Feeds are the packages and builds that its steps fetch.
	Feeds []plan.Feed `json:"feeds,omitempty"`
	// Added are the tasks of its steps that are not built into the agent.
	Added []Added `json:"added,omitempty"`

	// Phases are the rounds of a deployment that may happen, of which Strategy
	// picks the next, or one phase without a round.
	Phases []Phase `json:"phases"`
	// Ended are the rounds of a deployment that other agents, or the server, had before; Phases
	// holds those alone that this one may come to. See [Complete.Onward].
	Ended []plan.HookResult `json:"ended,omitempty"`
	// Strategy is the strategy of a deployment without the steps of its hooks.
	Strategy *plan.Strategy `json:"strategy,omitempty"`
	// Variables are the variables of the job: those of the file, evaluated, and
	// the predefined ones that the server knows.
	Variables []plan.Value `json:"variables"`
	// TimeoutSeconds and CancelSeconds are the time that the job may take, and
	// the time that always() steps have after the end of it. 0 means no limit.
	TimeoutSeconds float64 `json:"timeout_seconds"`
	CancelSeconds  float64 `json:"cancel_seconds"`
	// LogLimit is the size in bytes after which the log of a step is cut off.
	LogLimit int64 `json:"log_limit"`
	// StaySeconds is how long the job is to be kept when it fails; 0: it is not.
	StaySeconds float64 `json:"stay_seconds,omitempty"`
	// Containers are those of the pod that the job runs in; none on a host.
	Containers []Container `json:"containers,omitempty"`
	// Notices are what the log of the first step says before anything else.
	Notices []string `json:"notices,omitempty"`
}

// Path names the job within its run: "Build.Test", or "Build.Test.leg".
func (j *Job) Path() string {
	if j.Leg != "" {
		return j.Stage + "." + j.Name + "." + j.Leg
	}
	return j.Stage + "." + j.Name
}

// Connection is a service connection with what opens it. It is in memory alone, on both
// sides.
type Connection struct {
	Name   string            `json:"name"`
	Type   string            `json:"type"` // kubernetes, dockerregistry, generic
	URL    string            `json:"url"`
	Scheme string            `json:"scheme"` // None, UsernamePassword, Token, Kubernetes
	Auth   map[string]string `json:"auth,omitempty"`
	Secret []string          `json:"secret,omitempty"` // the values of Auth that logs hide
}

// Authorization is the header of HTTP that opens a connection; "" when nothing has to.
func (c Connection) Authorization() string {
	find := func(names ...string) string {
		for _, name := range names {
			for k, v := range c.Auth {
				if strings.EqualFold(k, name) && v != "" {
					return v
				}
			}
		}
		return ""
	}
	switch c.Scheme {
	case "UsernamePassword":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(find("username")+":"+find("password")))
	case "Token":
		return "Bearer " + find("apitoken", "token")
	}
	return ""
}

// Repository is a repository resource at the commit that the run uses.
type Repository struct {
	Alias    string `json:"alias"`
	Repo     string `json:"repo"` // "project/repo"
	CloneURL string `json:"clone_url"`
	Ref      string `json:"ref"`
	Commit   string `json:"commit"`
}

// Phase is a list of steps with a job status of its own.
type Phase struct {
	Round plan.HookRun `json:"round,omitzero"`
	Steps []Step       `json:"steps"`
}

// Output is an output variable that a step has set.
type Output struct {
	Round plan.HookRun `json:"round,omitzero"`
	Step  string       `json:"step"`
	Name  string       `json:"name"`
	Value string       `json:"value"`
}

// Step is a step with its number in the job, counted from 1 over all phases.
type Step struct {
	Number int `json:"number"`
	// Stage is StagePre or StagePost for the step before or after the others that runs a
	// stage of the task of step Of; empty for the step itself.
	Stage string `json:"stage,omitempty"`
	Of    int    `json:"of,omitempty"`
	plan.Step
}

// Heartbeat keeps a job alive.
type Heartbeat struct {
	// WaitSeconds is how long the server may hold the request for news.
	WaitSeconds float64 `json:"wait_seconds"`
	// Canceled says that the agent has heard of the cancellation already.
	Canceled bool `json:"canceled,omitempty"`
}

// HeartbeatReply is the answer to Heartbeat.
type HeartbeatReply struct {
	// Cancel asks the agent to stop the job; Why says who or what wants it.
	Cancel bool   `json:"cancel,omitempty"`
	Why    string `json:"why,omitempty"`
}

// Update reports steps.
type Update struct {
	Steps []StepUpdate `json:"steps"`
}

// StepUpdate is the state of one step now; the newest update of a step counts.
type StepUpdate struct {
	Number   int         `json:"number"`
	Status   plan.Status `json:"status"`
	Result   plan.Result `json:"result,omitempty"`
	Started  time.Time   `json:"started,omitzero"`
	Finished time.Time   `json:"finished,omitzero"`
	// Why is the first error of the step in one line, without secrets.
	Why string `json:"why,omitempty"`
	// Progress is how far the step says that it is, in percent, and Operation what it is at.
	Progress  int    `json:"progress,omitempty"`
	Operation string `json:"operation,omitempty"`
	// Details are all the records that the step has made below itself.
	Details []Detail `json:"details,omitempty"`
}

// Detail is a record that a step made with ##vso[task.logdetail].
type Detail struct {
	ID       string    `json:"id"`
	Parent   string    `json:"parent,omitempty"`
	Type     string    `json:"type,omitempty"`
	Name     string    `json:"name,omitempty"`
	Order    int       `json:"order,omitempty"`
	State    string    `json:"state,omitempty"` // Unknown, Initialized, InProgress, Completed
	Result   string    `json:"result,omitempty"`
	Progress int       `json:"progress,omitempty"` // percent
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	Message  string    `json:"message,omitempty"`
}

// The types of attachments that the agent makes itself; tasks make others.
const (
	// AttachmentSummary is Markdown that the page of the run shows.
	AttachmentSummary = "Distributedtask.Core.Summary"
	// AttachmentFile is a file beside the log of a step.
	AttachmentFile = "Distributedtask.Core.FileAttachment"
	// AttachmentLog is a log that a tool wrote itself.
	AttachmentLog = "Distributedtask.Core.Log"
	// AttachmentAssociated begins the type of the place of an artifact that is kept
	// elsewhere: "artifact.filepath". The content is the place.
	AttachmentAssociated = "artifact"
)

// AttachmentHeader describes an attachment. A step has one of a type and name; a newer one
// takes its place.
type AttachmentHeader struct {
	Step int    `json:"step"` // number of the step
	Type string `json:"type"`
	Name string `json:"name"`
}

// RunChange changes the run of the job.
type RunChange struct {
	Step int `json:"step"` // number of the step that asks for it
	// Name is the new name of the run, Build.BuildNumber; empty leaves it.
	Name string `json:"name,omitempty"`
	// Tags are added to those of the run.
	Tags []string `json:"tags,omitempty"`
}

// CoverageReply sums up what coverage files say.
type CoverageReply struct {
	Lines           int64 `json:"lines"`
	LinesCovered    int64 `json:"lines_covered"`
	Branches        int64 `json:"branches"`
	BranchesCovered int64 `json:"branches_covered"`
	// Invalid lists the files that could not be read, with the reason.
	Invalid []string `json:"invalid,omitempty"`
}

// LogReply says how many lines of the step the server has: the number of the next
// line that it wants. It comes with 200 when the lines were taken and with 409 when
// they do not continue what is there.
type LogReply struct {
	Next int64 `json:"next"`
}

// Artifact is a named set of files of a run.
type Artifact struct {
	Name   string `json:"name"`
	Job    string `json:"job"` // path of the job that published it
	Files  int    `json:"files"`
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"`
}

// TestsHeader describes a set of test result files.
type TestsHeader struct {
	Title  string `json:"title"`
	Format string `json:"format"` // "JUnit", "NUnit", "XUnit", "VSTest" or "CTest"
	Merge  bool   `json:"merge"`  // one test run for all the files
}

// TestsReply sums up what the result files say.
type TestsReply struct {
	Runs    int     `json:"runs"`
	Total   int     `json:"total"`
	Passed  int     `json:"passed"`
	Failed  int     `json:"failed"`
	Skipped int     `json:"skipped"`
	Seconds float64 `json:"seconds"`
	// Invalid lists the files that could not be read, with the reason.
	Invalid []string `json:"invalid,omitempty"`
}

// TaskRequest asks the server to run a task that is not for the agent's host.
type TaskRequest struct {
	Inputs map[string]string `json:"inputs"`
	// Step is the number of the step.
	Step int `json:"step"`
}

// TaskReply is one line of the answer: a line of output, or the end.
type TaskReply struct {
	Line string `json:"line,omitempty"`
	Done bool   `json:"done,omitempty"`
	// File is the name of a file that the task made, and Data its content; such a reply has
	// neither a line nor the end.
	File    string            `json:"file,omitempty"`
	Data    []byte            `json:"data,omitempty"`
	Error   string            `json:"error,omitempty"` // with Done: why the task failed
	Outputs map[string]string `json:"outputs,omitempty"`
}

// Complete ends a job, or the part of a deployment that an agent has.
type Complete struct {
	Result plan.Result `json:"result"`
	// Ended are the rounds of a deployment that have ended, with those of Job.Ended.
	Ended []plan.HookResult `json:"ended,omitempty"`
	// Onward says that the deployment goes on with a round that is not among the phases of the
	// job: its hook has another pool. Result is the one so far.
	Onward bool   `json:"onward,omitempty"`
	Why    string `json:"why,omitempty"` // first error, one line
	// Outputs are the output variables; secret ones stay in the job.
	Outputs []Output `json:"outputs,omitempty"`
	// Stays says that the job failed and the agent has left it as it is, to be kept if the
	// server wants that.
	Stays bool `json:"stays,omitempty"`
}

// Error is the body of every answer that is not a success.
type Error struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Next    string `json:"next,omitempty"`
}
