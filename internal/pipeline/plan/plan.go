package plan

import "towpath.dev/towpath/internal/pipeline/parse"

// Plan is a compiled pipeline: what would run, in which order and under which
// conditions, with every compile-time expression gone. It depends on the file,
// its templates, the parameters and nothing else, and it survives a round trip
// through JSON unchanged.
type Plan struct {
	// File is the path of the pipeline file in its repository.
	File string `json:"file"`
	// Name is the format of the run's name, with macros and the tokens of X031.
	// It is never empty: the default is [DefaultRunName].
	Name string `json:"name"`
	// AppendCommitMessage says whether the commit message follows the run's
	// name in lists (X032).
	AppendCommitMessage bool `json:"appendCommitMessage"`
	// LockBehavior is "", "runLatest" or "sequential" (X027).
	LockBehavior string `json:"lockBehavior,omitempty"`
	// HeldGroups are the variable groups of the root that the pipeline was not permitted to
	// use when its run was created; their variables come with the first stage that it is
	// permitted for. The compiler leaves it empty.
	HeldGroups []string `json:"heldGroups,omitempty"`
	// Trigger decides which pushes start a run.
	Trigger Trigger `json:"trigger"`
	// PR decides which pull requests start a run.
	PR PRTrigger `json:"pr"`
	// Schedules are the timed triggers.
	Schedules []Schedule `json:"schedules,omitempty"`
	// Resources are the other repositories, containers and pipelines in use.
	Resources Resources `json:"resources,omitzero"`
	// Parameters are the parameters that the file declares, with the values
	// that this plan was compiled with.
	Parameters []Parameter `json:"parameters,omitempty"`
	// Variables are the variables of the root, in the order of the file.
	Variables []Variable `json:"variables,omitempty"`
	// Stages are the stages in the order of the file; there is at least one.
	Stages []Stage `json:"stages"`
}

// Variable is one entry of a "variables" section: either a variable, or a
// reference to a variable group, in which case only Group is set.
type Variable struct {
	Name string `json:"name,omitempty"`
	// Value is the text as it stands after template expansion. When it is of
	// the form "$[ … ]" it is a runtime expression that is evaluated once,
	// before the job starts; macros in it are expanded on the agent (X041, X042).
	Value string `json:"value,omitempty"`
	// ReadOnly forbids steps to set the variable (L031).
	ReadOnly bool `json:"readOnly,omitempty"`
	// Group is the name of a variable group whose variables stand here.
	Group string    `json:"group,omitempty"`
	Pos   parse.Pos `json:"pos,omitzero"`
}

// Parameter is a declared parameter of the pipeline and its value in this plan.
type Parameter struct {
	Name        string   `json:"name"`
	DisplayName string   `json:"displayName,omitempty"`
	Type        string   `json:"type"`
	Values      []string `json:"values,omitempty"`
	// Value is the value as JSON-like data: string, bool, float64, nil,
	// []any or map[string]any.
	Value any `json:"value,omitempty"`
}

// Stage is a group of jobs that starts when the stages it depends on are done.
type Stage struct {
	// Name is unique in the plan without regard to case. The stage of a file
	// without stages is called [ImplicitStage].
	Name        string `json:"name"`
	DisplayName string `json:"displayName"`
	// DependsOn names other stages. The order of the file (X026) has been
	// written out here, so an empty list means that the stage starts at once.
	DependsOn []string `json:"dependsOn,omitempty"`
	// Condition is a bare expression; it is never empty: the default is
	// "succeeded()" (X112).
	Condition string     `json:"condition"`
	Variables []Variable `json:"variables,omitempty"`
	// LockBehavior is "", "runLatest" or "sequential".
	LockBehavior string `json:"lockBehavior,omitempty"`
	// Group is the path of the group that the stage stands in, for who looks at the run:
	// "Rollout/EU"; "" for none.
	Group string `json:"group,omitempty"`
	// Manual stages wait until somebody starts them (X028).
	Manual bool `json:"manual,omitempty"`
	// Skippable says whether a user may skip the stage when starting a run.
	Skippable bool      `json:"skippable"`
	Jobs      []Job     `json:"jobs"`
	Pos       parse.Pos `json:"pos,omitzero"`
}

// JobKind tells ordinary jobs from deployment jobs.
type JobKind string

// The two kinds of job.
const (
	KindJob        JobKind = "job"
	KindDeployment JobKind = "deployment"
)

// Job is a list of steps that one agent runs in one workspace, or, for a
// deployment, a list of hooks that each are such a list of steps.
type Job struct {
	// Name is unique in its stage without regard to case. The job of a file
	// without jobs is called [ImplicitJob]; other unnamed jobs Job1, Job2, ….
	Name        string  `json:"name"`
	DisplayName string  `json:"displayName"`
	Kind        JobKind `json:"kind"`
	// DependsOn names other jobs of the same stage.
	DependsOn []string `json:"dependsOn,omitempty"`
	// Condition is a bare expression, never empty (X112).
	Condition string     `json:"condition"`
	Variables []Variable `json:"variables,omitempty"`
	Pool      Pool       `json:"pool,omitzero"`
	// TimeoutMinutes and CancelTimeoutMinutes are whole numbers or runtime
	// expressions "$[ … ]"; [Plan.JobSettings] resolves them (X025). 0 means no limit.
	TimeoutMinutes       string `json:"timeoutMinutes"`
	CancelTimeoutMinutes string `json:"cancelTimeoutMinutes"`
	// ContinueOnError is "true", "false" or a runtime expression (V002).
	ContinueOnError string `json:"continueOnError"`
	// Matrix is the job's fan-out; nil when there is none.
	Matrix *Matrix `json:"matrix,omitempty"`
	// Container is the container that the steps run in; nil for the host.
	Container *Container `json:"container,omitempty"`
	// Services are the containers that run beside the job, by name.
	Services []Service `json:"services,omitempty"`
	// Uses are what the job needs beside what it names elsewhere; nil for nothing.
	Uses *Uses `json:"uses,omitempty"`
	// WorkspaceClean is "", "outputs", "resources" or "all".
	WorkspaceClean string `json:"workspaceClean,omitempty"`
	// Environment is where a deployment goes; nil for ordinary jobs.
	Environment *Environment `json:"environment,omitempty"`
	// Strategy is the deployment strategy; nil for ordinary jobs.
	Strategy *Strategy `json:"strategy,omitempty"`
	// Steps are the steps of an ordinary job, the implicit checkout included;
	// a deployment has its steps in the hooks of its strategy.
	Steps []Step    `json:"steps,omitempty"`
	Pos   parse.Pos `json:"pos,omitzero"`
}

// Uses are resources that a job needs though no step or pool of it names them: a script clones a
// repository, a matrix computes the name of a pool. They are subject to the checks and
// permissions of what the job names, and the identity of the job opens them.
type Uses struct {
	Repositories []string `json:"repositories,omitempty"` // aliases of resources.repositories, or self
	Pools        []string `json:"pools,omitempty"`
}

// Pool says which agents may run a job. All fields may be empty, which leaves
// the choice to the server.
type Pool struct {
	Name    string   `json:"name,omitempty"`
	VMImage string   `json:"vmImage,omitempty"`
	Demands []string `json:"demands,omitempty"`
	// Server marks an agentless job ("pool: server").
	Server bool `json:"server,omitempty"`
}

// Matrix is the fan-out of a job over named legs.
type Matrix struct {
	// Legs are the legs in the order of the file; empty when Expression is set.
	Legs []Leg `json:"legs,omitempty"`
	// Expression is a runtime expression "$[ … ]" that yields the legs as a
	// JSON object when the job becomes ready; see [ParseMatrix].
	Expression string `json:"expression,omitempty"`
	// MaxParallel is how many legs run at a time, as a number or a runtime
	// expression; "0" means all of them (V009).
	MaxParallel string `json:"maxParallel"`
	// Slices marks the "parallel: n" form, whose legs share all variables but
	// their position.
	Slices bool `json:"slices,omitempty"`
}

// Leg is one instance of a matrix job.
type Leg struct {
	Name      string     `json:"name"`
	Variables []Variable `json:"variables,omitempty"`
}

// Container is an image that steps run in.
type Container struct {
	// Alias is the name of a container resource when one is meant.
	Alias           string            `json:"alias,omitempty"`
	Image           string            `json:"image,omitempty"`
	Endpoint        string            `json:"endpoint,omitempty"`
	Options         string            `json:"options,omitempty"`
	Env             map[string]string `json:"env,omitempty"`
	Ports           []string          `json:"ports,omitempty"`
	Volumes         []string          `json:"volumes,omitempty"`
	MapDockerSocket bool              `json:"mapDockerSocket,omitempty"`
}

// Service is a container that runs beside a job under a name.
type Service struct {
	Name      string    `json:"name"`
	Container Container `json:"container"`
}

// Environment is the target of a deployment (D007).
type Environment struct {
	Name string `json:"name"`
	// Resource is the resource in the environment, a namespace or a virtual
	// machine; empty when the deployment addresses the environment as a whole.
	Resource string `json:"resource,omitempty"`
	// ResourceType is [VirtualMachine], [Kubernetes] or empty, in any case (D008).
	ResourceType string `json:"resourceType,omitempty"`
	// Tags are what a virtual machine must carry, all of them, to be deployed to.
	Tags []string `json:"tags,omitempty"`
}

// The types of the resources of an environment (D008).
const (
	VirtualMachine = "VirtualMachine"
	Kubernetes     = "Kubernetes"
)

// The names of the deployment strategies.
const (
	RunOnce = "runOnce"
	Rolling = "rolling"
	Canary  = "canary"
)

// Strategy is how a deployment rolls out (D001 to D003).
type Strategy struct {
	// Name is [RunOnce], [Rolling] or [Canary].
	Name string `json:"name"`
	// Increments are the percentages of a canary.
	Increments []int `json:"increments,omitempty"`
	// MaxParallel is the batch of a rolling deployment: a number or "n%".
	MaxParallel string `json:"maxParallel,omitempty"`
	// Hooks are the hooks that the file defines, in the order of execution:
	// preDeploy, deploy, routeTraffic, postRouteTraffic, on.success, on.failure.
	Hooks []Hook `json:"hooks"`
}

// The names of the deployment hooks.
const (
	HookPreDeploy        = "preDeploy"
	HookDeploy           = "deploy"
	HookRouteTraffic     = "routeTraffic"
	HookPostRouteTraffic = "postRouteTraffic"
	HookSuccess          = "on.success"
	HookFailure          = "on.failure"
)

// Hook is one part of a deployment. Hooks that follow each other with one pool share an agent;
// see [Strategy.Turn].
type Hook struct {
	Name string `json:"name"`
	// Pool is the pool of the hook; the pool of the job has been copied here
	// when the hook names none.
	Pool  Pool   `json:"pool,omitzero"`
	Steps []Step `json:"steps"`
}

// StepKind is how a step was written. Everything but [StepTask] is a short form
// of a task, which Task and Inputs spell out.
type StepKind string

// The kinds of step.
const (
	StepScript     StepKind = "script"
	StepBash       StepKind = "bash"
	StepPowerShell StepKind = "powershell"
	StepPwsh       StepKind = "pwsh"
	StepCheckout   StepKind = "checkout"
	StepPublish    StepKind = "publish"
	StepDownload   StepKind = "download"
	StepReviewApp  StepKind = "reviewApp"
	StepPackage    StepKind = "getPackage"
	StepBuild      StepKind = "downloadBuild"
	StepTask       StepKind = "task"
)

// Step is one unit of work of a job.
type Step struct {
	// ID is unique in the list of steps it stands in: the name when there is
	// one, else the name of the task, with a number where that would repeat.
	ID string `json:"id"`
	// Name is the reference name under which outputs are found; it may be empty.
	Name        string `json:"name,omitempty"`
	DisplayName string `json:"displayName"`
	// Kind is how the step was written.
	Kind StepKind `json:"kind"`
	// Task is the task that runs, "Name@Major". Short forms have been written
	// out: script is CmdLine@2, bash Bash@3, powershell and pwsh PowerShell@2,
	// checkout Checkout@1, publish PublishPipelineArtifact@1 and download
	// DownloadPipelineArtifact@2.
	Task string `json:"task"`
	// Inputs are the inputs of the task by their canonical name. Macros are not
	// expanded; defaults of the task are not filled in (see
	// [validate.Task.WithDefaults]).
	Inputs map[string]string `json:"inputs,omitempty"`
	// Connections and SecureFiles are what inputs of an added task name, by the types of the
	// inputs. What built-in tasks name is known by the names of their inputs.
	Connections []string `json:"connections,omitempty"`
	SecureFiles []string `json:"secureFiles,omitempty"`
	// Env is the extra environment of the step, with macros.
	Env map[string]string `json:"env,omitempty"`
	// Condition is a bare expression, never empty (X112).
	Condition       string `json:"condition"`
	ContinueOnError bool   `json:"continueOnError,omitempty"`
	Enabled         bool   `json:"enabled"`
	// TimeoutMinutes is 0 when the step has no time-out of its own.
	TimeoutMinutes int `json:"timeoutMinutes,omitempty"`
	// Retries is how often the task is tried again, at most [MaxRetries] (V010).
	Retries int `json:"retries,omitempty"`
	// WorkingDirectory is the directory of a script step, with macros; empty
	// means the default working directory.
	WorkingDirectory string `json:"workingDirectory,omitempty"`
	// Target restricts where the step runs and what it may do; nil for none.
	Target *Target `json:"target,omitempty"`
	// Implicit marks steps that the file does not hold: the checkout of an
	// ordinary job, the download of a deploy hook.
	Implicit bool      `json:"implicit,omitempty"`
	Pos      parse.Pos `json:"pos,omitzero"`
}

// Target is the "target" of a step.
type Target struct {
	// Container is "host", or the alias of a container.
	Container string `json:"container,omitempty"`
	// RestrictedCommands limits the logging commands to the safe ones.
	RestrictedCommands bool `json:"restrictedCommands,omitempty"`
	// SettableRestricted says that the step may set only the variables that
	// Settable lists, none at all when it is empty ("settableVariables: none").
	SettableRestricted bool     `json:"settableRestricted,omitempty"`
	Settable           []string `json:"settable,omitempty"`
}

// Names and limits that the short forms and the service fix.
const (
	// DefaultRunName is the run name format of a file without "name" (X031).
	DefaultRunName = "$(Date:yyyyMMdd).$(Rev:r)"
	// ImplicitStage is the stage of a file without stages (X007).
	ImplicitStage = "__default"
	// ImplicitJob is the job of a file without jobs (X007).
	ImplicitJob = "Job"
	// DefaultCondition is the condition of what has none (X112).
	DefaultCondition = "succeeded()"
	// DefaultTimeoutMinutes is the time a job may take (X025).
	DefaultTimeoutMinutes = "60"
	// DefaultCancelTimeoutMinutes is the time a cancelled job has to clean up.
	DefaultCancelTimeoutMinutes = "5"
	// MaxRetries caps Step.Retries (V010).
	MaxRetries = 10
)
