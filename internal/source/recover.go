package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Recover makes good what a crash left behind: it announces refs that moved without an
// event, under the name of who pushed them, strikes pushes that came to nothing, and
// removes git's lock files, quarantines and folders without a repository. Call it after
// New and before the first push. One broken repository does not stop the others; its
// error is joined to the result.
func (s *Service) Recover(ctx context.Context) error {
	repos, err := s.list(ctx, `SELECT `+repoColumns+` FROM source_repo ORDER BY id`)
	if err != nil {
		return err
	}
	keep := map[string]bool{s.blank: true}
	var errs []error
	for _, r := range repos {
		keep[s.dir(r)] = true
		if err := s.recoverRepo(ctx, r); err != nil {
			errs = append(errs, fmt.Errorf("recovering %s: %w", r.FullName(), err))
		}
	}
	return errors.Join(append(errs, s.sweep(keep))...)
}

func (s *Service) recoverRepo(ctx context.Context, r Repo) error {
	release, err := s.enter(ctx, r)
	if err != nil {
		return err
	}
	defer release()
	if err := clean(s.dir(r)); err != nil {
		return err
	}
	_, facts, err := s.settle(ctx, r)
	if len(facts) > 0 {
		s.opts.Logger.Info("announced refs that moved before the last stop", "repo", r.FullName(), "events", len(facts))
	}
	return err
}

// clean removes what a killed git leaves: lock files, which would refuse every later
// push, and objects of a push that was never accepted. No git runs in the folder now,
// because git dies with the server.
func clean(dir string) error {
	quarantines, err := filepath.Glob(filepath.Join(dir, "objects", "tmp_objdir-*"))
	if err != nil {
		return err
	}
	for _, q := range quarantines {
		if err := os.RemoveAll(q); err != nil {
			return fmt.Errorf("removing a quarantine: %w", err)
		}
	}
	for _, name := range []string{"HEAD.lock", "packed-refs.lock", "config.lock", "shallow.lock"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing a lock: %w", err)
		}
	}
	return filepath.WalkDir(filepath.Join(dir, "refs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".lock") {
			return err
		}
		return os.Remove(path)
	})
}

// sweep removes folders that belong to no repository because it was being made. One
// with content is left alone: the database may be the thing that is wrong.
func (s *Service) sweep(keep map[string]bool) error {
	entries, err := os.ReadDir(s.repos)
	if err != nil {
		return fmt.Errorf("sweeping repositories: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(s.repos, e.Name())
		if keep[path] || !e.IsDir() || !strings.HasPrefix(e.Name(), "new-") && !strings.HasSuffix(e.Name(), ".git") {
			continue
		}
		if !bare(path) {
			s.opts.Logger.Warn("a folder with objects belongs to no repository and is kept", "folder", path)
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("sweeping repositories: %w", err)
		}
	}
	return nil
}

// bare reports whether a repository's folder holds neither objects nor refs.
func bare(dir string) bool {
	for _, sub := range []string{"objects", "refs"} {
		err := filepath.WalkDir(filepath.Join(dir, sub), func(_ string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return err
			case !d.IsDir():
				return fs.ErrExist
			}
			return nil
		})
		if err != nil {
			return false
		}
	}
	return true
}
