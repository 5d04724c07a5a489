package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// env is the environment of the programs that the tour starts: ours, with contexts and
// git settings of their own, so that the user's stay as they are.
func (t *tour) env(extra ...string) []string {
	return append(append(os.Environ(), "TOWPATH_CONFIG="+filepath.Join(t.work, "config.json"), "GIT_CONFIG_GLOBAL="+filepath.Join(t.work, "gitconfig"),
		"TOWPATH_PROJECT=shop", "NO_COLOR=1"), extra...)
}

// command runs a program to its end and returns what it printed on stdout.
func (t *tour) command(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, t.env(), &out, &errs
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, tail(errs.String()+out.String()))
	}
	return out.Bytes(), nil
}

// towpath runs the command line.
func (t *tour) towpath(ctx context.Context, args ...string) ([]byte, error) {
	return t.command(ctx, t.root, filepath.Join(t.bin, "towpath"), args...)
}

// read runs a command with -o json and decodes what it prints.
func (t *tour) read(ctx context.Context, v any, args ...string) error {
	b, err := t.towpath(ctx, append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("towpath %s printed no JSON: %w", strings.Join(args, " "), err)
	}
	return nil
}

// live runs a program and shows its lines as they come, indented.
func (t *tour) live(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	w := &indent{out: t.out}
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, t.env(), w, w
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, tail(w.last.String()))
	}
	return nil
}

// indent shows lines below the step that prints them.
type indent struct {
	out  io.Writer
	mid  bool
	last strings.Builder
}

func (i *indent) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		if !i.mid {
			if _, err := fmt.Fprint(i.out, "          "); err != nil {
				return 0, err
			}
		}
		i.mid = !bytes.HasSuffix(line, []byte("\n"))
		if _, err := i.out.Write(line); err != nil {
			return 0, err
		}
	}
	i.last.Write(p)
	return len(p), nil
}

// tail is the end of what a program said.
func tail(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 1500 {
		s = "…" + s[len(s)-1500:]
	}
	return s
}

// until asks again and again until ok says yes, the time is up or ctx ends.
func until(ctx context.Context, limit time.Duration, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		done, err := ok()
		if done {
			return nil
		}
		if err != nil {
			last = err
		}
		select {
		case <-ctx.Done():
			if last != nil {
				return fmt.Errorf("waiting for %s: %w", what, last)
			}
			return fmt.Errorf("waiting for %s: not within %s", what, limit)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// apply writes a document to a file of the tour's folder and gives it to a command of the
// command line as its last argument.
func (t *tour) apply(ctx context.Context, name, text string, args ...string) error {
	file := filepath.Join(t.work, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	_, err := t.towpath(ctx, append(args, file)...)
	return err
}
