package session

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// reapTick looks for orphans although no signal came: signals of one kind merge.
const reapTick = time.Second

// reaper takes the exit status of orphans when this process is the first of its pod, to
// whom the kernel gives them. Children of our own are left to whoever waits for them.
type reaper struct {
	mu  sync.Mutex
	own map[int]bool
}

// start starts a program that leads a process group of its own, so that its children get
// its signals.
func (r *reaper) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A program that ends at once must not be taken for an orphan.
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	r.own[cmd.Process.Pid] = true
	return nil
}

// wait waits for a program that was started.
func (r *reaper) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.own, cmd.Process.Pid)
	return err
}

// run reaps until ctx ends.
func (r *reaper) run(ctx context.Context) {
	if os.Getpid() != 1 {
		return
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	tick := time.NewTicker(reapTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended:
		case <-tick.C:
		}
		r.reap(os.Getpid())
	}
}

// reap takes the status of each orphan that has ended.
func (r *reaper) reap(parent int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || r.own[pid] || !ended(pid, parent) {
			continue
		}
		_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	}
}

// ended reports whether a process is a child of parent that has ended (proc(5): the name
// stands in parentheses and may hold anything; behind it come state and parent).
func ended(pid, parent int) bool {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, ok := cutLast(raw, ')')
	fields := bytes.Fields(rest)
	return ok && len(fields) > 1 && string(fields[0]) == "Z" && string(fields[1]) == strconv.Itoa(parent)
}

func cutLast(b []byte, sep byte) (before, after []byte, ok bool) {
	i := bytes.LastIndexByte(b, sep)
	if i < 0 {
		return b, nil, false
	}
	return b[:i], b[i+1:], true
}
