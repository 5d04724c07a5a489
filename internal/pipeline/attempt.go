package pipeline

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/logs"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// beginStage makes a stage one that has not been looked at, and the jobs of it that run
// again ones that have not started. A manual stage that was asked for by name needs no
// second word.
func (s *Service) beginStage(ctx context.Context, tx *store.Tx, r *runRow, row *stageRow, again *selection, a identity.Actor) error {
	requested := ""
	if planned := r.plan.Stage(row.name); planned.Manual && row.requested != "" && !again.after(planned) {
		requested = a.String()
	}
	res, err := tx.Exec(ctx, `UPDATE pipeline_stage SET status = 'Pending', result = '', why = '', requested = ?, skipped = '', variables = '', started = 0, finished = 0,
		gate = '', held = 0, wake = 0, attempt = attempt + 1 WHERE run = ? AND name = ? AND status = 'Completed' AND attempt = ?`, requested, r.Number, row.name, row.attempt)
	if err != nil {
		return fmt.Errorf("starting stage %s again: %w", row.name, err)
	}
	if changed, err := res.RowsAffected(); err != nil || changed == 0 {
		return errors.Join(err, fault.New(fault.Conflict, "The stage %s of run %d was started again a moment ago.", row.name, r.Number))
	}
	steps, err := s.loadSteps(ctx, tx, r.Number)
	if err != nil {
		return err
	}
	byName := map[string][]*jobRow{}
	for _, j := range again.jobs[row.name] {
		byName[j.name] = append(byName[j.name], j)
	}
	for i := range r.plan.Stage(row.name).Jobs {
		planned := &r.plan.Stage(row.name).Jobs[i]
		if err := s.beginJob(ctx, tx, r, row, planned, byName[planned.Name], again, steps); err != nil {
			return err
		}
	}
	return nil
}

// beginJob puts what is to run in the place of the rows of a job. All legs of a job that has
// some become one row again, which fans out anew.
func (s *Service) beginJob(ctx context.Context, tx *store.Tx, r *runRow, stage *stageRow, planned *plan.Job, rows []*jobRow, again *selection, steps map[string][]Step) error {
	if len(rows) == 0 {
		return nil
	}
	total, attempt, ran := 0, 1, false
	for _, j := range again.of(stage.name) {
		if j.name == planned.Name {
			total, attempt = total+1, max(attempt, j.attempt)
		}
	}
	for _, j := range rows {
		if err := s.settled(ctx, tx, j); err != nil {
			return err
		}
		if _, err := s.endStay(ctx, tx, j.id, "the job runs again", system().String()); err != nil {
			return err
		}
		if j.queued.IsZero() && j.result != plan.Failed {
			continue // Nothing happened that anybody could want to read.
		}
		ran = true
		if err := s.archive(ctx, tx, stage, j, s.showJob(j, planned, steps[j.id])); err != nil {
			return err
		}
	}
	if ran {
		attempt++
	}
	fresh := rows
	if len(rows) == total {
		fresh = []*jobRow{{stage: rows[0].stage, name: rows[0].name, run: r.Number, position: rows[0].position, environment: rows[0].environment}}
	}
	for _, j := range rows {
		if err := removeJob(ctx, tx, j.id); err != nil {
			return err
		}
	}
	for _, old := range fresh {
		j := &jobRow{
			id: s.clock.NewID(), run: old.run, stage: old.stage, name: old.name, leg: old.leg, position: old.position, status: plan.Pending,
			environment: old.environment, machine: old.machine, batch: old.batch, attempt: attempt,
		}
		if err := insertJob(ctx, tx, j); err != nil {
			return err
		}
	}
	return nil
}

// settled refuses to start a canary again whose last attempt is still being promoted or
// taken back: that would do it to the new one.
func (s *Service) settled(ctx context.Context, tx *store.Tx, j *jobRow) error {
	waits, err := s.queue.Waits(ctx, tx, kindSettle, j.id)
	if err != nil {
		return err
	}
	if waits {
		return fault.New(fault.Conflict, "What the canary of %s left open is still being promoted or taken back.", j.path()).WithNext("try again in a moment")
	}
	return nil
}

// archive keeps what an attempt was, as people read it.
func (s *Service) archive(ctx context.Context, tx *store.Tx, stage *stageRow, j *jobRow, view Job) error {
	_, err := tx.Exec(ctx, `INSERT INTO pipeline_attempt (id, run, stage, name, leg, attempt, stage_attempt, position, status, result, why, environment, machine, batch, queued, started, finished, body)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`, j.id, j.run, j.stage, j.name, j.leg, j.attempt, stage.attempt, j.position, j.status, j.result, j.why, j.environment,
		j.machine, j.batch, millis(j.queued), millis(j.started), millis(j.finished), text(view))
	if err != nil {
		return fmt.Errorf("keeping attempt %d of job %s: %w", j.attempt, j.path(), err)
	}
	if _, err := tx.Exec(ctx, `UPDATE pipeline_test_run SET past = 1 WHERE run = ? AND job = ?`, j.run, j.path()); err != nil {
		return fmt.Errorf("keeping the test results of job %s: %w", j.path(), err)
	}
	return nil
}

func removeJob(ctx context.Context, tx *store.Tx, id string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM pipeline_step WHERE job = ?`, id); err != nil {
		return fmt.Errorf("replacing the steps of a job: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM pipeline_job WHERE id = ?`, id); err != nil {
		return fmt.Errorf("replacing a job: %w", err)
	}
	return nil
}

// Attempts lists what the jobs of a run were in the attempts before the last one, by stage
// and job in the order of the file, oldest first. It needs the read role.
func (s *Service) Attempts(ctx context.Context, a identity.Actor, n int64) ([]Job, error) {
	if _, err := s.authorized(ctx, a, n, identity.Read); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT id, body FROM pipeline_attempt WHERE run = ? ORDER BY attempt, position, batch, leg`, n)
	if err != nil {
		return nil, fmt.Errorf("reading the attempts of run %d: %w", n, err)
	}
	defer rows.Close()
	out := []Job{}
	for rows.Next() {
		var id, body string
		var j Job
		if err := rows.Scan(&id, &body); err != nil {
			return nil, fmt.Errorf("reading the attempts of run %d: %w", n, err)
		}
		if err := json.Unmarshal([]byte(body), &j); err != nil {
			return nil, fmt.Errorf("reading the attempts of run %d: %w", n, err)
		}
		for i := range j.Steps {
			// The end of a log may come after the end of its job.
			if j.Steps[i].Lines, err = s.logs.Lines(logs.Ref{Run: n, Job: id, Step: j.Steps[i].Number}); err != nil {
				return nil, err
			}
		}
		out = append(out, j)
	}
	return out, rows.Err()
}

// pastJob finds the id of an attempt that was made again: "Build.Go#1" names the first of
// Build.Go. It is "" when the path names none.
func (s *Service) pastJob(ctx context.Context, n int64, job string) (string, error) {
	path, number, ok := strings.Cut(job, "#")
	attempt, err := strconv.Atoi(number)
	if !ok || err != nil {
		return "", nil
	}
	rows, err := s.db.Query(ctx, `SELECT id, stage, name, leg FROM pipeline_attempt WHERE run = ? AND attempt = ?`, n, attempt)
	if err != nil {
		return "", fmt.Errorf("reading the attempts of run %d: %w", n, err)
	}
	defer rows.Close()
	id := ""
	for rows.Next() {
		var j jobRow
		if err := rows.Scan(&j.id, &j.stage, &j.name, &j.leg); err != nil {
			return "", fmt.Errorf("reading the attempts of run %d: %w", n, err)
		}
		if strings.EqualFold(j.path(), path) {
			id = j.id
		}
	}
	return id, rows.Err()
}

// isPast reports whether a job's id is that of an attempt that was made again.
func (s *Service) isPast(ctx context.Context, id string) (bool, error) {
	var one int
	err := s.db.QueryRow(ctx, `SELECT 1 FROM pipeline_attempt WHERE id = ?`, id).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
