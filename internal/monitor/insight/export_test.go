package insight

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Samples is what releases did.
type Samples = map[opKey]*sample

// Simulate makes what two releases do that are the same: n requests of each operation of
// the first, m of the second, with long tails.
func Simulate(r *rand.Rand, base, fail map[string]float64, n, m int) (now, before Samples) {
	side := func(n int) Samples {
		out := Samples{}
		for _, name := range slices.Sorted(maps.Keys(base)) { // The same numbers in every run.
			ms := base[name]
			s := &sample{requests: int64(n), rows: int64(n)}
			for range n {
				if r.Float64() < fail[name] {
					s.failed++
				}
				took := ms * (0.7 + r.ExpFloat64()*0.3)
				if r.Float64() < 0.02 {
					took *= 4
				}
				s.times = append(s.times, took)
			}
			slices.Sort(s.times)
			out[opKey{"web", name}] = s
		}
		return out
	}
	return side(n), side(m)
}

// Judge returns the verdict on two samples.
func Judge(now, before Samples) (verdict, why string) { return verdictOf(compare(now, before)) }
