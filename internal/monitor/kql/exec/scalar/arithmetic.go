package scalar

import (
	"math"

	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

func operators() map[string]Func {
	out := map[string]Func{
		"+": {run: arithmetic}, "-": {run: arithmetic}, "*": {run: arithmetic}, "/": {run: arithmetic}, "%": {run: arithmetic},
		"unary-": {run: negate}, "unary+": {run: func(c *Call) (vec.Vec, error) { return c.Args[0].Convert(c.Kind, c.N), nil }},
		"==": {run: equality}, "!=": {run: equality}, "=~": {run: equality}, "!~": {run: equality},
		"<": {run: ordering}, "<=": {run: ordering}, ">": {run: ordering}, ">=": {run: ordering},
		"between": {run: between}, "!between": {run: between},
		"and": {run: and}, "or": {run: or}, "not": {run: not},
		"in": {run: in}, "!in": {run: in}, "in~": {run: in}, "!in~": {run: in},
		"iff": {run: iff}, "case": {run: cases}, "coalesce": {run: coalesce},
		"isnull": {run: isNull}, "isnotnull": {run: isNull}, "isempty": {run: isEmpty}, "isnotempty": {run: isEmpty},
		"bin": {run: bin}, "floor": {run: bin}, "bin_at": {run: binAt},
	}
	return out
}

func isReal(k table.Kind) bool { return k == table.Real || k == table.Decimal }

func isTime(k table.Kind) bool { return k == table.DateTime || k == table.TimeSpan }

func arithmetic(c *Call) (vec.Vec, error) {
	a, b := c.Args[0], c.Args[1]
	switch {
	case c.Kind == table.Dynamic:
		return row(func(c *Call, a []any) any { return dynamicArithmetic(c.Name, a[0], a[1]) }).run(c)
	case isReal(c.Kind):
		return realArithmetic(c, asReal(a, c.N), asReal(b, c.N)), nil
	case isTime(c.Kind) && (c.Name == "*" || c.Name == "/") && (isReal(a.Kind) || isReal(b.Kind)):
		v := realArithmetic(c, asReal(a, c.N), asReal(b, c.N))
		return roundTicks(v, c.Kind), nil
	}
	return intArithmetic(c, asInt(a, c.Kind, c.N), asInt(b, c.Kind, c.N)), nil
}

// asReal gives numbers as reals and times as their ticks.
func asReal(v vec.Vec, n int) vec.Vec {
	if isTime(v.Kind) {
		v.Kind = table.Long
	}
	return v.Convert(table.Real, n)
}

// asInt gives whole numbers and times as they are; a dynamic becomes what the result needs.
func asInt(v vec.Vec, want table.Kind, n int) vec.Vec {
	switch {
	case vec.ClassOf(v.Kind) == vec.Ints:
		return v
	case want == table.DateTime || want == table.TimeSpan:
		return v.Convert(want, n)
	}
	return v.Convert(table.Long, n)
}

func realArithmetic(c *Call, a, b vec.Vec) vec.Vec {
	out := vec.Vec{Kind: c.Kind, Real: make([]float64, c.N), Null: nullsOf(c.N, a, b)}
	x, y, mx, my := a.Real, b.Real, a.Mask(), b.Mask()
	switch c.Name {
	case "+", "-", "*":
		exact(c.Name, out.Real, x, y, mx, my)
	case "/":
		for i := range out.Real {
			out.Real[i] = x[i&mx] / y[i&my]
		}
	case "%":
		for i := range out.Real {
			out.Real[i] = realModulo(x[i&mx], y[i&my])
		}
	}
	return out
}

// exact computes the operators that mean the same for whole numbers and reals.
func exact[T int64 | float64](op string, out, x, y []T, mx, my int) {
	switch op {
	case "+":
		for i := range out {
			out[i] = x[i&mx] + y[i&my]
		}
	case "-":
		for i := range out {
			out[i] = x[i&mx] - y[i&my]
		}
	case "*":
		for i := range out {
			out[i] = x[i&mx] * y[i&my]
		}
	}
}

func realModulo(x, y float64) float64 {
	m := math.Mod(x, y)
	if m < 0 {
		m += math.Abs(y)
	}
	return m
}

func roundTicks(v vec.Vec, k table.Kind) vec.Vec {
	out := vec.Vec{Kind: k, Int: make([]int64, len(v.Real)), Null: v.Null}
	for i, f := range v.Real {
		if math.IsNaN(f) || math.Abs(f) >= math.MaxInt64 {
			out.SetNull(i)
			continue
		}
		out.Int[i] = int64(math.Round(f))
	}
	return out
}

func intArithmetic(c *Call, a, b vec.Vec) vec.Vec {
	out := vec.Vec{Kind: c.Kind, Int: make([]int64, c.N), Null: nullsOf(c.N, a, b)}
	x, y, mx, my := a.Int, b.Int, a.Mask(), b.Mask()
	switch c.Name {
	case "+", "-", "*":
		exact(c.Name, out.Int, x, y, mx, my)
	case "/", "%":
		for i := range out.Int {
			n, d := x[i&mx], y[i&my]
			if d == 0 {
				out.SetNull(i)
			} else {
				out.Int[i] = divide(n, d, c.Name == "%")
			}
		}
	}
	return within(out)
}

// divide cuts towards zero; the rest is never negative.
func divide(n, d int64, rest bool) int64 {
	if d == -1 { // the one quotient that does not fit
		if rest {
			return 0
		}
		return -n
	}
	if !rest {
		return n / d
	}
	r := n % d
	if r < 0 {
		r += max(d, -d)
	}
	return r
}

// within makes moments null that lie outside of the range of datetime, and wraps ints.
func within(v vec.Vec) vec.Vec {
	switch v.Kind {
	case table.Int:
		for i, n := range v.Int {
			v.Int[i] = int64(int32(n))
		}
	case table.DateTime:
		for i, t := range v.Int {
			if t < 0 || t > value.MaxDateTime {
				v.SetNull(i)
			}
		}
	}
	return v
}

// dynamicArithmetic computes with cells of which the type is known only now.
func dynamicArithmetic(op string, a, b any) any {
	x, ok1 := a.(int64)
	y, ok2 := b.(int64)
	if ok1 && ok2 {
		switch {
		case op == "+":
			return x + y
		case op == "-":
			return x - y
		case op == "*":
			return x * y
		case y == 0:
			return nil
		}
		return divide(x, y, op == "%")
	}
	f, ok1 := number(a)
	g, ok2 := number(b)
	if !ok1 || !ok2 {
		return nil
	}
	switch op {
	case "+":
		return f + g
	case "-":
		return f - g
	case "*":
		return f * g
	case "/":
		return f / g
	}
	return realModulo(f, g)
}

func negate(c *Call) (vec.Vec, error) {
	a := c.Args[0].Convert(c.Kind, c.N)
	out := vec.Vec{Kind: c.Kind, Null: a.Null}
	switch vec.ClassOf(c.Kind) {
	case vec.Reals:
		out.Real = make([]float64, c.N)
		for i := range out.Real {
			out.Real[i] = -a.Real[i&a.Mask()]
		}
	case vec.Ints:
		out.Int = make([]int64, c.N)
		for i := range out.Int {
			out.Int[i] = -a.Int[i&a.Mask()]
		}
	default:
		return row(func(_ *Call, a []any) any { return dynamicArithmetic("-", int64(0), a[0]) }).run(c)
	}
	if out.Null != nil && a.Const {
		out.Null = nullsOf(c.N, a)
	}
	return out, nil
}

func bin(c *Call) (vec.Vec, error) {
	return binBy(c, c.Args[0], c.Args[1], vec.Vec{})
}

func binAt(c *Call) (vec.Vec, error) {
	return binBy(c, c.Args[0], c.Args[1], c.Args[2])
}

// binBy rounds down to a multiple of size away from the fixed point at, 0 when it is the
// zero Vec. A size that is not positive gives null.
func binBy(c *Call, v, size, at vec.Vec) (vec.Vec, error) {
	fixed := at.Kind != table.Unknown
	if isReal(c.Kind) || c.Kind == table.Dynamic {
		args := []vec.Vec{asReal(v, c.N), asReal(size, c.N)}
		if fixed {
			args = append(args, asReal(at, c.N))
		}
		out := vec.New(c.Kind, c.N)
		for i := range c.N {
			out.Set(i, binReal(args, i))
		}
		return out, nil
	}
	v, size = asInt(v, c.Kind, c.N), asInt(size, spanOf(c.Kind), c.N)
	args := []vec.Vec{v, size}
	if fixed {
		at = asInt(at, c.Kind, c.N)
		args = append(args, at)
	}
	out := vec.Vec{Kind: c.Kind, Int: make([]int64, c.N), Null: nullsOf(c.N, args...)}
	mv, ms := v.Mask(), size.Mask()
	for i := range out.Int {
		s := size.Int[i&ms]
		if s <= 0 {
			out.SetNull(i)
			continue
		}
		var from int64
		if fixed {
			from = at.Int[i&at.Mask()]
		}
		x := v.Int[i&mv] - from
		r := x % s
		if r < 0 {
			r += s
		}
		out.Int[i] = from + x - r
	}
	return out, nil
}

func spanOf(k table.Kind) table.Kind {
	if k == table.DateTime {
		return table.TimeSpan
	}
	return k
}

func binReal(args []vec.Vec, i int) any {
	for _, a := range args {
		if a.IsNull(i) {
			return nil
		}
	}
	x, size, from := args[0].At(i).(float64), args[1].At(i).(float64), 0.0
	if len(args) > 2 {
		from = args[2].At(i).(float64)
	}
	if size <= 0 {
		return nil
	}
	return from + math.Floor((x-from)/size)*size
}
