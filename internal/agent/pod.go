package agent

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/agent/warden"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// container is another container of the agent's pod, in which processes of steps run.
type container struct {
	name   string
	warden *warden.Warden
	env    map[string]string // of its image and of the job
}

// containersWithin is how long the containers of a pod may take to begin after the agent.
const containersWithin = 10 * time.Minute

// podPlace is the place of the one job of a pod: its containers are there.
func (a *Agent) podPlace(slot int, space *workspace) (*place, error) {
	p := &place{slot: slot, space: space}
	for _, name := range a.cfg.Containers {
		w, err := warden.Dial(filepath.Join(a.cfg.Sockets, name+".sock"), containersWithin)
		if err != nil {
			return nil, errors.Join(err, space.close())
		}
		list, err := w.Environ()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("asking container %s for its environment: %w", name, err), w.Close(), space.close())
		}
		c := &container{name: name, warden: w, env: map[string]string{}}
		for _, kv := range list {
			k, v, _ := strings.Cut(kv, "=")
			c.env[k] = v
		}
		p.beside = append(p.beside, c)
	}
	if len(p.beside) == 0 {
		return nil, errors.Join(errors.New("the pod has no container for steps"), space.close())
	}
	p.warden = p.beside[0].warden
	return p, nil
}

// container finds where the processes of a step run: its target, the host for a checkout of a
// job in a container, and else the job's container. It is nil on a host.
func (s *stepRun) container() (*container, error) {
	target := ""
	if s.step.Target != nil {
		target = s.step.Target.Container
	}
	if len(s.beside) == 0 {
		if target != "" && target != "host" {
			return nil, fmt.Errorf("the target %s of the step is a container, and this agent runs on a host", target)
		}
		return nil, nil
	}
	if target == "" {
		if host := s.named("host"); host != nil && strings.EqualFold(s.step.Task, plan.TaskCheckout) {
			return host, nil
		}
		return s.beside[0], nil
	}
	for _, c := range s.job.Containers {
		if c.Role != protocol.RoleService && strings.EqualFold(c.Alias, target) {
			if found := s.named(c.Name); found != nil {
				return found, nil
			}
		}
	}
	return nil, fmt.Errorf("the pod of the job has no container for the target %s", target)
}

func (r *jobRun) named(name string) *container {
	for _, c := range r.beside {
		if c.name == name {
			return c
		}
	}
	return nil
}

// goneWithin is how long the agent waits to be told why a container of its pod has ended: the
// server hears it of the cluster, and ends the job with its words.
const goneWithin = 20 * time.Second

// ofContainer says what became of the container in which a process ran, when it is that what
// ended the process.
func (s *stepRun) ofContainer(exit warden.Exit, err error) error {
	switch {
	case s.in == nil:
		return err
	case errors.Is(err, warden.ErrGone):
		select {
		case <-s.stop.c:
		case <-time.After(goneWithin):
		}
		return fmt.Errorf("the container %s of the pod has ended: %w", s.in.name, err)
	case err == nil && exit.Starved:
		size := ""
		if exit.Memory > 0 {
			size = fmt.Sprintf(" of %d MiB", exit.Memory>>20)
		}
		return fmt.Errorf("the container %s ran out of its memory%s, and a process of the step was killed; raise the limit with options: --memory of the container, or with towpath pool edit POOL --memory", s.in.name, size)
	}
	return err
}

// ownFolders are the variables that mean the workspace also in a container, whose image has
// others.
var ownFolders = []string{"HOME", "TMPDIR", "USER", "LOGNAME", "TF_BUILD", "GIT_TERMINAL_PROMPT", "XDG_CACHE_HOME", "GOCACHE", "GOMODCACHE"}

// from is the environment that the step starts from: the agent's on a host, that of the image
// with the folders of the workspace in a container.
func (s *stepRun) from(base map[string]string) map[string]string {
	if s.in == nil {
		return maps.Clone(base)
	}
	env := maps.Clone(s.in.env)
	for k, v := range base {
		if _, has := env[k]; !has && k != "PATH" && k != "SHELL" || slices.Contains(ownFolders, k) {
			env[k] = v
		}
	}
	if env["PATH"] == "" {
		env["PATH"] = toolPath
	}
	return env
}

// localize writes addresses of the server as the agent's pod reaches it.
func (a *Agent) localize(job *protocol.Job) {
	here, err := url.Parse(a.cfg.Server)
	if a.cfg.Sockets == "" || err != nil {
		return
	}
	move := func(address string) string {
		u, err := url.Parse(address)
		if err != nil || u.Scheme == "file" { // It is no server's.
			return address
		}
		u.Scheme, u.Host = here.Scheme, here.Host
		return u.String()
	}
	job.CloneURL = move(job.CloneURL)
	for i := range job.Repositories {
		job.Repositories[i].CloneURL = move(job.Repositories[i].CloneURL)
	}
}
