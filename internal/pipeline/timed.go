package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/cron"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// The reasons of runs beside those that people and pull requests give (P003).
const (
	reasonCI       = "IndividualCI"
	reasonBatch    = "BatchedCI"
	reasonSchedule = "Schedule"
)

// platform is who asks for a run that nobody asks for. No user can have this name.
const platform = "towpath"

// keepSchedules replaces the timed triggers of a branch by those of its file as it is now:
// a file says when its own branch runs, and nothing of others (X020).
func (s *Service) keepSchedules(ctx context.Context, o Order, list []plan.Schedule) error {
	now := s.clock.Now()
	return s.again(ctx, func(tx *store.Tx) error {
		old, err := dueTimes(ctx, tx, o.key(), o.Ref)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM pipeline_schedule WHERE pipeline = ? AND ref = ?`, o.key(), o.Ref); err != nil {
			return fmt.Errorf("replacing the schedules of %s: %w", o.Repo, err)
		}
		for i, sc := range list {
			c, err := cron.Parse(sc.Cron)
			if err != nil || !sc.Matches(o.Ref) {
				continue // the compiler has said what is wrong
			}
			due := c.Next(now)
			if was, ok := old[sc.Cron]; ok && was.Before(due) {
				due = was // a push must not swallow a time that has come
			}
			_, err = tx.Exec(ctx, `INSERT INTO pipeline_schedule (pipeline, ref, position, project, cron, title, always, batch, due) VALUES (?,?,?,?,?,?,?,?,?)`,
				o.key(), o.Ref, i, o.Project, sc.Cron, sc.DisplayName, bit(sc.Always), bit(sc.Batch), millis(due))
			if err != nil {
				return fmt.Errorf("adding a schedule of %s: %w", o.Repo, err)
			}
		}
		return nil
	})
}

// dueTimes are the times of the schedules of a branch by their expressions.
func dueTimes(ctx context.Context, tx *store.Tx, pipeline, ref string) (map[string]time.Time, error) {
	rows, err := tx.Query(ctx, `SELECT cron, due FROM pipeline_schedule WHERE pipeline = ? AND ref = ?`, pipeline, ref)
	if err != nil {
		return nil, fmt.Errorf("reading the schedules of %s: %w", pipeline, err)
	}
	defer rows.Close()
	out := map[string]time.Time{}
	for rows.Next() {
		var text string
		var due int64
		if err := rows.Scan(&text, &due); err != nil {
			return nil, fmt.Errorf("reading the schedules of %s: %w", pipeline, err)
		}
		out[text] = fromMillis(due)
	}
	return out, rows.Err()
}

// timed is a schedule whose time has come.
type timed struct {
	project, pipeline, ref, cron, title string
	position                            int
	always, batch                       bool
	due                                 time.Time
}

// StartDue starts the runs of the schedules whose time has come at the clock's now, and
// those of batches that no run holds back any more. Run does so every second. A server that
// was down starts a missed run once.
func (s *Service) StartDue(ctx context.Context) error {
	now := s.clock.Now()
	list, err := s.due(ctx, now)
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range list {
		if err := s.startTimed(ctx, t, now); err != nil {
			errs = append(errs, fmt.Errorf("starting the schedule %q of %s: %w", t.cron, t.pipeline, err))
		}
	}
	return errors.Join(append(errs, s.startBatches(ctx))...)
}

// perLook bounds how many schedules are looked at in one go.
const perLook = 200

func (s *Service) due(ctx context.Context, now time.Time) ([]timed, error) {
	rows, err := s.db.Query(ctx, `SELECT project, pipeline, ref, cron, title, position, always, batch, due FROM pipeline_schedule WHERE due <= ? ORDER BY due, pipeline, ref, position LIMIT ?`,
		millis(now), perLook)
	if err != nil {
		return nil, fmt.Errorf("reading the schedules: %w", err)
	}
	defer rows.Close()
	var out []timed
	for rows.Next() {
		var t timed
		var always, batch, due int64
		if err := rows.Scan(&t.project, &t.pipeline, &t.ref, &t.cron, &t.title, &t.position, &always, &batch, &due); err != nil {
			return nil, fmt.Errorf("reading the schedules: %w", err)
		}
		t.always, t.batch, t.due = always == 1, batch == 1, fromMillis(due)
		out = append(out, t)
	}
	return out, rows.Err()
}

// startTimed starts the run of a schedule when there is reason to, and sets its next time.
// The run has the time as its cause, so that a crash between the two starts it once.
func (s *Service) startTimed(ctx context.Context, t timed, now time.Time) error {
	c, err := cron.Parse(t.cron)
	if err != nil {
		return s.forget(ctx, t)
	}
	repo, file := SplitKey(t.pipeline)
	_, commit, title, err := s.source.Resolve(ctx, system(), repo, t.ref)
	if fault.Is(err, fault.NotFound) {
		return s.forget(ctx, t) // The branch or the repository is gone.
	}
	if err != nil {
		return err
	}
	wanted, err := s.wanted(ctx, t, commit)
	if err != nil {
		return err
	}
	if wanted {
		o := Order{
			Repo: repo, File: file, Project: t.project, Ref: t.ref, Commit: commit, Title: title, Reason: reasonSchedule, Requester: platform, Schedule: t.title,
			cause: fmt.Sprintf("schedule:%s@%s#%d@%d", t.pipeline, t.ref, t.position, millis(t.due)), actor: system().String(),
		}
		if err := s.startOrRefuse(ctx, o); err != nil {
			return err
		}
	}
	return s.again(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE pipeline_schedule SET due = ? WHERE pipeline = ? AND ref = ? AND position = ? AND due = ?`,
			millis(c.Next(now)), t.pipeline, t.ref, t.position, millis(t.due))
		return err
	})
}

// startOrRefuse compiles the file of an order and starts its run; a file that does not
// compile is an event, none at all is nothing, and so is a pipeline that is disabled or gone.
func (s *Service) startOrRefuse(ctx context.Context, o Order) error {
	d, err := s.define(ctx, &o)
	if err != nil || refuseDisabled(d) != nil {
		return err
	}
	compiled, found, err := s.compile(ctx, o)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if found.Failed() {
		return s.refuse(ctx, o, found)
	}
	_, err = s.start(ctx, o, compiled)
	return s.refuseStart(ctx, o, err)
}

// wanted reports whether a schedule has a reason to run: without always, only a commit that
// the last successful scheduled run had not; with batch, only when none goes on (X020).
func (s *Service) wanted(ctx context.Context, t timed, commit string) (bool, error) {
	var going, done int
	repo, file := SplitKey(t.pipeline)
	err := s.db.QueryRow(ctx, `SELECT COUNT(*) FROM pipeline_run WHERE repo = ? AND file = ? AND ref = ? AND reason = ? AND status <> ?`,
		repo, file, t.ref, reasonSchedule, string(plan.Completed)).Scan(&going)
	if err != nil {
		return false, fmt.Errorf("looking for scheduled runs: %w", err)
	}
	if t.batch && going > 0 {
		return false, nil
	}
	if t.always {
		return true, nil
	}
	err = s.db.QueryRow(ctx, `SELECT COUNT(*) FROM pipeline_run WHERE hash = ? AND number = (SELECT MAX(number) FROM pipeline_run
		WHERE repo = ? AND file = ? AND ref = ? AND reason = ? AND result IN (?, ?))`,
		commit, repo, file, t.ref, reasonSchedule, string(plan.Succeeded), string(plan.SucceededWithIssues)).Scan(&done)
	if err != nil {
		return false, fmt.Errorf("looking for the last scheduled run: %w", err)
	}
	return done == 0, nil
}

func (s *Service) forget(ctx context.Context, t timed) error {
	return s.again(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM pipeline_schedule WHERE pipeline = ? AND ref = ? AND position = ?`, t.pipeline, t.ref, t.position)
		return err
	})
}

// going reports whether a CI run of a branch goes on.
func going(ctx context.Context, h store.Handle, pipeline, ref string) (bool, error) {
	var n int
	repo, file := SplitKey(pipeline)
	err := h.QueryRow(ctx, `SELECT COUNT(*) FROM pipeline_run WHERE repo = ? AND file = ? AND ref = ? AND reason IN (?, ?) AND status <> ?`,
		repo, file, ref, reasonCI, reasonBatch, string(plan.Completed)).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("looking for runs of %s: %w", ref, err)
	}
	return n > 0, nil
}

// collect keeps a push for later when a run of its branch goes on (X021). What has
// collected is one push, from before the first to the newest commit.
func (s *Service) collect(ctx context.Context, p pushed) (kept bool, err error) {
	err = s.again(ctx, func(tx *store.Tx) error {
		c := p.Commit
		kept, err = going(ctx, tx, p.Pipeline, c.Ref)
		if err != nil || !kept {
			return err
		}
		first, found, err := heldPush(ctx, tx, p.Pipeline, c.Ref)
		if err != nil {
			return err
		}
		if found {
			p.Commit.Before = first.Commit.Before
		}
		p.Batch = true
		_, err = tx.Exec(ctx, `INSERT INTO pipeline_batch (pipeline, ref, push) VALUES (?,?,?) ON CONFLICT (pipeline, ref) DO UPDATE SET push = excluded.push`, p.Pipeline, c.Ref, text(p))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("keeping a push for its batch: %w", err)
	}
	return kept, nil
}

func heldPush(ctx context.Context, tx *store.Tx, pipeline, ref string) (p pushed, found bool, err error) {
	rows, err := tx.Query(ctx, `SELECT push FROM pipeline_batch WHERE pipeline = ? AND ref = ?`, pipeline, ref)
	if err != nil {
		return p, false, err
	}
	defer rows.Close()
	for rows.Next() {
		var raw string
		if err := rows.Scan(&raw); err != nil {
			return p, false, err
		}
		if err := json.Unmarshal([]byte(raw), &p); err != nil {
			return p, false, fmt.Errorf("reading a push of a batch: %w", err)
		}
		found = true
	}
	return p, found, rows.Err()
}

// startBatches hands the pushes that have collected on, once their branch is free.
func (s *Service) startBatches(ctx context.Context) error {
	rows, err := s.db.Query(ctx, `SELECT pipeline, ref FROM pipeline_batch`)
	if err != nil {
		return fmt.Errorf("reading the batches: %w", err)
	}
	var places [][2]string
	for rows.Next() {
		var at [2]string
		if err = rows.Scan(&at[0], &at[1]); err != nil {
			break
		}
		places = append(places, at)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("reading the batches: %w", err)
	}
	for _, at := range places {
		if err := s.releaseBatch(ctx, at[0], at[1]); err != nil {
			return fmt.Errorf("starting the batch of %s: %w", at[0], err)
		}
	}
	return nil
}

func (s *Service) releaseBatch(ctx context.Context, pipeline, ref string) error {
	return s.again(ctx, func(tx *store.Tx) error {
		busy, err := going(ctx, tx, pipeline, ref)
		if err != nil || busy {
			return err
		}
		p, found, err := heldPush(ctx, tx, pipeline, ref)
		if err != nil || !found {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM pipeline_batch WHERE pipeline = ? AND ref = ?`, pipeline, ref); err != nil {
			return err
		}
		p.Pipeline = pipeline // A row of an older server does not say.
		_, file := SplitKey(pipeline)
		return s.queue.Enqueue(ctx, tx, kindPush, Key(p.Event+":batch", file), p)
	})
}

// watchTriggers starts what is due until ctx ends.
func (s *Service) watchTriggers(ctx context.Context) {
	for {
		if err := s.StartDue(ctx); err != nil && ctx.Err() == nil {
			s.logger.Error("starting what is due", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}
