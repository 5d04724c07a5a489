package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Handler does one job. nil means done. An error means another attempt after a pause
// that grows from one second to five minutes, at most MaxAttempts times; an error wrapped
// by Fatal gives up at once. The handler must be idempotent and must return when ctx ends.
type Handler func(ctx context.Context, payload json.RawMessage) error

// MaxAttempts is after how many attempts a job is given up.
const MaxAttempts = 20

type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// Fatal wraps err so that the job is given up and not tried again. Fatal(nil) is nil.
func Fatal(err error) error {
	if err == nil {
		return nil
	}
	return fatal{err}
}

const (
	pollEvery = time.Second // how often a worker looks for jobs of other processes and due retries
	beatEvery = lease / 4
	// closing is how long a worker that is told to stop may take to give its job back.
	closing = 5 * time.Second
)

// Work does the jobs of a kind, up to parallel at a time, until ctx ends; it then waits
// for the running handlers and returns nil. Jobs cut off by that run again at the next
// start, without counting the attempt.
func (q *Queue) Work(ctx context.Context, kind string, parallel int, h Handler, log *slog.Logger) error {
	if parallel < 1 {
		return fmt.Errorf("working on %s jobs: parallel is %d", kind, parallel)
	}
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() { q.worker(ctx, kind, h, log.With("job", kind)) })
	}
	wg.Wait()
	return nil
}

func (q *Queue) worker(ctx context.Context, kind string, h Handler, log *slog.Logger) {
	for ctx.Err() == nil {
		changed := q.changed()
		c, err := q.claim(ctx, kind)
		if err != nil && ctx.Err() == nil {
			log.Error("claiming a job", "error", err)
		}
		if c != nil {
			q.run(ctx, c, h, log)
			continue
		}
		t := time.NewTimer(pollEvery)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-t.C:
		}
		t.Stop()
	}
}

func (q *Queue) run(ctx context.Context, c *claimed, h Handler, log *slog.Logger) {
	hctx, cancel := context.WithCancel(ctx)
	var beat sync.WaitGroup
	beat.Go(func() { q.heartbeat(hctx, cancel, c, log) })
	err := h(hctx, c.payload)
	lost := hctx.Err() != nil && ctx.Err() == nil
	cancel()
	beat.Wait()
	if lost {
		return // Another worker has it now; its row is not ours to change.
	}
	// The row is settled even while the server shuts down.
	sctx, done := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer done()
	if err := q.settle(sctx, c, err, ctx.Err() != nil, log); err != nil {
		log.Error("settling a job; it will run again", "id", c.id, "error", err)
	}
}

func (q *Queue) settle(ctx context.Context, c *claimed, err error, stopping bool, log *slog.Logger) error {
	var f fatal
	switch attempt := c.attempts + 1; {
	case err == nil:
		return q.finish(ctx, c)
	case stopping:
		return q.retry(ctx, c, c.attempts, 0, "")
	case errors.As(err, &f), attempt >= MaxAttempts:
		log.Error("job given up", "id", c.id, "attempts", attempt, "error", err)
		return q.giveUp(ctx, c, err.Error())
	default:
		pause := min(time.Second<<min(c.attempts, 10), 5*time.Minute)
		log.Warn("job will be tried again", "id", c.id, "attempts", attempt, "retry_in", pause, "error", err)
		return q.retry(ctx, c, attempt, pause, err.Error())
	}
}

// heartbeat renews the lease until ctx ends, and cancels the handler when the lease is lost.
func (q *Queue) heartbeat(ctx context.Context, cancel context.CancelFunc, c *claimed, log *slog.Logger) {
	t := time.NewTicker(beatEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		ok, err := q.renew(ctx, c)
		if err != nil && ctx.Err() == nil {
			log.Warn("renewing the lease of a job", "id", c.id, "error", err)
		} else if err == nil && !ok {
			log.Warn("lost the lease of a job; stopping it", "id", c.id)
			cancel()
			return
		}
	}
}
