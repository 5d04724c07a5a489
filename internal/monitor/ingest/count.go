package ingest

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// countKey names a counter.
type countKey struct{ project, signal, what, reason string }

// maxCounts bounds the number of counters; what is beyond is counted under no project.
const maxCounts = 20_000

// counts are the counters of Stats.
type counts struct {
	mu    sync.Mutex
	count map[countKey]*Count
}

func (c *counts) add(project, signal, what, reason string, rows int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == nil {
		c.count = map[countKey]*Count{}
	}
	k := countKey{project, signal, what, reason}
	n, ok := c.count[k]
	if !ok && len(c.count) >= maxCounts {
		k.project = ""
		n, ok = c.count[k]
	}
	if !ok {
		n = &Count{Project: k.project, Signal: signal, What: what, Reason: reason}
		c.count[k] = n
	}
	n.Rows += int64(rows)
	n.Bytes += bytes
}

// list returns the counters, in the order of their names.
func (c *counts) list() []Count {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Count, 0, len(c.count))
	for _, n := range slices.SortedFunc(maps.Values(c.count), func(a, b *Count) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Signal, b.Signal), cmp.Compare(a.What, b.What), cmp.Compare(a.Reason, b.Reason))
	}) {
		out = append(out, *n)
	}
	return out
}
