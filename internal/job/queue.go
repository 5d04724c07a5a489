package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/store"
)

// Queue is the table of jobs. It is safe for concurrent use.
type Queue struct {
	db    *store.DB
	clock clock.Clock

	mu   sync.Mutex
	wake chan struct{} // Closed and replaced at each commit that enqueued.
}

// New returns the queue that lives in db.
func New(db *store.DB, c clock.Clock) *Queue {
	return &Queue{db: db, clock: c, wake: make(chan struct{})}
}

// Enqueue adds a job in the caller's transaction; it starts after the commit. payload is
// encoded as JSON. key, when not empty, stands for "the same work": see the package's
// invariants.
func (q *Queue) Enqueue(ctx context.Context, tx *store.Tx, kind, key string, payload any) error {
	body, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("encoding the payload of a %s job: %w", kind, err)
	}
	if kind == "" {
		return errors.New("enqueueing a job: the kind is empty")
	}
	id := q.clock.NewID()
	dedup := id
	if key != "" {
		dedup = kind + "\n" + key
	}
	now := q.clock.Now().UnixMilli()
	_, err = tx.Exec(ctx, `INSERT INTO job (id, kind, dedup, payload, created, run_at, attempts, owner, lease_until, again, failed, error)
		VALUES (?,?,?,?,?,?,0,'',0,0,0,'')
		ON CONFLICT (dedup) DO UPDATE SET payload = excluded.payload, again = CASE WHEN job.owner = '' THEN 0 ELSE 1 END`,
		id, kind, dedup, string(body), now, now)
	if err != nil {
		return fmt.Errorf("enqueueing a %s job: %w", kind, err)
	}
	tx.AfterCommit(q.signal)
	return nil
}

func (q *Queue) signal() {
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.wake)
	q.wake = make(chan struct{})
}

func (q *Queue) changed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.wake
}

// Row is a job that was given up, for people.
type Row struct {
	ID       string
	Kind     string
	Payload  json.RawMessage
	Created  time.Time
	Attempts int
	Error    string // of the last attempt
}

// Failed returns the newest 200 jobs that were given up.
func (q *Queue) Failed(ctx context.Context) ([]Row, error) {
	rows, err := q.db.Query(ctx, `SELECT id, kind, payload, created, attempts, error FROM job WHERE failed = 1 ORDER BY id DESC LIMIT 200`)
	if err != nil {
		return nil, fmt.Errorf("reading failed jobs: %w", err)
	}
	defer rows.Close()
	var out []Row
	for rows.Next() {
		var r Row
		var payload string
		var created int64
		if err := rows.Scan(&r.ID, &r.Kind, &payload, &created, &r.Attempts, &r.Error); err != nil {
			return nil, fmt.Errorf("reading failed jobs: %w", err)
		}
		r.Payload, r.Created = json.RawMessage(payload), time.UnixMilli(created).UTC()
		out = append(out, r)
	}
	return out, rows.Err()
}

// lease is how long a worker's claim holds without a heartbeat: the longest that a job
// waits after its worker was killed.
const lease = 20 * time.Second

type claimed struct {
	id, owner string
	payload   json.RawMessage
	attempts  int
}

// claim takes the oldest due job of a kind, or nil when there is none. It looks before it
// takes the writer, so that idle workers cost one read.
func (q *Queue) claim(ctx context.Context, kind string) (*claimed, error) {
	const due = `FROM job WHERE kind = ? AND failed = 0 AND run_at <= ? AND lease_until <= ?`
	now := q.clock.Now()
	ms := now.UnixMilli()
	var n int
	if err := q.db.QueryRow(ctx, `SELECT COUNT(*) `+due, kind, ms, ms).Scan(&n); err != nil {
		return nil, fmt.Errorf("looking for %s jobs: %w", kind, err)
	}
	if n == 0 {
		return nil, nil
	}
	var c *claimed
	err := q.db.Tx(ctx, func(tx *store.Tx) error {
		lock := ""
		if tx.Postgres() {
			lock = " FOR UPDATE SKIP LOCKED"
		}
		rows, err := tx.Query(ctx, `SELECT id, payload, attempts `+due+` ORDER BY run_at, id LIMIT 1`+lock, kind, ms, ms)
		if err != nil {
			return err
		}
		got := claimed{owner: q.clock.NewID()}
		var payload string
		found := rows.Next()
		if found {
			err = rows.Scan(&got.id, &payload, &got.attempts)
		}
		if err := errors.Join(err, rows.Err(), rows.Close()); err != nil || !found {
			return err
		}
		got.payload = json.RawMessage(payload)
		// A payload that Enqueue replaced between two attempts is taken here, so what
		// asked for "again" before this moment is served by this attempt.
		_, err = tx.Exec(ctx, `UPDATE job SET owner = ?, lease_until = ?, attempts = attempts + 1, again = 0 WHERE id = ?`,
			got.owner, now.Add(lease).UnixMilli(), got.id)
		c = &got
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claiming a %s job: %w", kind, err)
	}
	return c, nil
}

// renew extends the lease; ok is false when another worker has taken the job.
func (q *Queue) renew(ctx context.Context, c *claimed) (ok bool, err error) {
	res, err := q.db.Exec(ctx, `UPDATE job SET lease_until = ? WHERE id = ? AND owner = ?`, q.clock.Now().Add(lease).UnixMilli(), c.id, c.owner)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// finish deletes a done job, or lets it run again when it was enqueued meanwhile.
func (q *Queue) finish(ctx context.Context, c *claimed) error {
	return q.db.Tx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM job WHERE id = ? AND owner = ? AND again = 0`, c.id, c.owner); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE job SET owner = '', lease_until = 0, attempts = 0, again = 0, error = '', run_at = ? WHERE id = ? AND owner = ?`,
			q.clock.Now().UnixMilli(), c.id, c.owner)
		return err
	})
}

// retry gives the job back, to run after pause. attempts is what the row then counts.
func (q *Queue) retry(ctx context.Context, c *claimed, attempts int, pause time.Duration, cause string) error {
	_, err := q.db.Exec(ctx, `UPDATE job SET owner = '', lease_until = 0, attempts = ?, error = ?, run_at = ? WHERE id = ? AND owner = ?`,
		attempts, cause, q.clock.Now().Add(pause).UnixMilli(), c.id, c.owner)
	return err
}

// giveUp keeps the job as failed and frees its key.
func (q *Queue) giveUp(ctx context.Context, c *claimed, cause string) error {
	_, err := q.db.Exec(ctx, `UPDATE job SET owner = '', lease_until = 0, failed = 1, dedup = id, error = ? WHERE id = ? AND owner = ?`,
		cause, c.id, c.owner)
	return err
}

// Waits reports whether work of a key is still to be done: it waits for its turn, runs, or
// will be tried again. What was given up does not count.
func (q *Queue) Waits(ctx context.Context, h store.Handle, kind, key string) (bool, error) {
	var n int
	if err := h.QueryRow(ctx, `SELECT COUNT(*) FROM job WHERE dedup = ? AND failed = 0`, kind+"\n"+key).Scan(&n); err != nil {
		return false, fmt.Errorf("looking for a %s job: %w", kind, err)
	}
	return n > 0, nil
}
