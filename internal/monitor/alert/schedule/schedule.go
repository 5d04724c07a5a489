package schedule

import (
	"cmp"
	"hash/fnv"
	"slices"
	"sync"
	"time"
)

// Schedule holds entries. It is safe for concurrent use.
type Schedule struct {
	mu      sync.Mutex
	entries map[string]*entry
}

type entry struct {
	every  time.Duration
	offset time.Duration
	last   time.Time // slot that was handed out last; zero for none
	busy   bool
	gone   bool // removed while it was busy
}

// Turn is a slot that is handed out.
type Turn struct {
	ID     string
	At     time.Time // the slot
	Missed int64     // slots before it that nobody was handed
}

// New returns a Schedule without entries.
func New() *Schedule { return &Schedule{entries: map[string]*entry{}} }

// Put adds an entry or changes its interval. last is the slot that was handed out last in
// an earlier life, zero for none: an entry that has none is due at its first slot after now.
func (s *Schedule) Put(id string, every time.Duration, last, now time.Time) {
	every = max(every, time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[id]
	if e == nil {
		e = &entry{last: last}
		s.entries[id] = e
		if last.IsZero() {
			e.every, e.offset = every, offset(id, every)
			e.last = e.slot(now)
		}
	}
	e.gone = false
	if e.every != every {
		e.every, e.offset = every, offset(id, every)
	}
}

// Remove takes an entry out. One that is having its turn ends it.
func (s *Schedule) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[id]; e != nil && e.busy {
		e.gone = true
		return
	}
	delete(s.entries, id)
}

// Due hands out the turns that are due, the oldest first. Each must be ended by Done.
func (s *Schedule) Due(now time.Time) []Turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Turn
	for id, e := range s.entries {
		if e.busy || e.gone {
			continue
		}
		slot := e.slot(now)
		if back := e.last.Sub(slot); back > e.every {
			// The clock went back. The slot before this one counts as handed out.
			e.last = slot.Add(-e.every)
		}
		if !slot.After(e.last) {
			continue
		}
		missed := int64(slot.Sub(e.last)/e.every) - 1
		e.last, e.busy = slot, true
		out = append(out, Turn{ID: id, At: slot, Missed: max(missed, 0)})
	}
	slices.SortFunc(out, func(a, b Turn) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return out
}

// Done ends a turn.
func (s *Schedule) Done(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[id]; e != nil {
		e.busy = false
		if e.gone {
			delete(s.entries, id)
		}
	}
}

// Next returns how long it is until an entry that is not busy is due, at most limit.
func (s *Schedule) Next(now time.Time, limit time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.busy || e.gone {
			continue
		}
		next := e.slot(now).Add(e.every).Sub(now)
		if e.slot(now).After(e.last) {
			next = 0
		}
		limit = min(limit, next)
	}
	return max(limit, 0)
}

// slot returns the youngest slot that is not after now.
func (e *entry) slot(now time.Time) time.Time {
	return now.Add(-e.offset).Truncate(e.every).Add(e.offset)
}

// offset spreads entries over their interval, the same after every start.
func offset(id string, every time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // A hash never returns an error.
	return time.Duration(h.Sum64() % uint64(every)).Truncate(time.Millisecond)
}
