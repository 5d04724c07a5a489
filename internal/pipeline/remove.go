package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// Retain removes the runs that the rules let go at the clock's now. Run does so every ten
// minutes. What it removes is rows, logs, artifacts and test results; the logbook keeps what
// happened, and run.removed says what was taken away.
func (s *Service) Retain(ctx context.Context) error {
	projects, err := s.column(ctx, `SELECT DISTINCT project FROM pipeline_run`)
	if err != nil {
		return err
	}
	var errs []error
	for _, project := range projects {
		numbers, err := s.expiredRuns(ctx, project)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, n := range numbers {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := s.remove(ctx, n); err != nil {
				errs = append(errs, fmt.Errorf("removing run %d: %w", n, err))
			}
		}
	}
	return errors.Join(append(errs, s.dropWaste(ctx))...)
}

// column reads a query of one column of texts.
func (s *Service) column(ctx context.Context, query string, args ...any) ([]string, error) {
	return column(ctx, s.db, query, args...)
}

func column(ctx context.Context, h store.Handle, query string, args ...any) ([]string, error) {
	rows, err := h.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading runs: %w", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, fmt.Errorf("reading runs: %w", err)
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// digests are the tables that refer to blobs.
var digests = []string{"pipeline_artifact", "pipeline_test_run", "pipeline_attachment", "pipeline_coverage"}

// remove takes a run away in one transaction, unless it was started again or kept meanwhile.
// Its blobs are waste from then on, its logs go after the commit.
func (s *Service) remove(ctx context.Context, n int64) error {
	err := s.again(ctx, func(tx *store.Tx) error {
		r, err := s.loadRun(ctx, tx, n)
		if err != nil {
			return err
		}
		var held int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM pipeline_keep WHERE run = ?`, n).Scan(&held); err != nil {
			return err
		}
		standing, err := openStays(ctx, tx, n)
		if err != nil {
			return err
		}
		if r.Status != "Completed" || held > 0 || len(standing) > 0 {
			return errDone
		}
		fact, err := s.farewell(ctx, tx, r)
		if err != nil {
			return err
		}
		for _, table := range digests {
			if _, err := tx.Exec(ctx, `INSERT INTO pipeline_waste (digest) SELECT DISTINCT digest FROM `+table+` WHERE run = ? ON CONFLICT (digest) DO NOTHING`, n); err != nil {
				return err
			}
		}
		for _, q := range []string{
			`DELETE FROM pipeline_test_case WHERE run = ?`, `DELETE FROM pipeline_test_failure WHERE test_run IN (SELECT id FROM pipeline_test_run WHERE run = ?)`,
			`DELETE FROM pipeline_test_run WHERE run = ?`, `DELETE FROM pipeline_artifact WHERE run = ?`, `DELETE FROM pipeline_attachment WHERE run = ?`,
			`DELETE FROM pipeline_tag WHERE run = ?`, `DELETE FROM pipeline_coverage WHERE run = ?`, `DELETE FROM pipeline_attempt WHERE run = ?`,
			`DELETE FROM pipeline_stay WHERE run = ?`, `DELETE FROM pipeline_terminal WHERE run = ?`, `DELETE FROM pipeline_entry WHERE run = ?`, `DELETE FROM pipeline_lock WHERE run = ?`,
			`DELETE FROM pipeline_step WHERE job IN (SELECT id FROM pipeline_job WHERE run = ?)`, `DELETE FROM pipeline_job WHERE run = ?`,
			`DELETE FROM pipeline_stage WHERE run = ?`, `DELETE FROM pipeline_run WHERE number = ?`,
		} {
			if _, err := tx.Exec(ctx, q, n); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `INSERT INTO pipeline_removed (run, project, repo, name, ref, hash, result, why, removed) VALUES (?,?,?,?,?,?,?,?,?)`,
			n, r.Project, r.Repo, r.Name, r.Ref, r.Commit, string(r.Result), "retention", millis(s.clock.Now()))
		if err != nil {
			return err
		}
		return s.log.Append(ctx, tx, fact)
	})
	if errors.Is(err, errDone) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.logs.Remove(n)
}

// farewell is what the logbook says of a run that goes: what it was, and the digests of what
// it left, so that a copy elsewhere can still be told to be the one.
func (s *Service) farewell(ctx context.Context, tx *store.Tx, r *runRow) (event.Fact, error) {
	list, err := artifacts(ctx, tx, r.Number)
	if err != nil {
		return event.Fact{}, err
	}
	p := event.RunRemoved{V: 1, Run: r.Number, Name: r.Name, Repo: r.Repo, Ref: r.Ref, Commit: r.Commit, Result: word(r.Result), Finished: r.Finished}
	for _, a := range list {
		p.Artifacts = append(p.Artifacts, event.RemovedArtifact{Name: a.Name, Digest: a.Digest, Bytes: a.Bytes})
	}
	if p.Results, err = column(ctx, tx, `SELECT digest FROM pipeline_test_run WHERE run = ? ORDER BY created, id`, r.Number); err != nil {
		return event.Fact{}, err
	}
	return event.Fact{Type: event.TypeRunRemoved, Subject: event.OfRun(r.Number), Project: r.Project, Actor: system().String(), Payload: p}, nil
}

// dropWaste deletes the blobs of removed runs that no other run refers to. It does so only
// while nothing is being published: what is published may be the same bytes.
func (s *Service) dropWaste(ctx context.Context) error {
	if !s.publishing.TryLock() {
		return nil
	}
	defer s.publishing.Unlock()
	list, err := s.column(ctx, `SELECT digest FROM pipeline_waste`)
	if err != nil {
		return err
	}
	for _, digest := range list {
		used := 0
		for _, table := range digests {
			var n int
			if err := s.db.QueryRow(ctx, `SELECT COUNT(*) FROM `+table+` WHERE digest = ?`, digest).Scan(&n); err != nil {
				return err
			}
			used += n
		}
		if used == 0 {
			if err := s.blobs.Delete(ctx, digest); err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
		}
		err := s.again(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM pipeline_waste WHERE digest = ?`, digest)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// retainEvery is how often runs are looked at that may go.
const retainEvery = 10 * time.Minute

// watchRetention removes what may go until ctx ends.
func (s *Service) watchRetention(ctx context.Context) {
	t := time.NewTicker(retainEvery)
	defer t.Stop()
	for {
		if err := s.Retain(ctx); err != nil && ctx.Err() == nil {
			s.logger.Error("removing old runs", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// gone is the fault for a run that is not there: one that was removed is told as such.
func (s *Service) gone(ctx context.Context, project func(string) error, n int64) error {
	var of, name string
	var at int64
	err := s.db.QueryRow(ctx, `SELECT project, name, removed FROM pipeline_removed WHERE run = ?`, n).Scan(&of, &name, &at)
	if err != nil || project(of) != nil {
		return noRun(n)
	}
	return fault.New(fault.NotFound, "Run %d (%s) was removed on %s, as the rules of retention say.", n, name, fromMillis(at).Format("2006-01-02")).
		WithNext("the logbook has what it did: towpath log list --subject run:%d", n)
}
