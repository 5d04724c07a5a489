package scalar

import (
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// windows are the functions that look at other rows than their own. They see all rows of
// the operator's input, in order.
func windows() map[string]Func {
	out := map[string]Func{}
	for name, f := range map[string]func(c *Call) (vec.Vec, error){
		"prev": neighbour(-1), "next": neighbour(1), "row_number": rowNumber, "row_cumsum": rowCumSum,
		"row_rank_dense": rowRank(true), "row_rank_min": rowRank(false), "row_window_session": rowSession,
	} {
		out[name] = Func{run: f, Volatile: true}
	}
	return out
}

// neighbour(column[, offset[, default]]).
func neighbour(direction int) func(c *Call) (vec.Vec, error) {
	return func(c *Call) (vec.Vec, error) {
		offset := direction
		if len(c.Args) > 1 && c.N > 0 {
			offset *= int(long(c.Args[1].At(0)))
		}
		rows := make([]int32, c.N)
		for i := range rows {
			rows[i] = -1
			if j := i + offset; j >= 0 && j < c.N {
				rows[i] = int32(j)
			}
		}
		out := c.Args[0].Convert(c.Kind, c.N).Parsed().Pick(rows)
		if len(c.Args) > 2 {
			d := c.Args[2].Convert(c.Kind, c.N).Parsed()
			for i, r := range rows {
				if r < 0 {
					if out.Null != nil {
						out.Null[i] = false
					}
					put(&out, i, d)
				}
			}
		}
		return out, nil
	}
}

// restarts reports the rows at which a window function begins anew.
func restarts(c *Call, arg int) func(i int) bool {
	if len(c.Args) <= arg {
		return func(int) bool { return false }
	}
	v := truth(c.Args[arg], c.N)
	m := v.Mask()
	return func(i int) bool { return v.Int[i&m] != 0 && (v.Null == nil || !v.Null[i&m]) }
}

func rowNumber(c *Call) (vec.Vec, error) {
	start := int64(1)
	if len(c.Args) > 0 && c.N > 0 {
		start = long(c.Args[0].At(0))
	}
	again := restarts(c, 1)
	out := vec.New(table.Long, c.N)
	n := start
	for i := range c.N {
		if again(i) {
			n = start
		}
		out.Int[i] = n
		n++
	}
	return out, nil
}

func rowCumSum(c *Call) (vec.Vec, error) {
	again := restarts(c, 1)
	out := vec.New(c.Kind, c.N)
	a := c.Args[0].Convert(c.Kind, c.N)
	var sum int64
	var real float64
	for i := range c.N {
		if again(i) {
			sum, real = 0, 0
		}
		if vec.ClassOf(c.Kind) == vec.Reals {
			if !a.IsNull(i) {
				real += a.Real[i&a.Mask()]
			}
			out.Real[i] = real
			continue
		}
		if !a.IsNull(i) {
			sum += a.Int[i&a.Mask()]
		}
		out.Int[i] = sum
	}
	return out, nil
}

// rowRank counts changes of the term (dense) or gives the place of the first equal one.
func rowRank(dense bool) func(c *Call) (vec.Vec, error) {
	return func(c *Call) (vec.Vec, error) {
		again := restarts(c, 1)
		out := vec.New(table.Long, c.N)
		var last any
		rank, place := int64(0), int64(0)
		for i := range c.N {
			v := c.Args[0].At(i)
			if i == 0 || again(i) {
				rank, place = 1, 1
			} else {
				place++
				if !value.Equal(v, last) {
					rank++
					if !dense {
						rank = place
					}
				}
			}
			out.Int[i], last = rank, v
		}
		return out, nil
	}
}

// rowSession(time, fromFirst, betweenNeighbours[, restart]) gives the beginning of the
// session that a row belongs to.
func rowSession(c *Call) (vec.Vec, error) {
	again := restarts(c, 3)
	out := vec.New(table.DateTime, c.N)
	t := c.Args[0].Convert(table.DateTime, c.N)
	var start, last int64
	open := false
	for i := range c.N {
		if t.IsNull(i) {
			out.SetNull(i)
			open = false
			continue
		}
		now := t.Int[i&t.Mask()]
		if !open || again(i) || now >= start+long(c.Args[1].At(i)) || now >= last+long(c.Args[2].At(i)) {
			start = now
		}
		open, last = true, now
		out.Int[i] = start
	}
	return out, nil
}
