package stat

import (
	"cmp"
	"math"
	"slices"
)

// exactUpTo is the size of both samples together up to which shares are compared exactly.
const exactUpTo = 20_000

// Shares returns the p of a of n against b of m: exactly where that is quick or the normal
// approximation is bad, else by the two-proportion z-test.
func Shares(a, n, b, m int64) float64 {
	if n <= 0 || m <= 0 {
		return 1
	}
	if n+m <= exactUpTo || min(a+b, n+m-a-b) < 50 {
		return Fisher(a, n-a, b, m-b)
	}
	pa, pb := float64(a)/float64(n), float64(b)/float64(m)
	pool := float64(a+b) / float64(n+m)
	se := math.Sqrt(pool * (1 - pool) * (1/float64(n) + 1/float64(m)))
	if se == 0 {
		return 1
	}
	return tails((pa - pb) / se)
}

// Fisher is Fisher's exact test of the table a b / c d: the probability of all tables with
// the same margins that are not more probable than this one.
func Fisher(a, b, c, d int64) float64 {
	n, row, column := a+b+c+d, a+b, a+c
	if n == 0 {
		return 1
	}
	low, high := max(0, row+column-n), min(row, column)
	constant := logChoose(n, column)
	at := func(x int64) float64 { return logChoose(row, x) + logChoose(n-row, column-x) - constant }
	seen := at(a)
	sum := 0.0
	// Rounding must not leave out the table that was seen.
	const slack = 1e-7
	for x := low; x <= high; x++ {
		if p := at(x); p <= seen+slack {
			sum += math.Exp(p)
		}
	}
	return min(1, sum)
}

func logChoose(n, k int64) float64 {
	if k < 0 || k > n {
		return math.Inf(-1)
	}
	a, _ := math.Lgamma(float64(n) + 1)
	b, _ := math.Lgamma(float64(k) + 1)
	c, _ := math.Lgamma(float64(n-k) + 1)
	return a - b - c
}

// tails is the probability of a normal variable to be as far from 0 as z.
func tails(z float64) float64 { return math.Erfc(math.Abs(z) / math.Sqrt2) }

// MannWhitney is the p of the rank-sum test of two samples, with the normal approximation,
// corrected for ties and for continuity. Samples of fewer than eight values give 1: the
// approximation says nothing of them.
func MannWhitney(x, y []float64) float64 {
	if len(x) < 8 || len(y) < 8 {
		return 1
	}
	type value struct {
		v     float64
		first bool
	}
	all := make([]value, 0, len(x)+len(y))
	for _, v := range x {
		all = append(all, value{v, true})
	}
	for _, v := range y {
		all = append(all, value{v, false})
	}
	slices.SortFunc(all, func(a, b value) int { return cmp.Compare(a.v, b.v) })
	n, m := float64(len(x)), float64(len(y))
	ranks, ties := 0.0, 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].v == all[i].v {
			j++
		}
		rank := float64(i+j+1) / 2 // the mean of i+1 … j
		for _, v := range all[i:j] {
			if v.first {
				ranks += rank
			}
		}
		t := float64(j - i)
		ties += t*t*t - t
		i = j
	}
	total := n + m
	u := ranks - n*(n+1)/2
	sigma := math.Sqrt(n * m / 12 * (total + 1 - ties/(total*(total-1))))
	if sigma == 0 {
		return 1
	}
	distance := max(0, math.Abs(u-n*m/2)-0.5)
	return tails(distance / sigma)
}

// Quantile returns the value below which the share q of a sample lies (nearest rank); 0 of
// no sample. The sample must be sorted.
func Quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[max(0, min(i, len(sorted)-1))]
}

// Holm corrects several p for each other: each may be compared with one threshold then, and
// the probability of any wrong finding among them stays below it.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	out := make([]float64, len(p))
	floor := 0.0
	for rank, i := range order {
		floor = max(floor, min(1, p[i]*float64(len(p)-rank)))
		out[i] = floor
	}
	return out
}
