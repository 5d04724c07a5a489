//go:build cgo

package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/engine/duck"
	"towpath.dev/towpath/internal/monitor/table"
)

// Bounds of a query, and what stands in for a zero in it: Kusto's own limits.
const (
	defaultAnswerRows  = 500_000
	defaultAnswerBytes = 64 << 20
	defaultTimeout     = time.Minute
	maxAnswerBytes     = 256 << 20
	maxScans           = 64
)

// A query that found no memory is tried again when another one had it: at once, or beside a
// query that began earlier. One that had its chance for longer than this, with none before it,
// is itself what takes it.
const (
	innocent   = time.Second
	retries    = 20
	retryPause = 100 * time.Millisecond
)

// errEnough ends the fetching of a result that has reached its limit.
var errEnough = errors.New("the result has reached its limit")

// Query answers; lake.Client says what it promises.
func (e *Engine) Query(ctx context.Context, q lake.Query) (*lake.Answer, error) {
	e.count.queries.Add(1)
	a, err := e.ask(ctx, q)
	if fault.Is(err, fault.TooLarge) {
		e.count.tooLarge.Add(1)
	}
	return a, err
}

func (e *Engine) ask(ctx context.Context, q lake.Query) (*lake.Answer, error) {
	q.MaxRows = pick(q.MaxRows, defaultAnswerRows)
	q.MaxBytes = min(pick(q.MaxBytes, defaultAnswerBytes), maxAnswerBytes)
	q.Timeout = pick(q.Timeout, defaultTimeout)
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, q.Timeout, errTimeout)
	defer cancel()
	if err := e.check(ctx, q); err != nil {
		return nil, explain(ctx, err, q)
	}
	ctx, older, leave, err := e.queries.enter(ctx)
	if err != nil {
		return nil, explain(ctx, err, q)
	}
	defer leave()
	v := e.look()
	defer e.leave(v)
	for try := 0; ; try++ {
		start, beside := time.Now(), older()
		a, err := e.run(ctx, v, q)
		var d *duck.Error
		if errors.As(err, &d) && d.Reason == duck.OutOfMemory && (beside || time.Since(start) < innocent) && try < retries && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(retryPause):
			}
			continue
		}
		if err != nil {
			return nil, explain(ctx, err, q)
		}
		a.Stats.Milliseconds = float64(time.Since(began).Microseconds()) / 1000
		return a, nil
	}
}

var errTimeout = errors.New("the query ran out of time")

// run runs the query once.
func (e *Engine) run(ctx context.Context, v *view, q lake.Query) (*lake.Answer, error) {
	a := &lake.Answer{Batch: &table.Batch{Columns: q.Columns, Vectors: make([]table.Vector, len(q.Columns))}}
	for i, c := range q.Columns {
		a.Batch.Vectors[i] = table.Vector{Kind: c.Kind}
	}
	st := &a.Stats
	if q.Newest != nil && len(q.Scans) == 1 {
		narrow, err := e.newest(ctx, v, q, st)
		if err != nil {
			return nil, err
		}
		if q.Scans = []lake.Scan{narrow}; *st != (lake.Stats{}) {
			st = &lake.Stats{} // Read already.
		}
	}
	sql, err := e.plan(ctx, v, q, st)
	if err != nil {
		return nil, err
	}
	c, err := e.db.Connect()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	bytes := int64(0)
	err = c.Query(ctx, sql, func(k *duck.Chunk) error {
		if k.Columns() != len(q.Columns) {
			return fault.New(fault.Invalid, "The SQL gives %d columns where %d are expected.", k.Columns(), len(q.Columns))
		}
		rows := k.Rows()
		if left := q.MaxRows - a.Batch.Rows(); rows > left {
			rows, a.Truncated = left, true
		}
		for i := range a.Batch.Vectors {
			n, err := k.AppendTo(&a.Batch.Vectors[i], i, rows)
			if err != nil {
				return err
			}
			bytes += n
		}
		if bytes > q.MaxBytes {
			a.Truncated = true
		}
		if a.Truncated {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return a, nil
}

// explain makes of an error what the asker is told.
func explain(ctx context.Context, err error, q lake.Query) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errTimeout), errors.Is(err, errTimeout):
		return fault.New(fault.TooLarge, "The query took longer than the %s that it may.", q.Timeout).WithNext("ask for a shorter time or fewer rows")
	case errors.Is(cause, errMemory):
		return tooMuch(err)
	case errors.Is(cause, errClosed), errors.Is(err, errClosed):
		return unavailable(err, "The log engine is being stopped.", time.Second)
	case cause != nil:
		return fmt.Errorf("answering a query: %w", errors.Join(cause, err))
	}
	var d *duck.Error
	if !errors.As(err, &d) {
		return fmt.Errorf("answering a query: %w", err)
	}
	switch d.Reason {
	case duck.OutOfMemory:
		return tooMuch(err)
	case duck.Wrong:
		return fault.Wrap(fault.Invalid, err, "The log engine cannot run this query.")
	}
	return fmt.Errorf("answering a query: %w", err)
}

func tooMuch(err error) error {
	return fault.Wrap(fault.TooLarge, err, "The query needs more memory than it may have.").WithNext("ask for a shorter time, or filter and summarize earlier in the query")
}
