package stat_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"towpath.dev/towpath/internal/monitor/insight/stat"
)

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.Abs(got-want) > within {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// The values of Fisher are those that R's fisher.test gives for the tables of its manual
// and of the textbook (Agresti, "Categorical Data Analysis": the lady who tasted tea).
func TestFisher(t *testing.T) {
	near(t, "tea", stat.Fisher(3, 1, 1, 3), 0.4857, 1e-4)
	near(t, "job", stat.Fisher(1, 9, 11, 3), 0.002759, 1e-6)
	near(t, "none", stat.Fisher(0, 200, 0, 200), 1, 1e-9)
	// (1/2)^10 twice, but for the hypergeometric correction: 2·C(390,190)/C(400,200).
	near(t, "5 % of 200", stat.Fisher(10, 190, 0, 200), 0.00171, 5e-5)
}

func TestSharesOfLargeSamplesAgreeWithTheExactTest(t *testing.T) {
	exact := stat.Fisher(620, 29380, 500, 29500)
	got := stat.Shares(620, 30000, 500, 30000)
	if math.Abs(math.Log(got/exact)) > 0.15 {
		t.Errorf("Shares = %v, exactly %v", got, exact)
	}
	near(t, "empty", stat.Shares(0, 0, 1, 3), 1, 0)
}

// R: wilcox.test(1:10, c(4.5+1:10), exact=FALSE) gives W = 15.5 … ; the value here is by hand:
// no ties, U = 15, sigma = sqrt(10·10·21/12) = 13.229, z = (50-15-0.5)/13.229 = 2.608.
func TestMannWhitney(t *testing.T) {
	x, y := make([]float64, 10), make([]float64, 10)
	for i := range x {
		x[i], y[i] = float64(i), float64(i)+4.5
	}
	near(t, "shifted", stat.MannWhitney(x, y), math.Erfc(2.608/math.Sqrt2), 1e-4)
	near(t, "the other way", stat.MannWhitney(y, x), stat.MannWhitney(x, y), 1e-12)
	near(t, "equal", stat.MannWhitney(make([]float64, 20), make([]float64, 20)), 1, 0)
	near(t, "too few", stat.MannWhitney(x[:3], y), 1, 0)
}

// TestPIsUniformWithoutADifference: of samples from one distribution a p below 0.05 comes
// in about 5 of 100 cases.
func TestPIsUniformWithoutADifference(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const rounds = 2000
	low := 0
	for range rounds {
		x, y := make([]float64, 40), make([]float64, 60)
		for i := range x {
			x[i] = math.Round(10 * r.ExpFloat64())
		}
		for i := range y {
			y[i] = math.Round(10 * r.ExpFloat64())
		}
		if stat.MannWhitney(x, y) < 0.05 {
			low++
		}
	}
	near(t, "share of p < 0.05", float64(low)/rounds, 0.05, 0.015)
}

func TestHolm(t *testing.T) {
	got := stat.Holm([]float64{0.01, 0.04, 0.03, 0.005})
	for i, want := range []float64{0.03, 0.06, 0.06, 0.02} {
		near(t, "corrected", got[i], want, 1e-12)
	}
}

func TestQuantile(t *testing.T) {
	s := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]float64{0.5: 5, 0.95: 10, 0: 1, 1: 10} {
		near(t, "quantile", stat.Quantile(s, q), want, 0)
	}
	near(t, "of nothing", stat.Quantile(nil, 0.5), 0, 0)
}
