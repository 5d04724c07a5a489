package audit

import (
	"slices"
	"sync"
	"time"
)

// Lag is how long it takes from an object's change, as the API server announces it, until
// its verdicts can be read. The percentiles are of the latest changes.
type Lag struct {
	Count int64         `json:"count"`
	P50   time.Duration `json:"p50"`
	P99   time.Duration `json:"p99"`
	Max   time.Duration `json:"max"`
}

// maxLags is how many changes the percentiles are of.
const maxLags = 4096

// lags remembers the latest of them.
type lags struct {
	mu    sync.Mutex
	last  []time.Duration
	count int64
}

func (l *lags) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) < maxLags {
		l.last = append(l.last, d)
	} else {
		l.last[l.count%maxLags] = d
	}
	l.count++
}

func (l *lags) get() Lag {
	l.mu.Lock()
	all, n := slices.Clone(l.last), l.count
	l.mu.Unlock()
	if len(all) == 0 {
		return Lag{}
	}
	slices.Sort(all)
	return Lag{Count: n, P50: all[len(all)/2], P99: all[len(all)*99/100], Max: all[len(all)-1]}
}
