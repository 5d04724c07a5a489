//go:build cgo

package engine_test

import (
	"log/slog"
	"testing"
	"time"

	"towpath.dev/towpath/internal/monitor/lake/engine"
)

func TestAClockThatJumpedWhileNoLakeRan(t *testing.T) {
	wall := time.Now()
	for name, tt := range map[string]struct {
		newest time.Time
		sure   bool
	}{
		"rows came a minute ago":   {wall.Add(-time.Minute), true},
		"no rows came ever":        {time.Time{}, true},
		"it is far ahead":          {wall.AddDate(-10, 0, 0), false},
		"it is far behind":         {wall.AddDate(10, 0, 0), false},
		"it is a little behind":    {wall.Add(time.Minute), true},
		"the server was down long": {wall.Add(-2 * time.Hour), false},
	} {
		if look := engine.NewJumps(wall, tt.newest); look(wall.Add(time.Second)) != tt.sure {
			t.Errorf("%s: want %t", name, tt.sure)
		}
	}
}

// TestRowsOfAClockThatWasAheadGoToo lets rows come while the clock is ten years ahead: when
// it is set right they stay as long as others, not ten years longer.
func TestRowsOfAClockThatWasAheadGoToo(t *testing.T) {
	o := small(t.TempDir())
	o.Retention = map[string]time.Duration{"": time.Hour}
	right := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	e, err := engine.Open(t.Context(), o, &still{right.AddDate(10, 0, 0)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	fill(t, e, 1, 2)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if e, err = engine.Open(t.Context(), o, &still{right}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, tt := range []struct {
		after time.Duration
		left  int64
	}{{0, 2}, {59 * time.Minute, 2}, {61 * time.Minute, 0}} {
		now := right.Add(tt.after)
		if err := engine.Restamp(e, now); err != nil {
			t.Fatal(err)
		}
		if err := engine.Expire(e, now); err != nil {
			t.Fatal(err)
		}
		wantCount(t, e, 0, tt.left)
	}
}
