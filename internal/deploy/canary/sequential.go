package canary

import "math"

// evidence returns the logarithm of an e-value against "each of these events was the
// canary's with probability share, or less": of events that happened, k on the canary and m
// in all. It is the likelihood of a uniform mixture of larger probabilities over that of
// share. Under the hypothesis its expectation is at most 1 whenever it is looked at, so that
// it exceeds 1/alpha with probability alpha at most (Ville's inequality): a comparison may
// be looked at after each request.
func evidence(k, m int64, share float64) float64 {
	if m <= 0 || k <= 0 || share <= 0 || share >= 1 {
		return 0
	}
	a, b := float64(k)+1, float64(m-k)+1
	ga, _ := math.Lgamma(a)
	gb, _ := math.Lgamma(b)
	gab, _ := math.Lgamma(a + b)
	tail := 1 - incompleteBeta(share, a, b) // of Beta(a, b) above share
	if tail <= 0 {
		return math.Inf(-1)
	}
	return ga + gb - gab + math.Log(tail) - math.Log1p(-share) - float64(k)*math.Log(share) - float64(m-k)*math.Log1p(-share)
}

// incompleteBeta is the regularised incomplete beta function I_x(a, b), by Lentz's
// evaluation of its continued fraction (DLMF 8.17.22).
func incompleteBeta(x, a, b float64) float64 {
	if x <= 0 {
		return 0
	}
	if x >= 1 {
		return 1
	}
	if x > (a+1)/(a+b+2) {
		return 1 - incompleteBeta(1-x, b, a)
	}
	ga, _ := math.Lgamma(a)
	gb, _ := math.Lgamma(b)
	gab, _ := math.Lgamma(a + b)
	front := math.Exp(gab-ga-gb+a*math.Log(x)+b*math.Log1p(-x)) / a
	const tiny = 1e-300
	f, c, d := 1.0, 1.0, 0.0
	for i := 0; i <= 500; i++ {
		m := float64(i / 2)
		var numerator float64
		switch {
		case i == 0:
			numerator = 1
		case i%2 == 0:
			numerator = m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		default:
			numerator = -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		}
		d = 1 + numerator*d
		if math.Abs(d) < tiny {
			d = tiny
		}
		d = 1 / d
		c = 1 + numerator/c
		if math.Abs(c) < tiny {
			c = tiny
		}
		f *= c * d
		if math.Abs(1-c*d) < 1e-12 {
			break
		}
	}
	return front * (f - 1)
}

// pOf turns the largest evidence so far into an always-valid p-value.
func pOf(logE float64) float64 { return math.Min(1, math.Exp(-logE)) }
