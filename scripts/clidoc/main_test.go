package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/cli"
)

// docs/cli says what the commands say, no more and no less.
func TestTheReferenceIsFresh(t *testing.T) {
	got := map[string]string{}
	files, err := filepath.Glob(filepath.Join("..", "..", "docs", "cli", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Base(path)] = string(raw)
	}
	if diff := cmp.Diff(pages(cli.Commands()), got); diff != "" {
		t.Errorf("docs/cli is not what the commands say; write it anew with: go run ./scripts/clidoc\n%s", diff)
	}
}

// What is written stands nowhere else, and a page of a command that is gone goes, too.
func TestWriteLeavesNothingOld(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cli")
	if err := write(dir, map[string]string{"a.md": "a", "b.md": "b"}); err != nil {
		t.Fatal(err)
	}
	if err := write(dir, map[string]string{"b.md": "c"}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "b.md"))
	if err != nil || string(raw) != "c" || len(files) != 1 {
		t.Errorf("%v %q %v", files, raw, err)
	}
}

// Nothing of the machine that writes it is in the reference.
func TestTheReferenceKnowsNoMachine(t *testing.T) {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/root"
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for name, page := range pages(cli.Commands()) {
		for _, bad := range []string{home + "/", `"` + host + `"`, "(default " + host + ")"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s holds %q", name, bad)
			}
		}
	}
}
