package exec

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"math"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

func (r *run) filter(x *ir.Filter, f *frame) (*frame, error) {
	v, err := r.expr(x.Pred, f)
	if err != nil {
		return nil, err
	}
	v = v.Convert(table.Bool, f.n)
	if v.Const {
		if f.n > 0 && v.Int[0] != 0 && !v.IsNull(0) {
			return f, nil
		}
		return f.pick([]int32{}), nil
	}
	rows := make([]int32, 0, f.n/4)
	for i, b := range v.Int {
		if b != 0 && (v.Null == nil || !v.Null[i]) {
			rows = append(rows, int32(i))
		}
	}
	if len(rows) == f.n {
		return f, nil
	}
	return f.pick(rows), nil
}

func (r *run) project(x *ir.Project, f *frame) (*frame, error) {
	out := &frame{cols: x.Cols, n: f.n}
	ev, held := r.over(f), int64(0)
	defer func() { r.release(held) }()
	for k, e := range x.Exprs {
		v, err := ev.expr(e.Expr)
		if err != nil {
			return nil, err
		}
		v = v.Convert(x.Cols[k].Kind, f.n)
		n, err := ev.keep("the column "+e.Name, v)
		if err != nil {
			return nil, at(e.Expr, err)
		}
		out.vecs, held = append(out.vecs, v), held+n
	}
	return out, nil
}

// order compares two rows by the keys of a sort; equal rows by their place.
type order struct {
	keys []ir.SortKey
	vecs []vec.Vec
}

func (r *run) orderOf(keys []ir.SortKey, f *frame) (*order, error) {
	o := &order{keys: keys}
	ev := r.over(f)
	for _, k := range keys {
		v, err := ev.expr(k.Expr)
		if err != nil {
			return nil, err
		}
		o.vecs = append(o.vecs, v.Parsed())
	}
	return o, nil
}

func (o *order) compare(i, j int32) int {
	for k, v := range o.vecs {
		if c := compareAt(v, int(i), int(j), o.keys[k]); c != 0 {
			return c
		}
	}
	return cmp.Compare(i, j)
}

// compareAt puts nulls, and NaN next to them, at the end that the key asks for.
func compareAt(v vec.Vec, i, j int, key ir.SortKey) int {
	x, y := blank(v, i), blank(v, j)
	if x != y {
		if (x > y) == key.NullsFirst {
			return -1
		}
		return 1
	}
	if x > 0 {
		return 0
	}
	i, j = i&v.Mask(), j&v.Mask()
	c := 0
	switch vec.ClassOf(v.Kind) {
	case vec.Ints:
		c = cmp.Compare(v.Int[i], v.Int[j])
	case vec.Reals:
		c = cmp.Compare(v.Real[i], v.Real[j])
	case vec.Texts:
		c = strings.Compare(v.Text[i], v.Text[j])
	default:
		c = value.Compare(v.Dyn[i], v.Dyn[j])
	}
	if !key.Asc {
		return -c
	}
	return c
}

// blank is 2 for null, 1 for NaN, 0 for a value.
func blank(v vec.Vec, i int) int {
	switch {
	case v.IsNull(i):
		return 2
	case vec.ClassOf(v.Kind) == vec.Reals && math.IsNaN(v.Real[i&v.Mask()]):
		return 1
	}
	return 0
}

func (r *run) sort(x *ir.Sort, f *frame) (*frame, error) {
	o, err := r.orderOf(x.Keys, f)
	if err != nil {
		return nil, err
	}
	return f.pick(o.sorted(f.n)), nil
}

// entry is a row with the beginning of its first key as a number of the same order.
type entry struct {
	lead uint64
	row  int32
}

// sorted returns the rows in order. Most are told apart by the lead of their first key.
func (o *order) sorted(n int) []int32 {
	all := make([]entry, n)
	for i := range all {
		all[i] = entry{o.lead(i), int32(i)}
	}
	slices.SortFunc(all, func(a, b entry) int {
		if a.lead != b.lead {
			return cmp.Compare(a.lead, b.lead)
		}
		return o.compare(a.row, b.row)
	})
	rows := make([]int32, n)
	for i, e := range all {
		rows[i] = e.row
	}
	return rows
}

// lead maps the first key of a row to a number that is smaller where the row comes first;
// equal numbers say nothing. Nulls and NaN have the ends for themselves.
func (o *order) lead(i int) uint64 {
	v, key := o.vecs[0], o.keys[0]
	if blank(v, i) > 0 {
		if key.NullsFirst {
			return 0
		}
		return math.MaxUint64
	}
	var k uint64
	j := i & v.Mask()
	switch vec.ClassOf(v.Kind) {
	case vec.Ints:
		k = uint64(v.Int[j]) ^ 1<<63
	case vec.Reals:
		if k = math.Float64bits(v.Real[j] + 0); k>>63 == 1 {
			k = ^k
		} else {
			k |= 1 << 63
		}
	case vec.Texts:
		var b [8]byte
		copy(b[:], v.Text[j])
		k = binary.BigEndian.Uint64(b[:])
	}
	if !key.Asc {
		k = ^k
	}
	return max(1, min(k, math.MaxUint64-1))
}

// takeInput joins sort and take: only the first rows are ordered.
func (r *run) takeInput(x *ir.Take) (ir.Rel, func(f *frame) (*frame, error)) {
	s, ok := x.In.(*ir.Sort)
	if !ok {
		return x.In, func(f *frame) (*frame, error) { return r.take(x, f) }
	}
	return s.In, func(f *frame) (*frame, error) {
		n, err := r.number(x.N, 0)
		if err != nil {
			return nil, err
		}
		if n <= 0 || n > int64(f.n)/8 {
			if f, err = r.sort(s, f); err != nil {
				return nil, err
			}
			return r.take(x, f)
		}
		o, err := r.orderOf(s.Keys, f)
		if err != nil {
			return nil, err
		}
		return f.pick(first(o, f.n, int(n))), nil
	}
}

// worst is a heap with the row that comes last on top.
type worst struct {
	rows []int32
	o    *order
}

func (h *worst) Len() int           { return len(h.rows) }
func (h *worst) Less(i, j int) bool { return h.o.compare(h.rows[i], h.rows[j]) > 0 }
func (h *worst) Swap(i, j int)      { h.rows[i], h.rows[j] = h.rows[j], h.rows[i] }
func (h *worst) Push(x any)         { h.rows = append(h.rows, x.(int32)) }
func (h *worst) Pop() any {
	last := h.rows[len(h.rows)-1]
	h.rows = h.rows[:len(h.rows)-1]
	return last
}

// first returns the k first of n rows in order.
func first(o *order, n, k int) []int32 {
	h := &worst{o: o}
	for i := range int32(n) {
		if len(h.rows) < k {
			heap.Push(h, i)
		} else if o.compare(i, h.rows[0]) < 0 {
			h.rows[0] = i
			heap.Fix(h, 0)
		}
	}
	slices.SortFunc(h.rows, o.compare)
	return h.rows
}

func (r *run) take(x *ir.Take, f *frame) (*frame, error) {
	n, err := r.number(x.N, 0)
	if err != nil || n >= int64(f.n) {
		return f, err
	}
	return f.slice(0, int(max(0, n))), nil
}

func (r *run) sample(x *ir.Sample, f *frame) (*frame, error) {
	n, err := r.number(x.N, 0)
	if err != nil {
		return nil, err
	}
	if x.Distinct != nil {
		v, err := r.expr(x.Distinct, f)
		if err != nil {
			return nil, err
		}
		g := groupRows([]vec.Vec{v}, f.n)
		f = &frame{cols: x.Cols, n: len(g.first), vecs: []vec.Vec{v.Pick(g.first)}}
	}
	rows := make([]int32, f.n)
	for i := range rows {
		rows[i] = int32(i)
	}
	r.scalars.Rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	rows = rows[:max(0, min(int64(f.n), n))]
	slices.Sort(rows)
	return f.pick(rows), nil
}
