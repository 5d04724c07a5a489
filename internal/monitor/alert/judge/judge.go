package judge

import (
	"maps"
	"slices"
	"strconv"
	"time"
)

// maxOf is the largest number of evaluations that are remembered of a group.
const maxOf = 30

// The states of a group.
const (
	Inactive = "inactive"
	Pending  = "pending" // bad now, but not often enough
	Firing   = "firing"
	Muted    = "muted" // it would fire, but it fired a short while ago
)

// Condition says when a group is bad, and when enough is enough.
type Condition struct {
	Operator    string // > >= < <= == !=
	Threshold   float64
	Bad, Of     int // at least 1, at most 30, Bad ≤ Of
	Mute        time.Duration
	AutoResolve bool
	// CountsRows says that a group that is not in the result has the number 0. Otherwise a
	// group that is not there is not bad.
	CountsRows bool
	// Quiet says that nothing fires now, because somebody muted the rule.
	Quiet bool
}

// Track is what is remembered of a group.
type Track struct {
	Labels   map[string]string `json:"labels"`
	Outcomes []bool            `json:"outcomes"` // bad or not, the oldest first, at most Of
	Firing   bool              `json:"firing"`
	Fired    time.Time         `json:"fired,omitzero"` // the last time that it fired
}

// Memory is what is remembered of a rule, by Key.
type Memory map[string]Track

// Verdict is what an evaluation says of a group. At most one of Fire and Resolve is set.
type Verdict struct {
	Labels  map[string]string
	Value   float64
	Known   bool // false: the group is not in the result, and rows are not counted
	Bad     bool
	State   string
	Fire    bool
	Resolve bool
}

// Key names a set of labels.
func Key(labels map[string]string) string {
	key := ""
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		key += strconv.Quote(k) + strconv.Quote(labels[k])
	}
	return key
}

// Judge returns the verdicts on the groups of an evaluation and on those that are
// remembered, in the order of their keys, and what is to be remembered. open reports
// whether the alert of a group is open: somebody may have closed it, or a rule was made
// anew. The memory that is given is not changed.
func (c Condition) Judge(memory Memory, groups []Group, at time.Time, open func(labels map[string]string) bool) ([]Verdict, Memory) {
	found := map[string]Group{}
	keys := map[string]map[string]string{}
	for _, g := range groups {
		k := Key(g.Labels)
		found[k], keys[k] = g, g.Labels
	}
	for k, t := range memory {
		if keys[k] == nil {
			keys[k] = t.Labels
		}
	}
	after := Memory{}
	var out []Verdict
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		t, labels := memory[k], keys[k]
		t.Labels = labels
		t.Firing = open(labels)
		g, known := found[k]
		v := c.one(&t, labels, g.Value, known || c.CountsRows, at)
		out = append(out, v)
		if slices.Contains(t.Outcomes, true) || t.Firing || at.Sub(t.Fired) < c.Mute {
			after[k] = t
		}
	}
	return out, after
}

// one judges one group and moves its track on.
func (c Condition) one(t *Track, labels map[string]string, value float64, known bool, at time.Time) Verdict {
	v := Verdict{Labels: labels, Value: value, Known: known, Bad: known && c.bad(value)}
	t.Outcomes = append(slices.Clone(t.Outcomes), v.Bad)
	if n := len(t.Outcomes) - min(max(c.Of, 1), maxOf); n > 0 {
		t.Outcomes = t.Outcomes[n:]
	}
	count := 0
	for _, bad := range t.Outcomes {
		if bad {
			count++
		}
	}
	enough := count >= max(c.Bad, 1)
	muted := c.Mute > 0 && !t.Fired.IsZero() && at.Sub(t.Fired) < c.Mute && !at.Before(t.Fired)
	switch {
	case t.Firing && !enough && c.AutoResolve:
		t.Firing, v.Resolve, v.State = false, true, Inactive
	case t.Firing:
		v.State = Firing
	case enough && (muted || c.Quiet):
		v.State = Muted
	// It fires at a bad evaluation only: after somebody closed it, what was is not news.
	case enough && v.Bad:
		t.Firing, t.Fired, v.Fire, v.State = true, at, true, Firing
	case v.Bad || enough:
		v.State = Pending
	default:
		v.State = Inactive
	}
	return v
}

func (c Condition) bad(v float64) bool {
	switch c.Operator {
	case ">":
		return v > c.Threshold
	case ">=":
		return v >= c.Threshold
	case "<":
		return v < c.Threshold
	case "<=":
		return v <= c.Threshold
	case "==":
		return v == c.Threshold
	case "!=":
		return v != c.Threshold
	}
	return false
}
