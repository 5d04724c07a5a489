package web

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"towpath.dev/towpath/internal/cluster"
	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/dev"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/monitor/kube"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/enforce"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/supply"
	"towpath.dev/towpath/internal/registry/supply/advisory"
	"towpath.dev/towpath/internal/registry/supply/scan"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/protect"
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/source/ruleset"
	"towpath.dev/towpath/internal/work"
	"towpath.dev/towpath/internal/work/dora"
	signals "towpath.dev/towpath/internal/work/insight"
)

// Identity says who somebody is and what they may do; identity.Service is one. Errors are
// faults.
type Identity interface {
	// Authenticate says who the credentials belong to; none are nobody, without an error.
	Authenticate(ctx context.Context, c identity.Credentials) (identity.Actor, error)
	// Login starts a session, Logout ends it, SessionCookie carries it ("" removes it).
	Login(ctx context.Context, user, password, remote string) (session string, err error)
	Logout(ctx context.Context, session string) error
	SessionCookie(session string) *http.Cookie
	// Require returns nil when the actor has the role in the project.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
	Visible(ctx context.Context, a identity.Actor) ([]identity.Project, error)
	CreateProject(ctx context.Context, a identity.Actor, name string) (identity.Project, error)
	Members(ctx context.Context, a identity.Actor, project string) ([]identity.Member, error)
	Grant(ctx context.Context, a identity.Actor, project, user string, r identity.Role) error
	Tokens(ctx context.Context, a identity.Actor) ([]identity.Token, error)
	CreateToken(ctx context.Context, a identity.Actor, name, scope string, ttl time.Duration) (secret string, t identity.Token, err error)
	RevokeToken(ctx context.Context, a identity.Actor, id string) error
	// Keys are the actor's own SSH keys, deploy keys those of a repository.
	Keys(ctx context.Context, a identity.Actor) ([]identity.Key, error)
	AddKey(ctx context.Context, a identity.Actor, title, publicKey string) (identity.Key, error)
	DeployKeys(ctx context.Context, a identity.Actor, repo string) ([]identity.Key, error)
	AddDeployKey(ctx context.Context, a identity.Actor, repo, title, publicKey string, write bool) (identity.Key, error)
	RemoveKey(ctx context.Context, a identity.Actor, id string) error
}

// Source reads repositories; source.Service is one. Repositories are "project/repo", a
// rev is a hash, a branch or a tag, "" the default branch.
type Source interface {
	Repos(ctx context.Context, a identity.Actor, project string) ([]source.Repo, error)
	Repo(ctx context.Context, a identity.Actor, full string) (source.Repo, error)
	Tree(ctx context.Context, a identity.Actor, full, rev, path string) ([]git.Entry, error)
	Blob(ctx context.Context, a identity.Actor, full, rev, path string) (source.Blob, error)
	File(ctx context.Context, a identity.Actor, full, rev, path string) ([]byte, error)
	Commits(ctx context.Context, a identity.Actor, full, rev, path string, page, size int) ([]git.Commit, bool, error)
	Commit(ctx context.Context, a identity.Actor, full, rev string) (git.Commit, error)
	Diff(ctx context.Context, a identity.Actor, full, base, head string) (git.Diff, error)
	Branches(ctx context.Context, a identity.Actor, full string) ([]git.Ref, error)
	Tags(ctx context.Context, a identity.Actor, full string) ([]git.Ref, error)
	// Edit commits a change of one file through the same guards as a push.
	Edit(ctx context.Context, a identity.Actor, e source.Edit) (commit string, err error)
}

// Pulls are pull requests and what is said about commits; pull.Service is one. A pull
// request is named by its repository ("project/repo") and its number there.
type Pulls interface {
	Open(ctx context.Context, a identity.Actor, repo string, p pull.Proposal) (pull.Pull, error)
	List(ctx context.Context, a identity.Actor, project string, f pull.Filter) (list []pull.Pull, more bool, err error)
	Get(ctx context.Context, a identity.Actor, repo string, n int64) (pull.Pull, error)
	Edit(ctx context.Context, a identity.Actor, repo string, n int64, e pull.Edit) (pull.Pull, error)
	Close(ctx context.Context, a identity.Actor, repo string, n int64) (pull.Pull, error)
	Reopen(ctx context.Context, a identity.Actor, repo string, n int64) (pull.Pull, error)
	Request(ctx context.Context, a identity.Actor, repo string, n int64, users []string) (pull.Pull, error)
	Diff(ctx context.Context, a identity.Actor, repo string, n int64) (git.Diff, error)
	Commits(ctx context.Context, a identity.Actor, repo string, n int64) ([]git.Commit, error)
	Comment(ctx context.Context, a identity.Actor, repo string, n int64, r pull.Remark) (pull.Thread, error)
	Reply(ctx context.Context, a identity.Actor, repo string, n int64, thread, body string) (pull.Thread, error)
	Resolve(ctx context.Context, a identity.Actor, repo string, n int64, thread string, resolved bool) (pull.Thread, error)
	Threads(ctx context.Context, a identity.Actor, repo string, n int64) ([]pull.Thread, error)
	Review(ctx context.Context, a identity.Actor, repo string, n int64, j pull.Judgement) (pull.Review, error)
	Dismiss(ctx context.Context, a identity.Actor, repo string, n int64, review, why string) (pull.Review, error)
	Timeline(ctx context.Context, a identity.Actor, repo string, n int64) ([]pull.Entry, error)
	// State is what stands between the pull request and its merge by this actor.
	State(ctx context.Context, a identity.Actor, repo string, n int64) (pull.Gate, error)
	Merge(ctx context.Context, a identity.Actor, repo string, n int64, m pull.Merge) (pull.Pull, error)
	// Checks are without annotations, Annotations are the checks that have some, with them.
	Checks(ctx context.Context, a identity.Actor, repo, commit string) ([]pull.Check, error)
	Annotations(ctx context.Context, a identity.Actor, repo, commit string) ([]pull.Check, error)
}

// Rulesets are what branches and tags demand; ruleset.Service is one.
type Rulesets interface {
	List(ctx context.Context, a identity.Actor, repo string) ([]ruleset.Ruleset, error)
	Get(ctx context.Context, a identity.Actor, repo, name string) (ruleset.Ruleset, error)
	// Put makes a ruleset or changes the one of its name.
	Put(ctx context.Context, a identity.Actor, r ruleset.Ruleset) (ruleset.Ruleset, error)
	Delete(ctx context.Context, a identity.Actor, repo, name string) error
	// Requirements adds up what the active rulesets demand of a branch, by its short name.
	Requirements(ctx context.Context, a identity.Actor, repo, branch string) (ruleset.Requirements, error)
}

// Protection keeps secrets out of repositories; protect.Service is one.
type Protection interface {
	Blocked(ctx context.Context, a identity.Actor, repo string) ([]protect.Finding, error)
	Show(ctx context.Context, a identity.Actor, id string) (protect.Finding, error)
	Bypass(ctx context.Context, a identity.Actor, id string, b protect.Bypass) (protect.Granted, error)
	Bypasses(ctx context.Context, a identity.Actor, repo string) ([]protect.Granted, error)
	Revoke(ctx context.Context, a identity.Actor, id string) error
}

// Policy is what is assigned, exempt and decided; policy.Service is one. An empty project
// is the whole installation.
type Policy interface {
	Assignments(ctx context.Context, a identity.Actor, project string) ([]policy.Assignment, error)
	Assignment(ctx context.Context, a identity.Actor, name string) (policy.Assignment, error)
	Definitions(ctx context.Context, a identity.Actor) ([]policy.Definition, error)
	Definition(ctx context.Context, a identity.Actor, name string) (policy.Definition, error)
	Initiatives(ctx context.Context, a identity.Actor) ([]policy.Initiative, error)
	Initiative(ctx context.Context, a identity.Actor, name string) (policy.Initiative, error)
	Exemptions(ctx context.Context, a identity.Actor, project string) ([]policy.Exemption, error)
	// Assign and Exempt take Azure Policy's JSON.
	Assign(ctx context.Context, a identity.Actor, raw json.RawMessage) (policy.Applied, error)
	Exempt(ctx context.Context, a identity.Actor, raw json.RawMessage) (policy.Applied, error)
	Unassign(ctx context.Context, a identity.Actor, name string) error
	Unexempt(ctx context.Context, a identity.Actor, name string) error
	Decision(ctx context.Context, a identity.Actor, id string) (policy.Decision, error)
	Decisions(ctx context.Context, a identity.Actor, f policy.DecisionFilter) ([]policy.Decision, error)
}

// Compliance says how live objects comply; audit.Service is one.
type Compliance interface {
	Compliance(ctx context.Context, a identity.Actor, f audit.Filter) (audit.Report, error)
	Progress() audit.Progress
	// Changed returns a channel that is closed when verdicts change next.
	Changed() <-chan struct{}
}

// Enforcement says what the cluster's API server enforces; enforce.Sync is one.
type Enforcement interface {
	State() enforce.Enforcement
}

// Pipeline runs and remembers runs; pipeline.Service is one. A job is named by its path
// in the run, a step by its number.
type Pipeline interface {
	Runs(ctx context.Context, a identity.Actor, f pipeline.Filter) ([]pipeline.Run, error)
	Show(ctx context.Context, a identity.Actor, n int64) (*pipeline.Detail, error)
	Tests(ctx context.Context, a identity.Actor, n int64) ([]pipeline.TestRun, error)
	// StartWith starts a run by hand; Parameters and Variables are what it can be given.
	StartWith(ctx context.Context, a identity.Actor, repo string, in pipeline.Request) (pipeline.Run, error)
	Parameters(ctx context.Context, a identity.Actor, repo, ref string) ([]plan.Parameter, error)
	Variables(ctx context.Context, a identity.Actor, repo string) ([]pipeline.Variable, error)
	// RerunKept runs a commit again; with a time, jobs that fail are kept for it.
	RerunKept(ctx context.Context, a identity.Actor, n int64, stay time.Duration) (pipeline.Run, error)
	// MayEnter, OpenTerminal and Release are about jobs that are kept.
	MayEnter(ctx context.Context, a identity.Actor, n int64) error
	OpenTerminal(ctx context.Context, a identity.Actor, n int64, job string, size protocol.Size) (*pipeline.Terminal, error)
	Release(ctx context.Context, a identity.Actor, n int64, job string) error
	// Repeat runs a part of a run again, in the run itself.
	Repeat(ctx context.Context, a identity.Actor, n int64, part pipeline.Part) (pipeline.Run, error)
	Cancel(ctx context.Context, a identity.Actor, n int64) error
	// Attempts are what jobs were before they ran again; Given is what a run was started with.
	Attempts(ctx context.Context, a identity.Actor, n int64) ([]pipeline.Job, error)
	Given(ctx context.Context, a identity.Actor, n int64) (pipeline.Given, error)
	// StartStage starts a manual stage, SkipStage leaves one out that has not started.
	StartStage(ctx context.Context, a identity.Actor, n int64, stage string) error
	SkipStage(ctx context.Context, a identity.Actor, n int64, stage string) error
	OpenAttachment(ctx context.Context, a identity.Actor, n int64, id string) (pipeline.Attachment, io.ReadCloser, error)
	// ReadLog returns lines from number from on, counted from 0.
	ReadLog(ctx context.Context, a identity.Actor, n int64, job string, step int, from int64, limit int) (pipeline.LogPage, error)
	// Follow sends lines as they come until the step has ended.
	Follow(ctx context.Context, a identity.Actor, n int64, job string, step int, from int64, send func([]pipeline.Line) error) error
	OpenArtifact(ctx context.Context, a identity.Actor, n int64, name string) (protocol.Artifact, io.ReadCloser, error)
	// Changed returns a channel that is closed when a part of the run has changed.
	Changed(n int64) <-chan struct{}
	Agents(ctx context.Context, a identity.Actor) ([]pipeline.Agent, error)
	// AgentsOf are those of a pool, or all with "", with the jobs that they have.
	AgentsOf(ctx context.Context, a identity.Actor, pool string) ([]pipeline.Agent, error)
	// Holds are what holds stages of a project's runs now; Reassign has somebody else asked.
	Holds(ctx context.Context, a identity.Actor, project string) ([]pipeline.Hold, error)
	Reassign(ctx context.Context, a identity.Actor, entry, from, to string) (pipeline.Hold, error)
	// RunChecks lists every check that stood at a gate of a run; Approve, Reject and Permit
	// answer one by its id, RetryStage asks those of a stage again that they have ended.
	RunChecks(ctx context.Context, a identity.Actor, n int64) ([]pipeline.Hold, error)
	Approve(ctx context.Context, a identity.Actor, entry, comment string, until time.Time) (pipeline.Hold, error)
	Reject(ctx context.Context, a identity.Actor, entry, comment string) (pipeline.Hold, error)
	Permit(ctx context.Context, a identity.Actor, entry string) (pipeline.Hold, error)
	RetryStage(ctx context.Context, a identity.Actor, n int64, stage string) error
	// Machines are the targets of an environment.
	Machines(ctx context.Context, a identity.Actor, project, environment string) ([]pipeline.Machine, error)
	// Deployments are the deployment jobs to an environment, or to one machine, newest first.
	Deployments(ctx context.Context, a identity.Actor, project, environment, machine string, limit int) ([]pipeline.Deployment, error)
}

// Checks are the checks on resources of pipelines, and who may use them; check.Service is one.
type Checks interface {
	List(ctx context.Context, a identity.Actor, project string) ([]check.Definition, error)
	Add(ctx context.Context, a identity.Actor, d check.Definition) (check.Definition, error)
	Remove(ctx context.Context, a identity.Actor, project, id string) error
	Access(ctx context.Context, a identity.Actor, r check.Resource) (check.Access, error)
	Permit(ctx context.Context, a identity.Actor, r check.Resource, pipeline string, allowed bool) error
}

// Library are variable groups, secure files and service connections; library.Service is one.
// It never answers with a secret.
type Library interface {
	Groups(ctx context.Context, a identity.Actor, project string) ([]library.Group, error)
	Group(ctx context.Context, a identity.Actor, project, name string) (library.Group, error)
	CreateGroup(ctx context.Context, a identity.Actor, project, name, description string, variables []library.Value, open bool) (library.Group, error)
	ChangeGroup(ctx context.Context, a identity.Actor, project, name string, c library.Change) (library.Group, error)
	RemoveGroup(ctx context.Context, a identity.Actor, project, name string) error
	Files(ctx context.Context, a identity.Actor, project string) ([]library.File, error)
	UploadFile(ctx context.Context, a identity.Actor, project, name string, content io.Reader, open bool) (library.File, error)
	RemoveFile(ctx context.Context, a identity.Actor, project, name string) error
	Connections(ctx context.Context, a identity.Actor, project string) ([]library.Connection, error)
	Connection(ctx context.Context, a identity.Actor, project, name string) (library.Connection, error)
	CreateConnection(ctx context.Context, a identity.Actor, project string, c library.Connection, open bool) (library.Connection, error)
	ChangeConnection(ctx context.Context, a identity.Actor, project, name string, c library.Change) (library.Connection, error)
	RemoveConnection(ctx context.Context, a identity.Actor, project, name string) error
}

// Registry reads images; registry.Service is one.
type Registry interface {
	Images(ctx context.Context, a identity.Actor, project string) ([]registry.Image, error)
	Image(ctx context.Context, a identity.Actor, repository, reference string) (registry.Image, error)
}

// Supply answers for what is known about images; supply.Service is one.
type Supply interface {
	// Report is fault.NotFound for an image of which nothing is known yet.
	Report(ctx context.Context, a identity.Actor, repository, image string) (supply.Report, error)
	// Verdicts asks for no rights: the caller has listed the images as the actor.
	Verdicts(ctx context.Context, images []string) (map[string]scan.Verdict, error)
	Advisories(ctx context.Context, a identity.Actor) ([]advisory.Coverage, error)
}

// Deploy reads environments and releases; deploy.Service is one.
type Deploy interface {
	Environments(ctx context.Context, a identity.Actor, project string) ([]deploy.Environment, error)
	Environment(ctx context.Context, a identity.Actor, project, name string) (deploy.Environment, error)
	Releases(ctx context.Context, a identity.Actor, project, env string, limit int) ([]deploy.Release, error)
	Release(ctx context.Context, a identity.Actor, project, env string, number int64) (deploy.Release, error)
	// Edit changes how an environment is deployed to and returns when that is carried out.
	Edit(ctx context.Context, a identity.Actor, project, name string, c deploy.Change) (deploy.Environment, error)
	// EndReviewApp takes a review app away with its namespace.
	EndReviewApp(ctx context.Context, a identity.Actor, project, name string) (deploy.Environment, error)
	// Redeploy deploys an earlier release ("shop/production/46") again as a new one and
	// returns when that serves, or does not.
	Redeploy(ctx context.Context, a identity.Actor, release string, say deploy.Say) (deploy.Release, error)
	// Canaries are of one environment, or of all with "", newest first, without measurements.
	Canaries(ctx context.Context, a identity.Actor, project, environment string) ([]canary.View, error)
	// Canary is fault.NotFound for a release ("shop/production/48") that was not tried.
	Canary(ctx context.Context, a identity.Actor, release string) (canary.View, error)
	// PromoteCanary lets one that waits go on, with full to its end.
	PromoteCanary(ctx context.Context, a identity.Actor, release string, full bool) (canary.View, error)
	RejectCanary(ctx context.Context, a identity.Actor, release, why string) (canary.View, error)
}

// Dora are the four numbers of delivery; dora.Service is one.
type Dora interface {
	Report(ctx context.Context, a identity.Actor, project string, q dora.Question) (dora.Report, error)
}

// Evidence is the Path and the chains; evidence.Service is one.
type Evidence interface {
	Path(ctx context.Context, a identity.Actor, project string, f evidence.Filter) (evidence.Board, error)
	Trace(ctx context.Context, a identity.Actor, ref string) (evidence.Chain, error)
	// Changed returns a channel that is closed when the Path has moved on.
	Changed() <-chan struct{}
}

// Cluster tells how the cluster is; cluster.Cluster is one.
type Cluster interface {
	Status() cluster.Status
}

// Logbook is the log of events; event.Log is one.
type Logbook interface {
	Read(ctx context.Context, q event.Query) ([]event.Event, error)
	Head(ctx context.Context) (seq int64, hash string, err error)
	// Changed returns a channel that is closed when something is appended.
	Changed() <-chan struct{}
}

// Monitor answers about telemetry; monitor.Service is one. What its pages' scripts ask, they
// ask of the API.
type Monitor interface {
	// Newest answers a query with its newest rows, when they have a time.
	Newest(ctx context.Context, a identity.Actor, q monitor.Question) (*monitor.Answer, error)
	Query(ctx context.Context, a identity.Actor, q monitor.Question) (*monitor.Answer, error)
	Views(ctx context.Context, a identity.Actor, project string) ([]monitor.View, error)
	Workloads(ctx context.Context, a identity.Actor, in monitor.Scope) ([]kube.Workload, error)
	Top(ctx context.Context, a identity.Actor, in monitor.Scope) (kube.Top, error)
}

// Alerts are what is wrong and who is told; alert.Service is one.
type Alerts interface {
	Alerts(ctx context.Context, a identity.Actor, f alert.Filter) ([]alert.Alert, error)
	Alert(ctx context.Context, a identity.Actor, id string) (alert.Detail, error)
	Acknowledge(ctx context.Context, a identity.Actor, id, note string) error
	Close(ctx context.Context, a identity.Actor, id, why string) error
	OfRelease(ctx context.Context, a identity.Actor, project, environment string, number int64) ([]alert.Alert, error)
	Open(ctx context.Context, a identity.Actor, project string) (map[string]alert.Counts, error)
	Rules(ctx context.Context, a identity.Actor, project string) ([]alert.RuleState, error)
	PutRule(ctx context.Context, a identity.Actor, r alert.Rule) (alert.Rule, error)
	DeleteRule(ctx context.Context, a identity.Actor, id string) error
	MuteRule(ctx context.Context, a identity.Actor, id string, until time.Time) error
	Evaluations(ctx context.Context, a identity.Actor, rule string, limit int) ([]alert.Evaluation, error)
	Draft(ctx context.Context, a identity.Actor, project, text string) (alert.Rule, error)
	Silence(ctx context.Context, a identity.Actor, in alert.Silence) (alert.Silence, error)
}

// Insight is what telemetry adds up to; insight.Service is one.
type Insight interface {
	// Map answers who calls whom; each of its numbers carries the query behind it.
	Map(ctx context.Context, a identity.Actor, in insight.Scope) (*insight.Map, error)
	// Operations answers rate, errors and duration of each operation of a role ("" for all),
	// the most frequent first.
	Operations(ctx context.Context, a identity.Actor, in insight.Scope, role string) ([]insight.Operation, error)
	Groups(ctx context.Context, a identity.Actor, project string, f insight.GroupFilter) ([]insight.Group, error)
	Group(ctx context.Context, a identity.Actor, project, fingerprint string) (insight.Group, error)
	SetState(ctx context.Context, a identity.Actor, project, fingerprint, state string) (insight.Group, error)
	// Comparison is fault.NotFound for a release ("shop/production/48") that was not compared.
	Comparison(ctx context.Context, a identity.Actor, project, release string) (insight.Comparison, error)
}

// Work is what is to be done; work.Service is one.
type Work interface {
	// Board is of a sprint (name, id, @current), "" for all items, in lanes by assignee, type
	// or parent, "" for none.
	Board(ctx context.Context, a identity.Actor, project, sprint, lane string) (work.Board, error)
	Backlog(ctx context.Context, a identity.Actor, project string, f work.Filter) (work.Backlog, error)
	Get(ctx context.Context, a identity.Actor, number int64) (work.Detail, error)
	Create(ctx context.Context, a identity.Actor, project string, in work.NewItem) (work.Item, error)
	Change(ctx context.Context, a identity.Actor, number int64, in work.Edit) (work.Item, error)
	Move(ctx context.Context, a identity.Actor, project string, m work.Move) ([]work.Item, error)
	Comment(ctx context.Context, a identity.Actor, number int64, text string) (work.Comment, error)
	WontFix(ctx context.Context, a identity.Actor, number int64, why string, until time.Time) (work.Item, error)
	Sprints(ctx context.Context, a identity.Actor, project string) ([]work.Sprint, error)
	// Sprint is named by its id, its name, @current or @next.
	Sprint(ctx context.Context, a identity.Actor, project, ref string) (work.Sprint, error)
	CreateSprint(ctx context.Context, a identity.Actor, project string, in work.SprintEdit) (work.Sprint, error)
	ChangeSprint(ctx context.Context, a identity.Actor, project, ref string, in work.SprintEdit) (work.Sprint, error)
	// CloseSprint puts what is left into the sprint carry names, "" into the backlog.
	CloseSprint(ctx context.Context, a identity.Actor, project, ref, carry string) (work.Sprint, error)
	Burndown(ctx context.Context, a identity.Actor, project, ref string) (work.Burndown, error)
	Velocity(ctx context.Context, a identity.Actor, project string) (work.Velocity, error)
	Tray(ctx context.Context, a identity.Actor, project, sprint string) (work.Tray, error)
	// Triage notes what a planning made of insights: accept or defer.
	Triage(ctx context.Context, a identity.Actor, project string, items []int64, decision, sprint string) ([]work.Item, error)
}

// Signals is what the platform saw that is work; the engine of package work/insight is one.
type Signals interface {
	// Cause is what is known behind an item; fault.NotFound for one that no signal opened.
	Cause(ctx context.Context, a identity.Actor, project string, item int64) (signals.Cause, error)
}

// Dev are developers' sessions; dev.Service is one.
type Dev interface {
	// List is of one environment, or of all with "".
	List(ctx context.Context, a identity.Actor, project, environment string, all bool) ([]dev.Session, error)
	Stop(ctx context.Context, a identity.Actor, id string) error
}
