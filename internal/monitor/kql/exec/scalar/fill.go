package scalar

import (
	"math"

	"towpath.dev/towpath/internal/monitor/kql/exec/series"
	"towpath.dev/towpath/internal/monitor/kql/value"
)

// missing reports the points that a fill function is to fill: nulls, or those equal to the
// placeholder of an argument.
func missing(a []any, arg int) func(v any) bool {
	if arg < len(a) && a[arg] != nil {
		return func(v any) bool { return v != nil && value.Equal(v, a[arg]) }
	}
	return func(v any) bool { return v == nil }
}

// fillConst(series, value[, placeholder]).
func fillConst(_ *Call, a []any) any {
	list, ok := a[0].([]any)
	if !ok {
		return nil
	}
	gap := missing(a, 2)
	out := make([]any, len(list))
	for i, e := range list {
		if out[i] = e; gap(e) {
			out[i] = a[1]
		}
	}
	return out
}

// fillForward(series[, placeholder]).
func fillForward(_ *Call, a []any) any {
	list, ok := a[0].([]any)
	if !ok {
		return nil
	}
	gap := missing(a, 1)
	out := make([]any, len(list))
	for i, e := range list {
		if out[i] = e; gap(e) && i > 0 {
			out[i] = out[i-1]
		}
	}
	return out
}

func fillBackward(_ *Call, a []any) any {
	list, ok := a[0].([]any)
	if !ok {
		return nil
	}
	gap := missing(a, 1)
	out := make([]any, len(list))
	for i := len(list) - 1; i >= 0; i-- {
		if out[i] = list[i]; gap(list[i]) && i+1 < len(list) {
			out[i] = out[i+1]
		}
	}
	return out
}

// fillLinear(series[, placeholder[, edges[, constant]]]): whole numbers stay whole.
func fillLinear(_ *Call, a []any) any {
	list, ok := a[0].([]any)
	if !ok {
		return nil
	}
	gap, edges := missing(a, 1), flag(a, 2, true)
	whole, known := true, []int{}
	for i, e := range list {
		if !gap(e) {
			known = append(known, i)
			_, is := e.(int64)
			whole = whole && is
		}
	}
	out := make([]any, len(list))
	copy(out, list)
	if len(known) == 0 {
		constant := any(0.0)
		if len(a) > 3 {
			constant = a[3]
		}
		for i := range out {
			out[i] = constant
		}
		return out
	}
	for k := range len(known) - 1 {
		line(out, known[k], known[k+1], whole)
	}
	for i := range out {
		switch {
		case edges && i < known[0]:
			out[i] = list[known[0]]
		case edges && i > known[len(known)-1]:
			out[i] = list[known[len(known)-1]]
		}
	}
	return out
}

// line draws one through two known points.
func line(out []any, from, to int, whole bool) {
	x, _ := pointOf(out[from])
	y, _ := pointOf(out[to])
	for i := from + 1; i < to; i++ {
		v := x + (y-x)*float64(i-from)/float64(to-from)
		if out[i] = v; whole {
			out[i] = int64(v)
		}
	}
}

// twoSeries reads two series of numbers and cuts them to one length; a number stands for a
// series of it.
func twoSeries(a []any) (x, y []float64, ok bool) {
	x, ok1 := points(a[0])
	y, ok2 := points(a[1])
	f, n1 := pointOf(a[0])
	g, n2 := pointOf(a[1])
	switch {
	case ok1 && n2:
		y, ok2 = repeated(g, len(x)), true
	case ok2 && n1:
		x, ok1 = repeated(f, len(y)), true
	}
	n := min(len(x), len(y))
	if !ok1 || !ok2 || n == 0 {
		return nil, nil, false
	}
	return x[:n], y[:n], true
}

func repeated(f float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = f
	}
	return out
}

func dot(x, y []float64) float64 {
	s := 0.0
	for i := range x {
		s += x[i] * y[i]
	}
	return s
}

func dotProduct(_ *Call, a []any) any {
	x, y, ok := twoSeries(a)
	if !ok {
		return nil
	}
	return dot(x, y)
}

func cosine(_ *Call, a []any) any {
	x, y, ok := twoSeries(a)
	if !ok {
		return nil
	}
	return dot(x, y) / math.Sqrt(dot(x, x)*dot(y, y))
}

func pearson(_ *Call, a []any) any {
	x, ok1 := points(a[0])
	y, ok2 := points(a[1])
	if !ok1 || !ok2 || len(x) != len(y) || len(x) == 0 {
		return nil
	}
	mx, my := series.Mean(x), series.Mean(y)
	var xy, xx, yy float64
	for i := range x {
		xy += (x[i] - mx) * (y[i] - my)
		xx += (x[i] - mx) * (x[i] - mx)
		yy += (y[i] - my) * (y[i] - my)
	}
	return xy / math.Sqrt(xx*yy)
}

// fft(real[, imaginary]) gives the real and the imaginary series.
func fft(x []float64, a []any) any  { return transform(x, a, false) }
func ifft(x []float64, a []any) any { return transform(x, a, true) }

func transform(x []float64, a []any, inverse bool) any {
	c := make([]complex128, len(x))
	for i, v := range x {
		c[i] = complex(v, 0)
	}
	if len(a) > 1 {
		im, ok := points(a[1])
		if !ok || len(im) != len(x) {
			return nil
		}
		for i, v := range im {
			c[i] += complex(0, v)
		}
	}
	c = series.FFT(c, inverse)
	re, im := make([]any, len(c)), make([]any, len(c))
	for i, v := range c {
		re[i], im[i] = real(v), imag(v)
	}
	return []any{re, im}
}
