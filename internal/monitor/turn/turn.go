package turn

import (
	"context"
	"slices"
	"sync"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/query"
)

// Everything is the name of who asks for every project and the platform. No project is
// called so.
const Everything = "*"

const (
	maxWaiting = 64 // of one name
	// patience is how long somebody waits, when the context does not say less.
	patience = 30 * time.Second
)

// Turns are places. They are safe for concurrent use.
type Turns struct {
	all, each int

	mu      sync.Mutex
	taken   int
	by      map[string]int
	waiting []*waiter
}

type waiter struct {
	name string
	in   chan struct{} // closed when it has a place
}

// New returns places for all at a time, of which one name has at most each.
func New(all, each int) *Turns {
	return &Turns{all: all, each: each, by: map[string]int{}}
}

// Wait is Enter for work that nobody stands behind: it waits until ctx ends, however many
// others do.
func (t *Turns) Wait(ctx context.Context, name string) (leave func(), err error) {
	return t.enter(ctx, name, nil)
}

// Enter waits for a place; leave gives it back and is called once. The error is
// fault.Throttled when there was none in time, or the context's own.
func (t *Turns) Enter(ctx context.Context, name string) (leave func(), err error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	return t.enter(ctx, name, late.C)
}

// enter waits until ctx ends or, unless it is nil, late gives something.
func (t *Turns) enter(ctx context.Context, name string, late <-chan time.Time) (leave func(), err error) {
	t.mu.Lock()
	if t.free(name) {
		t.take(name)
		t.mu.Unlock()
		return t.leave(name), nil
	}
	if late != nil && t.queued(name) >= maxWaiting {
		t.mu.Unlock()
		return nil, busy(t.each)
	}
	w := &waiter{name, make(chan struct{})}
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	select {
	case <-w.in:
		return t.leave(name), nil
	case <-late:
		err = busy(t.each)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, t.giveUp(w, err)
}

// Try is Enter that does not wait.
func (t *Turns) Try(name string) (leave func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.free(name) {
		return nil, busy(t.each)
	}
	t.take(name)
	return t.leave(name), nil
}

func busy(each int) error {
	return fault.New(fault.Throttled, "As much is being asked at the moment as can be answered, or %d questions about this project already.", each).
		WithNext("ask again in a moment").WithAfter(time.Second)
}

// giveUp takes a waiter out; one that got its place meanwhile gives it back.
func (t *Turns) giveUp(w *waiter, why error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.waiting, w); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
		return why
	}
	t.release(w.name)
	return why
}

func (t *Turns) leave(name string) func() {
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.release(name)
	}
}

// The following are called with mu held.

func (t *Turns) free(name string) bool { return t.taken < t.all && t.by[name] < t.each }

func (t *Turns) take(name string) {
	t.taken++
	t.by[name]++
}

func (t *Turns) queued(name string) int {
	n := 0
	for _, w := range t.waiting {
		if w.name == name {
			n++
		}
	}
	return n
}

// release gives a place back, to the first who may have it.
func (t *Turns) release(name string) {
	t.taken--
	if t.by[name]--; t.by[name] == 0 {
		delete(t.by, name)
	}
	i := slices.IndexFunc(t.waiting, func(w *waiter) bool { return t.free(w.name) })
	if i < 0 {
		return
	}
	w := t.waiting[i]
	t.waiting = slices.Delete(t.waiting, i, i+1)
	t.take(w.name)
	close(w.in)
}

// Runner answers questions; query.Runner is one.
type Runner interface {
	Run(ctx context.Context, ask query.Ask) (*query.Result, error)
}

// Queries answers questions when it is their turn.
type Queries struct {
	Next  Runner
	Turns *Turns
}

// Run waits for a place of the project that is asked about, and answers.
func (q Queries) Run(ctx context.Context, ask query.Ask) (*query.Result, error) {
	name := ask.Project
	if ask.All {
		name = Everything
	}
	leave, err := q.Turns.Enter(ctx, name)
	if err != nil {
		return nil, err
	}
	defer leave()
	return q.Next.Run(ctx, ask)
}
