package cluster

import (
	"context"
	"slices"
	"sync"

	"towpath.dev/towpath/internal/fault"
)

// board holds a Status and tells waiters when it changes.
type board struct {
	mu     sync.Mutex
	status Status
	wake   chan struct{}
}

func newBoard(s Status) *board { return &board{status: s, wake: make(chan struct{})} }

func (b *board) get() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.status
	s.Components = slices.Clone(s.Components)
	return s
}

func (b *board) changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wake
}

func (b *board) update(f func(s *Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.status)
	close(b.wake)
	b.wake = make(chan struct{})
}

// await waits while the cluster is starting.
func (b *board) await(ctx context.Context) error {
	for {
		changed := b.changed() // Before the status is read, so that no change is missed.
		s := b.get()
		switch s.State {
		case Ready, Degraded:
			return nil
		case Failed, Stopped:
			return notReady(s)
		}
		select {
		case <-ctx.Done():
			return notReady(s)
		case <-changed:
		}
	}
}

func notReady(s Status) error {
	why := s.Why
	if why == "" {
		why = "it is " + s.State
	}
	return fault.New(fault.Unavailable, "The cluster is not ready: %s.", why).WithNext("watch it with `towpath status`")
}
