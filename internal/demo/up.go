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
	// The windows after which what the platform found counts as gone are half an hour and less
	// as shipped. Whoever watches a demonstration does not wait so long.
	cmd := exec.CommandContext(ctx, filepath.Join(t.bin, "towpath"), "up", "--data", t.Data, "--notify-allow", "127.0.0.1", "--signal-windows", "error=1m,crash=30s,alert=30s")
	// What it starts outlives it: its own output must not keep the pipe open.
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = t.root, t.env(), io.Discard, w
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("towpath up: %w", err)
	}
	return nil
}
