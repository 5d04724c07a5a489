package demo

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
)

// up starts Towpath and shows its progress on w.
func (t *tour) up(ctx context.Context, w io.Writer) error {
	cmd := exec.CommandContext(ctx, filepath.Join(t.bin, "towpath"), "up", "--data", t.Data, "--notify-allow", "127.0.0.1")
	// What it starts outlives it: its own output must not keep the pipe open.
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = t.root, t.env(), io.Discard, w
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("towpath up: %w", err)
	}
	return nil
}
