package pipeline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/store"
)

// forgetUnready drops the pods whose agents had not come when the server ended: one that was killed
// between making a pod and its secret leaves a pod that never starts. Their jobs get others.
func (s *Service) forgetUnready(ctx context.Context) error {
	return s.again(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM agent_pod WHERE ready = 0`); err != nil {
			return fmt.Errorf("removing the pods that were being made: %w", err)
		}
		return nil
	})
}

// sweepPods takes pods away that have no row: those that outlived theirs, or that were made
// after the backup from which the database was restored. No token of theirs is known.
func (s *Service) sweepPods(ctx context.Context, f fleet) error {
	known := map[string]bool{}
	for _, rows := range f.rows {
		for _, r := range rows {
			known[r.name] = true
		}
	}
	var errs []error
	for name, st := range f.states {
		if known[name] || st.Leaving {
			continue
		}
		s.logger.Warn("removing a pod that no agent is known of", "pod", name, "namespace", st.Namespace)
		errs = append(errs, s.pods.Delete(ctx, st.Namespace, name))
	}
	return errors.Join(errs...)
}

// podState is how a pod was when pods were last looked at.
func (s *Service) podState(name string) pool.PodState {
	if states := s.states.Load(); states != nil {
		return (*states)[name]
	}
	return pool.PodState{}
}

// podWords says how the agent of a pod is: working, free, ending, starting, or what keeps it
// from that.
func (s *Service) podWords(a *Agent) string {
	st := s.podState(a.Name)
	switch {
	case a.Running > 0:
		return "working"
	case st.Over, a.State == pool.Ending:
		return pool.Ending
	case a.Online:
		return "free"
	case st.Why != "":
		return "starting: " + firstLine(st.Why)
	}
	return "starting"
}

// podWaits says what keeps the pod of a queued job from starting; "" when nothing does that the
// cluster tells.
func (s *Service) podWaits(ctx context.Context, job string) (string, error) {
	states := s.states.Load()
	if states == nil {
		return "", nil
	}
	for name, st := range *states {
		if st.Why == "" {
			continue
		}
		var of string
		err := s.db.QueryRow(ctx, `SELECT job FROM agent_pod WHERE name = ?`, name).Scan(&of)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return "", fmt.Errorf("reading the job of a pod: %w", err)
		}
		if of == job {
			return "its pod cannot start yet: " + firstLine(st.Why), nil
		}
	}
	return "", nil
}
