package lake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// The pauses before a child that ended is started again; the first is also that of a child
// that lived for long.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 10 * time.Second
	long       = 10 * time.Second
)

// keeper keeps one towpath-lake running.
type keeper struct {
	options Options
	logger  *slog.Logger
	cancel  context.CancelFunc
	done    chan struct{}

	mu     sync.Mutex
	cmd    *exec.Cmd
	starts int
	fatal  error // why it makes no sense to try again
}

// keep starts the child and keeps it running until ctx ends.
func keep(ctx context.Context, o Options, logger *slog.Logger) *keeper {
	ctx, cancel := context.WithCancel(ctx)
	k := &keeper{options: o, logger: logger, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(k.done)
		// The kernel ends the child with the thread that started it (childAttr): this one,
		// which nobody else uses and which ends after the child.
		runtime.LockOSThread()
		k.run(ctx)
	}()
	return k
}

func (k *keeper) run(ctx context.Context) {
	most := k.options.MaxPause
	if most <= 0 {
		most = lastPause
	}
	pause := min(firstPause, most)
	for {
		began := time.Now()
		err := k.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			k.mu.Lock()
			k.fatal = fault.Wrap(fault.Unavailable, err, "The log engine %s cannot be started.", k.options.Program).
				WithNext("build it with `make build`, or install it beside towpath")
			k.mu.Unlock()
		}
		if time.Since(began) > long {
			pause = min(firstPause, most)
		}
		k.logger.Error("the log engine ended", "error", err, "again_in", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, most)
	}
}

// once runs the child to its end. It gets its options on its standard input and nothing
// of this process's environment.
func (k *keeper) once(ctx context.Context) error {
	in, err := json.Marshal(k.options)
	if err != nil {
		return fmt.Errorf("encoding the options of the log engine: %w", err)
	}
	cmd := exec.CommandContext(ctx, k.options.Program)
	cmd.Env = []string{"LANG=C.UTF-8", "TZ=UTC"}
	cmd.Stdin = bytes.NewReader(in)
	out := &lines{logger: k.logger}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = childAttr()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	k.mu.Lock()
	k.cmd = cmd
	k.starts++
	k.fatal = nil
	k.mu.Unlock()
	if err := cmd.Wait(); err != nil {
		return err
	}
	return errors.New("it ended by itself")
}

// hopeless returns why the child cannot be started, nil while it may come.
func (k *keeper) hopeless() error {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.fatal
}

func (k *keeper) close() {
	k.cancel()
	<-k.done
}

// lines passes what the child prints to the log, line by line.
type lines struct {
	logger *slog.Logger
	mu     sync.Mutex
	rest   []byte
}

// maxLine is where a line without an end is broken.
const maxLine = 8 << 10

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		at := bytes.IndexByte(l.rest, '\n')
		if at < 0 && len(l.rest) < maxLine {
			return len(p), nil
		}
		if at < 0 {
			at = len(l.rest) - 1
		}
		l.logger.Info("log engine", "line", string(bytes.TrimRight(l.rest[:at+1], "\r\n")))
		l.rest = l.rest[at+1:]
	}
}
