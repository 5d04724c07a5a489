package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"towpath.dev/towpath/internal/agent/warden"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// Config says who the agent is and how it runs jobs.
type Config struct {
	Server  string // base URL of the server, "http://127.0.0.1:7080"
	Token   string // agent token
	Name    string // unique among the agents of the server
	Version string
	Dir     string // working folder, absolute; the agent owns all of it
	Slots   int    // jobs at a time; 0 means 1
	// Environment is "project/environment" when this host is a machine of one: Token is then
	// that of the machine and Name its name, and the agent gets the machine's jobs alone.
	Environment string
	// Tags are what deployments choose the machine by, unless the server has some for it.
	Tags []string
	// Pool is the pool that the agent belongs to; "" means that of its token, or Default.
	Pool string
	// Capabilities are what the owner of the host says that it has, beside what is found.
	Capabilities map[string]string
	// Sockets is the folder in which the containers of the agent's pod have their sockets, and
	// Containers are their names: the agent is then for one job, whose steps run in them.
	Sockets    string
	Containers []string
	// Published says that the ports of services are already where the pipeline maps them to.
	Published bool
	// UID and GID are the user that steps run as; nil means the agent's own. A
	// root agent without them is refused unless AllowRoot says otherwise.
	UID, GID  *uint32
	AllowRoot bool
	// Warden is the program that watches over the processes of a job; empty means
	// this program with the argument warden.Argument.
	Warden []string
	// Env is the environment that the agent itself was started with; the few
	// variables that passOn names reach the steps. nil means os.Environ().
	Env []string
	// Path is where steps find programs; empty means the system's folders and that of go.
	Path string
	// Shared is the folder of the caches and tools that outlive Dir; empty means Dir.
	Shared string
	// Transport brings requests to the server; nil means the network.
	Transport http.RoundTripper
	// Pause is told of steps that have failed before the job goes on; nil: nobody is.
	Pause Pauser
	// Abandon ends, when it is closed, every step that runs, also one with always(); none
	// begins any more. nil: nobody does that.
	Abandon <-chan struct{} `json:"-"`
	Log     *slog.Logger
}

// Agent runs jobs. Make it with New.
type Agent struct {
	cfg    Config
	client *client
	log    *slog.Logger
	// taskLock is held while the files of an added task are brought.
	taskLock sync.Mutex
}

// New checks the configuration and prepares the working folder.
func New(cfg Config) (*Agent, error) {
	if cfg.Server == "" || cfg.Token == "" || cfg.Name == "" {
		return nil, errors.New("the agent needs a server, a token and a name")
	}
	if !filepath.IsAbs(cfg.Dir) {
		return nil, fmt.Errorf("the agent's working folder %q is not absolute", cfg.Dir)
	}
	if os.Getuid() == 0 && cfg.UID == nil && !cfg.AllowRoot {
		return nil, errors.New("the agent is root and no user for the steps is given; name an unprivileged one with --user")
	}
	cfg.Slots = max(cfg.Slots, 1)
	if len(cfg.Warden) == 0 {
		cfg.Warden = []string{"/proc/self/exe", warden.Argument}
	}
	if cfg.Env == nil {
		cfg.Env = os.Environ()
	}
	if cfg.Shared == "" {
		cfg.Shared = cfg.Dir
	}
	if cfg.Transport == nil {
		cfg.Transport = transport()
	}
	a := &Agent{cfg: cfg, log: cfg.Log, client: &client{
		base: cfg.Server + protocol.Prefix, token: cfg.Token, http: &http.Client{Transport: cfg.Transport},
	}}
	return a, a.prepare()
}

// prepare makes the folders: only the agent may change the working folder itself,
// so that no step can put a link in the place of another job's workspace.
func (a *Agent) prepare() error {
	if err := os.MkdirAll(a.cfg.Dir, 0o755); err != nil {
		return fmt.Errorf("making the agent's folder: %w", err)
	}
	for _, dir := range []string{"spool", "trash"} {
		if err := os.MkdirAll(filepath.Join(a.cfg.Dir, dir), 0o700); err != nil {
			return fmt.Errorf("making the agent's folder: %w", err)
		}
	}
	// Steps read it: the files of added tasks.
	if err := os.MkdirAll(a.tasksDir(), 0o755); err != nil {
		return fmt.Errorf("making the agent's folder: %w", err)
	}
	for _, dir := range []string{"cache", "tools"} {
		path := filepath.Join(a.cfg.Shared, dir)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return fmt.Errorf("making the agent's folder: %w", err)
		}
		if a.cfg.UID != nil {
			if err := os.Lchown(path, int(*a.cfg.UID), int(*a.cfg.GID)); err != nil {
				return fmt.Errorf("giving the agent's folder to its user: %w", err)
			}
		}
	}
	return nil
}

// Run registers with the server and runs jobs until ctx ends. Running jobs are then
// cancelled, reported, and nil is returned. A server that is away is waited for; a
// token that the server does not take is an error.
func (a *Agent) Run(ctx context.Context) error {
	held, err := a.lock(ctx)
	if held == nil {
		return err
	}
	defer held.Close()
	go a.emptyTrash()
	if err := a.pruneTasks(time.Now()); err != nil {
		a.log.Error("removing the files of tasks that nothing uses", "error", err)
	}
	lease, err := a.register(ctx)
	if err != nil || ctx.Err() != nil {
		return err
	}
	if err := a.recover(ctx); err != nil {
		a.log.Error("bringing back what an earlier agent left", "error", err)
	}
	var wg sync.WaitGroup
	errs := make([]error, a.cfg.Slots)
	for i := range a.cfg.Slots {
		wg.Go(func() { errs[i] = a.slot(ctx, i+1, lease) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// register waits until the server knows this agent and returns how long a job
// survives without a heartbeat.
func (a *Agent) register(ctx context.Context) (time.Duration, error) {
	var out protocol.Registered
	err := retry(ctx, func() error {
		return a.client.call(ctx, "register", "", protocol.Register{
			Name: a.cfg.Name, OS: runtime.GOOS, Arch: runtime.GOARCH, Version: a.cfg.Version, Slots: a.cfg.Slots,
			Environment: a.cfg.Environment, Tags: a.cfg.Tags, Pool: a.cfg.Pool, Capabilities: a.capabilities(),
		}, &out)
	})
	if err != nil && ctx.Err() == nil {
		return 0, fmt.Errorf("registering with %s: %w", a.cfg.Server, err)
	}
	if a.cfg.Environment != "" && err == nil {
		a.log.Info("registered", "environment", a.cfg.Environment, "name", a.cfg.Name, "tags", out.Tags)
	}
	return time.Duration(out.LeaseSeconds * float64(time.Second)), nil
}

// claimWait is how long a claim waits at the server.
const claimWait = 30 * time.Second

// place is where a job will run: prepared before there is one, so that a job starts
// without waiting for it.
type place struct {
	slot   int
	space  *workspace
	warden *warden.Warden
	beside []*container // of a pod, that of the job first; none on a host
}

// place makes the place of the next job of a slot.
func (a *Agent) place(slot int) (*place, error) {
	space, err := a.openWorkspace(slot)
	if err != nil {
		return nil, err
	}
	if a.cfg.Sockets != "" {
		return a.podPlace(slot, space)
	}
	w, err := warden.Start(a.cfg.Warden)
	if err != nil {
		return nil, errors.Join(err, space.close())
	}
	return &place{slot: slot, space: space, warden: w}, nil
}

// leave ends the processes of a place and moves its files away.
func (a *Agent) leave(p *place) error {
	var errs []error
	for _, c := range p.beside {
		if c.warden != p.warden {
			errs = append(errs, c.warden.KillAll(), c.warden.Close())
		}
	}
	return errors.Join(append(errs, p.warden.KillAll(), p.warden.Close(), p.space.close(), a.discard(p.space.dir))...)
}

// slot runs one job after the other.
func (a *Agent) slot(ctx context.Context, number int, lease time.Duration) error {
	for ctx.Err() == nil {
		p, err := a.place(number)
		if err != nil {
			return fmt.Errorf("preparing the place of a job: %w", err)
		}
		err = a.next(ctx, p, lease)
		if lerr := a.leave(p); lerr != nil {
			a.log.Error("clearing up after a job", "error", lerr)
		}
		if err != nil || a.cfg.Sockets != "" {
			return err
		}
	}
	return nil
}

// next waits for a job and runs it.
func (a *Agent) next(ctx context.Context, p *place, lease time.Duration) error {
	for ctx.Err() == nil {
		var job protocol.Job
		ticket := rand.Text()
		err := retry(ctx, func() error {
			return a.client.call(ctx, "claim", "", protocol.Claim{Agent: a.cfg.Name, Ticket: ticket, WaitSeconds: claimWait.Seconds()}, &job)
		})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("claiming a job: %w", err)
		}
		if job.ID == "" {
			continue
		}
		a.localize(&job)
		log := a.log.With("run", job.Run, "job", job.Path())
		log.Info("job claimed")
		if err := a.runJob(ctx, p, lease, &job, log); err != nil {
			log.Error("running the job", "error", err)
		}
		return nil
	}
	return nil
}

// emptyTrash removes the workspaces of jobs that are over.
func (a *Agent) emptyTrash() {
	dir := filepath.Join(a.cfg.Dir, "trash")
	entries, err := os.ReadDir(dir)
	if err != nil {
		a.log.Error("emptying the trash", "error", err)
		return
	}
	for _, e := range entries {
		if err := removeAll(filepath.Join(dir, e.Name())); err != nil {
			a.log.Error("emptying the trash", "error", err)
		}
	}
}

// removeAll removes a tree, also one whose folders were made read-only, as Go's
// module cache does.
func removeAll(path string) error {
	if err := os.RemoveAll(path); err == nil {
		return nil
	}
	err := filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(p, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(path))
}

// discard moves a folder into the trash, which is quick, and empties that in the
// background.
func (a *Agent) discard(path string) error {
	to := filepath.Join(a.cfg.Dir, "trash", strconv.FormatInt(time.Now().UnixNano(), 36))
	if err := os.Rename(path, to); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("clearing the workspace: %w", err)
	}
	go a.emptyTrash()
	return nil
}
