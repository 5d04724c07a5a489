//go:build cgo

package engine

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxQueries is how many queries run at a time; others wait.
const maxQueries = 8

// errMemory ends a query because appends need its memory; errClosed because the lake ends.
var (
	errMemory = errors.New("its memory is needed")
	errClosed = errors.New("the lake is being closed")
)

// pool knows the queries that run.
type pool struct {
	mu      sync.Mutex
	free    *sync.Cond
	running map[*running]bool
	closed  bool
}

func newPool() *pool {
	p := &pool{running: map[*running]bool{}}
	p.free = sync.NewCond(&p.mu)
	return p
}

type running struct {
	began time.Time
	end   context.CancelCauseFunc
}

// enter waits for a place. The query must run with the context that it returns, and then
// call leave. older reports whether one runs that has begun before it.
func (p *pool) enter(ctx context.Context) (_ context.Context, older func() bool, leave func(), err error) {
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.free.Broadcast()
	})
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.running) >= maxQueries && !p.closed && ctx.Err() == nil {
		p.free.Wait()
	}
	if p.closed {
		return nil, nil, nil, errClosed
	}
	if ctx.Err() != nil {
		return nil, nil, nil, context.Cause(ctx)
	}
	r := &running{began: time.Now()}
	ctx, r.end = context.WithCancelCause(ctx)
	p.running[r] = true
	older = func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for o := range p.running {
			if o.began.Before(r.began) {
				return true
			}
		}
		return false
	}
	return ctx, older, func() {
		r.end(nil)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.running, r)
		p.free.Broadcast()
	}, nil
}

// endOldest ends the query that has run longest.
func (p *pool) endOldest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var oldest *running
	for r := range p.running {
		if oldest == nil || r.began.Before(oldest.began) {
			oldest = r
		}
	}
	if oldest != nil {
		oldest.end(errMemory)
	}
}

// close ends all queries, lets no more in, and waits for the last.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for r := range p.running {
		r.end(errClosed)
	}
	p.free.Broadcast()
	for len(p.running) > 0 {
		p.free.Wait()
	}
}
