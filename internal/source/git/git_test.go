package git_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"towpath.dev/towpath/internal/source/git"
)

// repository makes an empty one and a Git that reads it.
func repository(t *testing.T) (*git.Git, string) {
	t.Helper()
	g, err := git.Open(t.Context(), git.Options{HooksDir: t.TempDir(), MaxInput: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	dir := t.TempDir()
	if _, err := g.Run(t.Context(), dir, nil, 1<<10, "init", "-q", "--bare", "--template="); err != nil {
		t.Fatal(err)
	}
	return g, dir
}

func store(t *testing.T, g *git.Git, dir, content string) string {
	t.Helper()
	out, err := g.Run(t.Context(), dir, strings.NewReader(content), 1<<10, "hash-object", "-w", "--stdin")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestInfoAndContents(t *testing.T) {
	g, dir := repository(t)
	hash := store(t, g, dir, "hello\n")
	got, err := g.Info(t.Context(), dir, hash, "nothing", "a b c", hash[:8], strings.Repeat("0", 40))
	if err != nil {
		t.Fatal(err)
	}
	want := git.Object{Hash: hash, Type: "blob", Size: 6}
	for i, o := range []git.Object{want, {}, {}, want, {}} {
		if got[i] != o {
			t.Errorf("name %d is %+v, want %+v", i, got[i], o)
		}
	}
	for range 3 {
		if data, err := g.Contents(t.Context(), dir, hash, 6); err != nil || string(data) != "hello\n" {
			t.Errorf("%q, %v", data, err)
		}
		if _, err := g.Contents(t.Context(), dir, hash, 5); !errors.Is(err, git.ErrLimit) {
			t.Errorf("over the limit: %v", err)
		}
		if _, err := g.Contents(t.Context(), dir, strings.Repeat("0", 40), 5); err == nil {
			t.Error("read an object that does not exist")
		}
	}
	for _, bad := range []string{"x\ncontents " + hash, "a\x00b"} {
		if _, err := g.Info(t.Context(), dir, bad); err == nil {
			t.Errorf("the name %q was taken", bad)
		}
		if _, err := g.Contents(t.Context(), dir, bad, 10); err == nil {
			t.Errorf("the hash %q was taken", bad)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Info(ctx, dir, hash); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// A kept reader that died while nobody used it is replaced.
func TestDeadReaderIsReplaced(t *testing.T) {
	g, dir := repository(t)
	hash := store(t, g, dir, "hello\n")
	if _, err := g.Info(t.Context(), dir, hash); err != nil {
		t.Fatal(err)
	}
	killed := 0
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // It ended meanwhile.
		}
		// "pid (name) state parent …"
		f := strings.Fields(string(stat))
		if len(f) > 3 && f[1] == "(git)" && f[3] == strconv.Itoa(os.Getpid()) {
			pid, err := strconv.Atoi(f[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			killed++
		}
	}
	if killed != 1 {
		t.Fatalf("%d readers were running, want 1", killed)
	}
	if got, err := g.Info(t.Context(), dir, hash); err != nil || got[0].Hash != hash {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whatever this process has in its environment does not reach git.
func TestEnvironmentIsClean(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, []byte("[core]\n\tabbrev = 11\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_CONFIG_GLOBAL", config)
	t.Setenv("GIT_DIR", "/nonexistent")
	t.Setenv("GIT_OBJECT_DIRECTORY", "/nonexistent")
	g, dir := repository(t)
	hash := store(t, g, dir, "hello\n")
	if got, err := g.Info(t.Context(), dir, hash); err != nil || got[0].Hash != hash {
		t.Errorf("%+v, %v", got, err)
	}
	out, err := g.Run(t.Context(), dir, nil, 1<<10, "config", "--get", "core.abbrev")
	var exit *git.ExitError
	if !errors.As(err, &exit) || exit.Code != 1 {
		t.Errorf("the user's configuration was read: %q, %v", out, err)
	}
}

func TestOutputIsLimited(t *testing.T) {
	g, dir := repository(t)
	hash := store(t, g, dir, strings.Repeat("x", 1<<20))
	out, err := g.Run(t.Context(), dir, nil, 1000, "cat-file", "blob", hash)
	if !errors.Is(err, git.ErrLimit) || len(out) != 1000 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

func TestOpenWithoutGit(t *testing.T) {
	if _, err := git.Open(t.Context(), git.Options{Program: "/nonexistent/git"}); err == nil {
		t.Error("git was found")
	}
}
