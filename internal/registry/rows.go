package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// lock makes the repository's row when it is missing and takes it, so that on
// PostgreSQL pushes, deletions and the collector take turns in one repository. SQLite
// has one writer anyway.
func lock(ctx context.Context, tx *store.Tx, repository string, now int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO registry_repository (name, project, created) VALUES (?,?,?) ON CONFLICT (name) DO NOTHING`,
		repository, ProjectOf(repository), now)
	if err != nil {
		return fmt.Errorf("making repository %s: %w", repository, err)
	}
	if !tx.Postgres() {
		return nil
	}
	var name string
	if err := tx.QueryRow(ctx, `SELECT name FROM registry_repository WHERE name = ? FOR UPDATE`, repository).Scan(&name); err != nil {
		return fmt.Errorf("taking repository %s: %w", repository, err)
	}
	return nil
}

// record notes that the blob store holds digest. Whoever calls it has put the bytes there
// before the transaction began. The collector may have removed them since: then the
// caller gets Unavailable and the client sends them again.
func (s *Service) record(ctx context.Context, tx *store.Tx, digest string, size, now int64) error {
	var doomed int64
	err := tx.QueryRow(ctx, `SELECT doomed FROM registry_blob WHERE digest = ?`, digest).Scan(&doomed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		_, err = tx.Exec(ctx, `INSERT INTO registry_blob (digest, size, touched, doomed) VALUES (?,?,?,0)
			ON CONFLICT (digest) DO UPDATE SET touched = excluded.touched`, digest, size, now)
		if err != nil {
			return fmt.Errorf("recording blob %s: %w", digest, err)
		}
		// From here on the collector sees the row and leaves the bytes alone; before, it
		// may just have finished with an older row of the same digest.
		if _, err := s.blobs.Stat(ctx, digest); err != nil {
			return collected(digest, err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("reading blob %s: %w", digest, err)
	case doomed != 0:
		return collected(digest, nil)
	}
	r, err := tx.Exec(ctx, `UPDATE registry_blob SET touched = ? WHERE digest = ? AND doomed = 0`, now, digest)
	if err != nil {
		return fmt.Errorf("touching blob %s: %w", digest, err)
	}
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		return collected(digest, err)
	}
	return nil
}

func collected(digest string, cause error) error {
	return &Error{Code: CodeUnavailable, Fault: fault.Wrap(fault.Unavailable, cause,
		"Blob %s was being removed as unused at this very moment.", digest).WithNext("push it again")}
}

// link lets the repository serve the blob; record must have come before.
func link(ctx context.Context, tx *store.Tx, repository, digest string, now int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO registry_blob_link (repository, digest, touched) VALUES (?,?,?)
		ON CONFLICT (repository, digest) DO UPDATE SET touched = excluded.touched`, repository, digest, now)
	if err != nil {
		return fmt.Errorf("linking blob %s into %s: %w", digest, repository, err)
	}
	return nil
}

// linked returns the size of a blob that the repository may serve and when it was last
// touched; ok is false when there is none.
func linked(ctx context.Context, h store.Handle, repository, digest string) (size, touched int64, ok bool, err error) {
	err = h.QueryRow(ctx, `SELECT b.size, l.touched FROM registry_blob_link l JOIN registry_blob b ON b.digest = l.digest
		WHERE l.repository = ? AND l.digest = ?`, repository, digest).Scan(&size, &touched)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, false, nil
	}
	if err != nil {
		return 0, 0, false, fmt.Errorf("looking for blob %s in %s: %w", digest, repository, err)
	}
	return size, touched, true, nil
}

// exists reports whether a query that selects one integer finds a row.
func exists(ctx context.Context, h store.Handle, query string, args ...any) (bool, error) {
	var one int64
	err := h.QueryRow(ctx, query, args...).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// strings1 reads a one-column answer.
func strings1(ctx context.Context, h store.Handle, query string, args ...any) ([]string, error) {
	rows, err := h.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
