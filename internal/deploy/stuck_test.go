package deploy

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// hands is a clock that a test sets.
type hands struct {
	clock.Clock // for ids
	now         time.Time
}

func (h *hands) Now() time.Time { return h.now }

// stuckAt makes a service with a release of shop/production whose canary stands in a phase,
// on a cluster that is away: the server was killed there and nobody decides anything.
func stuckAt(t *testing.T, db *store.DB, change func(*trial)) (*Service, *hands, string) {
	t.Helper()
	now := time.Date(2026, 11, 2, 8, 0, 0, 0, time.UTC)
	c := &hands{Clock: clock.Fixed(now, time.Second), now: now}
	s := New(Deps{
		DB: db, Log: event.New(db, c), Clusters: &noCluster{}, Images: oneTag{}, Clock: c, Logger: slog.New(slog.DiscardHandler),
		Auth: roles{"ada/shop": identity.Maintain, "7/shop": identity.Write},
	}, Options{Registry: "localhost:7080"})
	if _, err := s.CreateEnvironment(t.Context(), ada, "shop", "production", ""); err != nil {
		t.Fatal(err)
	}
	r := Release{Project: "shop", Environment: "production", Namespace: "shop-production", Name: "web", Run: 7, Actor: "run:7"}
	if err := s.begin(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	strategy := canary.Strategy{Steps: []canary.Step{{Weight: 10, Pause: canary.Duration(time.Hour)}}}
	v := &trial{
		Trial: *canary.New(strategy, c.now), Name: "web", Ready: true, Stage: "Deploy", Job: "Production",
		View: canary.View{Release: r.ID(), Project: "shop", Environment: "production", Stable: "shop/production/0", Run: 7, Started: c.now},
	}
	change(v)
	if err := s.putTrial(t.Context(), v, "", nil); err != nil {
		t.Fatal(err)
	}
	return s, c, r.ID()
}

// TestNothingSticks kills the server at every state of a canary, brings no cluster, no
// pipeline and no person back, and wants the canary and its release to end by time alone.
func TestNothingSticks(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*trial)
		within time.Duration // the way out, with the six hours of a rejection that cannot be carried out
		why    string
	}{
		{"being started", func(v *trial) { v.Ready = false }, 7 * time.Hour, "while the canary was being started"},
		{"progressing", func(*trial) {}, 33 * time.Hour, "did not end within 25h"},
		{"progressing by a pipeline", func(v *trial) { v.Trial.External = true }, 80 * time.Hour, "did not end within 72h"},
		{"paused", func(v *trial) { v.Trial.Phase, v.Trial.Why = canary.Paused, "step 1 asks" }, 32 * time.Hour, "nobody decided within 24h0m0s: step 1 asks"},
		{"inconclusive", func(v *trial) { v.Trial.Phase = canary.InconclusivePhase }, 32 * time.Hour, "nobody decided"},
		{"inconclusive by a pipeline", func(v *trial) { v.Trial.Phase, v.Trial.External = canary.InconclusivePhase, true }, 32 * time.Hour, "nobody decided"},
		{"held", func(v *trial) {
			v.Trial.Phase, v.Trial.Strategy.Hold = canary.Paused, canary.Duration(48*time.Hour)
		}, 56 * time.Hour, "nobody decided within 48h"},
		{"promoting", func(v *trial) { v.Trial.Phase = canary.Promoting }, 13 * time.Hour, "could not be promoted within 6h"},
		{"rejecting", func(v *trial) { v.Trial.Phase, v.Trial.Why = canary.Rejecting, "too many errors" }, 7 * time.Hour, "too many errors; what it added could not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, hand, release := stuckAt(t, storetest.SQLite(t), c.change)
			begun := hand.now
			for {
				_, _ = s.tend(t.Context(), release) // what the cluster refuses is tried again
				v, err := s.trialOf(t.Context(), release)
				if err != nil {
					t.Fatal(err)
				}
				if canary.Over(v.Trial.Phase) {
					break
				}
				if hand.now = hand.now.Add(30 * time.Minute); hand.now.Sub(begun) > c.within {
					t.Fatalf("after %s it is still %s", c.within, v.Trial.Phase)
				}
			}
			got, err := s.Release(t.Context(), ada, "shop", "production", 1)
			if err != nil || got.Result != RolledBack || !strings.Contains(got.Why, c.why) {
				t.Errorf("the release ended as %s: %q, %v; want %s with %q", got.Result, got.Why, err, RolledBack, c.why)
			}
			if open, err := s.openCanary(t.Context(), Environment{Project: "shop", Name: "production"}); open != nil || err != nil {
				t.Errorf("the canary still stands in the way: %v, %v", open, err)
			}
		})
	}
}

// TestEndOfAJob ends the job that waits for a canary: what waits for a person is rejected,
// or kept where the strategy holds it.
func TestEndOfAJob(t *testing.T) {
	day := canary.Duration(24 * time.Hour)
	for _, c := range []struct {
		name, phase, want string
		hold              canary.Duration
		says              string
		kind              fault.Kind
	}{
		{"progressing", canary.Progressing, canary.Rejecting, 0, "is rejected", fault.Invalid},
		{"progressing, held only for a person", canary.Progressing, canary.Rejecting, day, "is rejected", fault.Invalid},
		{"paused", canary.Paused, canary.Rejecting, 0, "is rejected", fault.Invalid},
		{"paused and held", canary.Paused, canary.Paused, day, "until 2026-11-03T08:00:00Z", fault.Conflict},
		{"inconclusive and held", canary.InconclusivePhase, canary.InconclusivePhase, day, "until 2026-11-03T08:00:00Z", fault.Conflict},
		{"promoting", canary.Promoting, canary.Promoting, 0, "", fault.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, hand, release := stuckAt(t, storetest.SQLite(t), func(v *trial) { v.Trial.Phase, v.Trial.Strategy.Hold = c.phase, c.hold })
			over, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := s.followTrial(over, Release{Project: "shop", Environment: "production", Number: 1}, func(string) {})
			if fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Errorf("the job hears %v, want %s with %q", err, c.kind, c.says)
			}
			v, err := s.trialOf(t.Context(), release)
			if err != nil || v.Trial.Phase != c.want {
				t.Fatalf("the canary is %s, %v; want %s", v.Trial.Phase, err, c.want)
			}
			if c.phase != c.want || c.hold == 0 {
				return
			}
			seen, err := s.Canary(t.Context(), ada, release)
			if err != nil || !seen.Deadline.Equal(hand.now.Add(24*time.Hour)) {
				t.Errorf("the deadline is %s, %v", seen.Deadline, err)
			}
			if _, err := s.RejectCanary(t.Context(), ada, release, "no"); err != nil {
				t.Errorf("a person decides after the job: %v", err)
			}
		})
	}
}
