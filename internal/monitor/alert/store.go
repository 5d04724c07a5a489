package alert

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/alert/judge"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/store"
)

// ms turns a time into what the tables keep; zero stays zero.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// encode writes a body. The types are our own, so that an error is a mistake of ours.
func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encoding a %T: %w", v, err)
	}
	return string(b), nil
}

// bodies reads a column of JSON.
func bodies[T any](ctx context.Context, h store.Handle, query string, args ...any) ([]T, error) {
	rows, err := h.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading alerts' tables: %w", err)
	}
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		var body string
		if err := rows.Scan(&body); err != nil {
			return nil, fmt.Errorf("reading alerts' tables: %w", err)
		}
		var v T
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			return nil, fmt.Errorf("decoding a %T: %w", v, err)
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// one reads one body; fault.NotFound with these words when there is none.
func one[T any](ctx context.Context, h store.Handle, missing *fault.Error, query string, args ...any) (T, error) {
	list, err := bodies[T](ctx, h, query, args...)
	if err == nil && len(list) == 0 {
		err = missing
	}
	if err != nil {
		var zero T
		return zero, err
	}
	return list[0], nil
}

func noRule(id string) *fault.Error {
	return fault.New(fault.NotFound, "There is no rule %q.", table.Clip(id, maxName))
}
func noAlert(id string) *fault.Error {
	return fault.New(fault.NotFound, "There is no alert %q.", table.Clip(id, maxName))
}
func noneSuch(what, name string) *fault.Error {
	return fault.New(fault.NotFound, "There is no %s %q.", what, table.Clip(name, maxName))
}

func (s *Service) readRule(ctx context.Context, h store.Handle, id string) (Rule, error) {
	return one[Rule](ctx, h, noRule(id), `SELECT body FROM alert_rule WHERE id = ?`, id)
}

// writeRule stores a rule, new or changed. What is remembered of a changed one stays.
func writeRule(ctx context.Context, tx *store.Tx, r Rule) error {
	body, err := encode(r)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO alert_rule (id, project, name, kind, origin, body, evaluated, memory) VALUES (?, ?, ?, ?, ?, ?, 0, '{}')
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, body = excluded.body`, r.ID, r.Project, r.Name, r.Kind, r.Origin, body)
	if store.Unique(err) {
		return fault.New(fault.Conflict, "There is a rule %q already.", r.Name).WithNext("give this one another name, or change that one")
	}
	if err != nil {
		return fmt.Errorf("storing rule %s: %w", r.ID, err)
	}
	return nil
}

// remembered reads what an earlier evaluation of a query rule left.
func remembered(ctx context.Context, h store.Handle, rule string) (judge.Memory, error) {
	m, err := one[judge.Memory](ctx, h, noRule(rule), `SELECT memory FROM alert_rule WHERE id = ?`, rule)
	return m, err
}

func remember(ctx context.Context, tx *store.Tx, rule string, at time.Time, m judge.Memory) error {
	body, err := encode(m)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE alert_rule SET evaluated = ?, memory = ? WHERE id = ?`, ms(at), body, rule); err != nil {
		return fmt.Errorf("remembering rule %s: %w", rule, err)
	}
	return nil
}

// openOf reads the open alerts of a rule by fingerprint.
func openOf(ctx context.Context, h store.Handle, rule string) (map[string]Alert, error) {
	list, err := bodies[Alert](ctx, h, `SELECT body FROM alert WHERE rule = ? AND resolved = 0`, rule)
	if err != nil {
		return nil, err
	}
	out := map[string]Alert{}
	for _, a := range list {
		out[a.Fingerprint] = a
	}
	return out, nil
}

func (s *Service) readAlert(ctx context.Context, h store.Handle, id string) (Alert, error) {
	return one[Alert](ctx, h, noAlert(id), `SELECT body FROM alert WHERE id = ?`, id)
}

func insertAlert(ctx context.Context, tx *store.Tx, a Alert) error {
	body, err := encode(a)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO alert (id, rule, fingerprint, project, environment, release, severity, fired, resolved, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		a.ID, a.Rule, a.Fingerprint, a.Project, a.Environment, a.Release, a.Severity, ms(a.Fired), ms(a.Resolved), body)
	if err != nil {
		return fmt.Errorf("storing alert %s: %w", a.ID, err)
	}
	return nil
}

// updateAlert stores an alert that is open in the table; done is false when it is not. What
// somebody noted on it since it was read stays.
func updateAlert(ctx context.Context, tx *store.Tx, a Alert) (done bool, err error) {
	now, err := bodies[Alert](ctx, tx, `SELECT body FROM alert WHERE id = ? AND resolved = 0`, a.ID)
	if err != nil || len(now) == 0 {
		return false, err
	}
	if a.Acknowledged.Before(now[0].Acknowledged) {
		a.Acknowledged, a.AcknowledgedBy, a.Note = now[0].Acknowledged, now[0].AcknowledgedBy, now[0].Note
	}
	body, err := encode(a)
	if err != nil {
		return false, err
	}
	res, err := tx.Exec(ctx, `UPDATE alert SET resolved = ?, body = ? WHERE id = ? AND resolved = 0`, ms(a.Resolved), body, a.ID)
	if err != nil {
		return false, fmt.Errorf("storing alert %s: %w", a.ID, err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

func note(ctx context.Context, tx *store.Tx, alert string, c Change) error {
	_, err := tx.Exec(ctx, `INSERT INTO alert_change (alert, at, what, who, note) VALUES (?, ?, ?, ?, ?)`, alert, ms(c.At), c.What, c.By, c.Note)
	if err != nil {
		return fmt.Errorf("noting what happened to alert %s: %w", alert, err)
	}
	return nil
}

func changes(ctx context.Context, h store.Handle, alert string) ([]Change, error) {
	rows, err := h.Query(ctx, `SELECT at, what, who, note FROM alert_change WHERE alert = ? ORDER BY at`, alert)
	if err != nil {
		return nil, fmt.Errorf("reading the history of alert %s: %w", alert, err)
	}
	defer rows.Close()
	out := []Change{}
	for rows.Next() {
		var c Change
		var at int64
		if err := rows.Scan(&at, &c.What, &c.By, &c.Note); err != nil {
			return nil, fmt.Errorf("reading the history of alert %s: %w", alert, err)
		}
		c.At = time.UnixMilli(at).UTC()
		out = append(out, c)
	}
	return out, rows.Err()
}

// keptState reads a text that Run left, "" for none.
func keptState(ctx context.Context, h store.Handle, name string) (string, error) {
	var body string
	err := h.QueryRow(ctx, `SELECT body FROM alert_state WHERE name = ?`, name).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return body, err
}

func keepState(ctx context.Context, h store.Handle, name, body string) error {
	_, err := h.Exec(ctx, `INSERT INTO alert_state (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body`, name, body)
	return err
}
