package engine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/agent/warden"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// startWithin bounds the start of one container.
const startWithin = 2 * time.Minute

// binDir is where containers have this program.
const binDir = "/towpath/bin"

// arguments are those of the client that start a container, and the variables that it starts it
// with.
func (p *Pods) arguments(g *group, at Place, c protocol.Container, image string) (args, env []string) {
	args = []string{"run", "--detach", "--pull", "never", "--label", labelProcess + "=" + thisProcess(), "--security-opt", "no-new-privileges"}
	if len(g.order) > 0 {
		args = append(args, "--network", "container:"+g.order[0])
	} else {
		args = append(args, network(g.spec.Containers)...)
	}
	if c.Memory != "" {
		args = append(args, "--memory", bytesOf(c.Memory))
	}
	if c.CPU != "" {
		args = append(args, "--cpus", cpus(c.CPU))
	}
	names, env := p.variables(c)
	args = append(append(args, names...), mounts(g, c)...)
	if c.Role == protocol.RoleService {
		if c.Root {
			args = append(args, "--user", "0:0")
		}
		return append(args, image), env
	}
	args = append(args, "--user", p.user(c), "--security-opt", "label=disable",
		"--volume", p.cfg.Program+":"+binDir+"/towpath:ro", "--volume", at.Dir+":"+at.Dir, "--volume", at.Sockets+":"+at.Sockets, "--volume", p.cfg.Shared+":"+p.cfg.Shared,
		"--entrypoint", binDir+"/towpath", image, warden.Argument, warden.Beyond, filepath.Join(at.Sockets, c.Name+".sock"))
	return args, env
}

// mounts are the arguments for the volumes of a container.
func mounts(g *group, c protocol.Container) []string {
	var args []string
	for _, v := range c.Volumes {
		source := v.Source
		if source == "" {
			source = g.volume(v.Name)
		}
		text := source + ":" + v.Path
		if v.ReadOnly {
			text += ":ro"
		}
		args = append(args, "--volume", text)
		if group, ok := groupOf(v.Source); ok && strings.HasSuffix(v.Source, ".sock") {
			args = append(args, "--group-add", group) // Who owns the socket is not who runs the steps.
		}
	}
	return args
}

// volume is what the engine calls a volume of the job: by the process that made it, as containers
// are labelled.
func (g *group) volume(name string) string {
	return volumePrefix + strings.ReplaceAll(thisProcess(), " ", "-") + "-" + filepath.Base(g.dir) + "-" + name
}

// prepare wants that the folders of the machine that a container has are there: engines make
// what is missing, as folders of root.
func prepare(c protocol.Container) error {
	for _, v := range c.Volumes {
		if v.Source == "" {
			continue
		}
		if _, err := os.Stat(v.Source); err != nil {
			next := "make it, or correct the volume"
			if strings.HasSuffix(v.Source, ".sock") {
				next = "start Docker, or leave mapDockerSocket out"
			}
			return fault.New(fault.Invalid, "The container %s has %s of this machine, which is not there.", or(c.Alias, c.Name), v.Source).WithNext("%s", next)
		}
	}
	return nil
}

// openUp lets everybody write to the volumes of a container that are new, as those of a pod let:
// engines make them root's. An image may have no chmod; then they stay as they are.
func (p *Pods) openUp(ctx context.Context, g *group, c protocol.Container) {
	for _, v := range c.Volumes {
		if v.Name != "" && !v.ReadOnly && c.Role != protocol.RoleService && !p.engine.rootless {
			_, _ = p.engine.run(ctx, answerWithin, "exec", "--user", "0:0", g.ids[c.Name], "chmod", "1777", v.Path)
		}
	}
}

// volumesOf are what the engine calls the volumes of a job.
func (g *group) volumesOf() []string {
	var out []string
	for _, c := range g.spec.Containers {
		for _, v := range c.Volumes {
			if v.Name != "" && g.ids[c.Name] != "" && !slices.Contains(out, g.volume(v.Name)) {
				out = append(out, g.volume(v.Name))
			}
		}
	}
	return out
}

// network is that of all containers of a job: services are there under their aliases, and on
// this machine at the ports that they are mapped to.
func network(list []protocol.Container) []string {
	var args []string
	for _, c := range list {
		if c.Role != protocol.RoleService {
			continue
		}
		if c.Alias != "" {
			args = append(args, "--add-host", strings.ToLower(c.Alias)+":127.0.0.1")
		}
		for _, port := range c.Ports {
			args = append(args, "--publish", fmt.Sprintf("127.0.0.1:%d:%d", port.Host, port.Container))
		}
	}
	return args
}

// user is whom the processes of steps run as: the calling user, so that the workspace is his.
func (p *Pods) user(c protocol.Container) string {
	if c.Root || p.engine.rootless {
		return "0:0"
	}
	return strconv.Itoa(os.Getuid()) + ":" + strconv.Itoa(os.Getgid())
}

// own gives the caller what root of a container has made in the workspace, since else he could
// not remove it.
func (p *Pods) own(ctx context.Context, g *group) error {
	if p.engine.rootless || os.Getuid() == 0 {
		return nil
	}
	for _, c := range g.spec.Containers {
		if id := g.ids[c.Name]; id != "" && c.Root && c.Role != protocol.RoleService {
			dir := filepath.Join(g.dir, "work")
			if _, err := p.engine.run(ctx, time.Minute, "exec", "--user", "0:0", id, "chown", "-R", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()), dir); err != nil {
				return fmt.Errorf("taking back what root of the container %s wrote to %s: %w", or(c.Alias, c.Name), dir, err)
			}
		}
	}
	return nil
}

// variables are the arguments that name the variables of a container. Their values are in the
// environment of the client, where no other user sees them, but for the few that mean something
// to the client itself.
func (p *Pods) variables(c protocol.Container) (args, env []string) {
	for _, k := range pool.EnvNames(c) {
		if slices.Contains(needed, k) {
			args = append(args, "--env", k+"="+c.Env[k])
			continue
		}
		args, env = append(args, "--env", k), append(env, k+"="+c.Env[k])
	}
	return args, env
}

// units of quantities of Kubernetes, in the order in which their ends are looked for.
var units = []struct {
	end  string
	size float64
}{{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40}, {"m", 1e-3}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"", 1}}

// number reads a quantity, which the domain has checked.
func number(quantity string) float64 {
	for _, u := range units {
		if n, err := strconv.ParseFloat(strings.TrimSuffix(quantity, u.end), 64); err == nil && strings.HasSuffix(quantity, u.end) {
			return n * u.size
		}
	}
	return 0
}

// bytesOf writes a quantity of memory as engines read it.
func bytesOf(quantity string) string { return strconv.FormatFloat(number(quantity), 'f', 0, 64) }

// cpus writes a quantity of CPU as engines read it.
func cpus(quantity string) string { return strconv.FormatFloat(number(quantity), 'f', -1, 64) }

// output runs the client and returns all that it printed.
func (e *Engine) output(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, e.program, args...)
	cmd.Env, cmd.SysProcAttr, cmd.WaitDelay = e.env, ownGroup(), time.Second
	var out bytes.Buffer
	w := &bounded{&out}
	cmd.Stdout, cmd.Stderr = w, w
	err := cmd.Run()
	return out.String(), err
}

// Shell returns the command with which somebody looks around in a container of a pod, in a
// folder and with an environment, or false when there is no such container. It needs a terminal.
func (p *Pods) Shell(pod, container, dir string, env []string) (*exec.Cmd, bool) {
	p.mu.Lock()
	g := p.pods[pod]
	p.mu.Unlock()
	if g == nil || g.ids[container] == "" {
		return nil, false
	}
	args := []string{"exec", "--interactive", "--tty", "--workdir", dir}
	own := slices.Clone(p.engine.env)
	for _, kv := range env {
		k, _, _ := strings.Cut(kv, "=")
		if slices.Contains(needed, k) {
			args = append(args, "--env", kv)
			continue
		}
		args, own = append(args, "--env", k), append(own, kv)
	}
	// An image may have no bash.
	args = append(args, g.ids[container], "sh", "-c", "command -v bash >/dev/null && exec bash --norc -i || exec sh -i")
	cmd := exec.Command(p.engine.program, args...)
	cmd.Env = own
	return cmd, true
}
