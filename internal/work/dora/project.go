package dora

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/store"
)

// maxArrivals is how many changes arrive with one deployment; older ones that never did
// belong to a time before the project deployed from here.
const maxArrivals = 200

// incidents are the sources of signals that say that users of an environment are hurt. A
// vulnerability or a failing pipeline is work, and no incident.
func incidents() []string { return []string{"canary", "regression", "crash", "error", "alert"} }

// Handle takes one event into the projection. It is an event.Handler.
func (s *Service) Handle(ctx context.Context, tx *store.Tx, e event.Event) error {
	if e.Project == "" {
		return nil
	}
	var err error
	switch e.Type {
	case event.TypeCommitPushed:
		err = pushed(ctx, tx, e)
	case event.TypeReleaseFinished:
		err = deployed(ctx, tx, e)
	case event.TypeItemCreated, event.TypeItemChanged:
		err = s.item(ctx, tx, e)
	}
	if err != nil {
		return fmt.Errorf("counting %s: %w", e.Type, err)
	}
	return nil
}

func pushed(ctx context.Context, tx *store.Tx, e event.Event) error {
	var p event.CommitPushed
	if e.Into(&p) != nil || !p.Default {
		return nil
	}
	at := p.Authored
	if at.IsZero() || at.After(e.Time) {
		at = e.Time // The commit's own claim cannot be.
	}
	_, err := tx.Exec(ctx, `INSERT INTO dora_change (project, repo, commit_hash, seq, title, author, committed, pushed) VALUES (?,?,?,?,?,?,?,?)
		ON CONFLICT (project, repo, commit_hash) DO NOTHING`, e.Project, p.Repo, p.Commit, e.Seq, p.Title, p.Author, at.UnixMilli(), e.Time.UnixMilli())
	return err
}

func deployed(ctx context.Context, tx *store.Tx, e event.Event) error {
	var p event.Release
	if e.Into(&p) != nil || p.Result != "deployed" {
		return nil
	}
	if _, _, review := event.ReviewApp(p.Environment); review {
		return nil // Nothing was delivered yet.
	}
	_, err := tx.Exec(ctx, `INSERT INTO dora_deployment (release_id, project, environment, commit_hash, run, finished) VALUES (?,?,?,?,?,?)
		ON CONFLICT (release_id) DO NOTHING`, p.Release, e.Project, p.Environment, p.Commit, p.Run, e.Time.UnixMilli())
	if err != nil || p.Commit == "" {
		return err
	}
	var repo string
	var seq int64
	err = tx.QueryRow(ctx, `SELECT repo, seq FROM dora_change WHERE project = ? AND commit_hash = ? ORDER BY seq LIMIT 1`, e.Project, p.Commit).Scan(&repo, &seq)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // Not of a default branch.
	}
	if err != nil {
		return err
	}
	// Everything that was pushed up to the deployed commit arrives with it, once.
	_, err = tx.Exec(ctx, `INSERT INTO dora_lead (project, environment, repo, commit_hash, release_id, finished, lead_ms)
		SELECT c.project, ?, c.repo, c.commit_hash, ?, ?, ? - c.committed FROM dora_change c WHERE c.project = ? AND c.repo = ? AND c.seq <= ?
		AND NOT EXISTS (SELECT 1 FROM dora_lead l WHERE l.project = c.project AND l.environment = ? AND l.repo = c.repo AND l.commit_hash = c.commit_hash)
		ORDER BY c.seq DESC LIMIT ?`, p.Environment, p.Release, e.Time.UnixMilli(), e.Time.UnixMilli(), e.Project, repo, seq, p.Environment, maxArrivals)
	return err
}

// item opens and closes incidents.
func (s *Service) item(ctx context.Context, tx *store.Tx, e event.Event) error {
	var p event.Item
	if e.Into(&p) != nil || !slices.Contains(incidents(), p.Source) {
		return nil
	}
	open := p.Category == "proposed" || p.Category == "in-progress"
	fields := strings.Split(p.Change, ",")
	switch {
	case e.Type == event.TypeItemCreated, open && slices.Contains(fields, "reopened"):
		release, err := s.concerns(ctx, e)
		if err != nil || release == "" {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO dora_incident (item, opened, project, environment, release_id, source, title, closed) VALUES (?,?,?,?,?,?,?,0)
			ON CONFLICT (item, opened) DO NOTHING`, p.Item, e.Time.UnixMilli(), e.Project, environmentOf(release), release, p.Source, p.Title)
		return err
	case p.Category == "removed":
		// Somebody says that it was none.
		_, err := tx.Exec(ctx, `DELETE FROM dora_incident WHERE item = ? AND closed = 0`, p.Item)
		return err
	case p.Category == "completed":
		_, err := tx.Exec(ctx, `UPDATE dora_incident SET closed = ? WHERE item = ? AND closed = 0 AND opened <= ?`, e.Time.UnixMilli(), p.Item, e.Time.UnixMilli())
		return err
	}
	return nil
}

// concerns returns the newest release that an item concerns, up to the event; "" for none.
func (s *Service) concerns(ctx context.Context, e event.Event) (string, error) {
	for _, k := range slices.Backward(e.Links) {
		if k.Rel == event.RelConcerns && k.To.Kind() == event.KindRelease {
			return k.To.ID(), nil
		}
	}
	edges, err := s.Log.Out(ctx, e.Subject, event.RelConcerns, 200)
	if err != nil {
		return "", err
	}
	for _, k := range edges {
		if k.To.Kind() == event.KindRelease && k.Seq <= e.Seq {
			return k.To.ID(), nil
		}
	}
	return "", nil
}

// environmentOf returns the environment of a release, "shop/production/48".
func environmentOf(release string) string {
	parts := strings.Split(release, "/")
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

// moment reads a stored time; zero for 0.
func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
