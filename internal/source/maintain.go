package source

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// manyPacks is how many packs a repository may have before they are joined: each push
// brings one, and every read looks through all.
const manyPacks = 20

// Maintain joins the packs and refs of repositories that many pushes have scattered, and
// writes their commit graph. It runs beside pushes and fetches; call it now and then. One
// broken repository does not stop the others.
func (s *Service) Maintain(ctx context.Context) error {
	repos, err := s.list(ctx, `SELECT `+repoColumns+` FROM source_repo ORDER BY id`)
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range repos {
		packs, err := filepath.Glob(filepath.Join(s.dir(r), "objects", "pack", "*.pack"))
		if err == nil && len(packs) >= manyPacks {
			err = s.join(ctx, r)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("maintaining %s: %w", r.FullName(), err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// join never drops an object: what was force-pushed away stays reachable for the
// evidence that names it.
func (s *Service) join(ctx context.Context, r Repo) error {
	for _, args := range [][]string{
		{"repack", "-q", "-d", "--geometric=2"},
		{"pack-refs", "--all"},
		{"commit-graph", "write", "--reachable", "--no-progress"},
	} {
		ctx, cancel := context.WithTimeout(ctx, maxTransfer)
		_, err := s.git.Run(ctx, s.dir(r), nil, 1<<20, args...)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}
