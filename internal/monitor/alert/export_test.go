package alert

import (
	"context"
	"time"
)

// Start does what Run does first, so that a test can hold the clock.
func (s *Service) Start(ctx context.Context) error { return s.start(ctx) }

// Stop does what Run does last.
func (s *Service) Stop() { s.stop() }

// Step evaluates the rules that are due, one after the other.
func (s *Service) Step(ctx context.Context) {
	for _, t := range s.schedule.Due(s.Clock.Now()) {
		s.turn(ctx, t)
	}
}

// Sweep removes what is old.
func (s *Service) Sweep(ctx context.Context) error { return s.sweep(ctx) }

// NewJumps returns the watch over a clock that shows a time.
func NewJumps(now time.Time) func(time.Time) bool {
	j := &jumps{last: now}
	return j.look
}
