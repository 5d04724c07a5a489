package app

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// keep runs a child process again whenever it ends, until ctx ends: after a second, and
// after up to half a minute when it does not stay up for a minute.
func (a *App) keep(ctx context.Context, what string, run func() error) {
	pause := time.Second
	for ctx.Err() == nil {
		start := time.Now()
		err := run()
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) > time.Minute {
			pause = time.Second
		}
		a.logger.Error(what+" ended", "error", err, "retry_in", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, 30*time.Second)
	}
}

// runChild runs a child process to its end, which is always an error. When the command's
// context ends it is asked to end, and killed after grace.
func runChild(cmd *exec.Cmd, log *os.File, grace time.Duration) error {
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttr()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	err := cmd.Run()
	if err == nil {
		err = errors.New("ended by itself")
	}
	return err
}
