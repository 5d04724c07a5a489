package canary

import "slices"

// Bucket is one bucket of a histogram, counted as Prometheus does: all that took at most
// LE seconds.
type Bucket struct {
	LE    float64 `json:"le"`
	Count int64   `json:"count"`
}

// Tally is what the router saw of one track of a service since the trial began.
type Tally struct {
	Requests int64    `json:"requests"`
	Errors   int64    `json:"errors"` // answered with 500 and above
	Buckets  []Bucket `json:"buckets,omitempty"`
}

// Health is how the pods of a track are.
type Health struct {
	Restarts int `json:"restarts"`
	OOM      int `json:"oom"`
}

// Sample is what is known of one service.
type Sample struct {
	Service        string `json:"service"`
	Canary         Tally  `json:"canary"`
	Baseline       Tally  `json:"baseline"`
	CanaryHealth   Health `json:"canary_health"`
	BaselineHealth Health `json:"baseline_health"`
}

// Minus returns what a tally has more than an earlier one.
func (t Tally) Minus(before Tally) Tally {
	out := Tally{Requests: t.Requests - before.Requests, Errors: t.Errors - before.Errors, Buckets: slices.Clone(t.Buckets)}
	for i := range out.Buckets {
		for _, b := range before.Buckets {
			if b.LE == out.Buckets[i].LE {
				out.Buckets[i].Count -= b.Count
			}
		}
	}
	return out
}

// Plus adds another tally.
func (t Tally) Plus(more Tally) Tally {
	out := Tally{Requests: t.Requests + more.Requests, Errors: t.Errors + more.Errors, Buckets: slices.Clone(t.Buckets)}
	for _, b := range more.Buckets {
		i := slices.IndexFunc(out.Buckets, func(o Bucket) bool { return o.LE == b.LE })
		if i < 0 {
			out.Buckets = append(out.Buckets, b)
			continue
		}
		out.Buckets[i].Count += b.Count
	}
	slices.SortFunc(out.Buckets, func(a, b Bucket) int {
		switch {
		case a.LE < b.LE:
			return -1
		case a.LE > b.LE:
			return 1
		}
		return 0
	})
	return out
}

// share is errors over requests.
func (t Tally) share() float64 {
	if t.Requests <= 0 {
		return 0
	}
	return float64(t.Errors) / float64(t.Requests)
}

// quantile estimates a quantile in seconds, between the bounds of its bucket; 0 without
// requests. What lies above the last finite bound is reported as that bound.
func (t Tally) quantile(q float64) float64 {
	if len(t.Buckets) == 0 {
		return 0
	}
	all := t.Buckets[len(t.Buckets)-1].Count
	if all <= 0 {
		return 0
	}
	rank, low, below := q*float64(all), 0.0, int64(0)
	for _, b := range t.Buckets {
		if float64(b.Count) >= rank {
			if b.LE > maxBound || b.Count == below {
				return low
			}
			return low + (b.LE-low)*(rank-float64(below))/float64(b.Count-below)
		}
		low, below = b.LE, b.Count
	}
	return low
}

// maxBound is where +Inf begins: JSON has no infinity.
const maxBound = 1e9

// above counts the requests that took longer than the smallest bound that is not below
// limit.
func (t Tally) above(limit float64) int64 {
	if len(t.Buckets) == 0 {
		return 0
	}
	all := t.Buckets[len(t.Buckets)-1].Count
	for _, b := range t.Buckets {
		if b.LE >= limit {
			return all - b.Count
		}
	}
	return 0
}
