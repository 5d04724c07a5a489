package session

import (
	"context"
	"sync"
	"time"

	"towpath.dev/towpath/internal/dev/tunnel"
)

// lease is how long the pod lives.
type lease struct {
	now  func() time.Time
	last time.Time // beyond which it does not go

	mu      sync.Mutex
	expires time.Time
}

// leaseTick is how often a lease is looked at: a machine that was suspended has timers that
// lag behind its clock.
const leaseTick = 500 * time.Millisecond

func newLease(now func() time.Time, first, age time.Duration) *lease {
	start := now()
	return &lease{now: now, last: start.Add(age), expires: start.Add(min(first, age))}
}

// until returns when the lease ends.
func (l *lease) until() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.expires
}

// renew extends the lease, never shortens it, and returns when it ends.
func (l *lease) renew(until time.Time) (time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.now().Before(l.expires) {
		return l.expires, tunnel.Errorf(tunnel.Forbidden, "the session's lease is over: start a new session with towpath dev")
	}
	if until.After(l.last) {
		until = l.last
	}
	if until.After(l.expires) {
		l.expires = until
	}
	return l.expires, nil
}

// wait returns true when the lease is over, false when ctx ended before.
func (l *lease) wait(ctx context.Context) bool {
	tick := time.NewTicker(leaseTick)
	defer tick.Stop()
	for {
		if !l.now().Before(l.until()) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}
