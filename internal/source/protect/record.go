package protect

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/store"
)

// keyName names the key of the fingerprints in source_secret_key.
const keyName = "fingerprint"

// loadKey returns the key of the fingerprints and makes it at the first start.
func (s *Service) loadKey(ctx context.Context) ([]byte, error) {
	const query = `SELECT sealed FROM source_secret_key WHERE name = ?`
	purpose := "source_secret_key:" + keyName
	var sealed string
	err := s.parts.DB.QueryRow(ctx, query, keyName).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		fresh := make([]byte, 32)
		_, _ = rand.Read(fresh) // crypto/rand.Read never fails.
		if sealed, err = s.parts.Vault.Seal(purpose, fresh); err != nil {
			return nil, err
		}
		err = s.parts.DB.Tx(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO source_secret_key (name, sealed) VALUES (?,?) ON CONFLICT (name) DO NOTHING`, keyName, sealed)
			if err != nil {
				return err
			}
			return tx.QueryRow(ctx, query, keyName).Scan(&sealed)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key of the fingerprints: %w", err)
	}
	return s.parts.Vault.Unseal(purpose, sealed)
}

// maxRecorded is how many findings of one push are stored.
const maxRecorded = 100

// unsettled drops what may pass: a secret with a bypass that holds, and one that is in
// the repository already by a blob for which it was refused or let through before.
func (s *Service) unsettled(ctx context.Context, p source.Push, found []leak) ([]leak, error) {
	if len(found) == 0 {
		return nil, nil
	}
	settled, blobs := map[string]bool{}, map[string]string{}
	now := s.parts.Clock.Now().UnixMilli()
	for part := range slices.Chunk(found, 200) {
		args := []any{now, p.Repo.FullName()}
		for _, l := range part {
			args = append(args, l.fingerprint)
		}
		rows, err := s.parts.DB.Query(ctx, `SELECT f.fingerprint, f.blob_id,
				(SELECT COUNT(*) FROM source_secret_bypass b WHERE b.finding = f.id AND b.revoked = 0 AND b.expires > ?)
			FROM source_secret f WHERE f.repo = ? AND f.fingerprint IN (?`+strings.Repeat(",?", len(part)-1)+`)`, args...)
		if err != nil {
			return nil, fmt.Errorf("looking for bypasses: %w", err)
		}
		for rows.Next() {
			var fingerprint, blob string
			var active int
			if err := rows.Scan(&fingerprint, &blob, &active); err != nil {
				return nil, errors.Join(fmt.Errorf("looking for bypasses: %w", err), rows.Close())
			}
			settled[fingerprint] = active > 0
			blobs[fingerprint] = blob
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, fmt.Errorf("looking for bypasses: %w", err)
		}
	}
	var hashes []string
	for _, b := range blobs {
		hashes = append(hashes, b)
	}
	have, err := s.present(ctx, p.Dir, hashes)
	if err != nil {
		return nil, err
	}
	if err := s.passed(ctx, p, found, settled); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(l leak) bool { return settled[l.fingerprint] || have[blobs[l.fingerprint]] }), nil
}

// passed notes with which content a secret is let through, so that it counts as known
// when the repository has that content.
func (s *Service) passed(ctx context.Context, p source.Push, found []leak, settled map[string]bool) error {
	if !slices.ContainsFunc(found, func(l leak) bool { return settled[l.fingerprint] }) {
		return nil
	}
	err := s.parts.DB.Tx(ctx, func(tx *store.Tx) error {
		for _, l := range found {
			if !settled[l.fingerprint] {
				continue
			}
			_, err := tx.Exec(ctx, `UPDATE source_secret SET blob_id = ? WHERE repo = ? AND fingerprint = ?`, l.blob, p.Repo.FullName(), l.fingerprint)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("noting what is let through: %w", err)
	}
	return nil
}

// record stores the findings for which the push is refused and gives them their ids.
func (s *Service) record(ctx context.Context, p source.Push, leaks []leak) error {
	now := s.parts.Clock.Now().UnixMilli()
	repo := p.Repo.FullName()
	err := s.parts.DB.Tx(ctx, func(tx *store.Tx) error {
		for i := range leaks[:min(len(leaks), maxRecorded)] {
			l := &leaks[i]
			_, err := tx.Exec(ctx, `INSERT INTO source_secret
					(id, repo, fingerprint, rule, title, redacted, blob_id, ref, commit_id, path, line, actor, first_seen, last_seen, times)
				VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,1)
				ON CONFLICT (repo, fingerprint) DO UPDATE SET rule = excluded.rule, title = excluded.title, redacted = excluded.redacted,
					blob_id = excluded.blob_id, ref = excluded.ref, commit_id = excluded.commit_id, path = excluded.path, line = excluded.line,
					actor = excluded.actor, last_seen = excluded.last_seen, times = source_secret.times + 1`,
				s.parts.Clock.NewID(), repo, l.fingerprint, l.rule, l.title, l.redacted, l.blob, clean(l.ref), l.commit, clean(l.path), l.line,
				p.Actor.String(), now, now)
			if err != nil {
				return err
			}
			err = tx.QueryRow(ctx, `SELECT id FROM source_secret WHERE repo = ? AND fingerprint = ?`, repo, l.fingerprint).Scan(&l.id)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording the findings of a push to %s: %w", repo, err)
	}
	return nil
}

// findings selects what readFindings reads.
const findings = `SELECT f.id, f.repo, f.rule, f.title, f.fingerprint, f.redacted, f.ref, f.commit_id, f.path, f.line, f.actor,
	f.first_seen, f.last_seen, f.times FROM source_secret f `

func (s *Service) readFindings(ctx context.Context, query string, args ...any) ([]Finding, error) {
	rows, err := s.parts.DB.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("loading findings: %w", err)
	}
	defer rows.Close()
	var out []Finding
	for rows.Next() {
		var f Finding
		var first, last int64
		err := rows.Scan(&f.ID, &f.Repo, &f.Rule, &f.Title, &f.Fingerprint, &f.Redacted, &f.Ref, &f.Commit, &f.Path, &f.Line, &f.Actor,
			&first, &last, &f.Times)
		if err != nil {
			return nil, fmt.Errorf("loading findings: %w", err)
		}
		f.First, f.Last = instant(first), instant(last)
		out = append(out, f)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("loading findings: %w", err)
	}
	return out, nil
}

// bypasses selects what readBypasses reads.
const bypasses = `SELECT b.id, b.finding, f.repo, f.rule, f.fingerprint, f.redacted, b.reason, b.comment, b.actor, b.made, b.expires,
	b.revoked, b.revoked_by FROM source_secret_bypass b JOIN source_secret f ON f.id = b.finding `

func (s *Service) readBypasses(ctx context.Context, h store.Handle, query string, args ...any) ([]Granted, error) {
	rows, err := h.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("loading bypasses: %w", err)
	}
	defer rows.Close()
	var out []Granted
	for rows.Next() {
		var g Granted
		var made, expires, revoked int64
		err := rows.Scan(&g.ID, &g.Finding, &g.Repo, &g.Rule, &g.Fingerprint, &g.Redacted, &g.Reason, &g.Comment, &g.Actor, &made, &expires,
			&revoked, &g.RevokedBy)
		if err != nil {
			return nil, fmt.Errorf("loading bypasses: %w", err)
		}
		g.Made, g.Expires, g.Revoked = instant(made), instant(expires), instant(revoked)
		out = append(out, g)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("loading bypasses: %w", err)
	}
	return out, nil
}

// instant reads a time as the tables hold it: milliseconds, 0 for none.
func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
