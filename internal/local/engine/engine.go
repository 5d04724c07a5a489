package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// Engine is a container engine of this machine that answers.
type Engine struct {
	name    string // docker or podman
	program string // its client
	env     []string
	// rootless says that root of a container is the calling user here.
	rootless bool
	podman   bool
}

// Names are the engines that a run can name, in the order in which they are tried.
var Names = []string{"docker", "podman"}

// answerWithin bounds the questions that an engine answers at once.
const answerWithin = 20 * time.Second

// Find returns the engine with a name, or the first of Names that answers when it is "". env is
// the environment of the caller, in which the client finds its own settings. When there is none
// the error is fault.Unavailable and says what every engine said.
func Find(ctx context.Context, name string, env []string) (*Engine, error) {
	if name != "" && !slices.Contains(Names, name) {
		return nil, fault.New(fault.Invalid, "There is no container engine %.40q.", name).WithNext("use --container-engine docker or podman")
	}
	if runtime.GOOS != "linux" {
		return nil, fault.New(fault.Unavailable, "A local run has containers on Linux alone: they run this program.").WithNext("push the file: agents in a cluster run jobs in containers")
	}
	var said []string
	for _, n := range Names {
		if name != "" && n != name {
			continue
		}
		e := &Engine{name: n, env: clientEnv(env), podman: n == "podman"}
		var err error
		if e.program, err = lookPath(n, env); err != nil {
			said = append(said, n+" is not installed")
			continue
		}
		if err := e.ask(ctx); err != nil {
			said = append(said, fmt.Sprintf("%s does not answer: %v", n, err))
			continue
		}
		return e, nil
	}
	return nil, fault.New(fault.Unavailable, "No container engine answers here: %s.", strings.Join(said, "; ")).
		WithNext("start Docker or install Podman, choose jobs without containers with --job, or push the file")
}

// Name is the name of the engine.
func (e *Engine) Name() string { return e.name }

// ask finds out whose user root is.
func (e *Engine) ask(ctx context.Context) error {
	const ofPodman = "{{.Host.Security.Rootless}}"
	if !e.podman {
		// The client of Docker may be Podman's, which has other facts.
		out, err := e.run(ctx, answerWithin, "info", "--format", "{{.ServerVersion}} {{.SecurityOptions}}")
		if err == nil && !strings.HasPrefix(out, " ") {
			e.rootless = strings.Contains(out, "name=rootless")
			return nil
		}
		if out, perr := e.run(ctx, answerWithin, "info", "--format", ofPodman); perr == nil {
			e.podman, e.rootless = true, out == "true"
			return nil
		}
		return err
	}
	out, err := e.run(ctx, answerWithin, "info", "--format", ofPodman)
	e.rootless = out == "true"
	return err
}

// needed are the variables that the clients of engines read.
var needed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS", "SSH_AUTH_SOCK",
	"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF",
	"CONTAINERS_REGISTRIES_CONF", "CONTAINER_HOST", "REGISTRY_AUTH_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
}

func clientEnv(env []string) []string {
	var out []string
	for _, kv := range env {
		if k, _, _ := strings.Cut(kv, "="); slices.Contains(needed, k) {
			out = append(out, kv)
		}
	}
	return out
}

// lookPath finds a program in the PATH of an environment.
func lookPath(name string, env []string) (string, error) {
	for _, kv := range env {
		list, ok := strings.CutPrefix(kv, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); filepath.IsAbs(path) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return path, nil
			}
		}
	}
	return "", exec.ErrNotFound
}

// words is an error of the client: what it said.
type words struct {
	text string
	err  error
}

func (w words) Error() string { return w.text }
func (w words) Unwrap() error { return w.err }

// maxSaid bounds what is kept of the output of a client.
const maxSaid = 64 << 10

// run runs the client and returns what it printed, without the line's end.
func (e *Engine) run(ctx context.Context, within time.Duration, args ...string) (string, error) {
	return e.runWith(ctx, within, nil, args...)
}

// runWith runs the client with more variables.
func (e *Engine) runWith(ctx context.Context, within time.Duration, more []string, args ...string) (string, error) {
	if within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, within)
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, e.program, args...)
	cmd.Env, cmd.SysProcAttr, cmd.WaitDelay = append(slices.Clone(e.env), more...), ownGroup(), time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &bounded{&out}, &bounded{&said}
	err := cmd.Run()
	if err == nil {
		return strings.TrimRight(out.String(), "\n"), nil
	}
	if cerr := context.Cause(ctx); cerr != nil {
		if errors.Is(cerr, context.DeadlineExceeded) {
			return "", words{fmt.Sprintf("%s %s took longer than %s", e.name, args[0], within), cerr}
		}
		return "", cerr
	}
	if text := lastLine(said.String()); text != "" {
		return "", words{text, err}
	}
	return "", words{fmt.Sprintf("%s %s: %v", e.name, args[0], err), err}
}

// bounded keeps the beginning of what is written.
type bounded struct{ buf *bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := maxSaid - b.buf.Len(); room > 0 {
		b.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// lastLine is what a client ends with when it fails: its error, without the words that all of
// them begin with.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, l := range slices.Backward(lines) {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "See '") || strings.HasPrefix(l, "Run '") {
			continue
		}
		for _, p := range []string{"Error response from daemon: ", "Error: ", "docker: "} {
			l = strings.TrimPrefix(l, p)
		}
		return strings.TrimSuffix(l, ".")
	}
	return ""
}

// labelProcess is the label of every container: the process that made it, "PID START".
const labelProcess = "dev.towpath.local-run"

// thisProcess is the value of the label of this process.
func thisProcess() string { return strconv.Itoa(os.Getpid()) + " " + begun(os.Getpid()) }

// begun tells a process from a later one with its number: its start time since the machine
// began, in ticks of the clock (proc(5), field 22 of stat), or "" when there is no such process.
func begun(pid int) string {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}

// volumePrefix begins the names of the volumes of jobs: "towpath-PID-START-POD-volume-1".
const volumePrefix = "towpath-"

// removeVolumes removes volumes; one that is gone is no error.
func (e *Engine) removeVolumes(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	_, err := e.run(ctx, answerWithin, append([]string{"volume", "rm", "--force"}, names...)...)
	return wrapped(err)
}

// Sweep removes the containers, and the volumes, that runs which were killed have left.
func (e *Engine) Sweep(ctx context.Context) error {
	return errors.Join(e.sweepContainers(ctx), e.sweepVolumes(ctx))
}

// lives reports whether the process that is named by its number and its start goes on.
func lives(pid, start string) bool {
	n, err := strconv.Atoi(pid)
	return err == nil && start != "" && begun(n) == start
}

func (e *Engine) sweepVolumes(ctx context.Context) error {
	found, err := e.run(ctx, answerWithin, "volume", "ls", "--quiet")
	if err != nil {
		return wrapped(err)
	}
	var left []string
	for name := range strings.FieldsSeq(found) {
		rest, ours := strings.CutPrefix(name, volumePrefix)
		parts := strings.Split(rest, "-")
		if !ours || len(parts) < 5 || parts[len(parts)-2] != "volume" || lives(parts[0], parts[1]) {
			continue
		}
		if _, err := strconv.Atoi(parts[0]); err == nil {
			left = append(left, name)
		}
	}
	return e.removeVolumes(ctx, left)
}

func (e *Engine) sweepContainers(ctx context.Context) error {
	found, err := e.run(ctx, answerWithin, "ps", "--all", "--quiet", "--no-trunc", "--filter", "label="+labelProcess)
	if err != nil || found == "" {
		return wrapped(err)
	}
	// The templates of ps differ between engines, those of inspect do not.
	out, err := e.run(ctx, answerWithin, append([]string{"inspect", "--format", `{{.Id}} {{index .Config.Labels "` + labelProcess + `"}}`}, strings.Fields(found)...)...)
	if err != nil {
		return wrapped(err)
	}
	var left []string
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		if _, err := strconv.Atoi(f[1]); err != nil || len(f) == 3 && lives(f[1], f[2]) {
			continue
		}
		left = append(left, f[0])
	}
	return e.remove(ctx, left)
}

func wrapped(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("looking for containers of earlier runs: %w", err)
}

// remove removes containers with their volumes, given so that none comes after one whose network
// it is in, whatever state they are in.
func (e *Engine) remove(ctx context.Context, ids []string) error {
	var err error
	args := []string{"rm", "--force", "--volumes"}
	if e.podman { // It would wait ten seconds for each program that takes no signal.
		args = append(args, "--time", "0")
	}
	// Podman refuses to remove a container while another is in its network, so that the second
	// round removes what the first one had in the wrong order.
	for range 2 {
		err = nil
		var rest []string
		for _, id := range ids {
			_, rerr := e.run(ctx, time.Minute, append(slices.Clone(args), id)...)
			if rerr != nil && !strings.Contains(strings.ToLower(rerr.Error()), "no such container") && !strings.Contains(rerr.Error(), "no container with") {
				rest, err = append(rest, id), errors.Join(err, fmt.Errorf("removing the container %.12s: %w", id, rerr))
			}
		}
		if ids = rest; len(ids) == 0 {
			return nil
		}
	}
	return err
}
