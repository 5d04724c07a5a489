package ingest_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/monitor/ingest"
	"towpath.dev/towpath/internal/monitor/table"
)

// TestTheClockOfTheServerJumps sends the same rows before and after jumps of the server's
// clock: they are stored once, as they were stamped first; other rows are taken at every time.
func TestTheClockOfTheServerJumps(t *testing.T) {
	const years = 10 * 365 * 24 * time.Hour
	w := build(nil)
	again := traces("again", now())
	want := []int64{table.TicksOf(now())}
	for i, step := range []time.Duration{0, years, -2 * years, years, -time.Second} {
		w.clock.Add(step)
		if err := put(w, shop(), again); err != nil {
			t.Fatalf("after a jump of %s: %v", step, err)
		}
		at := w.clock.Now()
		// A sender whose clock is right while the server's is not: by the server's its rows are
		// too old or too young, and get the time of their arrival.
		if err := put(w, shop(), traces(strconv.Itoa(i), now())); err != nil {
			t.Fatalf("after a jump of %s: %v", step, err)
		}
		own := now()
		if at.Sub(own).Abs() > 24*time.Hour {
			own = at
		}
		want = append(want, table.TicksOf(own))
		if got := w.Settled(); got.After(at) {
			t.Errorf("after a jump of %s all is settled until %s, which is after %s", step, got, at)
		}
	}
	if diff := cmp.Diff(want, w.sink.ints(table.TimeGenerated)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAQuotaThroughAJump: a clock that is set back neither gives a sender more than its quota
// nor keeps it out.
func TestAQuotaThroughAJump(t *testing.T) {
	w := build(func(p *ingest.Parts) { p.Quota = func(string) ingest.Quota { return ingest.Quota{Rows: 1} } })
	send := func(text string) error { return put(w, shop(), traces(text, w.clock.Now(), w.clock.Now())) }
	var over *ingest.OverQuota
	if err := send("first"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []time.Duration{0, -24 * time.Hour} {
		w.clock.Add(step)
		if err := send("second"); !errors.As(err, &over) {
			t.Errorf("at once, after a step of %s: %v", step, err)
		}
	}
	w.clock.Add(2 * time.Second) // After the jump, as long as without one.
	if err := send("third"); err != nil {
		t.Error(err)
	}
	w.clock.Add(10 * 365 * 24 * time.Hour)
	if err := send("fourth"); err != nil {
		t.Error(err)
	}
	if err := send("fifth"); !errors.As(err, &over) {
		t.Errorf("a jump ahead gives more than a second's worth: %v", err)
	}
}
