package dev

import (
	"context"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// sweepEvery is how often leases are looked at; guardEvery how often the cluster is told
// where no session may be: an environment's namespace appears after the environment.
const (
	sweepEvery = 5 * time.Second
	guardEvery = 10 * time.Second
)

// end ends a session with its event, once, and clears it away. What cannot be cleared away
// now, because the cluster does not answer, the sweeper clears away later.
func (s *Service) end(ctx context.Context, a identity.Actor, v Session, why string) {
	if err := s.conclude(ctx, a, v, why); err != nil {
		s.Logger.Error("ending a session", "session", v.ID, "error", err)
		return
	}
	s.tunnels.cut(v.ID)
	if err := s.clear(ctx, v); err != nil && ctx.Err() == nil {
		s.Logger.Warn("clearing a session away", "session", v.ID, "error", err)
	}
}

func (s *Service) conclude(ctx context.Context, a identity.Actor, v Session, why string) error {
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		var state string
		if err := tx.QueryRow(ctx, `SELECT state FROM dev_session WHERE id = ?`, v.ID).Scan(&state); err != nil {
			return fmt.Errorf("reading session %s: %w", v.ID, err)
		}
		ended, err := changed(tx.Exec(ctx, `UPDATE dev_session SET state = ?, ended = ?, why = ? WHERE id = ? AND state <> ?`,
			Ended, s.Clock.Now().UnixMilli(), why, v.ID, Ended))
		if err != nil || !ended || state != Live {
			return err // One that never served has no end in the logbook either.
		}
		return s.Log.Append(ctx, tx, v.fact(event.TypeSessionEnded, a, v.Expires, why))
	})
}

// clear takes the route and the objects of a session away.
func (s *Service) clear(ctx context.Context, v Session) error {
	err := errors.Join(s.Routes.DropSession(ctx, v.Project, v.Environment, v.ID), s.Pods.Remove(ctx, v))
	if err != nil {
		return err
	}
	_, err = s.DB.Exec(ctx, `UPDATE dev_session SET cleaned = 1 WHERE id = ?`, v.ID)
	return err
}

// replace ends the session that the actor has on the same service.
func (s *Service) replace(ctx context.Context, a identity.Actor, r Request) error {
	old, err := s.query(ctx, `owner = ? AND project = ? AND environment = ? AND service = ? AND state <> ?`, a.String(), r.Project, r.Environment, r.Service, Ended)
	for _, v := range old {
		s.end(ctx, a, v, Replaced)
	}
	return err
}

// Sweep ends the sessions whose lease is over and clears away what is left of ended ones.
func (s *Service) Sweep(ctx context.Context) error {
	now := s.Clock.Now()
	due, err := s.query(ctx, `cleaned = 0 AND (state = ? OR expires <= ?) ORDER BY expires LIMIT 100`, Ended, now.UnixMilli())
	if err != nil {
		return err
	}
	for _, v := range due {
		switch {
		case v.State == Ended:
			err = errors.Join(err, s.clear(ctx, v))
		case v.State == Starting:
			s.end(ctx, identity.SystemActor("dev"), v, Broken)
		case !now.Before(v.Until):
			s.end(ctx, identity.SystemActor("dev"), v, Aged)
		default:
			s.end(ctx, identity.SystemActor("dev"), v, Expired)
		}
	}
	return err
}

// Run sweeps, and keeps the cluster's own guard in force, until ctx ends. Errors are
// logged: the cluster may be away, and a lease ends in the routers all the same.
func (s *Service) Run(ctx context.Context) error {
	var guarded time.Time
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Warn("sweeping sessions", "error", err)
		}
		if err := s.Follow(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Debug("following the pods of sessions", "error", err)
		}
		if now := s.Clock.Now(); now.Sub(guarded) >= guardEvery {
			if err := s.Guard(ctx); err == nil {
				guarded = now
			} else if ctx.Err() == nil {
				s.Logger.Debug("guarding namespaces against sessions", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// Guard tells the cluster which namespaces no session may be in and has its API server
// refuse their pods there.
func (s *Service) Guard(ctx context.Context) error {
	places, err := s.Environments.Places(ctx)
	if err != nil {
		return err
	}
	forbidden := map[string]bool{}
	for _, p := range places {
		forbidden[p.Namespace] = forbidden[p.Namespace] || p.Production || !p.Sessions
	}
	return s.Pods.Guard(ctx, forbidden)
}
