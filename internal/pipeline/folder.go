package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"towpath.dev/towpath/internal/pipeline/plan"
)

// jobFolders holds a folder for each job whose tasks have left something to each other here.
func (s *Service) jobFolders() string { return filepath.Join(s.opts.Data, "run", "jobs") }

func (s *Service) jobFolder(id string) string { return filepath.Join(s.jobFolders(), id) }

// tidy removes the folders of jobs that are over, and none that a task still uses. It knows
// them by what there is: those of an earlier server go as well.
func (s *Service) tidy(ctx context.Context) error {
	list, err := os.ReadDir(s.jobFolders())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for what jobs have left: %w", err)
	}
	for _, e := range list {
		id := e.Name()
		if s.busy.has(id) {
			continue
		}
		row, err := loadJob(ctx, s.db, id)
		if err != nil {
			return err
		}
		if row != nil && row.status != plan.Completed {
			continue
		}
		if err := os.RemoveAll(s.jobFolder(id)); err != nil {
			return fmt.Errorf("removing what job %s has left: %w", id, err)
		}
	}
	return nil
}
