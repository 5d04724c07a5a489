package dev

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

const columns = `id, project, environment, namespace, service, workload, owner, route_key, mode, fallback, ports, host, state, started, expires,
	routed_until, until_ms, ended, why, values_secret`

// maxListed bounds an answer of List.
const maxListed = 200

func scan(row interface{ Scan(...any) error }) (Session, error) {
	var v Session
	var fallback, started, expires, routed, until, ended int64
	var ports, secrets string
	err := row.Scan(&v.ID, &v.Project, &v.Environment, &v.Namespace, &v.Service, &v.Workload, &v.owner, &v.Key, &v.Mode, &fallback, &ports, &v.host,
		&v.State, &started, &expires, &routed, &until, &ended, &v.Why, &secrets)
	if err != nil {
		return Session{}, err
	}
	if err := errors.Join(json.Unmarshal([]byte(ports), &v.Ports), json.Unmarshal([]byte(secrets), &v.Secrets)); err != nil {
		return Session{}, fmt.Errorf("reading session %s: %w", v.ID, err)
	}
	v.Fallback, v.User = fallback != 0, event.Subject(v.owner).ID()
	v.Started, v.Expires, v.routed, v.Until = moment(started), moment(expires), moment(routed), moment(until)
	if ended > 0 {
		v.Ended = moment(ended)
	}
	return v, nil
}

func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func (s *Service) find(ctx context.Context, id string) (Session, error) {
	v, err := scan(s.DB.QueryRow(ctx, `SELECT `+columns+` FROM dev_session WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, unknown(id)
	}
	if err != nil {
		return Session{}, fmt.Errorf("reading session %s: %w", id, err)
	}
	return v, nil
}

func (s *Service) list(ctx context.Context, project, environment string, all bool, now time.Time) ([]Session, error) {
	where, args := `project = ?`, []any{project}
	if environment != "" {
		where, args = where+` AND environment = ?`, append(args, environment)
	}
	if !all {
		where, args = where+` AND state <> ? AND expires > ?`, append(args, Ended, now.UnixMilli())
	}
	return s.query(ctx, where+` ORDER BY started DESC, id DESC LIMIT ?`, append(args, maxListed)...)
}

func (s *Service) query(ctx context.Context, where string, args ...any) ([]Session, error) {
	rows, err := s.DB.Query(ctx, `SELECT `+columns+` FROM dev_session WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	defer rows.Close()
	out := []Session{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("listing sessions: %w", err)
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// reserve stores a session before anything of it exists, so that whatever is made of it
// later is found again, and counts it against the caps.
func (s *Service) reserve(ctx context.Context, v Session) error {
	ports, err := json.Marshal(v.Ports)
	if err != nil {
		return fmt.Errorf("encoding session %s: %w", v.ID, err)
	}
	secrets, err := json.Marshal(v.Secrets)
	if err != nil {
		return fmt.Errorf("encoding session %s: %w", v.ID, err)
	}
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		// The insert comes first: on PostgreSQL two starts at once would else both count before
		// either is there; the lock on the caps' row is held from here on.
		if tx.Postgres() {
			if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(7210121)`); err != nil {
				return fmt.Errorf("counting sessions: %w", err)
			}
		}
		_, err := tx.Exec(ctx, `INSERT INTO dev_session (`+columns+`, cleaned) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,0)`,
			v.ID, v.Project, v.Environment, v.Namespace, v.Service, v.Workload, v.owner, v.Key, v.Mode, flag(v.Fallback), string(ports), "", v.State,
			v.Started.UnixMilli(), v.Started.Add(startWithin).UnixMilli(), 0, v.Until.UnixMilli(), 0, "", string(secrets))
		if err != nil {
			return fmt.Errorf("storing session %s: %w", v.ID, err)
		}
		return capped(ctx, tx, v)
	})
}

// startWithin bounds how long a session may take to come up; the sweeper clears away what
// took longer, as a server that was killed leaves it.
const startWithin = 3 * time.Minute

// capped refuses a session that is one too many; it is in the table already.
func capped(ctx context.Context, tx *store.Tx, v Session) error {
	var mine, here int
	err := errors.Join(
		tx.QueryRow(ctx, `SELECT COUNT(*) FROM dev_session WHERE owner = ? AND state <> ?`, v.owner, Ended).Scan(&mine),
		tx.QueryRow(ctx, `SELECT COUNT(*) FROM dev_session WHERE namespace = ? AND state <> ?`, v.Namespace, Ended).Scan(&here))
	switch {
	case err != nil:
		return fmt.Errorf("counting sessions: %w", err)
	case mine > maxOfUser:
		return fault.New(fault.Conflict, "You have %d sessions, as many as one may have.", maxOfUser).WithNext("stop one: towpath dev list, towpath dev stop SESSION")
	case here > maxOfNamespace:
		return fault.New(fault.Conflict, "Environment %s has %d sessions, as many as it may have.", v.Environment, maxOfNamespace).
			WithNext("wait until one ends; `towpath dev list` shows whose they are")
	}
	return nil
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// goLive stores that a session's pod runs, with the event.
func (s *Service) goLive(ctx context.Context, a identity.Actor, v Session) error {
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		r, err := tx.Exec(ctx, `UPDATE dev_session SET state = ?, host = ?, expires = ?, routed_until = ? WHERE id = ? AND state = ?`,
			Live, v.host, v.Expires.UnixMilli(), v.routed.UnixMilli(), v.ID, Starting)
		if ok, err := changed(r, err); err != nil || !ok {
			if err == nil {
				err = v.over() // The sweeper took it for dead, or somebody stopped it.
			}
			return err
		}
		return s.Log.Append(ctx, tx, v.fact(event.TypeSessionStarted, a, v.Expires, ""))
	})
}

func changed(r sql.Result, err error) (bool, error) {
	if err != nil {
		return false, fmt.Errorf("changing a session: %w", err)
	}
	n, err := r.RowsAffected()
	return n > 0, err
}

func (v Session) fact(kind string, a identity.Actor, expires time.Time, why string) event.Fact {
	return event.Fact{
		Type: kind, Project: v.Project, Subject: event.Of(event.KindSession, v.ID), Actor: a.String(),
		Payload: event.Session{V: 1, Session: v.ID, User: v.User, Environment: v.Environment, Namespace: v.Namespace, Service: v.Service, Mode: v.Mode,
			Secrets: v.Secrets, Expires: expires, Why: why},
	}
}

// extend stores the new end of a lease; false when the session was over already.
func (s *Service) extend(ctx context.Context, v Session, now time.Time) (bool, error) {
	return changed(s.DB.Exec(ctx, `UPDATE dev_session SET expires = ? WHERE id = ? AND state = ? AND expires > ?`,
		v.Expires.UnixMilli(), v.ID, Live, now.UnixMilli()))
}

// noteRouted stores until when the routers know a session, and where its pod is.
func (s *Service) noteRouted(ctx context.Context, v Session) error {
	_, err := changed(s.DB.Exec(ctx, `UPDATE dev_session SET host = ?, routed_until = ? WHERE id = ? AND state = ?`, v.host, v.routed.UnixMilli(), v.ID, Live))
	return err
}

func (s *Service) shared(ctx context.Context, a identity.Actor, v Session, expires time.Time) error {
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		return s.Log.Append(ctx, tx, v.fact(event.TypeSessionShared, a, expires, ""))
	})
}
