package devbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Times of a program.
const (
	stopWithin = 5 * time.Second
	liveWithin = 60 * time.Second // after its start, until it answers
	holdFor    = 5 * time.Second  // a request waits so long for a program that is being swapped
)

// Notice is what a Runner tells.
type Notice struct {
	What  string        // building, broken, live, same, exited
	Text  string        // errors of the compiler, why it ended, the file that changed
	Took  time.Duration // of live: since the change
	First bool          // of live: there was no program before
}

// Runner keeps the newest program of a plan that could be built running in a box.
type Runner struct {
	Plan  Plan
	Box   Box
	Dir   string
	Env   []string
	Port  int // that the program answers on; 0 when it answers on none
	Build Output
	Tell  func(Notice)

	mu      sync.Mutex
	process Process
	live    chan struct{} // closed while the program is not being swapped
	sum     [sha256.Size]byte
}

// Run builds and starts the program, and does so again for each file of the tree that
// changes, until ctx ends; then the program is stopped.
func (r *Runner) Run(ctx context.Context, tree *Tree) error {
	defer r.stop()
	r.turn(ctx, "", time.Now())
	for {
		file, err := tree.Next(ctx)
		if err != nil {
			return err
		}
		r.turn(ctx, file, time.Now())
	}
}

// turn builds and swaps once.
func (r *Runner) turn(ctx context.Context, file string, since time.Time) {
	if !r.build(ctx, file) {
		return
	}
	r.hold(true)
	defer r.hold(false)
	first := r.current() == nil
	r.stop()
	p, err := r.Box.Start(Command{Args: r.Plan.Run, Env: r.Env, Dir: r.Dir})
	if err != nil {
		r.Tell(Notice{What: "exited", Text: err.Error()})
		return
	}
	r.mu.Lock()
	r.process = p
	r.mu.Unlock()
	if !r.answers(ctx, p) {
		return
	}
	r.Tell(Notice{What: "live", Text: file, Took: time.Since(since), First: first})
	go func() {
		<-p.Done()
		if r.current() == p && ctx.Err() == nil {
			r.Tell(Notice{What: "exited", Text: ended(p.Err())})
		}
	}()
}

// build makes the program and reports whether there is a new one.
func (r *Runner) build(ctx context.Context, file string) bool {
	if r.Plan.Build == nil {
		return true
	}
	r.Tell(Notice{What: "building", Text: file})
	cmd := exec.CommandContext(ctx, r.Plan.Build[0], r.Plan.Build[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.Dir, r.Build.Out, r.Build.Err
	if err := cmd.Run(); err != nil {
		if ctx.Err() == nil {
			r.Tell(Notice{What: "broken", Text: err.Error()})
		}
		return false
	}
	sum, err := sumOf(r.Plan.Binary)
	if err != nil {
		r.Tell(Notice{What: "broken", Text: err.Error()})
		return false
	}
	if sum == r.sum && running(r.current()) {
		r.Tell(Notice{What: "same", Text: file})
		return false
	}
	r.sum = sum
	return true
}

func running(p Process) bool {
	if p == nil {
		return false
	}
	select {
	case <-p.Done():
		return false
	default:
		return true
	}
}

func sumOf(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, fmt.Errorf("reading the program that was built: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, fmt.Errorf("reading the program that was built: %w", err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// answers waits until the program answers on its port.
func (r *Runner) answers(ctx context.Context, p Process) bool {
	if r.Port == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, liveWithin)
	defer cancel()
	for {
		if conn, err := r.Box.Dial(ctx, r.Port); err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-p.Done():
			r.Tell(Notice{What: "exited", Text: ended(p.Err())})
			return false
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				r.Tell(Notice{What: "exited", Text: fmt.Sprintf("it runs, but does not answer on port %d", r.Port)})
			}
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func ended(err error) string {
	if err == nil {
		return "it ended by itself, exit status 0"
	}
	return err.Error()
}

func (r *Runner) current() Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

func (r *Runner) stop() {
	r.mu.Lock()
	p := r.process
	r.process = nil
	r.mu.Unlock()
	if p != nil {
		p.Stop(stopWithin)
	}
}

// hold makes requests wait while the program is swapped.
func (r *Runner) hold(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case on && r.live == nil:
		r.live = make(chan struct{})
	case !on && r.live != nil:
		close(r.live)
		r.live = nil
	}
}

// Dial connects to the program for a request; one that is being swapped is waited for.
func (r *Runner) Dial(ctx context.Context, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, holdFor)
	defer cancel()
	for {
		r.mu.Lock()
		live := r.live
		r.mu.Unlock()
		conn, err := r.Box.Dial(ctx, port)
		if err == nil || live == nil {
			return conn, err
		}
		select {
		case <-live:
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}
