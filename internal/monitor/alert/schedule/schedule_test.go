package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"towpath.dev/towpath/internal/monitor/alert/schedule"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func TestMissedSlotsAreOneTurn(t *testing.T) {
	s := schedule.New()
	s.Put("a", time.Minute, time.Time{}, noon)
	if due := s.Due(noon); len(due) != 0 {
		t.Fatalf("due at once: %v", due)
	}
	due := s.Due(noon.Add(time.Minute))
	if len(due) != 1 || due[0].Missed != 0 {
		t.Fatalf("after a minute: %v, want one turn", due)
	}
	if again := s.Due(noon.Add(10 * time.Minute)); len(again) != 0 {
		t.Fatalf("a turn that is not done overlaps: %v", again)
	}
	s.Done("a")
	due = s.Due(noon.Add(time.Hour))
	if len(due) != 1 || due[0].Missed != 58 {
		t.Fatalf("after an hour: %v, want one turn and 58 missed", due)
	}
	s.Done("a")
	if again := s.Due(noon.Add(time.Hour)); len(again) != 0 {
		t.Fatalf("a slot is handed out twice: %v", again)
	}
}

func TestARestartGoesOnWhereItWas(t *testing.T) {
	s := schedule.New()
	s.Put("a", time.Minute, time.Time{}, noon)
	first := s.Due(noon.Add(time.Minute))[0].At
	next := schedule.New()
	next.Put("a", time.Minute, first, first.Add(time.Second))
	if due := next.Due(first.Add(time.Second)); len(due) != 0 {
		t.Errorf("the slot of before the restart is due again: %v", due)
	}
	if due := next.Due(first.Add(3 * time.Minute)); len(due) != 1 || due[0].Missed != 2 {
		t.Errorf("after the down time: %v, want one turn and 2 missed", due)
	}
}

func TestARemovedEntryEndsItsTurn(t *testing.T) {
	s := schedule.New()
	s.Put("a", time.Minute, time.Time{}, noon)
	s.Due(noon.Add(time.Minute))
	s.Remove("a")
	s.Put("a", time.Minute, time.Time{}, noon.Add(time.Minute))
	if due := s.Due(noon.Add(5 * time.Minute)); len(due) != 0 {
		t.Errorf("put again while its turn goes on, it overlaps: %v", due)
	}
	s.Done("a")
	if due := s.Due(noon.Add(6 * time.Minute)); len(due) != 1 {
		t.Errorf("after the turn: %v, want one", due)
	}
	s.Done("a")
	s.Remove("a")
	if due := s.Due(noon.Add(time.Hour)); len(due) != 0 {
		t.Errorf("removed, it is due: %v", due)
	}
}

func TestEntriesAreSpread(t *testing.T) {
	s := schedule.New()
	for i := range 60 {
		s.Put(fmt.Sprintf("rule-%d", i), time.Minute, time.Time{}, noon)
	}
	most, total := 0, 0
	for second := range 60 {
		due := s.Due(noon.Add(time.Duration(second+1) * time.Second))
		for _, d := range due {
			s.Done(d.ID)
		}
		most, total = max(most, len(due)), total+len(due)
	}
	if total != 60 || most > 10 {
		t.Errorf("%d turns, at most %d in a second; want 60, spread over the minute", total, most)
	}
}

// TestClockJumps lets the clock run, stand, jump ahead and jump back, with turns that take
// long, and looks at every turn: it is of the past, no entry has two at a time, no slot
// comes twice unless the clock went back, and no entry is forgotten.
func TestClockJumps(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		s := schedule.New()
		now := noon
		every := map[string]time.Duration{}
		var ids []string // in one order, so that a seed gives the same case each time
		for i := range 1 + rng.IntN(5) {
			id := fmt.Sprintf("rule-%d", i)
			ids = append(ids, id)
			every[id] = time.Duration(1+rng.IntN(600)) * time.Second
			s.Put(id, every[id], time.Time{}, now)
		}
		busy, last, idle := map[string]bool{}, map[string]time.Time{}, map[string]time.Duration{}
		back := map[string]bool{} // the clock went back since the last turn
		// The clock when an entry was last looked at: what it does during a turn, back and
		// forth again, is not seen.
		looked := map[string]time.Time{}
		for range 400 {
			step := time.Duration(rng.IntN(30)) * time.Second
			switch rng.IntN(20) {
			case 0:
				step = time.Duration(rng.IntN(72)) * time.Hour
			case 1:
				step = -time.Duration(rng.IntN(72*3600)) * time.Second
			case 2:
				step = -time.Duration(rng.IntN(2000)) * time.Millisecond
			}
			now = now.Add(step)
			for _, id := range ids {
				back[id] = back[id] || step < 0
				if busy[id] {
					continue
				}
				passed := now.Sub(looked[id])
				if looked[id].IsZero() || passed < 0 {
					idle[id], passed = 0, 0
				}
				idle[id] += passed
				looked[id] = now
			}
			for _, turn := range s.Due(now) {
				id := turn.ID
				if busy[id] {
					t.Fatalf("seed %d: %s has two turns at a time", seed, id)
				}
				if turn.At.After(now) {
					t.Fatalf("seed %d: %s is handed out %s, which is after %s", seed, id, turn.At, now)
				}
				if now.Sub(turn.At) >= every[id] {
					t.Fatalf("seed %d: %s gets the slot %s at %s, which is not the youngest", seed, id, turn.At, now)
				}
				if !back[id] && !turn.At.After(last[id]) {
					t.Fatalf("seed %d: %s gets slot %s after %s", seed, id, turn.At, last[id])
				}
				busy[id], last[id], idle[id], back[id] = true, turn.At, 0, false
			}
			for _, id := range ids {
				if rng.IntN(3) > 0 && busy[id] {
					busy[id] = false
					s.Done(id)
				}
			}
			for id, d := range every {
				// One interval to the next slot, another when the clock went back within one.
				if !busy[id] && idle[id] > 2*d {
					t.Fatalf("seed %d: %s was idle for %s", seed, id, idle[id])
				}
			}
		}
		steady(t, s, seed, now, every)
	}
}

// steady runs the clock evenly after the jumps: within two intervals each entry has a turn,
// and Next never sleeps over one.
func steady(t *testing.T, s *schedule.Schedule, seed uint64, now time.Time, every map[string]time.Duration) {
	t.Helper()
	seen := map[string]bool{}
	end := now.Add(1300 * time.Second)
	for id := range every {
		s.Done(id)
	}
	for now.Before(end) {
		for _, turn := range s.Due(now) {
			seen[turn.ID] = true
			s.Done(turn.ID)
		}
		pause := s.Next(now, time.Minute)
		if pause <= 0 || pause > time.Minute {
			t.Fatalf("seed %d: a pause of %s", seed, pause)
		}
		now = now.Add(pause)
	}
	for id := range every {
		if !seen[id] {
			t.Fatalf("seed %d: %s (every %s) had no turn in two intervals", seed, id, every[id])
		}
	}
}
