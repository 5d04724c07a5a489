package series

import (
	"math"
	"math/cmplx"
	"slices"
)

// FIR is series_fir: each point is the weighted sum of itself and those before it, or of
// those around it when centred. Where the series ends, what is there counts, not repeated.
func FIR(x, filter []float64, normalize, center bool) []float64 {
	w := slices.Clone(filter)
	if normalize {
		sum := 0.0
		for _, f := range w {
			sum += f
		}
		for i := range w {
			w[i] /= sum
		}
	}
	shift := 0
	if center {
		shift = len(w) / 2
	}
	out := make([]float64, len(x))
	for i := range x {
		for k, f := range w {
			if j := i + shift - k; j >= 0 && j < len(x) {
				out[i] += f * x[j]
			}
		}
	}
	return out
}

// IIR is series_iir, by the recursive formula of its page.
func IIR(x, numerators, denominators []float64) []float64 {
	out := make([]float64, len(x))
	for i := range x {
		v := 0.0
		for k, b := range numerators {
			if i >= k {
				v += b * x[i-k]
			}
		}
		for k := 1; k < len(denominators); k++ {
			if i >= k {
				v -= denominators[k] * out[i-k]
			}
		}
		out[i] = v / denominators[0]
	}
	return out
}

// Quantile returns the value at a share of sorted values, between neighbours in proportion.
func Quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := max(0, min(q, 1)) * float64(len(sorted)-1)
	i := int(math.Floor(at))
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// Outliers scores points by Tukey's test: how far one lies outside of the quantiles low
// and high, in units of the distance between them; 0 within. skip tells what has no score.
func Outliers(x []float64, low, high float64, skip func(i int) bool) []float64 {
	var sorted []float64
	for i, v := range x {
		if !skip(i) {
			sorted = append(sorted, v)
		}
	}
	slices.Sort(sorted)
	a, b := Quantile(sorted, low), Quantile(sorted, high)
	out := make([]float64, len(x))
	for i, v := range x {
		switch {
		case skip(i):
		case v > b:
			out[i] = ratio(v-b, b-a)
		case v < a:
			out[i] = ratio(v-a, b-a)
		}
	}
	return out
}

// ratio is d/by; what is off a spread of nothing is off without measure, so it gets a
// finite number beyond every threshold.
func ratio(d, by float64) float64 {
	if by == 0 {
		return math.Copysign(1e6, d)
	}
	return d / by
}

// FFT is the discrete Fourier transform, its inverse when inverse is set. Lengths that are
// no power of two go through Bluestein's algorithm.
func FFT(x []complex128, inverse bool) []complex128 {
	n := len(x)
	if n == 0 {
		return nil
	}
	if inverse {
		c := make([]complex128, n)
		for i, v := range x {
			c[i] = cmplx.Conj(v)
		}
		c = FFT(c, false)
		for i, v := range c {
			c[i] = cmplx.Conj(v) / complex(float64(n), 0)
		}
		return c
	}
	if n&(n-1) == 0 {
		return radix2(slices.Clone(x))
	}
	m := 1
	for m < 2*n {
		m *= 2
	}
	w := make([]complex128, n)
	for i := range w {
		k := float64(i) * float64(i)
		w[i] = cmplx.Exp(complex(0, -math.Pi*math.Mod(k, 2*float64(n))/float64(n)))
	}
	a, b := make([]complex128, m), make([]complex128, m)
	for i := range n {
		a[i] = x[i] * w[i]
		b[i] = cmplx.Conj(w[i])
		if i > 0 {
			b[m-i] = b[i]
		}
	}
	a, b = radix2(a), radix2(b)
	for i := range a {
		a[i] *= b[i]
	}
	a = FFT(a, true)
	out := make([]complex128, n)
	for i := range out {
		out[i] = a[i] * w[i]
	}
	return out
}

func radix2(x []complex128) []complex128 {
	n := len(x)
	for i, j := 1, 0; i < n; i++ {
		bit := n >> 1
		for ; j&bit != 0; bit >>= 1 {
			j ^= bit
		}
		j ^= bit
		if i < j {
			x[i], x[j] = x[j], x[i]
		}
	}
	for size := 2; size <= n; size *= 2 {
		step := cmplx.Exp(complex(0, -2*math.Pi/float64(size)))
		for i := 0; i < n; i += size {
			w := complex(1, 0)
			for k := range size / 2 {
				u, v := x[i+k], x[i+k+size/2]*w
				x[i+k], x[i+k+size/2] = u+v, u-v
				w *= step
			}
		}
	}
	return x
}
