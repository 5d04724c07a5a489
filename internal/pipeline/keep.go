package pipeline

import (
	"context"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/identity"
)

// KeptRun is a run that somebody keeps, whatever the rules of retention say.
type KeptRun struct {
	Run     int64     `json:"run"`
	Name    string    `json:"name"`
	Repo    string    `json:"repo"`
	File    string    `json:"file"`
	Why     string    `json:"why,omitempty"`
	By      string    `json:"by"`
	Created time.Time `json:"created"`
}

// maxKeptShown is how many kept runs are listed.
const maxKeptShown = 200

// Kept lists the runs of a project that are kept by hand, newest first, at most 200. It needs
// the read role.
func (s *Service) Kept(ctx context.Context, a identity.Actor, project string) ([]KeptRun, error) {
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `SELECT k.run, r.name, r.repo, r.file, k.why, k.actor, k.created FROM pipeline_keep k JOIN pipeline_run r ON r.number = k.run
		WHERE r.project = ? ORDER BY k.run DESC LIMIT ?`, project, maxKeptShown)
	if err != nil {
		return nil, fmt.Errorf("listing the kept runs of %s: %w", project, err)
	}
	defer rows.Close()
	out := []KeptRun{}
	for rows.Next() {
		var k KeptRun
		var created int64
		if err := rows.Scan(&k.Run, &k.Name, &k.Repo, &k.File, &k.Why, &k.By, &created); err != nil {
			return nil, fmt.Errorf("listing the kept runs of %s: %w", project, err)
		}
		k.Created = fromMillis(created)
		out = append(out, k)
	}
	return out, rows.Err()
}
