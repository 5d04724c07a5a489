package alert

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/alert/schedule"
	"towpath.dev/towpath/internal/monitor/turn"
	"towpath.dev/towpath/internal/store"
)

const (
	parallel      = 4           // evaluations at a time
	beat          = time.Second // the longest pause between two looks at the schedule
	sweepEvery    = 10 * time.Minute
	snapshotEvery = 30 * time.Second
	// recent is how long ago an alert may have resolved for its resolution to be sent still.
	recent = 2 * time.Hour
	// How many evaluations of a rule are kept, and how many characters of them.
	maxEvaluations    = 10_000
	maxEvaluationText = 2 << 20
	stateLog          = "notifications" // the row that keeps Alertmanager's notification log
)

// status is how a rule is, in this process.
type status struct {
	evaluated time.Time
	took      float64 // milliseconds
	err       string
	missed    int64
	pending   []sample
}

// Run evaluates rules and sends notifications until ctx ends. Seed comes before it.
func (s *Service) Run(ctx context.Context) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	defer s.stop()
	turns := turn.New(parallel, parallel/2)
	var working sync.WaitGroup
	defer working.Wait()
	lastSweep, lastSnapshot := s.Clock.Now(), s.Clock.Now()
	jumps := &jumps{last: lastSweep}
	for ctx.Err() == nil {
		now := s.Clock.Now()
		for _, t := range s.schedule.Due(now) {
			working.Go(func() { s.await(ctx, turns, t) })
		}
		if jumps.look(now) && now.Sub(lastSweep).Abs() >= sweepEvery {
			lastSweep = now
			s.complain("sweeping alerts", s.sweep(ctx))
		}
		if now.Sub(lastSnapshot).Abs() >= snapshotEvery {
			lastSnapshot = now
			s.complain("keeping the notification log", s.snapshot(ctx))
		}
		s.pause(ctx, s.schedule.Next(s.Clock.Now(), beat))
	}
	return nil
}

// await evaluates a rule when there is room for it. Rules of one project take half of the
// room: those of the others are not late because of them.
func (s *Service) await(ctx context.Context, turns *turn.Turns, t schedule.Turn) {
	s.mu.Lock()
	project := s.rules[t.ID].Project
	s.mu.Unlock()
	leave, err := turns.Wait(ctx, project)
	if err != nil {
		s.schedule.Done(t.ID)
		return // Stopping.
	}
	defer leave()
	s.turn(ctx, t)
}

// pause waits for d, for ctx to end, or for the rules to change.
func (s *Service) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(max(d, 10*time.Millisecond))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-s.wake:
	}
}

func (s *Service) complain(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		s.Logger.Warn(what, "err", err)
	}
}

// start loads rules and the router.
func (s *Service) start(ctx context.Context) error {
	now := s.Clock.Now()
	s.mu.Lock()
	s.started = now
	s.mu.Unlock()
	rules, err := bodies[Rule](ctx, s.DB, `SELECT body FROM alert_rule`)
	if err != nil {
		return err
	}
	s.loading.Lock()
	for _, r := range rules {
		s.load(r, true)
	}
	s.loading.Unlock()
	return s.startRouter(ctx)
}

// stop ends the router and keeps what it has sent. The context of Run is over by now.
func (s *Service) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s.mu.Lock()
	r := s.router
	s.router = nil
	s.mu.Unlock()
	if r == nil {
		return
	}
	r.Close()
	log, err := r.Snapshot()
	if err == nil {
		err = keepState(ctx, s.DB, stateLog, base64.StdEncoding.EncodeToString(log))
	}
	s.complain("keeping the notification log", err)
}

func (s *Service) snapshot(ctx context.Context) error {
	r := s.routing()
	if r == nil {
		return nil
	}
	log, err := r.Snapshot()
	if err != nil {
		return err
	}
	text := base64.StdEncoding.EncodeToString(log)
	if text == s.kept {
		return nil
	}
	s.kept = text
	return keepState(ctx, s.DB, stateLog, text)
}

// reload puts a rule to work as it is stored now, or takes it out. It is called after the
// commit of a change: of two changes at a time, the stored one counts.
func (s *Service) reload(id string) {
	s.loading.Lock()
	defer s.loading.Unlock()
	r, err := s.readRule(context.Background(), s.DB, id)
	switch {
	case fault.Is(err, fault.NotFound):
		s.unload(id)
	case err != nil:
		s.complain("loading a rule", err)
	default:
		s.load(r, false)
	}
}

// load puts a rule to work, or takes it out when it is switched off. restore is true at a
// start. The caller holds loading.
func (s *Service) load(r Rule, restore bool) {
	if !r.Enabled {
		s.unload(r.ID)
		return
	}
	now := s.Clock.Now()
	s.mu.Lock()
	s.rules[r.ID] = r
	s.mu.Unlock()
	if r.Kind == Metric {
		if err := s.engine.Put(s.metricRule(r), restore); err != nil {
			s.note(r.ID, func(st *status) { st.err, _ = fault.Public(err) })
			return
		}
	}
	var last time.Time
	if restore && r.Kind == Query {
		last = s.lastSlot(r.ID)
	}
	s.schedule.Put(r.ID, r.Every.Go(), last, now)
	s.poke()
}

// lastSlot is when a query rule was evaluated in an earlier life; zero when it never was.
func (s *Service) lastSlot(rule string) time.Time {
	var at int64
	if err := s.DB.QueryRow(context.Background(), `SELECT evaluated FROM alert_rule WHERE id = ?`, rule).Scan(&at); err != nil || at == 0 {
		return time.Time{}
	}
	return time.UnixMilli(at).UTC()
}

// unload takes a rule out. The caller holds loading.
func (s *Service) unload(id string) {
	s.schedule.Remove(id)
	s.mu.Lock()
	delete(s.rules, id)
	delete(s.statuses, id)
	s.mu.Unlock()
	s.engine.Remove(context.Background(), id, s.Clock.Now())
	s.poke()
}

func (s *Service) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// turn evaluates a rule once.
func (s *Service) turn(ctx context.Context, t schedule.Turn) {
	defer s.schedule.Done(t.ID)
	s.mu.Lock()
	r, ok := s.rules[t.ID]
	s.mu.Unlock()
	if !ok {
		return
	}
	o := s.evaluate(ctx, r, t.At)
	if ctx.Err() != nil {
		return // Stopping: what was cut short says nothing.
	}
	err := s.apply(ctx, r, o)
	s.complain("storing an evaluation", err)
	e := evaluation(r, o)
	s.note(t.ID, func(st *status) {
		st.evaluated, st.took, st.err, st.missed, st.pending = t.At, e.Took, e.Error, st.missed+t.Missed, nil
		if err != nil && st.err == "" {
			st.err, _ = fault.Public(err)
		}
		for _, x := range o.samples {
			if x.state == Pending {
				st.pending = append(st.pending, x)
			}
		}
	})
}

// note changes the status of a rule that is at work.
func (s *Service) note(id string, change func(*status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.rules[id]; !ok {
		return
	}
	st := s.statuses[id]
	change(&st)
	s.statuses[id] = st
}

func (s *Service) statusOf(id string) status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statuses[id]
}

// sweep removes what is older than Options.Keep.
func (s *Service) sweep(ctx context.Context) error {
	before := ms(s.Clock.Now().Add(-s.opts.Keep))
	s.mu.Lock()
	ids := make([]string, 0, len(s.rules))
	for id := range s.rules {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	for _, id := range ids {
		_, err := s.DB.Exec(ctx, `DELETE FROM alert_evaluation WHERE rule = ? AND at <= COALESCE((SELECT MAX(at) FROM (
			SELECT at, SUM(LENGTH(body)) OVER (ORDER BY at DESC) AS size, ROW_NUMBER() OVER (ORDER BY at DESC) AS place FROM alert_evaluation WHERE rule = ?
			) AS young WHERE size > ? OR place > ?), -1)`, id, id, maxEvaluationText, maxEvaluations)
		if err != nil {
			return fmt.Errorf("removing old evaluations: %w", err)
		}
	}
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		for _, q := range []string{
			`DELETE FROM alert_evaluation WHERE at < ?`,
			`DELETE FROM alert_change WHERE alert IN (SELECT id FROM alert WHERE resolved > 0 AND resolved < ?)`,
			`DELETE FROM alert_notified WHERE alert IN (SELECT id FROM alert WHERE resolved > 0 AND resolved < ?)`,
			`DELETE FROM alert WHERE resolved > 0 AND resolved < ?`,
			`DELETE FROM alert_notification WHERE last < ?`,
			`DELETE FROM alert_silence WHERE until < ?`,
		} {
			if _, err := tx.Exec(ctx, q, before); err != nil {
				return fmt.Errorf("removing what is old: %w", err)
			}
		}
		_, err := tx.Exec(ctx, `DELETE FROM alert_notified WHERE notification NOT IN (SELECT id FROM alert_notification)`)
		return err
	})
}
