package agg

import (
	"slices"

	"towpath.dev/towpath/internal/monitor/kql/exec/scalar"
	"towpath.dev/towpath/internal/monitor/kql/exec/sketch"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// maxList is how many values a list holds when the query names no number, as the service
// has it.
const maxList = 1 << 20

func distincts(c *Call) []sketch.Distinct {
	sets := make([]sketch.Distinct, c.Groups)
	a := c.Args[0]
	if a.Const {
		a = a.Parsed()
	}
	c.each(0, func(i, g int) {
		sets[g].Add(scalar.Hash(a.At(i)))
	})
	return sets
}

func dcount(c *Call) vec.Vec {
	out := vec.New(table.Long, c.Groups)
	for g, s := range distincts(c) {
		out.Int[g] = s.Count()
	}
	return out
}

func hll(c *Call) vec.Vec {
	out := vec.New(table.Dynamic, c.Groups)
	for g, s := range distincts(c) {
		if s.Count() > 0 {
			out.Dyn[g] = s.Cells()
		}
	}
	return out
}

func hllMerge(c *Call) vec.Vec {
	sets := make([]sketch.Distinct, c.Groups)
	c.each(0, func(i, g int) {
		if s, ok := sketch.OfDistinct(c.Args[0].At(i)); ok {
			sets[g].Merge(s)
		}
	})
	out := vec.New(table.Dynamic, c.Groups)
	for g := range sets {
		out.Dyn[g] = sets[g].Cells()
	}
	return out
}

// percentArgs lists the percentages: the arguments from one on, or one array of them.
func percentArgs(c *Call, from int) []float64 {
	var out []float64
	for _, a := range c.Args[min(from, len(c.Args)):] {
		cells := []any{nil}
		if a.Len() > 0 {
			cells[0] = a.At(0)
		}
		if list, ok := cells[0].([]any); ok {
			cells = list
		}
		for _, e := range cells {
			f, _ := value.To(e, table.Real).(float64)
			out = append(out, f)
		}
	}
	return out
}

// rank is the place of a percentage among n values, by nearest rank.
func rank(percent float64, n int) int {
	k := int(percent / 100 * float64(n))
	if float64(k) < percent/100*float64(n)-1e-9 {
		k++
	}
	return max(0, min(n, k)-1)
}

// percentBytes is what a percentage of a group takes: the place of its row, and a cell.
const percentBytes = 36

// percentiles(value, percent…): exact, by nearest rank.
func percentiles(c *Call) ([]vec.Vec, error) {
	rows := make([][]int32, c.Groups)
	c.each(0, func(i, g int) { rows[g] = append(rows[g], int32(i)) })
	a := c.Args[0].Parsed()
	sortRows(a, rows)
	percents := percentArgs(c, 1)
	if !c.reserve(percentBytes * len(percents) * c.Groups) {
		return nil, c.tooLarge()
	}
	picked := make([][]int32, len(percents))
	for k, p := range percents {
		picked[k] = make([]int32, c.Groups)
		for g, r := range rows {
			picked[k][g] = -1
			if len(r) > 0 {
				picked[k][g] = r[rank(p, len(r))]
			}
		}
	}
	return percentColumns(c, a, picked), nil
}

func sortRows(a vec.Vec, rows [][]int32) {
	m := int32(a.Mask())
	for _, r := range rows {
		slices.SortFunc(r, func(i, j int32) int {
			switch vec.ClassOf(a.Kind) {
			case vec.Ints:
				return compare(a.Int[i&m], a.Int[j&m])
			case vec.Reals:
				return compare(a.Real[i&m], a.Real[j&m])
			}
			return value.Compare(a.At(int(i)), a.At(int(j)))
		})
	}
}

func compare[T int64 | float64](x, y T) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// percentColumns makes a column per percentage, or for the _array forms one of arrays.
func percentColumns(c *Call, a vec.Vec, picked [][]int32) []vec.Vec {
	if len(c.Kinds) == 1 && c.Kinds[0] == table.Dynamic && (a.Kind != table.Dynamic || len(picked) > 1) {
		out := vec.New(table.Dynamic, c.Groups)
		for g := range c.Groups {
			list := make([]any, len(picked))
			for k := range picked {
				if r := picked[k][g]; r >= 0 {
					list[k] = a.At(int(r))
				}
			}
			out.Dyn[g] = list
		}
		return []vec.Vec{out}
	}
	var out []vec.Vec
	for k, kind := range c.Kinds {
		if k < len(picked) {
			out = append(out, a.Pick(picked[k]).Convert(kind, c.Groups))
		}
	}
	return out
}

// weighted is percentilew(value, weight, percent…).
func weighted(c *Call) ([]vec.Vec, error) {
	rows := make([][]int32, c.Groups)
	w := c.Args[1].Convert(table.Real, c.N)
	total := make([]float64, c.Groups)
	c.each(0, func(i, g int) {
		if x := w.Real[i&w.Mask()]; !w.IsNull(i) && x > 0 {
			rows[g] = append(rows[g], int32(i))
			total[g] += x
		}
	})
	a := c.Args[0].Parsed()
	sortRows(a, rows)
	percents := percentArgs(c, 2)
	if !c.reserve(percentBytes * len(percents) * c.Groups) {
		return nil, c.tooLarge()
	}
	picked := make([][]int32, len(percents))
	for k, p := range percents {
		picked[k] = make([]int32, c.Groups)
		for g, r := range rows {
			picked[k][g] = -1
			sum := 0.0
			for _, i := range r {
				picked[k][g] = i
				if sum += w.Real[int(i)&w.Mask()]; sum >= p/100*total[g]-1e-9 {
					break
				}
			}
		}
	}
	return percentColumns(c, a, picked), nil
}

func tdigest(c *Call) vec.Vec {
	digests := make([]sketch.Digest, c.Groups)
	a := c.Args[0]
	kind := a.Kind.String()
	if a.Kind == table.DateTime || a.Kind == table.TimeSpan {
		a.Kind = table.Long
	}
	a = a.Convert(table.Real, c.N)
	c.each(0, func(i, g int) {
		weight := 1.0
		if len(c.Args) > 1 {
			weight, _ = value.To(c.Args[1].At(i), table.Real).(float64)
		}
		digests[g].Add(a.Real[i&a.Mask()], weight)
	})
	return digestCells(digests, kind)
}

// digestCells makes a column of digests; an empty one is null.
func digestCells(digests []sketch.Digest, kind string) vec.Vec {
	out := vec.New(table.Dynamic, len(digests))
	for g := range digests {
		if digests[g].Weight() > 0 {
			out.Dyn[g] = digests[g].Cells(kind)
		}
	}
	return out
}

func tdigestMerge(c *Call) vec.Vec {
	digests, kind := make([]sketch.Digest, c.Groups), "real"
	c.each(0, func(i, g int) {
		if d, k, ok := sketch.OfDigest(c.Args[0].At(i)); ok {
			digests[g].Merge(d)
			kind = k
		}
	})
	return digestCells(digests, kind)
}

// makeList(value[, max]).
func makeList(nulls bool) func(c *Call) vec.Vec {
	return func(c *Call) vec.Vec {
		lists, most := make([][]any, c.Groups), int(c.constant(1, maxList))
		arg := 0
		if nulls {
			arg = -1
		}
		a := c.Args[0].Parsed()
		c.each(arg, func(i, g int) {
			if len(lists[g]) >= most {
				return
			}
			if v := a.At(i); c.takes(v) {
				lists[g] = append(lists[g], v)
			}
		})
		return listCells(lists)
	}
}

func listCells(lists [][]any) vec.Vec {
	out := vec.New(table.Dynamic, len(lists))
	for g, l := range lists {
		if l == nil {
			l = []any{}
		}
		out.Dyn[g] = l
	}
	return out
}

// makeSet(value[, max]): an array's elements count each.
func makeSet(c *Call) vec.Vec {
	lists, seen, most := make([][]any, c.Groups), make([]map[any]bool, c.Groups), int(c.constant(1, maxList))
	a := c.Args[0].Parsed()
	add := func(g int, v any) {
		if seen[g] == nil {
			seen[g] = map[any]bool{}
		}
		if k := scalar.Key(v); len(lists[g]) < most && !seen[g][k] && c.takes(v) {
			seen[g][k] = true
			lists[g] = append(lists[g], v)
		}
	}
	c.each(0, func(i, g int) {
		v := a.At(i)
		if list, ok := v.([]any); ok {
			for _, e := range list {
				add(g, e)
			}
			return
		}
		add(g, v)
	})
	return listCells(lists)
}

// makeBag(bag[, max]) merges bags; the first value of a key stays.
func makeBag(c *Call) vec.Vec {
	out, most := vec.New(table.Dynamic, c.Groups), int(c.constant(1, maxList))
	for g := range out.Dyn {
		out.Dyn[g] = &value.Bag{}
	}
	a := c.Args[0].Parsed()
	c.each(0, func(i, g int) {
		from, ok := a.At(i).(*value.Bag)
		to := out.Dyn[g].(*value.Bag)
		for k := 0; ok && k < from.Len() && to.Len() < most; k++ {
			if name, v := from.At(k); c.takes(name) && c.takes(v) {
				to.SetNew(name, v)
			}
		}
	})
	return out
}
