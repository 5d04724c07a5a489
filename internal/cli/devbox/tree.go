package devbox

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Bounds of watching. A tree is looked at every lookEvery, less often when looking takes
// long: it is to cost a tenth of a core at most.
const (
	lookEvery = 150 * time.Millisecond
	maxFiles  = 50_000
)

// Tree is a working tree that is watched. Files that Git ignores are not looked at.
type Tree struct {
	dir   string
	not   []string // files that are not looked at
	files map[string]stamp
	dirs  map[string]time.Time
}

type stamp struct {
	at   time.Time
	size int64
}

// NewTree looks at the tree of a folder for the first time. The files whose full paths are
// given are not looked at: what a build writes is no reason for another one.
func NewTree(ctx context.Context, dir string, not ...string) *Tree {
	t := &Tree{dir: dir, not: not}
	t.list(ctx)
	return t
}

// Next waits until a file was written, made or removed, and a little longer, because an
// editor does more than one of them, and returns one that changed. It returns ctx's error
// when that ends.
func (t *Tree) Next(ctx context.Context) (string, error) {
	pause, changed := lookEvery, ""
	for {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(pause):
		}
		start := time.Now()
		now := t.look(ctx)
		pause = max(lookEvery, 10*time.Since(start))
		switch {
		case now != "":
			changed, pause = now, lookEvery/3
		case changed != "":
			return changed, nil
		}
	}
}

// look returns a file that changed since the last look, "" when none did.
func (t *Tree) look(ctx context.Context) string {
	changed := ""
	for path, was := range t.files {
		now, err := stat(path)
		if err != nil {
			delete(t.files, path)
			changed = path
		} else if now != was {
			t.files[path] = now
			changed = path
		}
	}
	for path, was := range t.dirs {
		info, err := os.Stat(path)
		if err == nil && info.ModTime().Equal(was) {
			continue
		}
		// Something came or went: list anew, and tell of what was not there.
		before := t.files
		t.list(ctx)
		for f := range t.files {
			if _, known := before[f]; !known {
				changed = f
			}
		}
		break
	}
	return changed
}

func stat(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.ModTime(), info.Size()}, nil
}

// list finds the files of the tree: what Git has and does not ignore, else all but the
// folders that hold no source.
func (t *Tree) list(ctx context.Context) {
	t.files, t.dirs = map[string]stamp{}, map[string]time.Time{}
	add := func(path string) {
		if len(t.files) >= maxFiles {
			return
		}
		if s, err := stat(path); err == nil && !slices.Contains(t.not, path) {
			t.files[path] = s
		}
		for dir := filepath.Dir(path); len(dir) >= len(t.dir); dir = filepath.Dir(dir) {
			if _, known := t.dirs[dir]; known {
				break
			}
			if info, err := os.Stat(dir); err == nil {
				t.dirs[dir] = info.ModTime()
			}
		}
	}
	cmd := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = t.dir
	if out, err := cmd.Output(); err == nil {
		for name := range bytes.SplitSeq(out, []byte{0}) {
			if len(name) > 0 {
				add(filepath.Join(t.dir, string(name)))
			}
		}
		return
	}
	_ = filepath.WalkDir(t.dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // Not readable for us, so not of the program.
		case d.IsDir() && path != t.dir && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case d.Type().IsRegular():
			add(path)
		}
		return nil
	})
}
