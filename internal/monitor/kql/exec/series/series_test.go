package series_test

import (
	"math"
	"testing"

	"towpath.dev/towpath/internal/monitor/kql/exec/series"
)

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.Abs(got-want) > within {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// The numbers of the page of series_fit_line.
func TestFitLine(t *testing.T) {
	l := series.FitLine([]float64{2, 5, 6, 8, 11, 15, 17, 18, 25, 26, 30, 30})
	near(t, "r-square", l.RSquare, 0.982, 0.001)
	near(t, "slope", l.Slope, 2.730, 0.001)
	near(t, "variance", l.Variance, 98.628, 0.001)
	near(t, "residual variance", l.RVariance, 1.686, 0.001)
	near(t, "interception", l.Intercept, -1.666, 0.001)
	near(t, "first point", l.Fit[0], 1.064, 0.001)
	near(t, "last point", l.Fit[11], 31.102, 0.001)
}

func TestFitTwoLinesFindsTheBend(t *testing.T) {
	var y []float64
	for i := range 20 {
		y = append(y, float64(min(i, 12)*3))
	}
	f := series.FitTwoLines(y)
	near(t, "r-square", f.RSquare, 1, 1e-9)
	near(t, "left slope", f.Left.Slope, 3, 1e-9)
	near(t, "right slope", f.Right.Slope, 0, 1e-9)
	if f.Split != 12 && f.Split != 13 {
		t.Errorf("split at %d, want where the line bends", f.Split)
	}
}

func TestFitPolyGivesTheCoefficientsBack(t *testing.T) {
	want := []float64{2, -3, 0.5, 1}
	var x, y []float64
	for i := range 30 {
		v := float64(i)/10 - 1.5
		x, y = append(x, v), append(y, series.Poly(want, v))
	}
	got, ok := series.FitPoly(x, y, 3)
	if !ok {
		t.Fatal("no fit")
	}
	for i := range want {
		near(t, "coefficient", got[i], want[i], 1e-9)
	}
}

func TestFFTInvertsAtEveryLength(t *testing.T) {
	for n := 1; n <= 40; n++ {
		x := make([]complex128, n)
		for i := range x {
			x[i] = complex(float64(i*i%7), float64(i%3))
		}
		y := series.FFT(series.FFT(x, false), true)
		for i := range x {
			near(t, "real part", real(y[i]), real(x[i]), 1e-9)
			near(t, "imaginary part", imag(y[i]), imag(x[i]), 1e-9)
		}
	}
}

// A week of hours, five times: workdays and weekends differ, days repeat less well.
func TestPeriodsFindTheWeek(t *testing.T) {
	var y []float64
	for i := range 24 * 7 * 5 {
		hour := float64(i % 24)
		v := 15 - hour*hour/10
		if i/24%7 >= 5 {
			v -= 5
		}
		y = append(y, v+math.Sin(float64(i*i)))
	}
	p := series.Periods(y, 4, 400, 1)
	if len(p) != 1 || p[0].Length != 168 {
		t.Errorf("found %v, want the week of 168 hours", p)
	}
	if d := series.Decompose(y, series.Options{Seasonality: -1, Trend: "avg", Threshold: 0.6}); d.Seasonal[3] == d.Seasonal[3+24*6] {
		t.Error("the season does not tell a workday from a weekend")
	}
}

func TestNoiseHasNoPeriod(t *testing.T) {
	var y []float64
	seed := uint64(1)
	for range 500 {
		seed = seed*6364136223846793005 + 1442695040888963407
		y = append(y, float64(seed>>40))
	}
	if k := series.Detect(y, 0.6); k != 0 {
		t.Errorf("found a period of %d in noise", k)
	}
}

func TestForecastFollowsSeasonAndTrend(t *testing.T) {
	var y []float64
	for i := range 48 {
		y = append(y, float64(i)+10*float64(i%6))
	}
	want := append([]float64{}, y...)
	for i := 42; i < 48; i++ {
		y[i] = 0
	}
	d := series.Decompose(y, series.Options{Seasonality: 6, Trend: "linefit", Test: 6})
	for i := 42; i < 48; i++ {
		near(t, "forecast", d.Baseline[i], want[i], 12)
	}
}

func TestFilters(t *testing.T) {
	got := series.FIR([]float64{0, 0, 3, 0, 0}, []float64{1, 1, 1}, true, true)
	for i, want := range []float64{0, 1, 1, 1, 0} {
		near(t, "moving average", got[i], want, 1e-12)
	}
	got = series.IIR([]float64{1, 2, 3, 4}, []float64{1}, []float64{1, -1})
	for i, want := range []float64{1, 3, 6, 10} {
		near(t, "running sum", got[i], want, 1e-12)
	}
}
