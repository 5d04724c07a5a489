package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"towpath.dev/towpath/internal/agent/warden"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// Here is the image of containers that are this machine.
const Here = "this-machine"

// Agent runs the one job of a pod; agent.Agent is one.
type Agent interface {
	// Run returns when the job is over or ctx ends.
	Run(ctx context.Context) error
}

// Place is where the agent of a pod finds its containers.
type Place struct {
	Name, Token string
	Dir         string   // its working folder, which the containers of steps have too
	Sockets     string   // the folder of their sockets
	Containers  []string // those of steps, that of the job first
}

// Config is how pods are made.
type Config struct {
	Dir    string // folder for what belongs to pods; the caller removes it
	Shared string // folder of caches and tools, which the containers of steps have too
	Path   string // where steps on this machine find programs
	// Program is this program as containers and this machine start it; it calls warden.Main
	// when its first argument is warden.Argument.
	Program string
	// Agent makes the agent of a pod.
	Agent func(Place) (Agent, error)
	// Note is told what takes its time.
	Note func(string)
}

// Pods makes the pods of one run. It is safe for concurrent use.
type Pods struct {
	engine *Engine
	cfg    Config

	mu     sync.Mutex
	pods   map[string]*group
	closed bool
}

// group is the containers of one job with their agent.
type group struct {
	spec pool.PodSpec
	dir  string
	ids  map[string]string // by the name of the container
	// order is the identifiers in the order in which they were made; the first has the network.
	order []string
	here  *exec.Cmd
	stop  context.CancelFunc
	done  sync.WaitGroup // of the agent and of those who wait for the containers

	mu   sync.Mutex
	over bool
	why  string
}

// NewPods returns the pods of a run, with an engine that Find has found.
func NewPods(e *Engine, cfg Config) *Pods {
	return &Pods{engine: e, cfg: cfg, pods: map[string]*group{}}
}

// Create makes the containers of a pod and starts its agent. What the engine refuses is
// fault.Denied with its words.
func (p *Pods) Create(ctx context.Context, s pool.PodSpec) error {
	g := &group{spec: s, ids: map[string]string{}}
	if err := p.enter(g); err != nil {
		return err
	}
	if err := p.make(ctx, g); err != nil {
		return errors.Join(err, p.Delete(context.WithoutCancel(ctx), "", s.Name))
	}
	return nil
}

// enter notes a pod, so that it is taken away whatever comes of it.
func (p *Pods) enter(g *group) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fault.New(fault.Unavailable, "The run is over.")
	}
	// The name of a socket has room for some 100 bytes, and that of a pod is long.
	g.dir = filepath.Join(p.cfg.Dir, strconv.Itoa(len(p.pods)+1))
	for { // A number whose pod is gone is taken again, not that of one that is there.
		err := os.Mkdir(g.dir, 0o700)
		if !errors.Is(err, os.ErrExist) {
			if err == nil {
				p.pods[g.spec.Name] = g
			}
			return err
		}
		g.dir += "x"
	}
}

func (p *Pods) make(ctx context.Context, g *group) error {
	at := Place{Name: g.spec.Name, Token: g.spec.Token, Dir: filepath.Join(g.dir, "work"), Sockets: filepath.Join(g.dir, "run")}
	for _, dir := range []string{at.Dir, at.Sockets} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("making the folder of the job: %w", err)
		}
	}
	for _, c := range g.spec.Containers {
		if c.Role != protocol.RoleService {
			at.Containers = append(at.Containers, c.Name)
		}
	}
	for _, c := range inOrder(g.spec.Containers) {
		if err := p.start(ctx, g, at, c); err != nil {
			return err
		}
	}
	runner, err := p.cfg.Agent(at)
	if err != nil {
		return err
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	g.stop = stop
	g.done.Go(func() {
		if err := runner.Run(life); err != nil && life.Err() == nil {
			g.end(fmt.Sprintf("its agent ended: %v", err))
		}
	})
	for _, c := range g.spec.Containers {
		if id := g.ids[c.Name]; id != "" {
			g.done.Go(func() { p.attend(life, g, c, id) })
		}
	}
	return nil
}

// inOrder are containers in the order in which they start. The first one has the network of all,
// so that one whose program is ours comes first: a service may end.
func inOrder(list []protocol.Container) []protocol.Container {
	var out []protocol.Container
	for _, c := range list {
		if c.Role != protocol.RoleService && c.Image != Here {
			out = append(out, c)
			break
		}
	}
	for _, c := range list {
		if c.Role == protocol.RoleService {
			out = append(out, c)
		}
	}
	for _, c := range list {
		if c.Role != protocol.RoleService && (len(out) == 0 || c.Name != out[0].Name) {
			out = append(out, c)
		}
	}
	return out
}

// start starts one container, or the warden of this machine.
func (p *Pods) start(ctx context.Context, g *group, at Place, c protocol.Container) error {
	if c.Image == Here {
		g.here = exec.Command(p.cfg.Program, warden.Argument, warden.Beyond, filepath.Join(at.Sockets, c.Name+".sock"))
		g.here.Env, g.here.Dir, g.here.SysProcAttr = []string{"PATH=" + p.cfg.Path}, at.Dir, ownGroup()
		if err := g.here.Start(); err != nil {
			g.here = nil
			return fmt.Errorf("starting the warden of this machine: %w", err)
		}
		return nil
	}
	image, err := p.image(ctx, c, g.spec.Pulls)
	if err != nil {
		return err
	}
	if err := prepare(c); err != nil {
		return err
	}
	args, env := p.arguments(g, at, c, image)
	id, err := p.engine.runWith(ctx, startWithin, env, args...)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return fault.New(fault.Denied, "%s cannot start the container %s (%s): %v", p.engine.name, or(c.Alias, c.Name), c.Image, err)
	}
	id = id[strings.LastIndexByte(id, '\n')+1:]
	g.ids[c.Name], g.order = id, append(g.order, id)
	p.openUp(ctx, g, c)
	return nil
}

// attend waits for the end of a container. One that ends badly ends the job, as it does in a
// cluster.
func (p *Pods) attend(ctx context.Context, g *group, c protocol.Container, id string) {
	for ctx.Err() == nil {
		text, err := p.engine.run(ctx, 0, "wait", id)
		code, aerr := strconv.Atoi(strings.TrimSpace(text))
		switch {
		case ctx.Err() != nil || err == nil && aerr == nil && code == 0:
			return
		case err != nil || aerr != nil:
			// Whoever ended the waiting did not end the container, unless the engine is gone.
			if _, err := p.engine.run(ctx, answerWithin, "inspect", "--format", "{{.State.Status}}", id); err != nil && ctx.Err() == nil {
				g.end(fmt.Sprintf("container %s (%s) is gone", or(c.Alias, c.Name), c.Image))
				return
			}
			time.Sleep(100 * time.Millisecond) // The engine announces nothing else.
			continue
		}
		why := fmt.Sprintf("container %s (%s) ended with exit code %d", or(c.Alias, c.Name), c.Image, code)
		if starved, err := p.engine.run(ctx, answerWithin, "inspect", "--format", "{{.State.OOMKilled}}", id); err == nil && starved == "true" {
			why = fmt.Sprintf("container %s (%s) ran out of memory and was killed; raise its limit with options: --memory", or(c.Alias, c.Name), c.Image)
		} else if said := p.said(ctx, id); said != "" {
			why += ": " + said
		}
		g.end(why)
		return
	}
}

// said is the last line that a container has written.
func (p *Pods) said(ctx context.Context, id string) string {
	// Both clients bring what the container wrote as errors as their own errors.
	out, err := p.engine.output(ctx, "logs", "--tail", "5", id)
	if err != nil {
		return ""
	}
	return lastLine(out)
}

func (g *group) end(why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.over {
		g.over, g.why = true, why
	}
}

// List returns how all pods of the run are.
func (p *Pods) List(context.Context) ([]pool.PodState, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]pool.PodState, 0, len(p.pods))
	for name, g := range p.pods {
		g.mu.Lock()
		out = append(out, pool.PodState{Name: name, Namespace: g.spec.Settings.In(), Shape: g.spec.Settings.Shape(), Over: g.over, Why: g.why})
		g.mu.Unlock()
	}
	return out, nil
}

// Delete ends a pod and removes its containers; one that is gone is no error.
func (p *Pods) Delete(ctx context.Context, _, name string) error {
	p.mu.Lock()
	g := p.pods[name]
	delete(p.pods, name)
	p.mu.Unlock()
	if g == nil {
		return nil
	}
	// The end of the run ends no removal that has begun.
	return p.away(context.WithoutCancel(ctx), g)
}

func (p *Pods) away(ctx context.Context, g *group) error {
	if g.stop != nil {
		g.stop()
	}
	g.done.Wait()
	if g.here != nil {
		_ = g.here.Process.Kill() // It ended with its agent, unless none came.
		_ = g.here.Wait()
	}
	err := p.own(ctx, g)
	ids := make([]string, 0, len(g.order))
	for i := len(g.order) - 1; i >= 0; i-- {
		ids = append(ids, g.order[i])
	}
	return errors.Join(err, p.engine.remove(ctx, ids), p.engine.removeVolumes(ctx, g.volumesOf()))
}

// Close ends all pods; none is made any more.
func (p *Pods) Close() error {
	p.mu.Lock()
	p.closed = true
	left := p.pods
	p.pods = map[string]*group{}
	p.mu.Unlock()
	errs := make([]error, 0, len(left))
	for _, g := range left {
		errs = append(errs, p.away(context.Background(), g))
	}
	return errors.Join(errs...)
}
