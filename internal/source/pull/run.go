package pull

import (
	"context"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/store"
)

// Run hears of pushes and keeps the pull requests up to date, until ctx ends; it then
// returns nil. One process runs it.
func (s *Service) Run(ctx context.Context) error {
	_, err := s.db.Exec(ctx, `UPDATE source_pull SET dirty = dirty + 1 WHERE merging <> '' AND state = ?`, Open)
	if err != nil {
		return fmt.Errorf("looking for interrupted merges: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- s.log.Consume(ctx, "pull", s.onEvent, s.opts.Logger) }()
	s.work(ctx)
	return <-done
}

// onEvent marks the pull requests whose branches moved; the work is done beside it,
// because an event's transaction waits for nobody.
func (s *Service) onEvent(ctx context.Context, tx *store.Tx, e event.Event) error {
	var repo, ref string
	switch e.Type {
	case event.TypeCommitPushed:
		var c event.CommitPushed
		if err := e.Into(&c); err != nil {
			return err
		}
		repo, ref = c.Repo, c.Ref
	case event.TypeRefDeleted:
		var d event.RefDeleted
		if err := e.Into(&d); err != nil {
			return err
		}
		repo, ref = e.Subject.ID(), d.Ref
	default:
		return nil
	}
	branch, ok := cutBranch(ref)
	if !ok {
		return nil
	}
	res, err := tx.Exec(ctx, `UPDATE source_pull SET dirty = dirty + 1 WHERE repo = ? AND state = ? AND (source = ? OR target = ?)`, repo, Open, branch, branch)
	if err != nil {
		return fmt.Errorf("marking the pull requests of %s: %w", repo, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	tx.AfterCommit(s.signal)
	return nil
}

func (s *Service) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// again is how long a pull request waits that could not be brought up to date.
const again = 2 * time.Second

// work brings marked pull requests up to date until ctx ends.
func (s *Service) work(ctx context.Context) {
	for {
		err := s.Sweep(ctx)
		if err != nil && ctx.Err() == nil {
			s.opts.Logger.Error("pull requests are not up to date yet", "error", err, "retry_in", again)
		}
		t := time.NewTimer(again)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		case <-s.wake:
		}
		t.Stop()
	}
}

// Sweep brings every pull request up to date of which an event said that a branch moved.
// Run does so by itself; one that fails does not hold up the others.
func (s *Service) Sweep(ctx context.Context) error {
	list, err := rows(ctx, s.db, `p.dirty > 0 ORDER BY p.repo, p.number LIMIT 1000`)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range list {
		if err := s.refresh(ctx, p.Repo, p.Number); err != nil {
			errs = append(errs, err)
			continue
		}
		// It may have become dirty again since.
		if _, err := s.db.Exec(ctx, `UPDATE source_pull SET dirty = 0 WHERE repo = ? AND number = ? AND dirty = ?`, p.Repo, p.Number, p.dirty); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	return errors.Join(errs...)
}
