package scalar

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

func numbers() map[string]Func {
	out := map[string]Func{
		"abs": {run: absolute}, "round": strict(round), "ceiling": {run: func(c *Call) (vec.Vec, error) { return math1(c, math.Ceil) }}, "sign": strict(sign),
		"pow": reals2(math.Pow), "atan2": reals2(math.Atan2), "pi": row(func(*Call, []any) any { return math.Pi }),
		"isnan":    strict(func(_ *Call, a []any) any { f, ok := number(a[0]); return ok && math.IsNaN(f) }),
		"isinf":    strict(func(_ *Call, a []any) any { f, ok := number(a[0]); return ok && math.IsInf(f, 0) }),
		"isfinite": strict(func(_ *Call, a []any) any { f, ok := number(a[0]); return ok && !math.IsInf(f, 0) && !math.IsNaN(f) }),
		"max_of":   row(extreme(1)), "min_of": row(extreme(-1)),
		"rand": {run: random, Volatile: true}, "new_guid": {run: newGUID, Volatile: true},
		"binary_and": bitwise(func(x, y int64) any { return x & y }), "binary_or": bitwise(func(x, y int64) any { return x | y }),
		"binary_xor": bitwise(func(x, y int64) any { return x ^ y }), "binary_not": strict(func(_ *Call, a []any) any { return ^long(a[0]) }),
		"binary_shift_left": bitwise(shiftLeft), "binary_shift_right": bitwise(shiftRight),
		"bitset_count_ones": strict(func(_ *Call, a []any) any { return int64(bits.OnesCount64(uint64(long(a[0])))) }),
		"tohex":             {run: toHex}, "format_bytes": strict(formatBytes), "around": strict(around),
	}
	for name, f := range map[string]func(float64) float64{
		"sqrt": math.Sqrt, "exp": math.Exp, "exp2": math.Exp2, "exp10": func(x float64) float64 { return math.Pow(10, x) },
		"log": math.Log, "log2": math.Log2, "log10": math.Log10, "sin": math.Sin, "cos": math.Cos, "tan": math.Tan, "asin": math.Asin, "acos": math.Acos,
		"atan": math.Atan, "cot": func(x float64) float64 { return 1 / math.Tan(x) }, "degrees": func(x float64) float64 { return x / math.Pi * 180 },
		"radians": func(x float64) float64 { return x / 180 * math.Pi }, "gamma": math.Gamma, "loggamma": logGamma, "erf": math.Erf, "erfc": math.Erfc,
	} {
		out[name] = reals1(f)
	}
	return out
}

func logGamma(x float64) float64 {
	f, _ := math.Lgamma(x)
	return f
}

// reals1 makes a function of one on reals; what is no number is null.
func reals1(f func(float64) float64) Func {
	return Func{run: func(c *Call) (vec.Vec, error) {
		a := asReal(c.Args[0], c.N)
		out := vec.Vec{Kind: table.Real, Real: make([]float64, c.N), Null: nullsOf(c.N, a)}
		m := a.Mask()
		for i := range out.Real {
			x := f(a.Real[i&m])
			if math.IsNaN(x) && !math.IsNaN(a.Real[i&m]) { // outside of the domain
				out.SetNull(i)
				continue
			}
			out.Real[i] = x
		}
		return out.Convert(c.Kind, c.N), nil
	}}
}

// math1 rounds: whole numbers and times stay as they are.
func math1(c *Call, f func(float64) float64) (vec.Vec, error) {
	if k := c.Args[0].Kind; vec.ClassOf(k) == vec.Ints {
		return c.Args[0].Flat(c.N).Convert(c.Kind, c.N), nil
	}
	a := asReal(c.Args[0], c.N)
	out := vec.Vec{Kind: table.Real, Real: make([]float64, c.N), Null: nullsOf(c.N, a)}
	for i := range out.Real {
		out.Real[i] = f(a.Real[i&a.Mask()])
	}
	return out.Convert(c.Kind, c.N), nil
}

func reals2(f func(x, y float64) float64) Func {
	return strict(func(_ *Call, a []any) any {
		x, ok1 := number(a[0])
		y, ok2 := number(a[1])
		if !ok1 || !ok2 {
			return nil
		}
		return f(x, y)
	})
}

func absolute(c *Call) (vec.Vec, error) {
	a := c.Args[0]
	if vec.ClassOf(a.Kind) != vec.Ints {
		return math1(c, math.Abs)
	}
	out := vec.Vec{Kind: a.Kind, Int: make([]int64, c.N), Null: nullsOf(c.N, a)}
	for i := range out.Int {
		n := a.Int[i&a.Mask()]
		out.Int[i] = max(n, -n)
	}
	return out.Convert(c.Kind, c.N), nil
}

func sign(_ *Call, a []any) any {
	f, ok := number(a[0])
	switch {
	case !ok:
		return nil
	case f > 0:
		return int64(1)
	case f < 0:
		return int64(-1)
	}
	return int64(0)
}

// round goes to the nearest, away from zero in the middle, as the digits are written.
func round(_ *Call, a []any) any {
	digits := int64(0)
	if len(a) > 1 {
		digits = long(a[1])
	}
	if n, ok := a[0].(int64); ok && digits >= 0 {
		return n
	}
	f, ok := number(a[0])
	if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
		return a[0]
	}
	return roundTo(f, int(max(-300, min(digits, 15))))
}

func roundTo(f float64, digits int) float64 {
	if digits <= 0 {
		p := math.Pow(10, float64(-digits))
		return math.Round(f/p) * p
	}
	// The shortest decimal that reads as f is rounded, so that 2.15 goes to 2.2.
	s := strconv.FormatFloat(math.Abs(f), 'f', -1, 64)
	point := strings.IndexByte(s, '.')
	if point < 0 || len(s)-point-1 <= digits {
		return f
	}
	cut := s[:point+1+digits]
	r, _ := strconv.ParseFloat(cut, 64)
	if s[point+1+digits] >= '5' {
		r += math.Pow(10, float64(-digits))
		r, _ = strconv.ParseFloat(strconv.FormatFloat(r, 'f', digits, 64), 64)
	}
	return math.Copysign(r, f)
}

// extreme takes the largest or smallest of those that are not null.
func extreme(sign int) func(c *Call, a []any) any {
	return func(_ *Call, a []any) any {
		var best any
		for _, x := range a {
			if x != nil && (best == nil || value.Compare(x, best)*sign > 0) {
				best = x
			}
		}
		return best
	}
}

func random(c *Call) (vec.Vec, error) {
	out := vec.New(c.Kind, c.N)
	n := int64(0)
	if len(c.Args) > 0 && c.N > 0 {
		n = long(c.Args[0].At(0))
	}
	for i := range c.N {
		if n > 1 {
			out.Set(i, float64(c.Env.Rand.Int64N(n)))
		} else {
			out.Set(i, c.Env.Rand.Float64())
		}
	}
	return out, nil
}

func newGUID(c *Call) (vec.Vec, error) {
	out := vec.New(table.GUID, c.N)
	for i := range out.Text {
		hi, lo := c.Env.Rand.Uint64(), c.Env.Rand.Uint64()
		hi = hi&^0xf000 | 0x4000
		lo = lo&^(3<<62) | 2<<62
		s := fmt.Sprintf("%016x%016x", hi, lo)
		out.Text[i] = s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
	}
	return out, nil
}

func bitwise(f func(x, y int64) any) Func {
	return strict(func(_ *Call, a []any) any { return f(long(a[0]), long(a[1])) })
}

func shiftLeft(x, n int64) any  { return x << (uint64(n) & 63) }
func shiftRight(x, n int64) any { return x >> (uint64(n) & 63) }

func toHex(c *Call) (vec.Vec, error) {
	narrow := c.Args[0].Kind == table.Int
	return strict(func(_ *Call, a []any) any {
		u := uint64(long(a[0]))
		s := strconv.FormatUint(u, 16)
		if narrow {
			s = strconv.FormatUint(uint64(uint32(u)), 16)
		}
		if len(a) > 1 {
			s = strings.Repeat("0", max(0, int(max(0, min(long(a[1]), 16)))-len(s))) + s
		}
		return s
	}).run(c)
}

var byteUnits = []string{"Bytes", "KB", "MB", "GB", "TB", "PB", "EB"}

func formatBytes(_ *Call, a []any) any {
	size, ok := number(a[0])
	if !ok {
		return nil
	}
	precision, unit := 0, -1
	if len(a) > 1 {
		precision = int(max(0, min(long(a[1]), 15)))
	}
	if len(a) > 2 {
		for i, u := range byteUnits {
			if strings.EqualFold(u, value.String(a[2])) {
				unit = i
			}
		}
	}
	if unit < 0 {
		for unit = 0; math.Abs(size) >= math.Pow(1024, float64(unit+1)) && unit+1 < len(byteUnits); unit++ {
		}
	}
	f := roundTo(size/math.Pow(1024, float64(unit)), precision)
	return strconv.FormatFloat(f, 'f', -1, 64) + " " + byteUnits[unit]
}

// around(value, center, delta).
func around(_ *Call, a []any) any {
	lo, hi := ticksOrNumber(a[1])-ticksOrNumber(a[2]), ticksOrNumber(a[1])+ticksOrNumber(a[2])
	v := ticksOrNumber(a[0])
	return v >= lo && v <= hi
}

func ticksOrNumber(v any) float64 {
	f, _ := number(v)
	return f
}
