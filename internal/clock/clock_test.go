package clock_test

import (
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
)

func TestFixedMovesByItsStep(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("east", 3600))
	c := clock.Fixed(start, time.Second)
	for i := range 3 {
		want := start.UTC().Add(time.Duration(i) * time.Second)
		if got := c.Now(); !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("call %d: Now() = %s, want %s", i, got, want)
		}
	}
}

func TestFixedIsDeterministic(t *testing.T) {
	a, b := clock.Fixed(time.Unix(1e9, 0), 0), clock.Fixed(time.Unix(1e9, 0), 0)
	for range 3 {
		if x, y := a.NewID(), b.NewID(); x != y {
			t.Errorf("ids differ: %s, %s", x, y)
		}
	}
}

func TestNewIDSortsInOrderOfCreation(t *testing.T) {
	clocks := map[string]clock.Clock{
		"system":    clock.System(),
		"standing":  clock.Fixed(time.Unix(1e9, 0), 0),
		"backwards": clock.Fixed(time.Unix(1e9, 0), -time.Hour),
	}
	for name, c := range clocks {
		t.Run(name, func(t *testing.T) {
			last := ""
			for range 5000 {
				id := c.NewID()
				if len(id) != 26 || id <= last {
					t.Fatalf("NewID() = %q after %q", id, last)
				}
				last = id
			}
		})
	}
}
