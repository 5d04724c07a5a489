package series

import (
	"cmp"
	"math"
	"slices"
)

// autocorrelation gives for each distance how much a series resembles itself at it, 1 at
// 0. It is taken over what overlaps, so that long periods are not put at a disadvantage.
func autocorrelation(x []float64, most int) []float64 {
	m := Mean(x)
	n := len(x)
	size := 1
	for size < 2*n {
		size *= 2
	}
	c := make([]complex128, size)
	total := 0.0
	for i, v := range x {
		c[i] = complex(v-m, 0)
		total += (v - m) * (v - m)
	}
	c = FFT(c, false)
	for i, v := range c {
		c[i] = complex(real(v)*real(v)+imag(v)*imag(v), 0)
	}
	c = FFT(c, true)
	out := make([]float64, min(most+1, n))
	for k := range out {
		if total > 0 {
			out[k] = real(c[k]) / total
		}
	}
	return out
}

// Period is a length after which a series repeats, with a score from 0 to 1.
type Period struct{ Length, Score float64 }

// minPeriod is the shortest period that is looked for ("series_periods_detect").
const minPeriod = 4

// score is the correlation of the series with itself moved by one period and by two, the
// lower of them, each of the part that overlaps; so a period must be seen four times. The pages of the functions name
// no formula; this one gives the scores that they print.
func score(acf []float64, n, k int) float64 {
	if k < 1 || 2*k > n/2 || 2*k >= len(acf) {
		return 0
	}
	once, twice := acf[k]*float64(n)/float64(n-k), acf[2*k]*float64(n)/float64(n-2*k)
	return max(0, min(1, once, twice))
}

// Periods is series_periods_detect: the peaks of the autocorrelation between low and high
// with the highest scores, at most n of them. A multiple of a period that scores about the
// same is none.
func Periods(x []float64, low, high float64, n int) []Period {
	half := len(x) / 2
	acf := autocorrelation(x, half+1)
	var found []Period
	for k := max(minPeriod, int(math.Ceil(low))); k <= half && float64(k) <= high && k+1 < len(acf); k++ {
		if acf[k] > acf[k-1] && acf[k] >= acf[k+1] {
			if s := score(acf, len(x), k); s > 0 {
				found = append(found, Period{float64(k), s})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Period) int { return cmp.Compare(b.Score, a.Score) })
	var out []Period
	for _, p := range found {
		if len(out) < n && !multiple(found, p) && p.Score >= minScore {
			out = append(out, p)
		}
	}
	return out
}

// minScore is below what no period is told of.
const minScore = 0.3

// multiple reports whether a shorter period explains p as well.
func multiple(found []Period, p Period) bool {
	for _, q := range found {
		k := math.Round(p.Length / q.Length)
		if q.Length < p.Length && k >= 2 && math.Abs(p.Length-k*q.Length) <= 1 && q.Score >= p.Score-0.01 {
			return true
		}
	}
	return false
}

// Validate is series_periods_validate: the score of a given period, 0 when it is none.
func Validate(x []float64, period float64) float64 {
	k := int(math.Round(period))
	if k < minPeriod || k > len(x)/2 {
		return 0
	}
	acf := autocorrelation(x, len(x)/2+1)
	if k+1 < len(acf) && (acf[k] < acf[k-1] || acf[k] < acf[k+1]) {
		return 0
	}
	return score(acf, len(x), k)
}

// Seasonal is the median of the points at the same place of the period, learned from the
// first points and repeated over all.
func Seasonal(x []float64, period, learn int) []float64 {
	out := make([]float64, len(x))
	if period < 1 || period > learn {
		return out
	}
	for p := range period {
		var phase []float64
		for i := p; i < learn; i += period {
			phase = append(phase, x[i])
		}
		slices.Sort(phase)
		m := Quantile(phase, 0.5)
		for i := p; i < len(x); i += period {
			out[i] = m
		}
	}
	return out
}

// Detect returns the period of the season, 0 when none scores above the threshold.
func Detect(x []float64, threshold float64) int {
	p := Periods(x, minPeriod, float64(len(x))/2, 1)
	if len(p) == 0 || p[0].Score < threshold {
		return 0
	}
	return int(math.Round(p[0].Length))
}

// Options say how to decompose, with the meanings of series_decompose.
type Options struct {
	Seasonality int    // -1 finds it, 0 has none, else the period
	Trend       string // avg, linefit or none
	Test        int    // points at the end that are not learned from
	Threshold   float64
}

// Decomposition is a series in parts: Baseline is Seasonal + Trend.
type Decomposition struct{ Baseline, Seasonal, Trend, Residual []float64 }

// Decompose is series_decompose, in the order of steps of its page.
func Decompose(x []float64, o Options) Decomposition {
	n := len(x)
	learn := max(0, n-o.Test)
	period := o.Seasonality
	if period < 0 {
		period = Detect(x[:learn], o.Threshold)
	}
	d := Decomposition{Seasonal: Seasonal(x, period, learn), Trend: make([]float64, n), Baseline: make([]float64, n), Residual: make([]float64, n)}
	rest := make([]float64, n)
	for i := range x {
		rest[i] = x[i] - d.Seasonal[i]
	}
	switch l := FitLine(rest[:learn]); {
	case learn == 0:
	case o.Trend == "linefit":
		for i := range d.Trend {
			d.Trend[i] = l.At(i)
		}
	case o.Trend != "none":
		m := Mean(rest[:learn])
		for i := range d.Trend {
			d.Trend[i] = m
		}
	}
	for i := range x {
		d.Baseline[i] = d.Seasonal[i] + d.Trend[i]
		d.Residual[i] = x[i] - d.Baseline[i]
	}
	return d
}
