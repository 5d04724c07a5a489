package job_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/job"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// jump is a clock that a test moves.
type jump struct {
	clock.Clock
	add atomic.Int64
}

func newJump() *jump { return &jump{Clock: clock.System()} }

func (j *jump) Now() time.Time          { return j.Clock.Now().Add(time.Duration(j.add.Load())) }
func (j *jump) forward(d time.Duration) { j.add.Add(int64(d)) }

func enqueue(t *testing.T, db *store.DB, q *job.Queue, kind, key string, payload any) {
	t.Helper()
	if err := db.Tx(t.Context(), func(tx *store.Tx) error { return q.Enqueue(t.Context(), tx, kind, key, payload) }); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *store.DB) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM job`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// work runs a worker; the returned function ends it and waits.
func work(t *testing.T, q *job.Queue, kind string, parallel int, h job.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Work(ctx, kind, parallel, h, slog.New(slog.DiscardHandler)) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Work() = %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// await waits for what another goroutine does.
func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func TestEveryJobRunsOnceAndGoes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		q := job.New(db, clock.System())
		got := make(chan int, 100)
		stop := work(t, q, "n", 3, func(_ context.Context, payload json.RawMessage) error {
			var n int
			err := json.Unmarshal(payload, &n)
			got <- n
			return err
		})
		for i := range 20 {
			enqueue(t, db, q, "n", "", i)
		}
		enqueue(t, db, q, "other kind", "", 99)
		var seen []int
		for range 20 {
			seen = append(seen, await(t, got, "a job"))
		}
		stop()
		slices.Sort(seen)
		if fmt.Sprint(seen) != fmt.Sprint([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}) || len(got) != 0 {
			t.Errorf("ran %v and %d more", seen, len(got))
		}
		if n := count(t, db); n != 1 {
			t.Errorf("%d rows are left, want the one of the other kind", n)
		}
	})
}

func TestARolledBackJobNeverRuns(t *testing.T) {
	db := storetest.SQLite(t)
	q := job.New(db, clock.System())
	mine := errors.New("mine")
	err := db.Tx(t.Context(), func(tx *store.Tx) error {
		return errors.Join(q.Enqueue(t.Context(), tx, "n", "", 1), mine)
	})
	if !errors.Is(err, mine) || count(t, db) != 0 {
		t.Errorf("%v, %d rows", err, count(t, db))
	}
}

func TestAKeyStandsOnceAndTheNewestPayloadCounts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		q := job.New(db, clock.System())
		for i := range 3 {
			enqueue(t, db, q, "scan", "image", i)
		}
		enqueue(t, db, q, "sign", "image", 7)
		if n := count(t, db); n != 2 {
			t.Fatalf("%d rows, want one for each kind", n)
		}
		got := make(chan string, 10)
		work(t, q, "scan", 1, func(_ context.Context, p json.RawMessage) error { got <- string(p); return nil })
		if p := await(t, got, "the job"); p != "2" {
			t.Errorf("payload %s, want the newest", p)
		}
	})
}

func TestEnqueuedWhileRunningRunsOnceMore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		q := job.New(db, clock.System())
		enqueue(t, db, q, "scan", "image", 1)
		began, goOn := make(chan string, 10), make(chan bool)
		work(t, q, "scan", 2, func(_ context.Context, p json.RawMessage) error { began <- string(p); <-goOn; return nil })
		await(t, began, "the first run")
		enqueue(t, db, q, "scan", "image", 2)
		enqueue(t, db, q, "scan", "image", 3)
		if n := count(t, db); n != 1 {
			t.Errorf("%d rows while it runs, want one", n)
		}
		goOn <- true
		if p := await(t, began, "the second run"); p != "3" {
			t.Errorf("the second run has payload %s, want 3", p)
		}
		goOn <- true
	})
}

func TestFailuresAreTriedAgainAndGivenUp(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		c := newJump()
		q := job.New(db, c)
		enqueue(t, db, q, "n", "key", "x")
		// Most of the attempts are in the past already: each waits for the worker's look.
		if _, err := db.Exec(t.Context(), `UPDATE job SET attempts = ?`, job.MaxAttempts-3); err != nil {
			t.Fatal(err)
		}
		began := make(chan bool, 100)
		stop := work(t, q, "n", 1, func(context.Context, json.RawMessage) error { began <- true; return errors.New("down") })
		for range 3 {
			// Only time brings the next attempt: move it until it comes.
			for waiting := true; waiting; {
				select {
				case <-began:
					waiting = false
				case <-time.After(20 * time.Millisecond):
					c.forward(10 * time.Minute) // Longer than any pause.
				}
			}
		}
		failed := awaitFailed(t, q)
		if failed.Attempts != job.MaxAttempts || failed.Error != "down" || string(failed.Payload) != `"x"` || failed.Kind != "n" {
			t.Errorf("%+v", failed)
		}
		stop()
		enqueue(t, db, q, "n", "key", "fresh") // The key is free again.
		if n := count(t, db); n != 2 {
			t.Errorf("%d rows, want the failed and the new one", n)
		}
	})
}

func awaitFailed(t *testing.T, q *job.Queue) job.Row {
	t.Helper()
	for range 1000 {
		rows, err := q.Failed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 1 {
			return rows[0]
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the job was not given up")
	return job.Row{}
}

func TestFatalGivesUpAtOnce(t *testing.T) {
	db := storetest.SQLite(t)
	q := job.New(db, clock.System())
	enqueue(t, db, q, "n", "", 1)
	work(t, q, "n", 1, func(context.Context, json.RawMessage) error {
		return fmt.Errorf("handling: %w", job.Fatal(errors.New("never")))
	})
	if r := awaitFailed(t, q); r.Attempts != 1 || r.Error != "handling: never" {
		t.Errorf("%+v", r)
	}
	if job.Fatal(nil) != nil {
		t.Error("Fatal(nil) is an error")
	}
}

func TestAStoppedWorkerGivesItsJobBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		q := job.New(db, clock.System())
		enqueue(t, db, q, "n", "", 1)
		began := make(chan bool, 10)
		stop := work(t, q, "n", 1, func(ctx context.Context, _ json.RawMessage) error {
			began <- true
			<-ctx.Done()
			return ctx.Err()
		})
		await(t, began, "the first run")
		stop()
		work(t, q, "n", 1, func(context.Context, json.RawMessage) error { began <- true; return nil })
		await(t, began, "the run after the restart, without waiting for the lease")
	})
}

func TestAJobOfAKilledWorkerRunsWhenItsLeaseEnds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		c := newJump()
		q := job.New(db, c)
		enqueue(t, db, q, "n", "", 1)
		// What a killed worker leaves behind.
		_, err := db.Exec(t.Context(), `UPDATE job SET owner = 'dead', lease_until = ?`, c.Now().Add(time.Hour).UnixMilli())
		if err != nil {
			t.Fatal(err)
		}
		began := make(chan bool, 10)
		work(t, q, "n", 1, func(context.Context, json.RawMessage) error { began <- true; return nil })
		enqueue(t, db, q, "n", "", 2) // Proves that the worker looks, and passes the leased one over.
		await(t, began, "the free job")
		if len(began) != 0 {
			t.Error("a leased job was taken")
		}
		c.forward(2 * time.Hour)
		await(t, began, "the job whose lease ended")
	})
}
