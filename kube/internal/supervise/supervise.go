package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The phases of a Process, and of what a caller reports beside it.
const (
	Starting  = "starting"
	Ready     = "ready"
	Failed    = "failed"
	Restarted = "restarted"
	Stopped   = "stopped"
)

const (
	readyPoll    = 50 * time.Millisecond
	firstBackoff = 250 * time.Millisecond
	lastBackoff  = 10 * time.Second
	// steadyAfter is how long an instance must have run for the backoff to begin anew.
	steadyAfter = 30 * time.Second
	// detailLimit bounds how much of the log goes into an event; the rest stands in the file.
	detailLimit = 600
	// pipeGrace is how long to wait for output that a grandchild holds open after the child has ended.
	pipeGrace = 2 * time.Second
)

// Event is one line of a Process's story. It is what `towpath-kube up` prints, as JSON, one object a line.
type Event struct {
	Time      time.Time `json:"time"`
	Phase     string    `json:"phase"`
	Component string    `json:"component"`
	// Detail explains the phase to a person; for Failed it holds the end of the log.
	Detail string `json:"detail,omitempty"`
	// Seconds is the time the phase took: since the start of the instance for ready and restarted, its life for failed.
	Seconds float64 `json:"seconds"`
}

// Seconds writes a duration as an Event does, to the millisecond.
func Seconds(took time.Duration) float64 { return float64(took.Milliseconds()) / 1000 }

// Spec describes a program that is to be kept running.
type Spec struct {
	// Name appears in events.
	Name string
	// Path is the absolute path of the program, Args are its arguments without the program's own name.
	Path string
	Args []string
	// Env is the whole environment of the child; nothing is inherited.
	Env []string
	// Log is the path of its log file.
	Log string
	// Ready returns nil once the program serves. It is asked every 50 ms, never concurrently. Nil means ready when started.
	Ready func(context.Context) error
	// Grace is how long the program may take to end after SIGTERM before it is killed.
	Grace time.Duration
}

// Process is a program that is kept running.
type Process struct {
	spec Spec
	emit func(Event)
	log  *Log

	stop    chan struct{} // closed by Stop
	stopped sync.Once
	done    chan struct{} // closed when no instance runs and none will

	mu    sync.Mutex
	pid   int
	ready chan struct{} // closed once the first instance was ready
}

// Start begins to run the program and returns at once. Every change is told to emit, from any goroutine.
func Start(spec Spec, emit func(Event)) (*Process, error) {
	log, err := OpenLog(spec.Log, logLimit)
	if err != nil {
		return nil, err
	}
	p := &Process{spec: spec, emit: emit, log: log, stop: make(chan struct{}), done: make(chan struct{}), ready: make(chan struct{})}
	go p.keep()
	return p, nil
}

// Ready is closed once the program was ready for the first time.
func (p *Process) Ready() <-chan struct{} { return p.ready }

// Done is closed when the program has ended and will not be started again.
func (p *Process) Done() <-chan struct{} { return p.done }

// PID is the process id of the running instance, or 0 between two instances.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid
}

// Stop ends the program: SIGTERM, and SIGKILL when it has not ended within its Grace. It returns when it has ended, and may be
// called more than once.
func (p *Process) Stop() {
	p.stopped.Do(func() { close(p.stop) })
	<-p.done
}

// keep runs one instance after the other until Stop. It holds its operating-system thread for as long: the parent-death signal
// of a child is bound to the thread that started it, not to the process.
func (p *Process) keep() {
	runtime.LockOSThread()
	defer close(p.done)
	defer p.log.Close()
	backoff := firstBackoff
	for instance := 0; ; instance++ {
		began := time.Now()
		p.log.Forget()
		err := p.run(instance)
		lived := time.Since(began)
		if p.stopping() {
			p.say(Stopped, "", lived)
			return
		}
		if lived > steadyAfter {
			backoff = firstBackoff
		}
		p.say(Failed, p.explain(err, backoff), lived)
		select {
		case <-p.stop:
			p.say(Stopped, "", 0)
			return
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

func (p *Process) stopping() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

func (p *Process) explain(err error, backoff time.Duration) string {
	reason := "ended by itself"
	if err != nil {
		reason = err.Error()
	}
	text := fmt.Sprintf("%s; starting it again in %s; log: %s", reason, backoff, p.spec.Log)
	if tail := strings.Join(p.log.Tail(2), " | "); tail != "" {
		text += "; last lines: " + tail[:min(len(tail), detailLimit)]
	}
	return text
}

func (p *Process) say(phase, detail string, took time.Duration) {
	p.emit(Event{Time: time.Now().UTC(), Phase: phase, Component: p.spec.Name, Detail: detail, Seconds: Seconds(took)})
}

// run starts one instance and returns when it has ended.
func (p *Process) run(instance int) error {
	cmd := exec.Command(p.spec.Path, p.spec.Args...)
	cmd.Env = p.spec.Env
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.WaitDelay = pipeGrace
	// A group of its own keeps the terminal's Ctrl-C away from the children: the supervisor ends them in order instead.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if instance == 0 {
		p.say(Starting, "", 0)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.spec.Path, err)
	}
	p.setPID(cmd.Process.Pid)
	defer p.setPID(0)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer cancel()
	watchers.Go(func() { p.awaitReady(ctx, instance, began) })
	watchers.Go(func() { p.endOnStop(ctx, cmd.Process) })

	err := cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return err
}

func (p *Process) setPID(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid = pid
}

// awaitReady polls until the instance is ready or has ended.
func (p *Process) awaitReady(ctx context.Context, instance int, began time.Time) {
	for p.spec.Ready != nil && p.spec.Ready(ctx) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(readyPoll):
		}
	}
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	first := false
	select {
	case <-p.ready:
	default:
		first = true
		close(p.ready)
	}
	p.mu.Unlock()
	phase := Restarted
	if first {
		phase = Ready
	}
	p.say(phase, "", time.Since(began))
}

// endOnStop asks the instance to end when the Process is to stop, and kills it when it does not listen.
func (p *Process) endOnStop(ctx context.Context, child *os.Process) {
	select {
	case <-ctx.Done():
		return
	case <-p.stop:
	}
	_ = child.Signal(syscall.SIGTERM)
	select {
	case <-ctx.Done():
	case <-time.After(p.spec.Grace):
		_ = child.Kill()
	}
}
