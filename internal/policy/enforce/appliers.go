package enforce

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"towpath.dev/towpath/internal/store"
)

// Object names an object of a cluster.
type Object struct {
	Namespace string
	Group     string
	Kind      string
	Name      string
}

// Appliers knows who applied objects last: what the webhook noted, else what a release says.
// It is safe for concurrent use.
type Appliers struct {
	db       *store.DB
	cluster  string
	releases Releases
	owners   *owners
	logger   *slog.Logger
	wake     chan struct{}

	mu    sync.Mutex
	notes map[Object]Applied // noted and not written yet
}

// Limits of what is kept of appliers.
const (
	maxNotes  = 10_000              // in memory; later ones are lost, and the release is asked
	keepNotes = 90 * 24 * time.Hour // in the database
)

// NewAppliers returns the appliers of the objects of the cluster of that name.
func NewAppliers(db *store.DB, c Cluster, name string, r Releases, logger *slog.Logger) *Appliers {
	return &Appliers{
		db: db, cluster: name, releases: r, owners: newOwners(c), logger: logger,
		wake: make(chan struct{}, 1), notes: map[Object]Applied{},
	}
}

// note remembers who applied an object. It does not wait for the database.
func (a *Appliers) note(o Object, by Applied) {
	a.mu.Lock()
	if _, known := a.notes[o]; known || len(a.notes) < maxNotes {
		a.notes[o] = by
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run writes what is noted to the database until ctx ends, then what is left.
func (a *Appliers) Run(ctx context.Context) error {
	clean := time.NewTicker(time.Hour)
	defer clean.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return a.flush(last)
		case <-a.wake:
		case now := <-clean.C:
			if _, err := a.db.Exec(ctx, `DELETE FROM applier WHERE cluster = ? AND applied < ?`, a.cluster, now.Add(-keepNotes).UnixMilli()); err != nil {
				a.logger.Warn("forgetting who applied objects long ago", "error", err)
			}
		}
		if err := a.flush(ctx); err != nil && ctx.Err() == nil {
			a.logger.Warn("writing who applied objects", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(settle):
		}
	}
}

// flush writes what is noted. Notes stay readable until they are written.
func (a *Appliers) flush(ctx context.Context) error {
	a.mu.Lock()
	batch := make(map[Object]Applied, len(a.notes))
	for o, by := range a.notes {
		batch[o] = by
	}
	a.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	err := a.db.Tx(ctx, func(tx *store.Tx) error {
		for o, by := range batch {
			_, err := tx.Exec(ctx, `INSERT INTO applier (cluster, namespace, api_group, kind, name, actor, run, job, commit_sha, project, applied)
				VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (cluster, namespace, api_group, kind, name) DO UPDATE SET actor = excluded.actor,
				run = excluded.run, job = excluded.job, commit_sha = excluded.commit_sha, project = excluded.project, applied = excluded.applied`,
				a.cluster, o.Namespace, o.Group, o.Kind, o.Name, by.Actor, by.Run, by.Job, by.Commit, by.Project, by.Time.UnixMilli())
			if err != nil {
				return fmt.Errorf("storing who applied %s %s/%s: %w", o.Kind, o.Namespace, o.Name, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for o, by := range batch {
		if a.notes[o] == by {
			delete(a.notes, o)
		}
	}
	return nil
}

// Applied returns who applied an object last; false when nobody knows. Helm is the name of
// the Helm release that the object says it belongs to, "" for none.
func (a *Appliers) Applied(ctx context.Context, o Object, helm string) (Applied, bool, error) {
	by, ok, err := a.noted(ctx, o)
	if err != nil || helm == "" {
		return by, ok, err
	}
	// A release that is newer than the note was made while nobody could take notes.
	r, found, err := a.releases.Release(ctx, o.Namespace, helm)
	if err != nil {
		return by, ok, err
	}
	if found && (!ok || r.Time.After(by.Time) && r.Run > by.Run) {
		return r, true, nil
	}
	if found && ok && r.Run == by.Run && by.Requester == "" {
		by.Requester = r.Requester
	}
	return by, ok, nil
}

func (a *Appliers) noted(ctx context.Context, o Object) (Applied, bool, error) {
	a.mu.Lock()
	by, ok := a.notes[o]
	a.mu.Unlock()
	if ok {
		return by, true, nil
	}
	var at int64
	err := a.db.QueryRow(ctx, `SELECT actor, run, job, commit_sha, project, applied FROM applier
		WHERE cluster = ? AND namespace = ? AND api_group = ? AND kind = ? AND name = ?`, a.cluster, o.Namespace, o.Group, o.Kind, o.Name).
		Scan(&by.Actor, &by.Run, &by.Job, &by.Commit, &by.Project, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return Applied{}, false, nil
	}
	if err != nil {
		return Applied{}, false, fmt.Errorf("reading who applied %s %s/%s: %w", o.Kind, o.Namespace, o.Name, err)
	}
	by.Time = time.UnixMilli(at).UTC()
	return by, true, nil
}

// Behind returns who applied what an object stems from: a pod's Deployment, a Job's
// CronJob, or the object itself. False when nobody knows.
func (a *Appliers) Behind(ctx context.Context, self Self) (Applied, bool, error) {
	root, err := a.owners.root(ctx, self)
	if err != nil {
		return Applied{}, false, err
	}
	return a.Applied(ctx, root.Object, root.helm)
}

// system reports whether a user of the API server is a part of the cluster: what such a one
// changes, it changes for somebody else.
func system(user string) bool {
	return strings.HasPrefix(user, "system:serviceaccount:kube-system:") || strings.HasPrefix(user, "system:node:") ||
		strings.HasPrefix(user, "system:kube-") || user == "system:apiserver"
}
