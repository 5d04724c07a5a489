package scalar

import (
	"math"

	"towpath.dev/towpath/internal/monitor/kql/exec/series"
	"towpath.dev/towpath/internal/monitor/kql/value"
)

// seriesFuncs are the functions of series. Those that make several columns give an array
// of them, in the order of their pages.
func seriesFuncs() map[string]Func {
	out := map[string]Func{
		"series_fit_line": onSeries(fitLine), "series_fit_line_dynamic": onSeries(fitLineBag),
		"series_fit_2lines": onSeries(fitTwoLines), "series_fit_2lines_dynamic": onSeries(fitTwoLinesBag),
		"series_fit_poly": onSeries(fitPoly), "series_stats": row(stats), "series_stats_dynamic": row(statsBag),
		"series_fir": onSeries(fir), "series_iir": onSeries(iir), "series_outliers": strictFirst(outliers),
		"series_periods_detect": onSeries(periodsDetect), "series_periods_validate": onSeries(periodsValidate), "series_seasonal": onSeries(seasonal),
		"series_decompose": onSeries(decompose), "series_decompose_anomalies": onSeries(anomalies), "series_decompose_forecast": onSeries(forecast),
		"series_fill_const": row(fillConst), "series_fill_forward": row(fillForward), "series_fill_backward": row(fillBackward), "series_fill_linear": row(fillLinear),
		"series_dot_product": strict(dotProduct), "series_magnitude": onSeries(magnitude), "series_cosine_similarity": strict(cosine),
		"series_pearson_correlation": strict(pearson), "series_sum": onSeries(seriesSum), "series_product": onSeries(seriesProduct),
		"series_fft": onSeries(fft), "series_ifft": onSeries(ifft), "series_not_equals": pointwise("!="), "series_pow": pointwise("pow"),
	}
	for name, op := range map[string]string{
		"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "equals": "==", "greater": ">", "greater_equals": ">=", "less": "<", "less_equals": "<=",
	} {
		out["series_"+name] = pointwise(op)
	}
	for name, f := range map[string]func(float64) float64{
		"sin": math.Sin, "cos": math.Cos, "tan": math.Tan, "asin": math.Asin, "acos": math.Acos, "atan": math.Atan, "exp": math.Exp, "log": math.Log,
	} {
		out["series_"+name] = eachPoint(func(v any) any { return applyReal(v, f) })
	}
	out["series_abs"] = eachPoint(func(v any) any { return keepWhole(v, math.Abs) })
	out["series_sign"] = eachPoint(func(v any) any { return keepWhole(v, signOf) })
	out["series_floor"] = eachPoint(func(v any) any { return keepWhole(v, math.Floor) })
	out["series_ceiling"] = eachPoint(func(v any) any { return keepWhole(v, math.Ceil) })
	return out
}

func signOf(f float64) float64 {
	switch {
	case f > 0:
		return 1
	case f < 0:
		return -1
	}
	return 0
}

func applyReal(v any, f func(float64) float64) any {
	x, ok := pointOf(v)
	if !ok {
		return nil
	}
	return f(x)
}

func keepWhole(v any, f func(float64) float64) any {
	if n, ok := v.(int64); ok {
		return int64(f(float64(n)))
	}
	return applyReal(v, f)
}

// pointOf is a point of a series; false for what is no number.
func pointOf(v any) (float64, bool) {
	switch x := v.(type) {
	case int64:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}

// points reads a series; false when it is none or a point is no number.
func points(v any) ([]float64, bool) {
	list, ok := v.([]any)
	if !ok {
		return nil, false
	}
	out := make([]float64, len(list))
	for i, e := range list {
		if out[i], ok = pointOf(e); !ok {
			return nil, false
		}
	}
	return out, true
}

func cellsOf(x []float64) []any {
	out := make([]any, len(x))
	for i, v := range x {
		out[i] = v
	}
	return out
}

// onSeries makes a function of one that works on a whole series of numbers.
func onSeries(f func(x []float64, a []any) any) Func {
	return row(func(_ *Call, a []any) any {
		x, ok := points(a[0])
		if !ok || len(x) == 0 {
			return nil
		}
		return f(x, a)
	})
}

// strictFirst is null when the first argument is.
func strictFirst(f func(c *Call, a []any) any) Func {
	return row(func(c *Call, a []any) any {
		if a[0] == nil {
			return nil
		}
		return f(c, a)
	})
}

func eachPoint(f func(v any) any) Func {
	return onArray(func(list []any) any {
		out := make([]any, len(list))
		for i, e := range list {
			out[i] = f(e)
		}
		return out
	})
}

// pointwise computes with the points of two series, null where one has none; a number
// stands for a series of it.
func pointwise(op string) Func {
	return strict(func(_ *Call, a []any) any {
		x, ok1 := a[0].([]any)
		y, ok2 := a[1].([]any)
		if !ok1 && !ok2 {
			return nil
		}
		n := max(len(x), len(y))
		out := make([]any, n)
		for i := range out {
			p, q := elementOf(a[0], i), elementOf(a[1], i)
			out[i] = pointOp(op, p, q)
		}
		return out
	})
}

func pointOp(op string, p, q any) any {
	f, ok1 := pointOf(p)
	g, ok2 := pointOf(q)
	if !ok1 || !ok2 {
		return nil
	}
	switch op {
	case "+", "-", "*":
		return dynamicArithmetic(op, p, q)
	case "/":
		return f / g
	case "pow":
		return math.Pow(f, g)
	case "==":
		return f == g
	case "!=":
		return f != g
	case ">":
		return f > g
	case ">=":
		return f >= g
	case "<":
		return f < g
	}
	return f <= g
}

func fitLine(x []float64, _ []any) any {
	l := series.FitLine(x)
	return []any{l.RSquare, l.Slope, l.Variance, l.RVariance, l.Intercept, cellsOf(l.Fit)}
}

func lineBag(l series.Line) *value.Bag {
	return bagOf("rsquare", l.RSquare, "slope", l.Slope, "variance", l.Variance, "rvariance", l.RVariance, "interception", l.Intercept)
}

func fitLineBag(x []float64, _ []any) any {
	l := series.FitLine(x)
	b := lineBag(l)
	b.Set("line_fit", cellsOf(l.Fit))
	return b
}

func fitTwoLines(x []float64, _ []any) any {
	t := series.FitTwoLines(x)
	out := []any{t.RSquare, int64(t.Split), t.Variance, t.RVariance, cellsOf(t.Fit)}
	for _, l := range []series.Line{t.Right, t.Left} {
		out = append(out, l.RSquare, l.Slope, l.Intercept, l.Variance, l.RVariance)
	}
	return out
}

func fitTwoLinesBag(x []float64, _ []any) any {
	t := series.FitTwoLines(x)
	return bagOf("rsquare", t.RSquare, "split_idx", int64(t.Split), "variance", t.Variance, "rvariance", t.RVariance, "line_fit", cellsOf(t.Fit),
		"right", lineBag(t.Right), "left", lineBag(t.Left))
}

// fitPoly(y[, x], degree).
func fitPoly(y []float64, a []any) any {
	x := make([]float64, len(y))
	for i := range x {
		x[i] = float64(i + 1)
	}
	degree := 1
	switch {
	case len(a) > 2:
		if p, ok := points(a[1]); ok {
			x = p
		}
		degree = int(long(a[2]))
	case len(a) > 1:
		if p, ok := points(a[1]); ok {
			x = p
		} else {
			degree = int(long(a[1]))
		}
	}
	if degree < 1 || degree > 7 {
		return nil
	}
	c, ok := series.FitPoly(x, y, degree)
	if !ok {
		return nil
	}
	fit, rest := make([]float64, len(y)), make([]float64, len(y))
	for i := range y {
		fit[i] = series.Poly(c, x[i])
		rest[i] = y[i] - fit[i]
	}
	v, r := series.Variance(y), series.Variance(rest)
	square := 0.0
	if v > 0 {
		square = 1 - r/v
	}
	return []any{square, cellsOf(c), v, r, cellsOf(fit)}
}

// summary of a series; with ignore what is not finite is passed over, else it spoils all.
func summary(a []any) (s []any, sum float64, n int, ok bool) {
	list, isList := a[0].([]any)
	ignore := len(a) > 1 && a[1] == true
	var x []float64
	lo, hi := -1, -1
	var least, most float64
	for i, e := range list {
		f, fine := pointOf(e)
		if fine = fine && !math.IsNaN(f) && !math.IsInf(f, 0); !fine {
			if !ignore {
				return nil, 0, 0, false
			}
			continue
		}
		if lo < 0 || f < least {
			lo, least = i, f
		}
		if hi < 0 || f > most {
			hi, most = i, f
		}
		x = append(x, f)
		sum += f
	}
	if !isList || len(x) == 0 {
		return nil, 0, 0, false
	}
	v := series.Variance(x)
	return []any{least, int64(lo), most, int64(hi), sum / float64(len(x)), math.Sqrt(v), v}, sum, len(x), true
}

func stats(_ *Call, a []any) any {
	s, _, _, ok := summary(a)
	if !ok {
		return nil
	}
	return s
}

func statsBag(_ *Call, a []any) any {
	s, sum, n, ok := summary(a)
	if !ok {
		return nil
	}
	return bagOf("min", s[0], "min_idx", s[1], "max", s[2], "max_idx", s[3], "avg", s[4], "stdev", s[5], "variance", s[6], "sum", sum, "len", int64(n))
}

func flag(a []any, i int, otherwise bool) bool {
	if i < len(a) {
		if b, ok := a[i].(bool); ok {
			return b
		}
		if n, ok := a[i].(int64); ok {
			return n != 0
		}
	}
	return otherwise
}

// maxSteps bounds the product of the lengths of a series and its filter.
const maxSteps = 1 << 28

func fir(x []float64, a []any) any {
	w, ok := points(a[1])
	if !ok || len(w) == 0 {
		return nil
	}
	normalize := flag(a, 2, true)
	for _, f := range w {
		if normalize && f < 0 {
			return nil
		}
	}
	if len(x)*len(w) > maxSteps {
		return beyond{}
	}
	return cellsOf(series.FIR(x, w, normalize, flag(a, 3, false)))
}

func iir(x []float64, a []any) any {
	n, ok1 := points(a[1])
	d, ok2 := points(a[2])
	if !ok1 || !ok2 || len(d) == 0 || d[0] == 0 {
		return nil
	}
	if len(x)*(len(n)+len(d)) > maxSteps {
		return beyond{}
	}
	return cellsOf(series.IIR(x, n, d))
}

// outliers(series[, kind[, ignore[, min percentile[, max percentile]]]]).
func outliers(_ *Call, a []any) any {
	list, ok := a[0].([]any)
	if !ok {
		return nil
	}
	low, high := 0.1, 0.9
	if len(a) > 1 && a[1] == "tukey" {
		low, high = 0.25, 0.75
	}
	for k, to := range []*float64{&low, &high} {
		if k+3 < len(a) && (len(a) < 2 || a[1] != "tukey") {
			f, ok := number(a[k+3])
			if ok && !(f >= 2 && f <= 98) {
				return nil
			}
			if ok {
				*to = f / 100
			}
		}
	}
	x := make([]float64, len(list))
	skip := make([]bool, len(list))
	for i, e := range list {
		f, ok := pointOf(e)
		x[i], skip[i] = f, !ok || math.IsNaN(f) || len(a) > 2 && a[2] != nil && value.Equal(e, a[2])
	}
	return cellsOf(series.Outliers(x, low, high, func(i int) bool { return skip[i] }))
}

func seriesSum(x []float64, _ []any) any {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s
}

func seriesProduct(x []float64, _ []any) any {
	p := 1.0
	for _, v := range x {
		p *= v
	}
	return p
}

func magnitude(x []float64, _ []any) any {
	s := 0.0
	for _, v := range x {
		s += v * v
	}
	return math.Sqrt(s)
}
