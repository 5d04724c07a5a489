package deploy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/identity"
)

// Places returns every environment of every project, without releases. It asks for no
// rights: it is for the platform itself.
func (s *Service) Places(ctx context.Context) ([]Environment, error) {
	rows, err := s.DB.Query(ctx, `SELECT project, name, namespace FROM environment ORDER BY project, name`)
	if err != nil {
		return nil, fmt.Errorf("listing environments: %w", err)
	}
	defer rows.Close()
	var out []Environment
	for rows.Next() {
		var e Environment
		if err := rows.Scan(&e.Project, &e.Name, &e.Namespace); err != nil {
			return nil, fmt.Errorf("listing environments: %w", err)
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// Newest returns the newest release of a Helm release in a namespace; ok is false when
// there is none. It asks for no rights: it is for the platform itself.
func (s *Service) Newest(ctx context.Context, namespace, name string) (r Release, ok bool, err error) {
	var started int64
	err = s.DB.QueryRow(ctx, `SELECT r.project, r.environment, r.number, r.run, r.commit_sha, r.actor, r.requester, r.started
		FROM release r JOIN environment e ON e.project = r.project AND e.name = r.environment
		WHERE e.namespace = ? AND r.name = ? ORDER BY r.number DESC LIMIT 1`, namespace, name).
		Scan(&r.Project, &r.Environment, &r.Number, &r.Run, &r.Commit, &r.Actor, &r.Requester, &started)
	if errors.Is(err, sql.ErrNoRows) {
		return Release{}, false, nil
	}
	if err != nil {
		return Release{}, false, fmt.Errorf("finding the release %s in %s: %w", name, namespace, err)
	}
	r.Namespace, r.Name, r.Started = namespace, name, time.UnixMilli(started).UTC()
	return r, true, nil
}

// ReleaseOfPod returns the release ("project/environment/number") that a pod belongs to,
// by its uid: the one that it was recorded with, else the one that is being rolled out into
// its namespace, else the one that was deployed there last; "" when there is none. It asks
// for no rights: it is for the platform itself.
func (s *Service) ReleaseOfPod(ctx context.Context, namespace, uid string) (string, error) {
	var r Release
	err := s.DB.QueryRow(ctx, `SELECT project, environment, number FROM release_pod WHERE uid = ? ORDER BY number LIMIT 1`, uid).
		Scan(&r.Project, &r.Environment, &r.Number)
	if errors.Is(err, sql.ErrNoRows) {
		err = s.DB.QueryRow(ctx, `SELECT r.project, r.environment, r.number FROM release r JOIN environment e ON e.project = r.project AND e.name = r.environment
			WHERE e.namespace = ? AND r.result IN (?, ?) ORDER BY r.number DESC LIMIT 1`, namespace, Started, Deployed).
			Scan(&r.Project, &r.Environment, &r.Number)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("finding the release of the pod %s in %s: %w", uid, namespace, err)
	}
	return r.ID(), nil
}

// Mark is a release on an axis of time.
type Mark struct {
	Release string    `json:"release"`
	Result  string    `json:"result"`
	Run     int64     `json:"run,omitempty"`
	Commit  string    `json:"commit,omitempty"`
	Actor   string    `json:"actor"`
	At      time.Time `json:"at"`
}

// maxMarks is how many releases one axis shows.
const maxMarks = 500

// Marks returns the releases of a project, or of one of its environments, that started in
// a range of time, oldest first.
func (s *Service) Marks(ctx context.Context, a identity.Actor, project, environment string, from, to time.Time) ([]Mark, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	rows, err := s.DB.Query(ctx, `SELECT environment, number, result, run, commit_sha, requester, actor, started FROM release
		WHERE project = ? AND started >= ? AND started < ? AND (? = '' OR environment = ?) ORDER BY started LIMIT ?`,
		project, from.UnixMilli(), to.UnixMilli(), environment, environment, maxMarks)
	if err != nil {
		return nil, fmt.Errorf("reading the releases of %s: %w", project, err)
	}
	defer rows.Close()
	out := []Mark{}
	for rows.Next() {
		r, m, started := Release{Project: project}, Mark{}, int64(0)
		if err := rows.Scan(&r.Environment, &r.Number, &m.Result, &m.Run, &m.Commit, &r.Requester, &m.Actor, &started); err != nil {
			return nil, fmt.Errorf("reading the releases of %s: %w", project, err)
		}
		if r.Requester != "" {
			m.Actor = r.Requester
		}
		m.Release, m.At = r.ID(), time.UnixMilli(started).UTC()
		out = append(out, m)
	}
	return out, rows.Err()
}
