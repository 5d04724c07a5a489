package identity

import (
	"sync"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
)

// throttle slows down guessing. Failures are counted per user and address, so that a user
// is never locked out by guesses from elsewhere, nor an address shared by many (a proxy)
// by the guesses about one name.
type throttle struct {
	clock clock.Clock
	mu    sync.Mutex
	m     map[string]*failures
}

type failures struct {
	n     int
	until time.Time // refused before
	last  time.Time
}

const (
	freeTries    = 5
	maxPause     = 5 * time.Minute
	forgetAfter  = 15 * time.Minute
	throttleSize = 10000
)

func newThrottle(c clock.Clock) *throttle {
	return &throttle{clock: c, m: map[string]*failures{}}
}

func throttleKey(user, remote string) string { return user + "\n" + remote }

// check returns fault.Throttled while the user or the address must wait.
func (t *throttle) check(user, remote string) error {
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.m[throttleKey(user, remote)]; f != nil && now.Before(f.until) {
		wait := f.until.Sub(now).Round(time.Second)
		return fault.New(fault.Throttled, "Too many failed sign-ins as this user from this address.").WithNext("wait %s and try again", max(wait, time.Second))
	}
	return nil
}

// fail counts a failure: after the free tries each one doubles the pause.
func (t *throttle) fail(user, remote string) {
	now := t.clock.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	k := throttleKey(user, remote)
	f := t.m[k]
	if f == nil || now.Sub(f.last) > forgetAfter {
		t.makeRoom(now)
		f = &failures{}
		t.m[k] = f
	}
	f.n++
	f.last = now
	if over := f.n - freeTries; over >= 0 {
		f.until = now.Add(min(time.Second<<min(over, 20), maxPause))
	}
}

// makeRoom drops what is old, and when that is not enough the entries that wait for
// nothing; those that do keep the guesser out.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.m) < throttleSize {
		return
	}
	for k, f := range t.m {
		if now.Sub(f.last) > forgetAfter {
			delete(t.m, k)
		}
	}
	for k, f := range t.m {
		if len(t.m) < throttleSize {
			return
		}
		if !now.Before(f.until) {
			delete(t.m, k)
		}
	}
	if len(t.m) >= throttleSize {
		clear(t.m)
	}
}

// succeed forgets the failures of the user at the address.
func (t *throttle) succeed(user, remote string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.m, throttleKey(user, remote))
}
