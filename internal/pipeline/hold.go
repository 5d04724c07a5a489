package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// onGate is the name under which the watch of the gates waits.
const onGate = "gate"

// askTime bounds one question to the outside.
const askTime = 30 * time.Second

// askAgain is the pause after a question that had no answer.
const askAgain = 30 * time.Second

// holds is what the watch of the gates knows; nothing in it must outlive the server.
type holds struct {
	mu    sync.Mutex
	dirty bool            // look at every gate, not only at those whose time has come
	asked map[string]bool // entries whose question is on its way
	told  map[string]bool // entries whose coming to a lock others have heard of
}

// reconsider has every gate that holds a stage looked at.
func (s *Service) reconsider() {
	s.holds.mu.Lock()
	s.holds.dirty = true
	s.holds.mu.Unlock()
	s.hub.signal(onGate)
}

// reconsiderDue has the gates looked at whose time has come.
func (s *Service) reconsiderDue() { s.hub.signal(onGate) }

// reconsiderOnce is reconsider the first time that it is called for an entry: one that
// waits for a lock changes what others may expect when it comes, and not each time that it
// is looked at.
func (s *Service) reconsiderOnce(entry string) func() {
	return func() {
		s.holds.mu.Lock()
		known := s.holds.told[entry]
		if s.holds.told == nil || len(s.holds.told) > 10_000 {
			s.holds.told = map[string]bool{}
		}
		s.holds.told[entry] = true
		s.holds.mu.Unlock()
		if !known {
			s.reconsider()
		}
	}
}

// watchGates looks at the gates when something has changed and when their time has come,
// until ctx ends.
func (s *Service) watchGates(ctx context.Context) {
	s.reconsider()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		changed := s.hub.changed(onGate)
		if err := s.lookAtGates(ctx, &wg); err != nil && ctx.Err() == nil {
			s.logger.Error("looking at the checks that hold stages", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(time.Second):
		}
	}
}

// LookAtGates looks once at every gate whose time has come, and waits for the answers of
// the outside. Run does so all the time.
func (s *Service) LookAtGates(ctx context.Context) error {
	var wg sync.WaitGroup
	err := s.lookAtGates(ctx, &wg)
	wg.Wait()
	return errors.Join(err, s.lookAtGates(ctx, &wg))
}

func (s *Service) lookAtGates(ctx context.Context, wg *sync.WaitGroup) error {
	s.holds.mu.Lock()
	all := s.holds.dirty
	s.holds.dirty = false
	s.holds.mu.Unlock()
	now := s.clock.Now()
	runs, err := loadNumbers(ctx, s.db, `SELECT DISTINCT run FROM pipeline_stage WHERE gate = ? AND (? = 1 OR wake > 0 AND wake <= ?) ORDER BY run`,
		gateHeld, bit(all), millis(now))
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range runs {
		if err := s.lookAtGate(ctx, n, wg); err != nil {
			errs = append(errs, fmt.Errorf("run %d: %w", n, err))
		}
	}
	if all && len(errs) > 0 {
		s.holds.mu.Lock()
		s.holds.dirty = true
		s.holds.mu.Unlock()
	}
	return errors.Join(errs...)
}

// lookAtGate advances the gates of one run and puts the questions of their entries.
func (s *Service) lookAtGate(ctx context.Context, n int64, wg *sync.WaitGroup) error {
	err := s.again(ctx, func(tx *store.Tx) error {
		r, err := s.loadRun(ctx, tx, n)
		if err != nil {
			return err
		}
		return s.advance(ctx, tx, r)
	})
	if err != nil {
		return err
	}
	entries, err := loadEntries(ctx, s.db, `run = ? AND status IN (?, ?) AND EXISTS (SELECT 1 FROM pipeline_stage g
		WHERE g.run = pipeline_entry.run AND g.name = pipeline_entry.stage AND g.attempt = pipeline_entry.attempt AND g.gate = ?)`,
		n, string(check.Waiting), string(check.Passed), gateHeld)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	for _, e := range entries {
		if s.outside == nil || !e.Due(now) || !s.begin(e.Entry) {
			continue
		}
		wg.Go(func() {
			defer s.asked(e.Entry)
			if err := s.ask(ctx, e); err != nil && ctx.Err() == nil {
				s.logger.Error("asking a check", "run", e.Run, "stage", e.Stage, "check", e.Name(), "error", err)
			}
		})
	}
	return nil
}

// begin notes that a question is on its way; false when it was already, or when there are
// too many.
func (s *Service) begin(entry string) bool {
	s.holds.mu.Lock()
	defer s.holds.mu.Unlock()
	if s.holds.asked == nil {
		s.holds.asked = map[string]bool{}
	}
	if s.holds.asked[entry] || len(s.holds.asked) >= 32 {
		return false
	}
	s.holds.asked[entry] = true
	return true
}

func (s *Service) asked(entry string) {
	s.holds.mu.Lock()
	delete(s.holds.asked, entry)
	s.holds.mu.Unlock()
}

// ask puts the question of an entry and writes the answer down.
func (s *Service) ask(ctx context.Context, e *check.Entry) error {
	r, err := s.loadRun(ctx, s.db, e.Run)
	if err != nil {
		return err
	}
	subject, err := s.gateSubject(ctx, r, e)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	answer, ok, why := e.Ask(limited, subject, s.outside)
	if ctx.Err() != nil {
		return nil // The server stops; the question is put again.
	}
	return s.again(ctx, func(tx *store.Tx) error {
		now := s.clock.Now()
		if err := lockGates(ctx, tx, e.Run); err != nil {
			return err
		}
		fresh, err := loadEntry(ctx, tx, e.Entry)
		if err != nil || fresh == nil || !fresh.Due(now) {
			return err
		}
		if ok {
			answer.At = now
			fresh.Answer = &answer
		} else {
			fresh.Why, fresh.Next = why, now.Add(askAgain)
		}
		if err := writeEntry(ctx, tx, fresh); err != nil {
			return err
		}
		if r, err = s.loadRun(ctx, tx, e.Run); err != nil || r.Status == plan.Completed {
			return err
		}
		return s.advance(ctx, tx, r)
	})
}

// lockGates has those who change what stands at the gates of a run do so one after the
// other; on SQLite they do anyway. Read entries after it.
func lockGates(ctx context.Context, tx *store.Tx, run int64) error {
	if !tx.Postgres() {
		return nil
	}
	if _, err := tx.Exec(ctx, `UPDATE pipeline_stage SET wake = wake WHERE run = ? AND gate = ?`, run, gateHeld); err != nil {
		return fmt.Errorf("taking the gates of run %d: %w", run, err)
	}
	return nil
}

// writeEntry writes what changes of an entry.
func writeEntry(ctx context.Context, tx *store.Tx, e *check.Entry) error {
	if _, err := tx.Exec(ctx, `UPDATE pipeline_entry SET status = ?, body = ? WHERE id = ?`, string(e.Status), text(e), e.Entry); err != nil {
		return fmt.Errorf("writing a check of stage %s: %w", e.Stage, err)
	}
	return nil
}

// loadEntries reads entries in the order in which they were made.
func loadEntries(ctx context.Context, h store.Handle, where string, args ...any) ([]*check.Entry, error) {
	rows, err := h.Query(ctx, `SELECT body FROM pipeline_entry WHERE `+where+` ORDER BY id`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the checks of a stage: %w", err)
	}
	defer rows.Close()
	var out []*check.Entry
	for rows.Next() {
		var body string
		e := &check.Entry{}
		if err := rows.Scan(&body); err != nil {
			return nil, fmt.Errorf("reading the checks of a stage: %w", err)
		}
		if err := json.Unmarshal([]byte(body), e); err != nil {
			return nil, fmt.Errorf("reading the checks of a stage: %w", err)
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// loadEntry reads one entry; nil when there is none.
func loadEntry(ctx context.Context, h store.Handle, id string) (*check.Entry, error) {
	list, err := loadEntries(ctx, h, `id = ?`, id)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

// loadNumbers reads a column of numbers.
func loadNumbers(ctx context.Context, h store.Handle, query string, args ...any) ([]int64, error) {
	rows, err := h.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("reading the gates: %w", err)
	}
	defer rows.Close()
	var out []int64
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, fmt.Errorf("reading the gates: %w", err)
		}
		out = append(out, n)
	}
	return out, rows.Err()
}
