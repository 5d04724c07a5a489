package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// part is an actor of the run group: it works until its context ends.
type part struct {
	name string
	run  func(ctx context.Context) error
}

// runAll starts the parts in order and waits. When ctx ends or a part fails, the parts
// are stopped one at a time in reverse order, so that nothing loses what it stands on.
func runAll(ctx context.Context, parts []part) error {
	type running struct {
		part
		cancel context.CancelFunc
		done   chan struct{}
	}
	var (
		mu     sync.Mutex
		failed error
		stop   = make(chan struct{})
		once   sync.Once
		all    []running
	)
	for _, p := range parts {
		// Parts are stopped by the group, in order, not all at once by ctx.
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		r := running{part: p, cancel: cancel, done: make(chan struct{})}
		all = append(all, r)
		go func() {
			defer close(r.done)
			err := r.run(own)
			if own.Err() != nil {
				return
			}
			if err == nil {
				err = errors.New("ended by itself")
			}
			mu.Lock()
			failed = errors.Join(failed, fmt.Errorf("%s: %w", r.name, err))
			mu.Unlock()
			once.Do(func() { close(stop) })
		}()
	}
	select {
	case <-ctx.Done():
	case <-stop:
	}
	for i := len(all) - 1; i >= 0; i-- {
		all[i].cancel()
		<-all[i].done
	}
	mu.Lock()
	defer mu.Unlock()
	return failed
}
