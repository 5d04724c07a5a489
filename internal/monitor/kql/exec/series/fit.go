package series

import "math"

// Line is the line y = Slope*x + Intercept that fits a series best, with how well it does.
// The places x count from 1, as the values on the page of series_fit_line show.
type Line struct {
	RSquare, Slope, Variance, RVariance, Intercept float64
	Fit                                            []float64
}

// Mean returns the average, NaN of nothing.
func Mean(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s / float64(len(x))
}

// Variance returns the sample variance, 0 for fewer than two values.
func Variance(x []float64) float64 {
	if len(x) < 2 {
		return 0
	}
	m, s := Mean(x), 0.0
	for _, v := range x {
		s += (v - m) * (v - m)
	}
	return s / float64(len(x)-1)
}

// FitLine is series_fit_line: least squares over the places 1, 2, 3, …
func FitLine(y []float64) Line {
	n := float64(len(y))
	l := Line{Variance: Variance(y), Fit: make([]float64, len(y))}
	if len(y) == 0 {
		return l
	}
	mx, my := (n+1)/2, Mean(y)
	var sxy, sxx float64
	for i, v := range y {
		x := float64(i+1) - mx
		sxy += x * (v - my)
		sxx += x * x
	}
	if sxx > 0 {
		l.Slope = sxy / sxx
	}
	l.Intercept = my - l.Slope*mx
	rest := make([]float64, len(y))
	for i, v := range y {
		l.Fit[i] = l.At(i)
		rest[i] = v - l.Fit[i]
	}
	l.RVariance = Variance(rest)
	l.RSquare = rSquare(l.Variance, l.RVariance)
	return l
}

// At returns the line's value at the i-th entry, counted from 0.
func (l Line) At(i int) float64 { return l.Intercept + l.Slope*float64(i+1) }

// rSquare is the share of the variance that a fit explains; 0 when there is none.
func rSquare(variance, rest float64) float64 {
	if variance == 0 {
		return 0
	}
	return 1 - rest/variance
}

// TwoLines is a fit by two lines that meet before the place Split.
type TwoLines struct {
	RSquare, Variance, RVariance float64
	Split                        int
	Fit                          []float64
	Left, Right                  Line
}

// FitTwoLines is series_fit_2lines: the split that leaves the least residual variance.
func FitTwoLines(y []float64) TwoLines {
	best := TwoLines{Variance: Variance(y), RVariance: math.Inf(1)}
	if len(y) < 3 {
		l := FitLine(y)
		return TwoLines{RSquare: l.RSquare, Variance: l.Variance, RVariance: l.RVariance, Fit: l.Fit, Left: l, Right: l}
	}
	pre, suf := residuals(y), reverse(residuals(reverse(y)))
	split, least := 1, math.Inf(1)
	for k := 1; k < len(y); k++ {
		if s := pre[k-1] + suf[k]; s < least {
			split, least = k, s
		}
	}
	best.Split, best.Left, best.Right = split, FitLine(y[:split]), FitLine(y[split:])
	best.Fit = append(append([]float64{}, best.Left.Fit...), best.Right.Fit...)
	rest := make([]float64, len(y))
	for i, v := range y {
		rest[i] = v - best.Fit[i]
	}
	best.RVariance = Variance(rest)
	best.RSquare = rSquare(best.Variance, best.RVariance)
	return best
}

// residuals gives for each prefix the squares that its best line leaves.
func residuals(y []float64) []float64 {
	out := make([]float64, len(y))
	var sx, sy, sxx, sxy, syy float64
	for i, v := range y {
		x, n := float64(i), float64(i+1)
		sx, sy, sxx, sxy, syy = sx+x, sy+v, sxx+x*x, sxy+x*v, syy+v*v
		dx, dxy, dy := sxx-sx*sx/n, sxy-sx*sy/n, syy-sy*sy/n
		if dx > 0 {
			dy -= dxy * dxy / dx
		}
		out[i] = max(0, dy)
	}
	return out
}

func reverse(x []float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[len(x)-1-i] = v
	}
	return out
}

// FitPoly fits a polynomial of a degree to points: its coefficients from the highest
// power down. False when the points do not determine it.
func FitPoly(x, y []float64, degree int) ([]float64, bool) {
	n := degree + 1
	if len(x) < n || len(x) != len(y) {
		return nil, false
	}
	a := make([][]float64, n) // normal equations
	for i := range a {
		a[i] = make([]float64, n+1)
	}
	for k := range x {
		for i := range n {
			xi := math.Pow(x[k], float64(i))
			for j := range n {
				a[i][j] += xi * math.Pow(x[k], float64(j))
			}
			a[i][n] += xi * y[k]
		}
	}
	if !solve(a) {
		return nil, false
	}
	out := make([]float64, n)
	for i := range n {
		out[n-1-i] = a[i][n]
	}
	return out, true
}

// solve is Gauss's elimination with pivots, in place: the last column becomes the answer.
func solve(a [][]float64) bool {
	n := len(a)
	for i := range n {
		p := i
		for j := i + 1; j < n; j++ {
			if math.Abs(a[j][i]) > math.Abs(a[p][i]) {
				p = j
			}
		}
		if a[p][i] == 0 {
			return false
		}
		a[i], a[p] = a[p], a[i]
		for j := range n {
			if j == i {
				continue
			}
			f := a[j][i] / a[i][i]
			for k := i; k <= n; k++ {
				a[j][k] -= f * a[i][k]
			}
		}
	}
	for i := range n {
		a[i][n] /= a[i][i]
	}
	return true
}

// Poly is the value of a polynomial, coefficients from the highest power down.
func Poly(c []float64, x float64) float64 {
	v := 0.0
	for _, k := range c {
		v = v*x + k
	}
	return v
}
