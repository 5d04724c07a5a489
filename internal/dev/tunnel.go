package dev

import (
	"context"
	"errors"
	"io"
	"sync"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// maxTunnels bounds the connections of one session to its pod: a developer's machine holds
// one, and opens another while the first is dying.
const maxTunnels = 4

// tunnels knows the open tunnels, to cut them when their session ends.
type tunnels struct {
	mu   sync.Mutex
	open map[string]map[io.Closer]bool
}

func newTunnels() *tunnels { return &tunnels{open: map[string]map[io.Closer]bool{}} }

// add counts a tunnel in; false when the session has enough of them.
func (t *tunnels) add(id string, c io.Closer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.open[id]) >= maxTunnels {
		return false
	}
	if t.open[id] == nil {
		t.open[id] = map[io.Closer]bool{}
	}
	t.open[id][c] = true
	return true
}

func (t *tunnels) remove(id string, c io.Closer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open[id], c)
	if len(t.open[id]) == 0 {
		delete(t.open, id)
	}
}

// cut closes all tunnels of a session.
func (t *tunnels) cut(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.open[id] {
		_ = c.Close() // The way is gone whatever it says.
	}
	delete(t.open, id)
}

// tunnelled is the way to a session's pod while it counts as open.
type tunnelled struct {
	io.ReadWriteCloser
	close func() error
}

// Close closes the way and counts it out.
func (t *tunnelled) Close() error { return t.close() }

// Tunnel opens the way to the pod of the actor's own session. It closes when the session
// ends; the caller closes it too.
func (s *Service) Tunnel(ctx context.Context, a identity.Actor, id string) (io.ReadWriteCloser, error) {
	v, err := s.own(ctx, a, id)
	if err != nil {
		return nil, err
	}
	if err := v.open(s.Clock.Now()); err != nil {
		return nil, err
	}
	if _, err := s.permit(ctx, a, v.Project, v.Environment); err != nil {
		return nil, err
	}
	if err := s.revive(ctx, v); err != nil {
		return nil, err
	}
	way, err := s.Pods.Dial(ctx, v)
	if err != nil {
		return nil, err
	}
	if !s.tunnels.add(id, way) {
		return nil, errors.Join(fault.New(fault.Conflict, "Session %s has %d tunnels already.", id, maxTunnels).
			WithNext("end the other `towpath dev` that holds it"), way.Close())
	}
	t := &tunnelled{ReadWriteCloser: way, close: sync.OnceValue(func() error {
		s.tunnels.remove(id, way)
		return way.Close()
	})}
	// It may have ended while the way was opened, before there was something to cut.
	if v, err = s.find(ctx, id); err == nil {
		err = v.open(s.Clock.Now())
	}
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// maxLogLines bounds what Logs returns.
const maxLogLines = 1000

// Logs returns the last lines that the pod of a session wrote: one's own, or any with the
// role maintain.
func (s *Service) Logs(ctx context.Context, a identity.Actor, id string, lines int) (string, error) {
	v, err := s.known(ctx, a, id, identity.Write)
	if err != nil {
		return "", err
	}
	if v.owner != a.String() {
		if err := s.Auth.Require(ctx, a, v.Project, identity.Maintain); err != nil {
			return "", err
		}
	}
	if err := v.open(s.Clock.Now()); err != nil {
		return "", err
	}
	if lines < 1 || lines > maxLogLines {
		lines = maxLogLines
	}
	return s.Pods.Logs(ctx, v, lines)
}

// Accesses returns what the routers of an environment saw of requests with a key: a key of
// the actor's own, of a session or of a probe, because the records tell what others do.
func (s *Service) Accesses(ctx context.Context, a identity.Actor, project, environment, key string) ([]Access, error) {
	place, err := s.permit(ctx, a, project, environment)
	if err != nil {
		return nil, err
	}
	if !ownKey(a.Name, key) {
		return nil, fault.New(fault.Denied, "%q is no key of yours.", key).WithNext("use the key of one of your sessions: towpath dev list")
	}
	got, err := s.Pods.Accesses(ctx, place.Namespace, key)
	if got == nil {
		got = []Access{}
	}
	return got, err
}
