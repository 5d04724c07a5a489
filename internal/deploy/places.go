package deploy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Places returns every environment of every project on the platform's cluster, without releases. It asks for no
// rights: it is for the platform itself.
func (s *Service) Places(ctx context.Context) ([]Environment, error) {
	return scanEnvironments(ctx, s.DB, `namespace NOT LIKE '%@%' AND ended = 0`)
}

// Owner returns the project and the environment that own a namespace, "" for one that is
// nobody's. It asks for no rights: it is for the platform itself.
func (s *Service) Owner(ctx context.Context, namespace string) (project, environment string, err error) {
	err = s.DB.QueryRow(ctx, `SELECT project, name FROM environment WHERE namespace = ?`, namespace).Scan(&project, &environment)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("finding the owner of namespace %s: %w", namespace, err)
	}
	return project, environment, nil
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
