package pipeline

import (
	"context"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// RetryStage brings a stage that its checks have ended, because they timed out (C014), were
// refused or a newer run took its place, to its gate once more. Everything is asked anew, as
// the checks are now. Stages behind it that have not started since follow. It needs the
// write role.
func (s *Service) RetryStage(ctx context.Context, a identity.Actor, n int64, stage string) error {
	return s.onStage(ctx, a, n, stage, func(tx *store.Tx, r *runRow, planned *plan.Stage) error {
		if r.canceled != "" {
			return fault.New(fault.Conflict, "Run %d was cancelled.", n).WithNext("run the same commit again: towpath run rerun %d", n)
		}
		rows, err := loadStages(ctx, tx, n)
		if err != nil {
			return err
		}
		again := behind(r.plan, rows, planned.Name)
		if len(again) == 0 {
			return fault.New(fault.Conflict, "The stage %s was not ended by its checks.", planned.Name).WithNext("run the same commit again: towpath run rerun %d", n)
		}
		for _, name := range again {
			if err := resetStage(ctx, tx, n, name); err != nil {
				return err
			}
		}
		if err := s.reopen(ctx, tx, r, a); err != nil {
			return err
		}
		return s.advance(ctx, tx, r)
	})
}

// behind are a stage that its gate has ended and those that depend on it and never started;
// none when the stage was not ended by its gate.
func behind(p *plan.Plan, rows []stageRow, first string) []string {
	byName := map[string]*stageRow{}
	for i := range rows {
		byName[rows[i].name] = &rows[i]
	}
	if row := byName[first]; row == nil || row.status != plan.Completed || row.gate != gateShut || !row.started.IsZero() {
		return nil
	}
	reset := map[string]bool{first: true}
	out := []string{first}
	// A stage may stand before one that it depends on in the file.
	for grown := true; grown; {
		grown = false
		for i := range p.Stages {
			name := p.Stages[i].Name
			row := byName[name]
			if reset[name] || row == nil || row.status != plan.Completed || !row.started.IsZero() {
				continue
			}
			for _, d := range p.Stages[i].DependsOn {
				if reset[p.Stage(d).Name] {
					reset[name], grown = true, true
					out = append(out, name)
					break
				}
			}
		}
	}
	return out
}

// resetStage makes a stage one that has not been looked at.
func resetStage(ctx context.Context, tx *store.Tx, n int64, stage string) error {
	_, err := tx.Exec(ctx, `UPDATE pipeline_stage SET status = 'Pending', result = '', why = '', requested = '', variables = '', started = 0, finished = 0,
		gate = '', held = 0, wake = 0, attempt = attempt + 1 WHERE run = ? AND name = ?`, n, stage)
	if err != nil {
		return fmt.Errorf("starting stage %s again: %w", stage, err)
	}
	_, err = tx.Exec(ctx, `UPDATE pipeline_job SET status = 'Pending', result = '', why = '', finished = 0 WHERE run = ? AND stage = ?`, n, stage)
	if err != nil {
		return fmt.Errorf("starting the jobs of stage %s again: %w", stage, err)
	}
	return nil
}

// reopen makes a run that has ended one that goes on.
func (s *Service) reopen(ctx context.Context, tx *store.Tx, r *runRow, a identity.Actor) error {
	if r.Status != plan.Completed {
		return nil
	}
	kind := event.TypeRunStarted
	r.Status, r.Result, r.Why, r.Finished = plan.Running, "", "", time.Time{}
	if r.Started.IsZero() {
		r.Status, kind = plan.Pending, event.TypeRunQueued
	}
	_, err := tx.Exec(ctx, `UPDATE pipeline_run SET status = ?, result = '', why = '', finished = 0 WHERE number = ?`, r.Status, r.Number)
	if err != nil {
		return fmt.Errorf("reopening run %d: %w", r.Number, err)
	}
	return s.log.Append(ctx, tx, s.runFact(kind, r, a.String()))
}
