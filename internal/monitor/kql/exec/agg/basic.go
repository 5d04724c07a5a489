package agg

import (
	"cmp"
	"math"

	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

func count(c *Call) vec.Vec {
	out := vec.New(table.Long, c.Groups)
	if c.Group == nil && c.Keep == nil && c.Groups == 1 {
		out.Int[0] = int64(c.N)
		return out
	}
	c.each(-1, func(_, g int) { out.Int[g]++ })
	return out
}

// numeric gives an argument in the class that the result needs.
func numeric(c *Call, k table.Kind) vec.Vec {
	a := c.Args[0]
	if (a.Kind == table.DateTime || a.Kind == table.TimeSpan) && vec.ClassOf(k) == vec.Reals {
		a.Kind = table.Long
	}
	if vec.ClassOf(a.Kind) == vec.ClassOf(k) {
		return a
	}
	return a.Convert(k, c.N)
}

func sum(c *Call) vec.Vec {
	a := numeric(c, c.kind())
	c = with(c, a)
	out, m := vec.New(c.kind(), c.Groups), a.Mask()
	if vec.ClassOf(c.kind()) == vec.Reals {
		c.each(0, func(i, g int) { out.Real[g] += a.Real[i&m] })
	} else {
		c.each(0, func(i, g int) { out.Int[g] += a.Int[i&m] })
	}
	return out
}

// with replaces the first argument.
func with(c *Call, a vec.Vec) *Call {
	d := *c
	d.Args = append([]vec.Vec{a}, c.Args[1:]...)
	return &d
}

// avg of numbers is a real, NaN for none; of times a time, null for none.
func avg(c *Call) vec.Vec {
	a := numeric(c, c.kind())
	c = with(c, a)
	n, sums, m := make([]float64, c.Groups), make([]float64, c.Groups), a.Mask()
	base := make([]int64, c.Groups)
	times := vec.ClassOf(c.kind()) == vec.Ints
	c.each(0, func(i, g int) {
		if times { // relative to the first, so that ticks keep their precision
			if n[g] == 0 {
				base[g] = a.Int[i&m]
			}
			sums[g] += float64(a.Int[i&m] - base[g])
		} else {
			sums[g] += a.Real[i&m]
		}
		n[g]++
	})
	out := vec.New(c.kind(), c.Groups)
	for g := range n {
		switch {
		case times && n[g] == 0:
			out.SetNull(g)
		case times:
			out.Int[g] = base[g] + int64(math.Round(sums[g]/n[g]))
		default:
			out.Real[g] = sums[g] / n[g]
		}
	}
	return out
}

// best finds for each group the row with the largest (sign 1) or smallest value, -1 for
// none. The first of equal ones stays. NaN counts only when there is nothing else.
func best(c *Call, sign int) []int32 {
	rows := make([]int32, c.Groups)
	for g := range rows {
		rows[g] = -1
	}
	a := c.Args[0]
	if a.Kind == table.Dynamic {
		a = a.Parsed()
	}
	m := a.Mask()
	var better func(i, j int) bool
	switch vec.ClassOf(a.Kind) {
	case vec.Ints:
		better = func(i, j int) bool { return cmp.Compare(a.Int[i&m], a.Int[j&m]) == sign }
	case vec.Reals:
		better = func(i, j int) bool {
			x, y := a.Real[i&m], a.Real[j&m]
			return cmp.Compare(x, y) == sign && x == x || y != y && x == x
		}
	case vec.Texts:
		better = func(i, j int) bool { return cmp.Compare(a.Text[i&m], a.Text[j&m]) == sign }
	default:
		better = func(i, j int) bool { return value.Compare(a.At(i), a.At(j)) == sign }
	}
	c.each(0, func(i, g int) {
		if r := rows[g]; r < 0 || better(i, int(r)) {
			rows[g] = int32(i)
		}
	})
	return rows
}

func extreme(sign int) func(c *Call) vec.Vec {
	return func(c *Call) vec.Vec {
		return c.Args[0].Parsed().Pick(best(c, sign)).Convert(c.kind(), c.Groups)
	}
}

// argExtreme gives the extreme value, then the other arguments of its row; where all are
// null, those of the group's first row.
func argExtreme(sign int) aggregate {
	return func(c *Call) ([]vec.Vec, error) {
		rows := best(c, sign)
		first := firstRows(c)
		for g, r := range rows {
			if r < 0 {
				rows[g] = first[g]
			}
		}
		return pickAll(c, rows), nil
	}
}

func pickAll(c *Call, rows []int32) []vec.Vec {
	out := make([]vec.Vec, 0, len(c.Kinds))
	for k, kind := range c.Kinds {
		if k < len(c.Args) {
			out = append(out, c.Args[k].Parsed().Pick(rows).Convert(kind, c.Groups))
		}
	}
	return out
}

func firstRows(c *Call) []int32 {
	rows := make([]int32, c.Groups)
	for g := range rows {
		rows[g] = -1
	}
	c.each(-1, func(i, g int) {
		if rows[g] < 0 {
			rows[g] = int32(i)
		}
	})
	return rows
}

// takeAny of one column prefers a value that is neither null nor empty.
func takeAny(c *Call) ([]vec.Vec, error) {
	rows := firstRows(c)
	if len(c.Args) == 1 {
		a := c.Args[0]
		empty := func(i int) bool { return a.IsNull(i) || a.Kind == table.String && a.Text[i&a.Mask()] == "" }
		c.each(-1, func(i, g int) {
			if empty(int(rows[g])) && !empty(i) {
				rows[g] = int32(i)
			}
		})
	}
	return pickAll(c, rows), nil
}

func binaryAll(op string) func(c *Call) vec.Vec {
	return func(c *Call) vec.Vec {
		out, a := vec.New(table.Long, c.Groups), c.Args[0].Convert(table.Long, c.N)
		seen := make([]bool, c.Groups)
		c.each(0, func(i, g int) {
			x := a.Int[i&a.Mask()]
			switch {
			case !seen[g]:
				out.Int[g] = x
			case op == "and":
				out.Int[g] &= x
			case op == "or":
				out.Int[g] |= x
			default:
				out.Int[g] ^= x
			}
			seen[g] = true
		})
		for g, s := range seen {
			if !s {
				out.SetNull(g)
			}
		}
		return out
	}
}

// spread is the variance of the values (sample: n-1), or its root.
func spread(sample, root bool) func(c *Call) vec.Vec {
	return func(c *Call) vec.Vec {
		a := numeric(c, table.Real)
		c = with(c, a)
		n, mean, m2 := make([]float64, c.Groups), make([]float64, c.Groups), make([]float64, c.Groups)
		c.each(0, func(i, g int) {
			x := a.Real[i&a.Mask()]
			n[g]++
			d := x - mean[g]
			mean[g] += d / n[g]
			m2[g] += d * (x - mean[g])
		})
		out := shares(m2, n, sample)
		if root {
			for g, x := range out.Real {
				out.Real[g] = math.Sqrt(x)
			}
		}
		return out
	}
}

// shares divides the sum of each group by the number of its values (sample: less one), 0
// for too few.
func shares(sums, n []float64, sample bool) vec.Vec {
	out := vec.New(table.Real, len(n))
	for g, d := range n {
		if sample {
			d--
		}
		if d > 0 {
			out.Real[g] = sums[g] / d
		}
	}
	return out
}

func covariance(sample bool) func(c *Call) vec.Vec {
	return func(c *Call) vec.Vec {
		x, y := c.Args[0].Convert(table.Real, c.N), c.Args[1].Convert(table.Real, c.N)
		n, mx, my, sum := make([]float64, c.Groups), make([]float64, c.Groups), make([]float64, c.Groups), make([]float64, c.Groups)
		c.each(0, func(i, g int) {
			if y.IsNull(i) {
				return
			}
			a, b := x.Real[i&x.Mask()], y.Real[i&y.Mask()]
			n[g]++
			d := a - mx[g]
			mx[g] += d / n[g]
			my[g] += (b - my[g]) / n[g]
			sum[g] += d * (b - my[g])
		})
		return shares(sum, n, sample)
	}
}
