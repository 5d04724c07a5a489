package pipeline

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/job"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/gallery"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/logs"
	"towpath.dev/towpath/internal/pipeline/mask"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/validate"
	"towpath.dev/towpath/internal/store"
)

// Authorizer decides what an actor may do. identity.Service is one.
type Authorizer interface {
	// Require returns nil when the actor has the role in the project, and a fault
	// otherwise: NotFound when the actor may not know of the project.
	Require(ctx context.Context, a identity.Actor, project string, r identity.Role) error
	// RequireAdmin returns nil for an administrator of the installation.
	RequireAdmin(ctx context.Context, a identity.Actor) error
}

// Source answers questions about commits. Repositories are full names,
// "project/repo". Errors are faults.
type Source interface {
	// File returns the content of a file at a commit, fault.NotFound when there is none.
	File(ctx context.Context, a identity.Actor, repo, commit, path string) ([]byte, error)
	// ChangedPaths lists the paths that differ between two commits.
	ChangedPaths(ctx context.Context, a identity.Actor, repo, before, after string) ([]string, error)
	// Resolve returns the full name of a ref ("refs/heads/main"; a short name, or ""
	// for the default branch, is accepted), its commit, and the first line of the
	// commit's message.
	Resolve(ctx context.Context, a identity.Actor, repo, ref string) (full, commit, title string, err error)
}

// Tokens issues the identity of a job. identity.Service does.
type Tokens interface {
	IssueJob(ctx context.Context, c identity.JobClaims, audience string, groups []string, ttl time.Duration) (string, error)
}

// Blobs keeps artifacts, result files and caches. blob.Store does.
type Blobs interface {
	Put(ctx context.Context, r io.Reader, want string, limit int64) (digest string, size int64, err error)
	Open(ctx context.Context, digest string, offset int64) (io.ReadCloser, error)
	// Delete removes a blob, or returns fault.NotFound.
	Delete(ctx context.Context, digest string) error
}

// Strategy is the round of a deployment in which a task runs; zero outside of one.
type Strategy struct {
	Name   string // runOnce, rolling or canary: strategy.name
	Action string // deploy, promote or reject: strategy.action (D004)
	// Increment is the percentage of the round of a canary, 0 outside of its rounds.
	Increment int
	// Hook is the hook that the task stands in: preDeploy, deploy, routeTraffic,
	// postRouteTraffic, on.success or on.failure.
	Hook string
}

// Deployments is told how the deployments of the strategy canary end.
type Deployments interface {
	// Settle says that the canary deployment of a job is over, so that what its rounds
	// left open is promoted or taken back. run, stage and job are those of TaskCall.Job.
	// succeeded is false when the job failed, was cancelled, or its agent was lost.
	//
	// It is called once for each job that an agent has had, after the job ended and never
	// while one of its tasks runs. What it has to do outlives the server: after an error
	// (at most job.MaxAttempts times, more than an hour), or when the server was killed
	// before the answer, it is called again, so it must bear repetition. A job that has
	// nothing open is no error.
	Settle(ctx context.Context, run int64, stage, job string, succeeded bool) error
}

// TaskCall is a task that an agent has the server run: Docker@2, HelmDeploy@1, Kubernetes@1,
// KubernetesManifest@1 or ReviewApp@0.
type TaskCall struct {
	Job identity.JobClaims
	// Strategy is the round of the deployment that the task belongs to; zero in other jobs.
	Strategy Strategy
	Task     string // "Docker@2", as the file writes it
	// Inputs are the inputs of the task by canonical name, with defaults, macros
	// expanded. Paths are those in Context: "Dockerfile" for Docker@2 (the root of
	// the tar is the build context) with the docker logins of the job in "auths", "chartPath" (chart or chart.tgz) and
	// "valueFile" (comma-separated) for HelmDeploy@1, "manifests" (a folder whose
	// files are applied in the order of their names) for KubernetesManifest@1.
	Inputs map[string]string
	// Context is a tar; it is a file that can be read again with io.Seeker. Names in it are foreign.
	Context io.Reader
	// Folder is a folder of this server for what the tasks of the job leave to each other,
	// such as images that are not pushed yet. The task makes it; it goes when the job is over.
	Folder string
	// Token issues the job's token for an audience of identity ("towpath",
	// "towpath-cluster").
	Token func(ctx context.Context, audience string) (string, error)
	// RunName is Build.BuildNumber.
	RunName string
	// Save gives the agent a file that the task made. name has no folder.
	Save func(name string, data []byte)
	// Connection lends a service connection that the job's steps name and that its pipeline may
	// use: fault.NotFound, fault.Denied. What is secret of it is hidden in the log.
	Connection func(ctx context.Context, name string) (library.Lent, error)
}

// Tasks runs tasks on the server.
type Tasks interface {
	// Run runs one task until it has ended or ctx ends. out takes its output line by
	// line, from one goroutine. The outputs become output variables of the step. An
	// error fails the step; a fault's message is shown to the user.
	Run(ctx context.Context, call TaskCall, out func(line string)) (outputs map[string]string, err error)
}

// Parts are what the service is made of.
type Parts struct {
	DB     *store.DB
	Log    *event.Log
	Clock  clock.Clock
	Queue  *job.Queue
	Auth   Authorizer
	Source Source
	Tokens Tokens
	Blobs  Blobs
	Tasks  Tasks // nil: no task runs on the server
	// Deployments is told of canaries that have ended; nil: nobody is.
	Deployments Deployments
	// Needs says which old runs must stay; nil: none must.
	Needs Needs
	// Environments makes the environment of a first machine; nil: whatever is named is there.
	Environments Environments
	// Outside answers the checks that ask something beyond this package; nil: nobody does,
	// and what they hold is held.
	Outside check.Outside
	// Internal reports whether a host:port is one at which only an administrator of the
	// installation may aim a check; nil: none is.
	Internal func(hostport string) bool
	// Vault seals the secrets of variable groups, secure files and service connections;
	// nil: there are none of these.
	Vault library.Vault
	// Herald tells people of what ManualValidation@1 asks; nil: they have to look.
	Herald Herald
	// Outbound is how registries of packages and build servers are asked; nil: nobody is, so their
	// new versions start nothing and a run learns of them from its agent.
	Outbound http.RoundTripper
	// Pods makes the pods of pools of kind kubernetes; nil: there is no cluster.
	Pods   Pods
	Logger *slog.Logger
}

// Options are the settings of the service.
type Options struct {
	URL        string // public base URL, for System.CollectionUri and clone URLs
	Registry   string // host of image names, "localhost:7080"
	Data       string // data folder; logs lie in logs/ below it
	AgentToken string // what agents authenticate with, at least 20 bytes
	// Lease is how long a job survives without a heartbeat; 0 means nine
	// seconds: an agent that dies is noticed within ten.
	Lease time.Duration
	// Absence is after how long without a word the machine of an environment counts as
	// offline; 0 means 90 seconds.
	Absence time.Duration
	// LogLimit is the size in bytes after which the log of a step is cut off; 0 means
	// 256 MiB.
	LogLimit int64
	// CacheLimit is how many bytes the caches of a repository may hold; 0 means 10 GiB.
	CacheLimit int64
	// StayDefault and StayMost are for how long a failed job is kept when nobody says, and at
	// most; 0 means 30 minutes and 4 hours.
	StayDefault, StayMost time.Duration
	// TerminalIdle is after how long without a byte a terminal closes; 0 means 30 minutes.
	TerminalIdle time.Duration
	// Machine says that containers may have folders of this machine and its Docker: in local runs,
	// where the file belongs to who runs it, and never on a server.
	Machine bool
	// LeaveOut says why a job does not run here, or ""; such a job is skipped. nil: each runs.
	LeaveOut func(stage *plan.Stage, job *plan.Job) string
	// Features are the optional parts of the language; the zero value means what
	// this package can carry out.
	Features *validate.Features
}

// Service is the pipeline domain. It is safe for concurrent use.
type Service struct {
	db           *store.DB
	log          *event.Log
	clock        clock.Clock
	queue        *job.Queue
	auth         Authorizer
	source       Source
	tokens       Tokens
	blobs        Blobs
	tasks        Tasks
	settler      Deployments
	herald       Herald // nil: nobody is told
	environments Environments
	outbound     http.RoundTripper
	needs        Needs
	logger       *slog.Logger
	opts         Options
	logs         *logs.Store
	hub          hub
	states       atomic.Pointer[map[string]pool.PodState] // of pods, as they were last
	stays        *stays
	busy         busy
	backlog      pool.Backlog // the queued jobs, but those of the server itself
	counted      atomic.Bool  // the backlog has been read from the rows
	gallery      *gallery.Service
	builtin      *gallery.Catalog // without the added tasks
	checks       *check.Service
	library      *library.Service
	pools        *pool.Service
	pods         Pods
	outside      check.Outside
	holds        holds
	publishing   sync.RWMutex // read-held while bytes are kept that no row refers to yet

	mu      sync.Mutex
	plans   map[int64]*plan.Plan    // of runs that go on
	leases  map[string]time.Time    // when the lease of a running job ends
	maskers map[string]*mask.Masker // of running jobs
}

// New returns the service. Nothing runs until Run.
func New(p Parts, o Options) (*Service, error) {
	if len(o.AgentToken) < 20 {
		return nil, errors.New("the agent token is shorter than 20 bytes")
	}
	if o.Lease <= 0 {
		o.Lease = 9 * time.Second
	}
	if o.Absence <= 0 {
		o.Absence = 90 * time.Second
	}
	if o.LogLimit <= 0 {
		o.LogLimit = 256 << 20
	}
	if o.CacheLimit <= 0 {
		o.CacheLimit = 10 << 30
	}
	if o.StayMost <= 0 {
		o.StayMost = stayMost
	}
	if o.StayDefault <= 0 {
		o.StayDefault = min(stayDefault, o.StayMost)
	}
	if o.TerminalIdle <= 0 {
		o.TerminalIdle = 30 * time.Minute
	}
	if o.Features == nil {
		everything := validate.AllFeatures()
		o.Features = &everything
	}
	s := &Service{
		db: p.DB, log: p.Log, clock: p.Clock, queue: p.Queue, auth: p.Auth, source: p.Source, tokens: p.Tokens, blobs: p.Blobs, tasks: p.Tasks, settler: p.Deployments, herald: p.Herald, environments: p.Environments, outbound: p.Outbound, needs: p.Needs,
		logger: p.Logger, opts: o, logs: logs.New(filepath.Join(o.Data, "logs")),
		plans: map[int64]*plan.Plan{}, leases: map[string]time.Time{}, maskers: map[string]*mask.Masker{}, outside: p.Outside, stays: newStays(),
	}
	s.checks = check.New(check.Parts{DB: p.DB, Log: p.Log, Auth: p.Auth, Clock: p.Clock, Registry: check.NewRegistry(), Internal: p.Internal}, s.reconsider)
	s.pods = p.Pods
	s.pools = pool.New(pool.Parts{DB: p.DB, Log: p.Log, Auth: p.Auth, Clock: p.Clock, Absence: o.Absence})
	s.checks.Registry.Register(check.Pool, restricted{s.pools})
	s.gallery = gallery.New(gallery.Parts{DB: p.DB, Log: p.Log, Auth: p.Auth, Clock: p.Clock, Blobs: p.Blobs, Builtin: validate.Builtin()})
	s.builtin = &gallery.Catalog{Catalog: validate.Builtin()}
	if p.Vault != nil {
		s.library = library.New(library.Parts{DB: p.DB, Log: p.Log, Auth: p.Auth, Clock: p.Clock, Vault: p.Vault, Checks: s.checks})
	}
	return s, nil
}

// Gallery keeps the tasks that were added beside the built-in ones.
func (s *Service) Gallery() *gallery.Service { return s.gallery }

// Checks are the checks on resources, and the permissions to use them.
func (s *Service) Checks() *check.Service { return s.checks }

// The names of the consumer and of the kind of job.
const (
	consumer   = "pipeline"
	kindPush   = "pipeline.push"
	kindSettle = "pipeline.settle"
	kindOrigin = "pipeline.origin"
)

// Run starts runs for pushed commits and ends jobs whose agents are lost, until ctx
// ends.
func (s *Service) Run(ctx context.Context) error {
	if err := os.RemoveAll(s.taskDir()); err != nil {
		return fmt.Errorf("removing the files of earlier tasks: %w", err)
	}
	if err := s.resume(ctx); err != nil {
		if ctx.Err() != nil {
			err = nil // It was told to stop before it began.
		}
		return err
	}
	var wg sync.WaitGroup
	var errs [5]error
	wg.Go(func() { errs[0] = s.log.Consume(ctx, consumer, s.onEvent, s.logger) })
	wg.Go(func() { errs[1] = s.queue.Work(ctx, kindPush, 2, s.onPush, s.logger) })
	wg.Go(func() { errs[2] = s.queue.Work(ctx, kindSettle, 2, s.onSettle, s.logger) })
	wg.Go(func() { errs[3] = s.queue.Work(ctx, kindOrigin, 2, s.onOrigin, s.logger) })
	if s.herald != nil {
		wg.Go(func() { errs[4] = s.queue.Work(ctx, kindTell, 1, s.onTell, s.logger) })
	}
	wg.Go(func() { s.sweep(ctx) })
	wg.Go(func() { s.tend(ctx) })
	wg.Go(func() { s.watchGates(ctx) })
	wg.Go(func() { s.watchTriggers(ctx) })
	wg.Go(func() { s.watchFeeds(ctx) })
	wg.Go(func() { s.watchRetention(ctx) })
	wg.Go(func() { s.watchServerJobs(ctx) })
	wg.Wait()
	return errors.Join(append(errs[:], s.logs.Close())...)
}

// isAgent reports whether a token is the agent token.
func (s *Service) isAgent(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(s.opts.AgentToken)) == 1
}

// noRun is the fault for a run that is not there, or not for the actor.
func noRun(n int64) error {
	return fault.New(fault.NotFound, "There is no run %d.", n).WithNext("list the runs with: towpath run list")
}
