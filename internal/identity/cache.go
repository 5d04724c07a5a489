package identity

import (
	"sync"
	"time"

	"towpath.dev/towpath/internal/clock"
)

// cache remembers verified credentials for a short time. Keys are hashes of secrets,
// never secrets. Expired entries go when the cache is full; when that is not enough it
// starts over, which costs a verification each, never correctness.
type cache[V any] struct {
	clock clock.Clock
	mu    sync.Mutex
	m     map[string]cached[V]
}

type cached[V any] struct {
	value V
	until time.Time
}

const cacheSize = 4096

func newCache[V any](c clock.Clock) *cache[V] {
	return &cache[V]{clock: c, m: map[string]cached[V]{}}
}

func (c *cache[V]) get(key string) (V, bool) {
	now := c.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.m[key]
	if !ok || !now.Before(e.until) {
		var zero V
		return zero, false
	}
	return e.value, true
}

func (c *cache[V]) put(key string, v V, until time.Time) {
	now := c.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.m) >= cacheSize {
		for k, e := range c.m {
			if !now.Before(e.until) {
				delete(c.m, k)
			}
		}
		if len(c.m) >= cacheSize {
			clear(c.m)
		}
	}
	c.m[key] = cached[V]{v, until}
}

// clear forgets everything: a password, a token or a right was changed.
func (c *cache[V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.m)
}
