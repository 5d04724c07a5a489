package enforce

import (
	"slices"
	"sync"
)

// board holds the state that others see.
type board struct {
	mu    *sync.Mutex
	state *Enforcement
	next  *chan struct{}
}

func newBoard() board {
	next := make(chan struct{})
	return board{mu: &sync.Mutex{}, state: &Enforcement{Skipped: []Skipped{}}, next: &next}
}

func (b board) get() Enforcement {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := *b.state
	s.Skipped = slices.Clone(s.Skipped)
	return s
}

func (b board) changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return *b.next
}

func (b board) update(f func(*Enforcement)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(b.state)
	close(*b.next)
	*b.next = make(chan struct{})
}
