package canary_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"towpath.dev/towpath/internal/deploy/canary"
)

// edges are those of the router's histogram, in seconds.
var edges = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, math.MaxFloat64}

func took(t *canary.Tally, seconds float64) {
	t.Requests++
	if t.Buckets == nil {
		for _, le := range edges {
			t.Buckets = append(t.Buckets, canary.Bucket{LE: le})
		}
	}
	for i := range t.Buckets {
		if seconds <= t.Buckets[i].LE {
			t.Buckets[i].Count++
		}
	}
}

// rejected runs trials of so many looks and counts those that end with a rejection; fill adds
// what the two tracks answered since the look before.
func rejected(t *testing.T, trials, looks int, fill func(onCanary, onBaseline *canary.Tally)) (n int) {
	t.Helper()
	for range trials {
		trial := canary.New(canary.Strategy{Steps: []canary.Step{{Weight: 10, Pause: canary.Duration(time.Hour)}}}, start)
		s := canary.Sample{Service: "cart"}
		for look := range looks {
			fill(&s.Canary, &s.Baseline)
			now := start.Add(time.Duration(look+1) * 5 * time.Second)
			if _, err := trial.Measure(now, []canary.Sample{s}); err != nil {
				t.Fatal(err)
			}
			if trial.Decide(now).Do == canary.Reject {
				n++
				break
			}
		}
	}
	return n
}

// TestLatencyPowerAndLevel drives trials with random times: a canary that is as fast as its
// baseline is hardly ever rejected however long their tails are, one that lets some requests
// wait always is. The canary has as many requests as the baseline, a third, or three times
// as many.
func TestLatencyPowerAndLevel(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	tail := func(median, sigma float64) func() float64 {
		return func() float64 { return median * math.Exp(sigma*random.NormFloat64()) }
	}
	sometimes := func(share, slow float64, usual func() float64) func() float64 {
		return func() float64 {
			if random.Float64() < share {
				return slow
			}
			return usual()
		}
	}
	const trials = 100
	for _, c := range []struct {
		name             string
		canary, baseline func() float64
		least, most      int // rejected of trials
	}{
		{"short tails", tail(0.008, 0.5), tail(0.008, 0.5), 0, 1},
		{"long tails", tail(0.008, 1.5), tail(0.008, 1.5), 0, 1},
		{"very long tails", tail(0.05, 2), tail(0.05, 2), 0, 1},
		{"a slow one in twenty", sometimes(0.05, 0.3, tail(0.01, 0.5)), sometimes(0.05, 0.3, tail(0.01, 0.5)), 0, 1},
		{"a slow one in ten", sometimes(0.1, 0.08, tail(0.01, 0.5)), sometimes(0.1, 0.08, tail(0.01, 0.5)), 0, 1},
		{"faster", tail(0.008, 1), tail(0.016, 1), 0, 0},
		{"three times as slow", tail(0.024, 1), tail(0.008, 1), trials - 3, trials},
		{"one in ten waits", sometimes(0.1, 0.3, tail(0.008, 0.5)), tail(0.008, 0.5), trials - 3, trials},
		{"all wait", tail(0.3, 0.1), tail(0.008, 0.5), trials, trials},
	} {
		for _, share := range []struct{ canary, baseline int }{{20, 20}, {10, 30}, {30, 10}} {
			got := rejected(t, trials, 60, func(onCanary, onBaseline *canary.Tally) {
				for range share.canary {
					took(onCanary, c.canary())
				}
				for range share.baseline {
					took(onBaseline, c.baseline())
				}
			})
			if got < c.least || got > c.most {
				t.Errorf("%s, %d to %d: %d of %d trials were rejected, want %d to %d", c.name, share.canary, share.baseline, got, trials, c.least, c.most)
			}
		}
	}
}

// TestStalls drives trials in which now and then one of the two pods stands still for a
// moment, so that up to ten of the forty requests of a look are slow: clean canaries stay, one
// that is five times as slow all the time is found all the same where stalls are rare. (Where
// they are common it hides among them, and its p95 is hardly larger.)
func TestStalls(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const trials = 200
	for _, c := range []struct {
		looks         int
		often, slower float64
		least, most   int
	}{
		{4, 0.1, 1, 0, 2}, {12, 0.1, 1, 0, 2}, {60, 0.1, 1, 0, 2},
		{4, 0.3, 1, 0, 2}, {12, 0.3, 1, 0, 2}, {60, 0.3, 1, 0, 2},
		{4, 0.9, 1, 0, 2}, {12, 0.9, 1, 0, 2}, {60, 0.9, 1, 0, 2},
		{12, 0.1, 5, trials * 9 / 10, trials}, {60, 0.1, 5, trials * 9 / 10, trials},
	} {
		answers := func(into *canary.Tally, median float64) {
			stalled := 0
			if random.Float64() < c.often {
				stalled = 1 + random.IntN(10)
			}
			for i := range 40 {
				d := median * math.Exp(0.5*random.NormFloat64())
				if i < stalled {
					d += 0.1
				}
				took(into, d)
			}
		}
		got := rejected(t, trials, c.looks, func(onCanary, onBaseline *canary.Tally) {
			answers(onCanary, 0.01*c.slower)
			answers(onBaseline, 0.01)
		})
		if got < c.least || got > c.most {
			t.Errorf("%d looks, stalls in %.0f %% of them, %.0f times as slow: %d of %d trials were rejected, want %d to %d", c.looks, c.often*100, c.slower, got, trials, c.least, c.most)
		}
	}
}
