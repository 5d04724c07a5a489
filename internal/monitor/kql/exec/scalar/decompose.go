package scalar

import (
	"math"

	"towpath.dev/towpath/internal/monitor/kql/exec/series"
)

// periodsDetect(series, low, high, number).
func periodsDetect(x []float64, a []any) any {
	low, _ := number(a[1])
	high, _ := number(a[2])
	n := int(max(0, min(long(a[3]), 1000)))
	lengths, scores := make([]any, n), make([]any, n)
	for i := range n {
		lengths[i], scores[i] = 0.0, 0.0
	}
	for i, p := range series.Periods(x, low, high, n) {
		lengths[i], scores[i] = p.Length, p.Score
	}
	return []any{lengths, scores}
}

func periodsValidate(x []float64, a []any) any {
	var lengths, scores []any
	for _, p := range a[1:] {
		f, _ := number(p)
		lengths, scores = append(lengths, f), append(scores, series.Validate(x, f))
	}
	return []any{lengths, scores}
}

func seasonal(x []float64, a []any) any {
	period := -1
	if len(a) > 1 {
		period = int(long(a[1]))
	}
	if period < 0 {
		period = series.Detect(x, 0.7)
	}
	return cellsOf(series.Seasonal(x, period, len(x)))
}

// options reads seasonality, trend, test points and threshold from the places given, -1
// for one that the function does not have.
func options(a []any, seasonality, trend, test, threshold int) series.Options {
	o := series.Options{Seasonality: -1, Trend: "avg", Threshold: 0.6}
	at := func(i int) any {
		if i >= 0 && i < len(a) {
			return a[i]
		}
		return nil
	}
	if n, ok := at(seasonality).(int64); ok {
		o.Seasonality = int(n)
	}
	if s, ok := at(trend).(string); ok {
		o.Trend = s
	}
	if n, ok := at(test).(int64); ok {
		o.Test = int(max(0, n))
	}
	if f, ok := pointOf(at(threshold)); ok {
		o.Threshold = f
	}
	return o
}

// decompose(series[, seasonality[, trend[, test points[, threshold]]]]).
func decompose(x []float64, a []any) any {
	d := series.Decompose(x, options(a, 1, 2, 3, 4))
	return []any{cellsOf(d.Baseline), cellsOf(d.Seasonal), cellsOf(d.Trend), cellsOf(d.Residual)}
}

// anomalies(series[, threshold[, seasonality[, trend[, test[, method[, threshold]]]]]]).
func anomalies(x []float64, a []any) any {
	threshold := 1.5
	if len(a) > 1 {
		if f, ok := number(a[1]); ok {
			threshold = f
		}
	}
	d := series.Decompose(x, options(a, 2, 3, 4, 6))
	low, high := 0.1, 0.9
	if len(a) > 5 && a[5] == "tukey" {
		low, high = 0.25, 0.75
	}
	scores := series.Outliers(d.Residual, low, high, func(i int) bool { return math.IsNaN(d.Residual[i]) })
	flags := make([]any, len(scores))
	for i, s := range scores {
		switch {
		case s > threshold:
			flags[i] = int64(1)
		case s < -threshold:
			flags[i] = int64(-1)
		default:
			flags[i] = int64(0)
		}
	}
	return []any{flags, cellsOf(scores), cellsOf(d.Baseline)}
}

// forecast(series, points[, seasonality[, trend[, threshold]]]).
func forecast(x []float64, a []any) any {
	o := options(a, 2, 3, 1, 4)
	if len(a) < 4 {
		o.Trend = "linefit"
	}
	return cellsOf(series.Decompose(x, o).Baseline)
}
