package devbox

import (
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Output is where programs write.
type Output struct {
	Out io.Writer
	Err io.Writer
}

// process is a program with a process group of its own.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// start starts a program whose end the death of this one brings. The thread that starts it
// waits for it: Linux sends the death signal when that thread ends.
func start(c Command, out Output, attr *syscall.SysProcAttr) (*process, error) {
	path, err := exec.LookPath(c.Args[0])
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", c.Args[0], err)
	}
	cmd := &exec.Cmd{Path: path, Args: c.Args, Env: c.Env, Dir: c.Dir, Stdout: out.Out, Stderr: out.Err, SysProcAttr: attr}
	// Children of a program may hold its output open; that must not hold up its end.
	cmd.WaitDelay = time.Second
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Args[0], err)
	}
	return p, nil
}

// Done is closed when the program has ended.
func (p *process) Done() <-chan struct{} { return p.done }

// Err says how it ended.
func (p *process) Err() error { return p.err }

// Stop ends the program's process group.
func (p *process) Stop(grace time.Duration) {
	group := -p.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM) // Gone already is as good.
	select {
	case <-p.done:
	case <-time.After(grace):
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-p.done
}
