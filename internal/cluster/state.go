package cluster

import (
	"slices"
	"sync"
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
