package pipeline

import (
	"context"
	"errors"
	"fmt"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// Cancel asks a run to end: what has not started is cancelled, running steps are
// interrupted, steps with always() still run. It needs the write role.
func (s *Service) Cancel(ctx context.Context, a identity.Actor, n int64) error {
	if _, err := s.authorized(ctx, a, n, identity.Write); err != nil {
		return err
	}
	return s.again(ctx, func(tx *store.Tx) error {
		r, err := s.loadRun(ctx, tx, n)
		if err != nil {
			return err
		}
		if r.Status == plan.Completed {
			// What is left of it is what somebody keeps.
			if kept, err := s.endStays(ctx, tx, n, "cancelled by "+a.String(), a.String()); err != nil || kept > 0 {
				return err
			}
			return fault.New(fault.Conflict, "Run %d has ended already: %s.", n, word(r.Result))
		}
		if r.canceled != "" {
			return nil
		}
		return s.cancel(ctx, tx, r, "cancelled by "+a.String())
	})
}

// StartStage starts a manual stage once the stages it depends on are complete. It needs
// the write role.
func (s *Service) StartStage(ctx context.Context, a identity.Actor, n int64, stage string) error {
	return s.onStage(ctx, a, n, stage, func(tx *store.Tx, r *runRow, planned *plan.Stage) error {
		if !planned.Manual {
			return fault.New(fault.Conflict, "The stage %s starts by itself.", planned.Name)
		}
		res, err := tx.Exec(ctx, `UPDATE pipeline_stage SET requested = ? WHERE run = ? AND name = ? AND requested = '' AND status = 'Pending'`, a.String(), n, planned.Name)
		if err != nil {
			return fmt.Errorf("starting stage %s: %w", planned.Name, err)
		}
		if changed, err := res.RowsAffected(); err != nil || changed == 0 {
			return errors.Join(err, fault.New(fault.Conflict, "The stage %s has been started already.", planned.Name))
		}
		return s.advance(ctx, tx, r)
	})
}

// onStage does something to a stage of a run in one transaction. It needs the write role.
func (s *Service) onStage(ctx context.Context, a identity.Actor, n int64, stage string, do func(*store.Tx, *runRow, *plan.Stage) error) error {
	if _, err := s.authorized(ctx, a, n, identity.Write); err != nil {
		return err
	}
	return s.again(ctx, func(tx *store.Tx) error {
		r, err := s.loadRun(ctx, tx, n)
		if err != nil {
			return err
		}
		planned := r.plan.Stage(stage)
		if planned == nil {
			return fault.New(fault.NotFound, "Run %d has no stage %q.", n, clip(stage))
		}
		return do(tx, r, planned)
	})
}

// attempts bounds how often a transaction begins again that lost against another one.
const attempts = 5

// again runs a transaction, from its beginning when PostgreSQL rolled it back in favour of
// another: a job that ends, a run that is cancelled and one that takes the place of another
// touch the same rows in opposite orders. fn reads everything anew each time.
func (s *Service) again(ctx context.Context, fn func(tx *store.Tx) error) error {
	for n := 1; ; n++ {
		err := s.db.Tx(ctx, fn)
		if !store.Clash(err) || n == attempts || ctx.Err() != nil {
			return err
		}
	}
}
