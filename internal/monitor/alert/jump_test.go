package alert_test

import (
	"context"
	"testing"
	"time"

	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/store/storetest"
)

func TestAClockThatJumpsRemovesNothing(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	look := alert.NewJumps(now)
	for _, tt := range []struct {
		name string
		step time.Duration
		sure bool
	}{
		{"it runs", time.Second, true},
		{"it jumps ahead", 10 * 365 * 24 * time.Hour, false},
		{"it runs on there", time.Minute, false},
		{"it is set right", -10 * 365 * 24 * time.Hour, false},
		{"it runs on, not long yet", 59 * time.Minute, false},
		{"it has run for an hour", time.Minute, true},
		{"it jumps back", -2 * time.Hour, false},
		{"it is corrected by a second", -time.Second, false},
	} {
		now = now.Add(tt.step)
		if got := look(now); got != tt.sure {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

// TestRunKeepsItsHistoryThroughAJump lets the clock of a running service jump by a year: an
// alert of today is not old for that, and rules are evaluated as before.
func TestRunKeepsItsHistoryThroughAJump(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	if _, err := w.PutRule(t.Context(), writer, errorsRule()); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{50, 50, 0, 0, 0} {
		w.queries.say(counts(map[string]int64{"cart-1": n}))
		w.clock.Add(time.Minute)
		w.Step(t.Context())
	}
	w.Stop()
	var err error
	if w.Service, err = alert.New(w.parts, w.options); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	id := w.named("shop", "Errors in logs").ID
	// The look at the schedule that hands out the second evaluation comes after one that
	// could have removed something.
	evaluated := func(since time.Time) func() bool {
		return func() bool {
			list, err := w.Evaluations(t.Context(), reader, id, 0)
			n := 0
			for _, e := range list {
				if e.At.After(since) {
					n++
				}
			}
			return err == nil && n >= 2
		}
	}
	w.until("the rule is evaluated", evaluated(w.clock.Now()))
	w.clock.Add(366 * 24 * time.Hour)
	w.until("the rule is evaluated after the jump", evaluated(w.clock.Now()))
	w.clock.Add(-366 * 24 * time.Hour)
	if got := w.alerts(alert.Filter{}); len(got) != 1 {
		t.Errorf("%d alerts are left after a jump of the clock", len(got))
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
