package deploy

import (
	"context"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/store"
)

// Rollout is a release with the one that served before it.
type Rollout struct {
	Release         // without pods, images and hosts
	Baseline string // the release that was deployed before, "" for the first
}

// maxRollouts is how many releases one answer lists.
const maxRollouts = 500

// Rollouts returns the releases of all projects that were deployed since a moment, oldest
// first. It asks for no rights: it is for the platform itself.
func (s *Service) Rollouts(ctx context.Context, since time.Time) ([]Rollout, error) {
	return rollouts(ctx, s.DB, `r.result = ? AND r.finished >= ?`, Deployed, since.UnixMilli())
}

// RolloutsBetween returns the releases of a project, or of one of its environments, that
// were started in a range of time, whatever became of them, oldest first. It asks for no
// rights: it is for the platform itself.
func (s *Service) RolloutsBetween(ctx context.Context, project, environment string, from, to time.Time) ([]Rollout, error) {
	return rollouts(ctx, s.DB, `r.project = ? AND (? = '' OR r.environment = ?) AND r.started >= ? AND r.started < ?`,
		project, environment, environment, from.UnixMilli(), to.UnixMilli())
}

func rollouts(ctx context.Context, h store.Handle, where string, args ...any) ([]Rollout, error) {
	rows, err := h.Query(ctx, `SELECT r.project, r.environment, r.number, r.result, r.run, r.commit_sha, r.actor, r.requester, r.started, r.finished,
		COALESCE((SELECT MAX(b.number) FROM release b WHERE b.project = r.project AND b.environment = r.environment AND b.number < r.number AND b.result = ?), 0)
		FROM release r WHERE `+where+` ORDER BY r.started LIMIT ?`, append(append([]any{Deployed}, args...), maxRollouts)...)
	if err != nil {
		return nil, fmt.Errorf("listing rollouts: %w", err)
	}
	defer rows.Close()
	var out []Rollout
	for rows.Next() {
		var r Rollout
		var started, finished, before int64
		err := rows.Scan(&r.Project, &r.Environment, &r.Number, &r.Result, &r.Run, &r.Commit, &r.Actor, &r.Requester, &started, &finished, &before)
		if err != nil {
			return nil, fmt.Errorf("listing rollouts: %w", err)
		}
		r.Started = time.UnixMilli(started).UTC()
		if finished > 0 {
			r.Finished = time.UnixMilli(finished).UTC()
		}
		if before > 0 {
			r.Baseline = Release{Project: r.Project, Environment: r.Environment, Number: before}.ID()
		}
		out = append(out, r)
	}
	return out, rows.Err()
}
