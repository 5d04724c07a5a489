package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/agent"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/local/engine"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/pool"
)

// here has every job run on this machine, whatever agents it asks for: those with containers by
// the engine, the others by the agent of the run. It says what the user should know about that.
func here(p *plan.Plan) (notes []string) {
	for i := range p.Stages {
		for k := range p.Stages[i].Jobs {
			job := &p.Stages[i].Jobs[k]
			if job.Pool.Server || job.Kind == plan.KindDeployment {
				continue
			}
			name := strings.TrimSpace("The job " + Label(p.Stages[i].Name, job.Name, ""))
			if image := strings.ToLower(job.Pool.VMImage); strings.HasPrefix(image, "windows") || strings.HasPrefix(image, "macos") {
				notes = append(notes, fmt.Sprintf("%s asks for %s and runs on this machine.", name, job.Pool.VMImage))
			}
			if len(job.Pool.Demands) > 0 {
				notes = append(notes, fmt.Sprintf("%s demands %s; whether this machine has it is left to you.", name, strings.Join(job.Pool.Demands, ", ")))
			}
			job.Pool = plan.Pool{}
			if container(job) != "" {
				job.Pool.Name = pool.Containers
			}
		}
	}
	return notes
}

// container says what of a job wants a container, or "".
func container(job *plan.Job) string {
	switch {
	case job.Container != nil:
		return "runs in " + job.Container.Image
	case len(job.Services) > 0:
		return "has the service " + job.Services[0].Name + " beside it"
	}
	for _, s := range stepsOf(job) {
		if s.Enabled && s.Target != nil && s.Target.Container != "" && !strings.EqualFold(s.Target.Container, "host") {
			return "has the step " + s.DisplayName + ", which runs in " + s.Target.Container
		}
	}
	return ""
}

// Contained are the jobs of a plan that run in containers or beside some, each with what it
// wants and where the file says so.
func Contained(p *plan.Plan) []string {
	var where []string
	for i := range p.Stages {
		for k := range p.Stages[i].Jobs {
			job := &p.Stages[i].Jobs[k]
			if job.Kind == plan.KindDeployment {
				continue // It is left out.
			}
			if what := container(job); what != "" {
				where = append(where, fmt.Sprintf("%s: %s", job.Pos, strings.TrimSpace("the job "+Label(p.Stages[i].Name, job.Name, "")+" "+what)))
			}
		}
	}
	return where
}

// containers finds the engine when a job needs one, and returns its pods; nil when none does.
func (h *host) containers(ctx context.Context, transport func() *http.Transport) (pipeline.Pods, error) {
	where := Contained(h.cfg.Plan)
	if len(where) == 0 {
		return nil, nil
	}
	e, err := engine.Find(ctx, h.cfg.Engine, h.cfg.Env)
	if err != nil {
		var f *fault.Error
		if message, next := fault.Public(err); errors.As(err, &f) && f.Kind != fault.Invalid {
			return nil, fault.New(f.Kind, "%s These ask for containers:\n%s", message, strings.Join(where, "\n")).WithNext("%s", next)
		}
		return nil, err
	}
	if err := e.Sweep(ctx); err != nil {
		h.cfg.Watcher.Note(fmt.Sprintf("%v", err))
	}
	program := h.cfg.Program
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("finding this program: %w", err)
		}
	}
	dir := filepath.Join(h.dir, "pods")
	for _, d := range []string{dir, h.cfg.Shared} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("making the folder of containers: %w", err)
		}
	}
	h.pods = engine.NewPods(e, engine.Config{
		Dir: dir, Shared: h.cfg.Shared, Path: h.cfg.Path, Program: program, Note: h.cfg.Watcher.Note,
		Agent: func(at engine.Place) (engine.Agent, error) {
			return agent.New(agent.Config{
				Server: home, Token: at.Token, Name: at.Name, Version: h.cfg.Version, Dir: at.Dir, AllowRoot: true, Sockets: at.Sockets, Containers: at.Containers, Published: true,
				Path: h.cfg.Path, Shared: h.cfg.Shared, Transport: transport(), Pause: h.pauser(), Abandon: h.end, Log: h.cfg.Log,
			})
		},
	})
	return h.pods, nil
}

// poolOfPods has the pool of pods stand for this machine and its engine.
func (h *host) poolOfPods(ctx context.Context) error {
	if h.pods == nil {
		return nil
	}
	_, err := h.svc.Pools().Edit(ctx, h.actor, pool.Containers, func(s *pool.Settings) {
		s.Image, s.Root, s.Max = engine.Here, true, h.cfg.Slots
	})
	return err
}

// pauser tells the caller's Pauser of failures, with a shell where each of them is.
func (h *host) pauser() agent.Pauser {
	if h.cfg.Pause == nil {
		return nil
	}
	return shells{h}
}

type shells struct{ h *host }

// Pause makes the shell of a failure and waits for the caller.
func (s shells) Pause(ctx context.Context, f agent.Failure) {
	out := Failure{Failure: f}
	env := append(slices.Clone(f.Env), `PS1=[failed step] \w\$ `)
	for _, kv := range s.h.cfg.Env {
		if strings.HasPrefix(kv, "TERM=") {
			env = append(env, kv)
		}
	}
	if s.h.pods != nil && f.Container != "" {
		out.Shell, _ = s.h.pods.Shell(f.Agent, f.Container, f.Dir, env)
	}
	if out.Shell == nil {
		out.Shell = exec.Command("/bin/bash", "--norc", "-i")
		out.Shell.Dir, out.Shell.Env = f.Dir, env
	}
	s.h.cfg.Pause.Pause(ctx, out)
}
