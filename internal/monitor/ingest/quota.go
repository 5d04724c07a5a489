package ingest

import (
	"maps"
	"slices"
	"sync"
	"time"

	"towpath.dev/towpath/internal/fault"
)

// The default quota of a project.
const (
	defaultRows  = 50_000
	defaultBytes = 64 << 20
)

// longest is the longest pause that a sender over its quota is told.
const longest = 30 * time.Second

// tally counts the rows of a delivery by project.
type tally struct {
	signal   string
	bytes    int64
	projects map[string]*share
}

// share is what of a delivery belongs to one project.
type share struct {
	rows, bytes int64
	clock       int64 // rows whose time was replaced
	namespaces  map[string]bool
}

func newTally(signal string) *tally { return &tally{signal: signal, projects: map[string]*share{}} }

// of returns the share of a project.
func (t *tally) of(project string) *share {
	s, ok := t.projects[project]
	if !ok {
		s = &share{namespaces: map[string]bool{}}
		t.projects[project] = s
	}
	return s
}

// record adds the tally to the counts; accepted rows with a replaced time once more as such.
func (t *tally) record(c *counts, what, reason string) {
	for project, s := range t.projects {
		c.add(project, t.signal, what, reason, int(s.rows), s.bytes)
		if what == "accepted" && s.clock > 0 {
			c.add(project, t.signal, "clock", "", int(s.clock), 0)
		}
	}
}

// quotas are the buckets of the projects. A bucket holds what may be taken during one
// second and is filled steadily. A delivery is let in while something is in the bucket and
// may overdraw it, so that one larger than a second's worth gets in as well.
type quotas struct {
	of func(project string) Quota

	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	at          time.Time
	rows, bytes float64
}

func newQuotas(of func(string) Quota) quotas {
	if of == nil {
		of = func(string) Quota { return Quota{} }
	}
	return quotas{of: of, buckets: map[string]*bucket{}}
}

// take takes the whole tally out of the buckets, or nothing and says when to come again.
func (q *quotas) take(now time.Time, t *tally) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var over *OverQuota
	for _, project := range slices.Sorted(maps.Keys(t.projects)) {
		b, quota := q.fill(project, now)
		after := max(overdraft(b.rows, quota.Rows), overdraft(b.bytes, quota.Bytes))
		if after == 0 {
			continue
		}
		if over == nil {
			over = &OverQuota{Fault: fault.New(fault.Throttled, "Project %q sends more telemetry than its quota allows: %.0f rows or %.0f bytes a second.", project, quota.Rows, quota.Bytes).
				WithNext("send less, or raise the project's quota; the rows may be sent again after the pause that the answer names")}
		}
		over.Fault.After = max(over.Fault.After, min(after, longest))
		over.Namespaces = append(over.Namespaces, slices.Sorted(maps.Keys(t.projects[project].namespaces))...)
	}
	if over != nil {
		return over
	}
	for project, s := range t.projects {
		b := q.buckets[project]
		b.rows -= float64(s.rows)
		b.bytes -= float64(s.bytes)
	}
	return nil
}

// fill brings a project's bucket up to now.
func (q *quotas) fill(project string, now time.Time) (*bucket, Quota) {
	quota := q.of(project)
	if quota.Rows <= 0 {
		quota.Rows = defaultRows
	}
	if quota.Bytes <= 0 {
		quota.Bytes = defaultBytes
	}
	b, ok := q.buckets[project]
	if !ok {
		b = &bucket{at: now, rows: quota.Rows, bytes: quota.Bytes}
		q.buckets[project] = b
	}
	// A clock that is set back fills nothing.
	passed := max(0, now.Sub(b.at).Seconds())
	b.at = now
	b.rows = min(quota.Rows, b.rows+passed*quota.Rows)
	b.bytes = min(quota.Bytes, b.bytes+passed*quota.Bytes)
	return b, quota
}

// overdraft returns how long it takes until there is something in the bucket again.
func overdraft(left, rate float64) time.Duration {
	if left > 0 {
		return 0
	}
	// At least a tenth of a second, so that nobody comes again at once.
	return max(100*time.Millisecond, time.Duration(-left/rate*float64(time.Second)))
}
