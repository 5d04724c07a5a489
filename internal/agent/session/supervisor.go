package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"towpath.dev/towpath/internal/dev/tunnel"
)

// Times of a supervised program.
const (
	stopTime  = 5 * time.Second // from SIGTERM to SIGKILL
	firstWait = 500 * time.Millisecond
	lastWait  = 10 * time.Second
	readyTick = 20 * time.Millisecond
)

// supervisor runs the binary that came last, and again when it exits by itself.
type supervisor struct {
	dir     string
	host    string
	ports   []int
	environ []string
	now     func() time.Time
	logs    *logs
	builds  chan tunnel.Build // binaries to run, in their order
	swaps   sync.Mutex        // one binary comes at a time

	mu      sync.Mutex
	program *tunnel.Program // nil before the first binary
	signals chan os.Signal

	children *reaper
}

// tokenVariable holds the session's token; the program does not get it.
const tokenVariable = "TOWPATH_SESSION_TOKEN"

func newSupervisor(cfg Config) (*supervisor, error) {
	info, err := os.Stat(cfg.SyncDir)
	if err != nil || !info.IsDir() {
		return nil, fmt.Errorf("binaries need a folder, and %s is none: mount an emptyDir there", cfg.SyncDir)
	}
	host := cfg.Host
	if host == "" {
		host = "127.0.0.1"
	}
	return &supervisor{
		dir: cfg.SyncDir, host: host, ports: cfg.Ports, now: cfg.Now, logs: newLogs(os.Stdout), builds: make(chan tunnel.Build),
		environ: slices.DeleteFunc(slices.Clone(cfg.Environ), func(e string) bool { return strings.HasPrefix(e, tokenVariable+"=") }),
		signals: make(chan os.Signal, 8), children: &reaper{own: map[int]bool{}},
	}, nil
}

// path is where the binary with a digest is.
func (s *supervisor) path(sum string) string { return filepath.Join(s.dir, sum) }

// base reads a binary that came before.
func (s *supervisor) base(sum string) ([]byte, error) {
	raw, err := os.ReadFile(s.path(sum))
	if errors.Is(err, os.ErrNotExist) {
		return nil, tunnel.Errorf(tunnel.NotFound, "the session pod does not have that binary")
	}
	return raw, err
}

// swap writes a binary and hands it over to be run. Its digest was checked when the reader
// has ended without an error.
func (s *supervisor) swap(b tunnel.Build, binary io.Reader) error {
	s.swaps.Lock()
	defer s.swaps.Unlock()
	f, err := os.CreateTemp(s.dir, "incoming-")
	if err != nil {
		return fmt.Errorf("writing the binary: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, binary)
	if err == nil {
		err = f.Chmod(0o700)
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), s.path(b.Sum))
	}
	if err != nil {
		return fmt.Errorf("writing the binary: %w", err)
	}
	s.mu.Lock()
	keep := []string{b.Sum}
	if s.program != nil {
		keep = append(keep, s.program.Sum)
	}
	s.mu.Unlock()
	s.sweep(keep)
	select {
	case s.builds <- b:
		return nil
	case <-time.After(2 * stopTime):
		return tunnel.Errorf(tunnel.Failed, "the program before did not end")
	}
}

// sweep removes the binaries that are not kept: the folder is small.
func (s *supervisor) sweep(keep []string) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !slices.Contains(keep, e.Name()) && !strings.HasPrefix(e.Name(), "incoming-") {
			_ = os.Remove(filepath.Join(s.dir, e.Name()))
		}
	}
}

// status returns a copy of the program's state, nil before the first.
func (s *supervisor) status() *tunnel.Program {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.program == nil {
		return nil
	}
	p := *s.program
	return &p
}

func (s *supervisor) set(change func(*tunnel.Program)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.program)
}

// run runs what comes until ctx ends, and ends the program then.
func (s *supervisor) run(ctx context.Context) {
	go s.children.run(ctx)
	var b tunnel.Build
	select {
	case b = <-s.builds:
	case <-ctx.Done():
		return
	}
	for {
		s.mu.Lock()
		s.program = &tunnel.Program{Build: b.ID, Sum: b.Sum, State: tunnel.Starting, Started: s.now()}
		s.mu.Unlock()
		next, ok := s.keep(ctx, b)
		if !ok {
			return
		}
		b = next
	}
}

// keep runs a build, again when it exits, until another one comes or ctx ends.
func (s *supervisor) keep(ctx context.Context, b tunnel.Build) (next tunnel.Build, ok bool) {
	wait := firstWait
	for {
		began := time.Now()
		next, over := s.once(ctx, b)
		if over {
			return next, next.ID != ""
		}
		if time.Since(began) > lastWait {
			wait = firstWait
		}
		select {
		case <-ctx.Done():
			return tunnel.Build{}, false
		case next := <-s.builds:
			return next, true
		case <-time.After(wait):
		}
		wait = min(2*wait, lastWait)
		s.set(func(p *tunnel.Program) { p.Restarts, p.State, p.Started = p.Restarts+1, tunnel.Starting, s.now() })
	}
}

// once runs a build until it exits (over is false), or another one comes or ctx ends.
func (s *supervisor) once(ctx context.Context, b tunnel.Build) (next tunnel.Build, over bool) {
	cmd := exec.Command(s.path(b.Sum), b.Args...)
	cmd.Args[0] = b.Name
	cmd.Env = append(slices.Clone(s.environ), b.Env...)
	cmd.Stdout, cmd.Stderr = s.logs, s.logs
	// A grandchild that keeps the pipe open must not keep the next build from starting.
	cmd.WaitDelay = time.Second
	fmt.Fprintf(s.logs, "-- build %s\n", b.ID)
	if err := s.children.start(cmd); err != nil {
		s.exited(err.Error())
		return tunnel.Build{}, false
	}
	s.set(func(p *tunnel.Program) { p.PID = cmd.Process.Pid })
	done := make(chan error, 1)
	go func() { done <- s.children.wait(cmd) }()
	ready, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.watch(ready, b.ID)
	for {
		select {
		case err := <-done:
			s.exited(how(err))
			return tunnel.Build{}, false
		case sig := <-s.signals:
			if n, ok := sig.(syscall.Signal); ok {
				_ = syscall.Kill(-cmd.Process.Pid, n)
			}
			continue
		case next = <-s.builds:
		case <-ctx.Done():
		}
		break
	}
	cancel()
	s.stop(cmd.Process.Pid, done)
	return next, true
}

// stop ends a program and its children.
func (s *supervisor) stop(pid int, done <-chan error) {
	_ = syscall.Kill(-pid, syscall.SIGTERM)
	select {
	case <-done:
	case <-time.After(stopTime):
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		<-done
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL) // what it left behind
	s.exited("stopped")
}

func (s *supervisor) exited(how string) {
	s.set(func(p *tunnel.Program) { p.State, p.Exit, p.PID = tunnel.Exited, how, 0 })
	fmt.Fprintf(s.logs, "-- %s\n", how)
}

func how(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// watch says that a build is ready when it answers on each port.
func (s *supervisor) watch(ctx context.Context, build string) {
	left := slices.Clone(s.ports)
	dialer := net.Dialer{Timeout: time.Second}
	for len(left) > 0 {
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(s.host, strconv.Itoa(left[0])))
		if err == nil {
			_ = conn.Close()
			left = left[1:]
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(readyTick):
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() == nil && s.program.Build == build && s.program.State == tunnel.Starting {
		s.program.State = tunnel.Ready
	}
}

// forward passes a signal on to the program.
func (s *supervisor) forward(sig os.Signal) {
	select {
	case s.signals <- sig:
	default:
	}
}
