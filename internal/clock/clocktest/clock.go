// Package clocktest is a clock for tests that stands still until a test moves it. It
// imports clock only.
package clocktest

import (
	"sync"
	"time"

	"towpath.dev/towpath/internal/clock"
)

// Clock stands at one moment until Add or Set. Its identifiers are those of clock.System:
// unique, also among several clocks over one database. It is safe for concurrent use.
type Clock struct {
	clock.Clock
	mu sync.Mutex
	at time.Time
}

// At returns a clock that stands at a moment.
func At(t time.Time) *Clock { return &Clock{Clock: clock.System(), at: t.UTC()} }

// Now returns the moment at which the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Add moves the clock, back when d is negative.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Set moves the clock to a moment.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = t.UTC()
}
