package pipeline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// pickForPod is pick for a pod: its own job, once.
func (s *Service) pickForPod(ctx context.Context, h store.Handle, c caller, ticket, lock string) (string, error) {
	var job, used, id string
	err := h.QueryRow(ctx, `SELECT job, ticket FROM agent_pod WHERE name = ?`+lock, c.pod.name).Scan(&job, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fault.New(fault.Unauthentic, "The pod is not wanted any more.")
	}
	if err != nil {
		return "", fmt.Errorf("reading the job of a pod: %w", err)
	}
	if used != "" && (used != ticket || ticket == "") {
		return "", fault.New(fault.Denied, "The token of the pod has been used: a pod runs one job.")
	}
	if job == "" {
		return "", nil
	}
	err = h.QueryRow(ctx, `SELECT id FROM pipeline_job WHERE id = ? AND (status = 'Queued' OR status = 'Running' AND ticket = ?)`, job, ticket).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return id, err
}

// use notes that a pod has claimed its job, after which its token claims nothing.
func (s *Service) use(ctx context.Context, tx *store.Tx, c caller, ticket string) error {
	if c.pod == nil {
		return nil
	}
	if _, err := tx.Exec(ctx, `UPDATE agent_pod SET ticket = ? WHERE name = ?`, ticket, c.pod.name); err != nil {
		return fmt.Errorf("noting that pod %s has its job: %w", c.pod.name, err)
	}
	return nil
}

// podCame notes that the agent of a pod is there.
func (s *Service) podCame(ctx context.Context, c caller, name string) error {
	if name != c.pod.name {
		return fault.New(fault.Denied, "The token is that of the pod %s, not of %s.", c.pod.name, name)
	}
	return s.again(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE agent_pod SET ready = 1 WHERE name = ?`, name); err != nil {
			return fmt.Errorf("noting that pod %s is there: %w", name, err)
		}
		return nil
	})
}
