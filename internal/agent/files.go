package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/agent/minimatch"
)

// find returns the regular files, relative to the workspace, that patterns match below a
// folder; absolute patterns may name others of the workspace.
func (s *stepRun) find(folder string, patterns []string) ([]string, error) {
	all, err := s.matched(folder, patterns, false)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range all {
		if info, err := s.space.root.Stat(e.path); err == nil && info.Mode().IsRegular() {
			out = append(out, e.path)
		}
	}
	return out, nil
}

// matched lists what patterns match below a folder in order, folders as well. The names of
// the entries are relative to the folder.
func (s *stepRun) matched(folder string, patterns []string, braces bool) ([]entry, error) {
	rel, err := s.space.inside(s.space.path(dirSources), folder)
	if err != nil {
		return nil, err
	}
	base := s.space.path(rel)
	if info, err := s.space.root.Stat(rel); err != nil || !info.IsDir() {
		return nil, errors.Join(fmt.Errorf("there is no folder %s", base), err)
	}
	search := rel
	for _, p := range patterns {
		p = strings.TrimLeft(strings.TrimSpace(p), "!")
		if filepath.IsAbs(p) && !strings.HasPrefix(p, base+"/") {
			search = "."
		}
	}
	all, err := s.space.tree(search, nil)
	if err != nil {
		return nil, err
	}
	list := minimatch.NewList(base, patterns, braces)
	var out []entry
	for _, e := range all {
		name := s.space.path(e.path)
		if !list.Match(name) {
			continue
		}
		if e.name, err = filepath.Rel(rel, e.path); err != nil {
			return nil, err
		}
		if strings.HasPrefix(e.name, "../") {
			e.name = e.path
		}
		out = append(out, e)
	}
	return out, nil
}

// copyFiles is CopyFiles@2 (K028).
func copyFiles(ctx context.Context, s *stepRun) error {
	target, err := s.space.inside(s.space.path(dirSources), s.input("TargetFolder"))
	if err != nil {
		return err
	}
	if s.input("TargetFolder") == "" {
		return errors.New("the input TargetFolder is empty")
	}
	found, err := s.matched(s.input("SourceFolder"), strings.Split(s.input("Contents"), "\n"), false)
	if err != nil {
		return err
	}
	if s.flag("CleanTargetFolder", false) {
		if err := s.space.clean(target); err != nil {
			return err
		}
	}
	var files []entry
	for _, e := range found {
		if info, err := s.space.root.Stat(e.path); err == nil && info.Mode().IsRegular() {
			files = append(files, e)
		}
	}
	s.print(fmt.Sprintf("found %d files", len(files)))
	for _, e := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := e.name
		if s.flag("flattenFolders", false) {
			name = path.Base(name)
		}
		if err := s.copyRetry(ctx, e.path, path.Join(target, name)); err != nil {
			return err
		}
	}
	return nil
}

// copyRetry copies one file as often as retryCount says.
func (s *stepRun) copyRetry(ctx context.Context, from, to string) error {
	retries, _ := strconv.Atoi(s.input("retryCount"))
	pause, _ := strconv.Atoi(s.input("delayBetweenRetries"))
	for n := 0; ; n++ {
		err := s.copyOne(from, to)
		if err == nil || n >= retries {
			return err
		}
		s.print(fmt.Sprintf("##[warning]%v; trying again (%d of %d)", err, n+1, retries))
		select {
		case <-time.After(time.Duration(max(pause, 0)) * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *stepRun) copyOne(from, to string) error {
	info, err := s.space.root.Lstat(to)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("copying %s: there is a folder at %s", from, to)
	case err == nil && !s.flag("OverWrite", false):
		s.print(fmt.Sprintf("File %s already exists at %s", path.Base(from), s.space.path(to)))
		return nil
	case err == nil:
		if err := s.space.root.Remove(to); err != nil {
			return fmt.Errorf("replacing %s: %w", to, err)
		}
	}
	f, from0, err := s.space.open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := s.space.mkdirAll(path.Dir(filepath.ToSlash(to))); err != nil {
		return fmt.Errorf("making the folder of %s: %w", to, err)
	}
	if err := s.space.create(to, f, from0.Mode().Perm()); err != nil {
		return fmt.Errorf("copying %s to %s: %w", from, to, err)
	}
	if s.flag("preserveTimestamp", false) {
		if err := s.space.root.Chtimes(to, from0.ModTime(), from0.ModTime()); err != nil {
			return fmt.Errorf("setting the time of %s: %w", to, err)
		}
	}
	s.print(fmt.Sprintf("Copying %s to %s", s.space.path(from), s.space.path(to)))
	return nil
}

// create makes a file of the user of the steps from a stream.
func (w *workspace) create(name string, content io.Reader, mode fs.FileMode) error {
	f, err := w.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if w.uid != nil {
		err = errors.Join(err, f.Chown(int(*w.uid), int(*w.gid)))
	}
	return errors.Join(err, f.Close())
}

// clean removes what is in a folder of the workspace, not the folder itself. The folders
// of the job itself stay.
func (w *workspace) clean(dir string) error {
	if dir == "." {
		return errors.New("the workspace of the job itself cannot be emptied")
	}
	entries, err := fs.ReadDir(w.root.FS(), filepath.ToSlash(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("emptying %s: %w", dir, err)
	}
	for _, e := range entries {
		if err := w.root.RemoveAll(path.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("emptying %s: %w", dir, err)
		}
	}
	return nil
}

// deleteFiles is DeleteFiles@1 (K028): what matches goes, folders with all that is in them.
func deleteFiles(_ context.Context, s *stepRun) error {
	folder := s.input("SourceFolder")
	rel, err := s.space.inside(s.space.path(dirSources), folder)
	if err != nil {
		return err
	}
	if _, err := s.space.root.Stat(rel); errors.Is(err, fs.ErrNotExist) {
		s.print("There is no folder " + s.space.path(rel) + ": nothing to delete.")
		return nil
	}
	patterns := strings.Split(s.input("Contents"), "\n")
	all, err := s.matched(folder, patterns, true)
	if err != nil {
		return err
	}
	dots := s.flag("RemoveDotFiles", false)
	removed := 0
	for _, e := range slices.Backward(all) {
		if !dots && strings.Contains("/"+e.name, "/.") {
			continue
		}
		if err := s.space.root.RemoveAll(e.path); err != nil {
			return fmt.Errorf("deleting %s: %w", s.space.path(e.path), err)
		}
		removed++
	}
	s.print(fmt.Sprintf("Deleted %d files and folders", removed))
	if s.flag("RemoveSourceFolder", false) && !slices.Contains([]string{".", dirSources, dirStaging, dirBinaries, dirTests, dirTemp, dirHome}, rel) {
		if err := s.space.root.Remove(rel); err != nil {
			s.print("The folder " + s.space.path(rel) + " stays: it is not empty.")
		}
	}
	return nil
}
