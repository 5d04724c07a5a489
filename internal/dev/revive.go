package dev

import (
	"context"
	"errors"
)

// revive has the session's pod run again should it have ended, and the routers know where.
func (s *Service) revive(ctx context.Context, v Session) error {
	host, err := s.Pods.Revive(ctx, v)
	// A session that ended meanwhile was cleared away before this pod was made.
	after := context.WithoutCancel(ctx)
	if now, found := s.find(after, v.ID); found == nil && now.State == Ended {
		return errors.Join(now.over(), s.Pods.Remove(after, v))
	}
	if err != nil {
		return err
	}
	return s.moved(ctx, v, host)
}

// moved tells the routers of a pod that has another address than before.
func (s *Service) moved(ctx context.Context, v Session, host string) error {
	if host == v.host {
		return nil
	}
	s.Logger.Info("the pod of a session has another address", "session", v.ID, "before", v.host, "now", host)
	v.host = host
	return s.tell(ctx, &v)
}

// Follow looks where the pods of live sessions are. A pod that was started again in its
// place, as all are after their node was, has another address.
func (s *Service) Follow(ctx context.Context) error {
	// The pods of Sync are found by the name of a Service of their own.
	live, err := s.query(ctx, `state = ? AND mode <> ? AND expires > ? ORDER BY id LIMIT 1000`, Live, Sync, s.Clock.Now().UnixMilli())
	if err != nil || len(live) == 0 {
		return err
	}
	hosts, err := s.Pods.Hosts(ctx)
	if err != nil {
		return err
	}
	for _, v := range live {
		if host := hosts[v.ID]; host != "" {
			err = errors.Join(err, s.moved(ctx, v, host))
		}
	}
	return err
}
