package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSnapshot shows what a snapshot holds, and that it leaves the folder alone.
func TestSnapshot(t *testing.T) {
	dir, bare := t.TempDir(), filepath.Join(t.TempDir(), "a.git")
	put := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	own := func(args ...string) string {
		t.Helper()
		out, err := command(t.Context(), dir, nil, nil, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	own("init", "--quiet", "--initial-branch=topic")
	put("kept.txt", "first")
	put("gone.txt", "gone")
	put(".gitignore", "ignored\n")
	own("add", ".")
	own("commit", "--quiet", "-m", "A title")
	own("tag", "v1")
	head := own("rev-parse", "HEAD")

	clean, err := take(t.Context(), dir, bare)
	if err != nil {
		t.Fatal(err)
	}
	if clean.changed || clean.commit != head || clean.ref != "refs/heads/topic" || clean.title != "A title" {
		t.Errorf("the snapshot of a clean folder is %+v, its commit %s", clean, head)
	}

	put("kept.txt", "second")
	put("new/file.txt", "new")
	put("ignored", "ignored")
	if err := os.Remove(filepath.Join(dir, "gone.txt")); err != nil {
		t.Fatal(err)
	}
	before := own("status", "--porcelain") + own("count-objects")
	s, err := take(t.Context(), dir, bare)
	if err != nil {
		t.Fatal(err)
	}
	if after := own("status", "--porcelain") + own("count-objects"); after != before {
		t.Errorf("the folder was changed:\n%s\nbefore:\n%s", after, before)
	}
	files, err := run(t.Context(), nil, "--git-dir", bare, "ls-tree", "-r", "--name-only", s.commit)
	if want := ".gitignore\nkept.txt\nnew/file.txt"; err != nil || files != want {
		t.Errorf("the snapshot holds %q, %v, want %q", files, err, want)
	}
	text, err := run(t.Context(), nil, "--git-dir", bare, "show", s.commit+":kept.txt")
	if err != nil || text != "second" {
		t.Errorf("kept.txt is %q, %v", text, err)
	}
	if parent, err := run(t.Context(), nil, "--git-dir", bare, "rev-parse", s.commit+"^"); err != nil || parent != head {
		t.Errorf("its parent is %s, %v, want %s", parent, err, head)
	}
	if tag, err := run(t.Context(), nil, "--git-dir", bare, "rev-parse", "v1"); err != nil || tag != head {
		t.Errorf("the tag is %s, %v", tag, err)
	}
}

// TestSnapshotOfAPlainFolder needs no repository.
func TestSnapshotOfAPlainFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	bare := filepath.Join(t.TempDir(), "deep", "b.git")
	s, err := take(t.Context(), dir, bare)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := run(t.Context(), nil, "--git-dir", bare, "show", s.commit+":a.txt"); err != nil || text != "a" || !strings.HasPrefix(s.ref, "refs/heads/") {
		t.Errorf("a.txt is %q, %v; the snapshot %+v", text, err, s)
	}
	if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
		t.Error("the folder became a repository")
	}
}
