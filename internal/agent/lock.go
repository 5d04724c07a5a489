package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lock takes the agent's folder for this process until the file is closed. An agent
// that is told to stop still clears up its workspaces while the next one starts: the
// next one waits for it, or they would clear away each other's.
func (a *Agent) lock(ctx context.Context) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(a.cfg.Dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the agent's folder: %w", err)
	}
	for told := false; ; {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("locking the agent's folder: %w", err), f.Close())
		}
		if !told {
			told = true
			a.log.Info("waiting for another agent to leave the folder", "folder", a.cfg.Dir)
		}
		select {
		case <-ctx.Done():
			return nil, f.Close()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
