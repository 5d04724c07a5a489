package event

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"towpath.dev/towpath/internal/store"
)

// Handler takes one event, in the transaction that will move the consumer's cursor
// past it: what it writes through tx happens exactly once, anything else at least
// once. It must be quick and must not wait on other systems; long work is enqueued
// as a job.
type Handler func(ctx context.Context, tx *store.Tx, e Event) error

// pollEvery is how often a consumer looks for events of other processes.
const pollEvery = time.Second

// Consume delivers every event to handle, in order, from the cursor of the named
// consumer, until ctx ends; it then returns nil. When handle fails, the same event
// is delivered again after a pause that grows to 30 s. One process runs a consumer
// at a time.
func (l *Log) Consume(ctx context.Context, consumer string, handle Handler, log *slog.Logger) error {
	pause := time.Duration(0)
	for {
		changed := l.Changed()
		n, err := l.step(ctx, consumer, handle)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			pause = min(max(2*pause, 100*time.Millisecond), 30*time.Second)
			log.Error("consumer stopped at an event", "consumer", consumer, "error", err, "retry_in", pause)
			if !sleep(ctx, pause, nil) {
				return nil
			}
			continue
		}
		pause = 0
		if n == 0 && !sleep(ctx, pollEvery, changed) {
			return nil
		}
	}
}

// batch is how many events a consumer takes per transaction: enough to catch up
// quickly, few enough not to hold the writer long.
const batch = 64

func (l *Log) step(ctx context.Context, consumer string, handle Handler) (int, error) {
	var seq int64
	err := l.db.QueryRow(ctx, `SELECT seq FROM event_cursor WHERE consumer = ?`, consumer).Scan(&seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("reading the cursor of %s: %w", consumer, err)
	}
	events, err := l.Read(ctx, Query{After: seq, Limit: batch})
	if err != nil || len(events) == 0 {
		return 0, err
	}
	done := 0
	err = l.db.Tx(ctx, func(tx *store.Tx) error {
		for _, e := range events {
			if err := handle(ctx, tx, e); err != nil {
				return fmt.Errorf("handling event %d (%s): %w", e.Seq, e.Type, err)
			}
			done++
		}
		return move(ctx, tx, consumer, events[len(events)-1].Seq)
	})
	if err == nil || len(events) == 1 {
		return done, err
	}
	// Somewhere in the batch one event fails: take them one at a time up to it, so
	// that the others are not held back.
	return l.single(ctx, consumer, handle, events)
}

func (l *Log) single(ctx context.Context, consumer string, handle Handler, events []Event) (int, error) {
	for i, e := range events {
		err := l.db.Tx(ctx, func(tx *store.Tx) error {
			if err := handle(ctx, tx, e); err != nil {
				return fmt.Errorf("handling event %d (%s): %w", e.Seq, e.Type, err)
			}
			return move(ctx, tx, consumer, e.Seq)
		})
		if err != nil {
			return i, err
		}
	}
	return len(events), nil
}

func move(ctx context.Context, tx *store.Tx, consumer string, seq int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO event_cursor (consumer, seq) VALUES (?, ?)
		ON CONFLICT (consumer) DO UPDATE SET seq = excluded.seq`, consumer, seq)
	if err != nil {
		return fmt.Errorf("moving the cursor of %s: %w", consumer, err)
	}
	return nil
}

// sleep waits for d, for ctx to end (then it returns false), or for wake to close.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-wake:
	}
	return true
}
