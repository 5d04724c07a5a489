// Package clock owns time and identifiers, so that every part can be tested with
// both held still. It imports the standard library and the ULID library only.
package clock

import (
	"crypto/rand"
	"io"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// Clock tells the time and makes identifiers. It is safe for concurrent use.
type Clock interface {
	// Now returns the current time in UTC.
	Now() time.Time
	// NewID returns a ULID: 26 characters, unique, sorting in order of creation
	// within this process.
	NewID() string
}

// System returns the clock of this machine, with random identifiers.
func System() Clock {
	return &source{now: func() time.Time { return time.Now().UTC() }, entropy: ulid.Monotonic(rand.Reader, 0)}
}

// Fixed returns a clock that starts at t and moves by step at every call of Now.
// Its identifiers are deterministic. It is for tests.
func Fixed(t time.Time, step time.Duration) Clock {
	f := &ticker{t: t.UTC(), step: step}
	return &source{now: f.next, entropy: ulid.Monotonic(zero{}, 0)}
}

type source struct {
	now     func() time.Time
	mu      sync.Mutex
	entropy *ulid.MonotonicEntropy
	last    uint64
}

func (s *source) Now() time.Time { return s.now() }

func (s *source) NewID() string {
	t := ulid.Timestamp(s.now())
	s.mu.Lock()
	defer s.mu.Unlock()
	// A clock that steps back must not break the order of identifiers.
	if t < s.last {
		t = s.last
	}
	s.last = t
	for {
		id, err := ulid.New(t, s.entropy)
		if err == nil {
			return id.String()
		}
		// The monotonic entropy of this millisecond overflowed: take the next one.
		t++
		s.last = t
	}
}

type ticker struct {
	mu   sync.Mutex
	t    time.Time
	step time.Duration
}

func (f *ticker) next() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.t
	f.t = f.t.Add(f.step)
	return t
}

type zero struct{}

var _ io.Reader = zero{}

func (zero) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 1
	}
	return len(p), nil
}
