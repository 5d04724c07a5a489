package insight

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/store"
)

// row is a signal with what only the engine needs.
type row struct {
	Signal
	repeats int64     // not told to the item yet
	opened  time.Time // when its item was opened or reopened for it
	due     time.Time // when it is looked at next; zero is never
	seq     int64     // of the last event that was counted
}

const columns = `project, sig_key, source, rule, resource, environment, release_id, severity, state, item, seen, repeats, first_seen, last_seen, opened, healthy,
	resolved, due, seq, document`

func scanRow(scan func(...any) error) (row, error) {
	var r row
	var first, last, opened, healthy, resolved, due int64
	var document string
	err := scan(&r.Project, &r.Key, &r.Source, &r.Rule, &r.Resource, &r.Environment, &r.Release, &r.Severity, &r.State, &r.Item, &r.Count, &r.repeats, &first, &last,
		&opened, &healthy, &resolved, &due, &r.seq, &document)
	if err != nil {
		return r, err
	}
	r.First, r.Last, r.opened, r.Healthy, r.Resolved, r.due = at(first), at(last), at(opened), at(healthy), at(resolved), at(due)
	if err := json.Unmarshal([]byte(document), &r.Record); err != nil {
		return r, fmt.Errorf("decoding signal %s: %w", r.Key, err)
	}
	return r, nil
}

// at reads a stored moment.
func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// ms writes a moment.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// find reads one signal; ok is false when there is none.
func find(ctx context.Context, h store.Handle, project, key string) (r row, ok bool, err error) {
	r, err = scanRow(h.QueryRow(ctx, `SELECT `+columns+` FROM insight_signal WHERE project = ? AND sig_key = ?`, project, key).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("reading signal %s: %w", key, err)
	}
	return r, true, nil
}

// list reads signals by a condition that ends with its order.
func list(ctx context.Context, h store.Handle, where string, args ...any) ([]row, error) {
	rows, err := h.Query(ctx, `SELECT `+columns+` FROM insight_signal WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("reading signals: %w", err)
	}
	defer rows.Close()
	var out []row
	for rows.Next() {
		r, err := scanRow(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("reading signals: %w", err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// put writes a signal whole.
func put(ctx context.Context, tx *store.Tx, r row) error {
	document, err := json.Marshal(r.Record)
	if err != nil {
		return fmt.Errorf("encoding signal %s: %w", r.Key, err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO insight_signal (`+columns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
		ON CONFLICT (project, sig_key) DO UPDATE SET environment = excluded.environment, release_id = excluded.release_id, severity = excluded.severity,
		state = excluded.state, item = excluded.item, seen = excluded.seen, repeats = excluded.repeats, last_seen = excluded.last_seen, opened = excluded.opened,
		healthy = excluded.healthy, resolved = excluded.resolved, due = excluded.due, seq = excluded.seq, document = excluded.document`,
		r.Project, r.Key, r.Source, r.Rule, r.Resource, r.Environment, r.Release, r.Severity, r.State, r.Item, r.Count, r.repeats, ms(r.First), ms(r.Last), ms(r.opened),
		ms(r.Healthy), ms(r.Resolved), ms(r.due), r.seq, string(document))
	if err != nil {
		return fmt.Errorf("writing signal %s: %w", r.Key, err)
	}
	return nil
}

// change reads a signal again, in a transaction, and writes what alter made of it, unless
// it is gone or alter says false. What followed the logbook meanwhile is kept: alter gets
// the row as it is now.
func (s *Service) change(ctx context.Context, r row, alter func(r *row) bool) error {
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		now, ok, err := locked(ctx, tx, r.Project, r.Key)
		if err != nil || !ok || !alter(&now) {
			return err
		}
		return put(ctx, tx, now)
	})
}

// locked reads a signal that is about to be written.
func locked(ctx context.Context, tx *store.Tx, project, key string) (row, bool, error) {
	lock := ""
	if tx.Postgres() {
		lock = " FOR UPDATE"
	}
	r, err := scanRow(tx.QueryRow(ctx, `SELECT `+columns+` FROM insight_signal WHERE project = ? AND sig_key = ?`+lock, project, key).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("reading signal %s: %w", key, err)
	}
	return r, true, nil
}
