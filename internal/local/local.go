package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"towpath.dev/towpath/internal/agent"
	"towpath.dev/towpath/internal/agent/warden"
	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/job"
	"towpath.dev/towpath/internal/local/engine"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/validate"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/vault"
)

// Config is one local run.
type Config struct {
	// Plan is what runs, already narrowed by Choose; Choice is what that has left out.
	Plan   *plan.Plan
	Choice Choice
	// Root is the folder of the repository; Repositories are those of the others that
	// jobs check out, by lower-case alias.
	Root         string
	Repositories map[string]string
	// Parameters are those that the plan was compiled with. Variables are given to the run
	// as if somebody had set them at its start; Secrets are masked and reach a step only
	// where it asks for them. Groups are the variable groups by name, all secret.
	Parameters, Variables, Secrets map[string]string
	Groups                         map[string]map[string]string
	// Connections are the service connections; SecureFiles are files of this machine by the
	// names of secure files; Tasks are zips as gallery.Read takes them, of the tasks that the
	// plan was compiled with beside the built-in ones.
	Connections []library.Connection
	SecureFiles map[string]string
	Tasks       [][]byte
	// Predefined are the predefined variables of the repository, as Repository.Variables
	// gives them; nil leaves them to the folder's name.
	Predefined map[string]string
	// Slots is how many jobs run at a time, at least one.
	Slots int
	// Engine is the container engine that jobs with containers use, docker or podman; "" is the
	// first that answers. Env is the environment of the caller, in which it finds its settings.
	Engine string
	Env    []string
	// Program is the calling program as it can be started in a container; its main calls
	// RunWarden. "" is the one that runs.
	Program string
	// Shared is the folder of caches and tools that outlive the run; Path is where steps find
	// programs.
	Shared, Path string
	// Artifacts is the folder that the artifacts of the run are written to; "" means none.
	Artifacts string
	Version   string
	// Watcher hears what happens; Pause, unless nil, is told of steps that failed.
	Watcher Watcher
	Pause   Pauser
	// Ask has somebody answer the questions of ManualValidation@1; nil: nobody is there, and
	// each of them is rejected.
	Ask Asker
	Log *slog.Logger
}

// Pauser is told of steps that have failed for good. It holds the job until it returns; ctx ends
// when the job is told to end. Jobs call it side by side.
type Pauser interface {
	Pause(ctx context.Context, f Failure)
}

// Failure is where a step has failed, and Shell the command with which somebody looks around
// there; its standard files are the caller's to set.
type Failure struct {
	agent.Failure
	Shell *exec.Cmd
}

// project and owner are those of every local run.
const project = "local"

// home is where the agent finds the domain; no name is ever looked up.
const home = "http://towpath.local"

// WardenProgram is the argument with which the calling program is the warden of a job; its
// main must then call warden.Main.
const WardenProgram = warden.Argument

// RunWarden is the program that WardenProgram asks for; it returns its exit code.
func RunWarden() int { return warden.Main() }

// Features are the optional parts of the language that a local run compiles.
func Features() validate.Features {
	return validate.Features{PowerShell: true, Matrix: true, Agentless: true, Containers: true, Canary: true, Rolling: true, PullRequests: true, Schedules: true, PipelineTriggers: true}
}

// host is the pipeline domain of one run with its agent.
type host struct {
	cfg   Config
	dir   string // throwaway
	actor identity.Actor
	repos []string // beside the pipeline's own, "project/repo"
	svc   *pipeline.Service
	db    *store.DB
	end   <-chan struct{} // closed when everything is to end at once
	pods  *engine.Pods    // nil when no job has containers
	stop  []func() error  // the last one first
}

// Run runs a plan to its end and returns what became of it. When ctx ends the run is
// cancelled: steps with always() still run. When end is closed it is over at once, and an
// error is returned.
func Run(ctx context.Context, end <-chan struct{}, cfg Config) (_ *pipeline.Detail, err error) {
	dir, err := os.MkdirTemp("", "towpath-run-")
	if err != nil {
		return nil, fmt.Errorf("making the folder of the run: %w", err)
	}
	h := &host{cfg: cfg, dir: dir, actor: caller(), end: end}
	defer func() { err = errors.Join(err, h.close()) }()
	order, err := h.prepare(ctx)
	if err != nil {
		return nil, err
	}
	if err := h.open(ctx); err != nil {
		return nil, err
	}
	if err := h.give(ctx, order.Repo); err != nil {
		return nil, err
	}
	begun, err := h.svc.StartPlan(ctx, h.actor, order, cfg.Plan)
	if err != nil {
		return nil, err
	}
	detail, err := h.watch(ctx, end, begun.Number)
	if err != nil {
		return nil, err
	}
	return detail, h.keepArtifacts(detail)
}

// caller is who runs: the user of this process.
func caller() identity.Actor {
	name := "local"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	return identity.Actor{Kind: identity.KindUser, Name: name, Cap: identity.Admin}
}

// prepare takes the snapshots that the plan checks out, and says what the run is made of.
func (h *host) prepare(ctx context.Context) (pipeline.Order, error) {
	for i := range h.cfg.Plan.Resources.Repositories {
		h.cfg.Plan.Resources.Repositories[i].Endpoint = "" // A folder needs nothing that opens it.
	}
	if err := h.cfg.given(); err != nil {
		return pipeline.Order{}, err
	}
	for _, note := range here(h.cfg.Plan) {
		h.cfg.Watcher.Note(note)
	}
	repo := project + "/" + repoName(h.cfg.Root)
	own, err := take(ctx, h.cfg.Root, h.bare(repo))
	if err != nil {
		return pipeline.Order{}, err
	}
	for i := range h.cfg.Plan.Resources.Repositories {
		r := &h.cfg.Plan.Resources.Repositories[i]
		if !checksOut(h.cfg.Plan, r.Alias) {
			continue
		}
		dir, ok := h.cfg.Repositories[strings.ToLower(r.Alias)]
		if !ok {
			return pipeline.Order{}, missing(r.Alias, r.Name)
		}
		name := r.Name
		if !strings.Contains(name, "/") {
			name = project + "/" + name
		}
		if !filepath.IsLocal(name) {
			return pipeline.Order{}, fault.New(fault.Invalid, "%q is not the name of a repository.", r.Name)
		}
		other, err := take(ctx, dir, h.bare(name))
		if err != nil {
			return pipeline.Order{}, err
		}
		h.repos = append(h.repos, name)
		r.Commit = other.commit
		if r.Ref == "" {
			r.Ref = other.ref
		}
	}
	if own.changed {
		h.cfg.Watcher.Note("The sources are the files of " + h.cfg.Root + " as they are now; files that Git ignores are left out.")
	}
	return pipeline.Order{
		Repo: repo, Project: project, Ref: own.ref, Commit: own.commit, Title: own.title, Reason: "Manual", Requester: h.actor.Name,
		Parameters: h.cfg.Parameters, Variables: h.cfg.Variables, Skip: h.cfg.Choice.skips(), Predefined: h.cfg.Predefined,
	}, nil
}

// bare is the bare repository that the agent clones for the name of a repository.
func (h *host) bare(name string) string {
	return filepath.Join(h.dir, "repos", filepath.FromSlash(name)+".git")
}

// repoName is the name of a folder as that of a repository.
func repoName(dir string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, filepath.Base(dir))
	if name = strings.Trim(name, "-._"); name == "" {
		return "repository"
	}
	return name
}

// open starts the domain and the agent.
func (h *host) open(ctx context.Context) error {
	data := filepath.Join(h.dir, "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("making the folder of the run: %w", err)
	}
	var err error
	if h.db, err = store.Open(ctx, filepath.Join(data, "towpath.db")); err != nil {
		return err
	}
	h.stop = append(h.stop, h.db.Close)
	blobs, err := blob.Open(ctx, blob.Config{Driver: "filesystem", Root: filepath.Join(data, "blobs")})
	if err != nil {
		return err
	}
	keys, err := vault.Open(data)
	if err != nil {
		return err
	}
	token, now := rand.Text(), clock.System()
	features := Features()
	listener := newPipes()
	pods, err := h.containers(ctx, listener.transport)
	if err != nil {
		return err
	}
	h.svc, err = pipeline.New(pipeline.Parts{
		DB: h.db, Log: event.New(h.db, now), Clock: now, Queue: job.New(h.db, now), Auth: owner{}, Source: nowhere{}, Tokens: tokens{},
		Blobs: blobs, Vault: keys, Outside: newOutside(), Pods: pods, Logger: h.cfg.Log,
	}, pipeline.Options{
		URL: "file://" + filepath.Join(h.dir, "repos"), Registry: "localhost:7080", Data: data, AgentToken: token, Features: &features, LeaveOut: h.cfg.Choice.why, Machine: true,
	})
	if err != nil {
		return err
	}
	if err := h.poolOfPods(ctx); err != nil {
		return err
	}
	h.background(h.svc.Run)
	server := &http.Server{Handler: h.svc.AgentHandler(), ErrorLog: slog.NewLogLogger(h.cfg.Log.Handler(), slog.LevelDebug)}
	h.stop = append(h.stop, server.Close)
	go func() { _ = server.Serve(listener) }() // It ends with an error that says just that.
	if h.pods != nil {
		h.stop = append(h.stop, h.pods.Close) // Before what its agents talk to.
	}
	runner, err := agent.New(agent.Config{
		Server: home, Token: token, Name: "local", Version: h.cfg.Version, Dir: filepath.Join(h.dir, "agent"), Slots: h.cfg.Slots, AllowRoot: true,
		Path: h.cfg.Path, Shared: h.cfg.Shared, Transport: listener.transport(), Pause: h.pauser(), Abandon: h.end, Log: h.cfg.Log,
	})
	if err != nil {
		return err
	}
	h.background(runner.Run)
	return nil
}

// background runs something until the host closes.
func (h *host) background(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	h.stop = append(h.stop, func() error {
		cancel()
		return <-done
	})
}

// close ends everything and removes the throwaway folder.
func (h *host) close() error {
	var errs []error
	for i := len(h.stop) - 1; i >= 0; i-- {
		if err := h.stop[i](); err != nil && !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
		}
	}
	// The agent empties its trash beside us: what it removes meanwhile is gone all the same.
	var err error
	for range 20 {
		if err = removeAll(h.dir); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.Join(append(errs, err)...)
}

// removeAll removes a tree, also one whose folders were made read-only.
func removeAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return nil
	})
	return errors.Join(err, os.RemoveAll(dir))
}

// checksOut reports whether any enabled step checks a repository resource out.
func checksOut(p *plan.Plan, alias string) bool {
	for i := range p.Stages {
		for k := range p.Stages[i].Jobs {
			for _, s := range stepsOf(&p.Stages[i].Jobs[k]) {
				if s.Enabled && strings.EqualFold(s.Task, plan.TaskCheckout) && strings.EqualFold(s.Inputs["repository"], alias) {
					return true
				}
			}
		}
	}
	return false
}
