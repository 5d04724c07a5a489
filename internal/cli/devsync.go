package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"towpath.dev/towpath/internal/cli/devbox"
	"towpath.dev/towpath/internal/dev/tunnel"
)

// maxBinary bounds what --sync sends.
const maxBinary = tunnel.MaxBinary

// synchroniser is --sync at work: it keeps what is built here running in the session's pod.
type synchroniser struct {
	s         *session
	dir, path string

	mu   sync.Mutex
	sent []byte // nil before the first
	id   string // of the build that was sent
}

// synchronise builds the program, sends it into the session's pod, and does so again for
// each file that changes.
func (s *session) synchronise(ctx context.Context) error {
	dir, err := workingDir()
	if err != nil {
		return err
	}
	path := s.flags.binary
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	y := &synchroniser{s: s, dir: dir, path: path}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { y.restore(ctx) })
	tree := devbox.NewTree(ctx, dir, path)
	since := time.Now()
	for n := 1; ; n++ {
		if err := y.build(ctx, n, since); err != nil {
			s.note("build-failed", "what ran before goes on: "+err.Error(), nil)
		}
		if _, err := tree.Next(ctx); err != nil {
			return err
		}
		since = time.Now()
	}
}

// build builds the program once and sends it, when it is another than before.
func (y *synchroniser) build(ctx context.Context, n int, since time.Time) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", y.s.flags.sync)
	cmd.Dir, cmd.Stdout, cmd.Stderr = y.dir, y.s.env.err, y.s.env.err
	// The pod is Linux whatever this machine is; what the command sets itself wins.
	cmd.Env = append([]string{"GOOS=linux", "CGO_ENABLED=0"}, os.Environ()...)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building: %w", err)
	}
	binary, err := readBinary(y.path)
	if err != nil {
		return err
	}
	t, err := y.s.link.Tunnel(ctx)
	if err != nil {
		return err
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	if slices.Equal(binary, y.sent) {
		return nil
	}
	if err := y.send(ctx, t, binary); err != nil {
		return err
	}
	y.s.tell(devbox.Notice{What: "live", Took: time.Since(since), First: n == 1})
	return nil
}

// send sends a binary and waits until it answers. The caller holds mu.
func (y *synchroniser) send(ctx context.Context, t *tunnel.Client, binary []byte) error {
	sum := sha256.Sum256(binary)
	id := hex.EncodeToString(sum[:8])
	env := make([]string, 0, len(y.s.opened.Env))
	for _, v := range y.s.opened.Env {
		env = append(env, v.Name+"="+v.Value)
	}
	if _, err := t.Sync(ctx, tunnel.Build{ID: id, Name: y.s.opened.Service, Env: env}, binary, y.sent); err != nil {
		return fmt.Errorf("sending the program: %w", err)
	}
	y.sent, y.id = binary, id
	return y.s.awaitBuild(ctx, t, id)
}

// restore sends the program again whenever the tunnel was joined anew and leads to a pod
// that does not have it: the pod may have been made anew meanwhile.
func (y *synchroniser) restore(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-y.s.again:
		}
		if err := y.have(ctx); err != nil && ctx.Err() == nil {
			y.s.note("build-failed", "the session's pod was started again, and its program could not be sent: "+err.Error(), nil)
		}
	}
}

func (y *synchroniser) have(ctx context.Context) error {
	t, err := y.s.link.Tunnel(ctx)
	if err != nil {
		return err
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	status, err := t.Status(ctx)
	if err != nil || y.sent == nil || status.Program != nil && status.Program.Build == y.id {
		return err
	}
	start := time.Now()
	if err := y.send(ctx, t, y.sent); err != nil {
		return err
	}
	y.s.tell(devbox.Notice{What: "live", Took: time.Since(start)})
	return nil
}

func readBinary(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading what was built: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxBinary+1))
	if err == nil && len(b) > maxBinary {
		err = fmt.Errorf("it is larger than %d MiB", maxBinary>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was built: %w", err)
	}
	return b, nil
}

// awaitBuild waits until the pod runs a build and the build answers.
func (s *session) awaitBuild(ctx context.Context, t *tunnel.Client, id string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		status, err := t.Status(ctx)
		if err != nil {
			return err
		}
		if p := status.Program; p != nil && p.Build == id {
			switch p.State {
			case tunnel.Ready:
				return nil
			case tunnel.Exited:
				return fmt.Errorf("the program ended in the pod: %s; its words: towpath dev logs %s", p.Exit, s.opened.ID)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the program does not answer in the pod")
		case <-time.After(20 * time.Millisecond):
		}
	}
}
