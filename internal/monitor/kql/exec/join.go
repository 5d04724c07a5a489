package exec

import (
	"slices"

	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
)

// join is a hash join: rows of the left in their order, with those of the right that have
// equal keys in theirs. Null keys are equal.
func (r *run) join(x *ir.Join) (*frame, error) {
	left, err := r.rel(x.Left)
	if err != nil {
		return nil, err
	}
	held := counted(x.Left, left)
	if err := r.hold("join", held); err != nil {
		return nil, err
	}
	defer func() { r.release(held) }()
	right, err := r.rel(x.Right)
	if err != nil {
		return nil, err
	}
	n := counted(x.Right, right) + keyBytes*int64(right.n)
	if err := r.hold("join", n); err != nil {
		return nil, err
	}
	held += n
	lk, err := r.exprs(x.LeftKeys, left)
	if err != nil {
		return nil, err
	}
	rk, err := r.exprs(x.RightKeys, right)
	if err != nil {
		return nil, err
	}
	for i := range lk {
		lk[i], rk[i] = alike(lk[i], rk[i], left.n, right.n)
	}
	if x.Kind == "innerunique" {
		g := groupRows(lk, left.n)
		left = left.pick(g.first)
		for i := range lk {
			lk[i] = keepConst(lk[i], g.first)
		}
	}
	if x.Kind == "rightsemi" || x.Kind == "rightanti" {
		return r.exists(right, rk, left, lk, x.Kind == "rightsemi").as(x.Cols), nil
	}
	if x.Kind == "leftsemi" || x.Kind == "leftanti" {
		return r.exists(left, lk, right, rk, x.Kind == "leftsemi").as(x.Cols), nil
	}
	li, ri, err := r.match(x, left.n, lk, right.n, rk)
	if err != nil {
		return nil, err
	}
	if err := r.fits("join", int64(len(li))*(left.row()+right.row())); err != nil {
		return nil, err
	}
	return joined(x, left, right, li, ri), nil
}

// alike brings two keys to one kind.
func alike(a, b vec.Vec, na, nb int) (vec.Vec, vec.Vec) {
	ca, cb := vec.ClassOf(a.Kind), vec.ClassOf(b.Kind)
	switch {
	case ca == cb:
		return a, b
	case ca == vec.Ints && cb == vec.Reals || ca == vec.Dyns:
		return a.Convert(b.Kind, na), b
	}
	return a, b.Convert(a.Kind, nb)
}

// keyBytes is about what the place of a row takes in the index of a join.
const keyBytes = 64

// index finds the rows of equal keys.
func index(keys []vec.Vec, n int) map[string][]int32 {
	out := make(map[string][]int32, n)
	enc := newEncoder(keys)
	for i := range n {
		b := enc.row(i)
		out[string(b)] = append(out[string(b)], int32(i))
	}
	return out
}

// exists keeps the rows of f for whose keys the other side has a row, or has none.
func (r *run) exists(f *frame, keys []vec.Vec, other *frame, others []vec.Vec, want bool) *frame {
	there := map[string]struct{}{}
	enc := newEncoder(others)
	for i := range other.n {
		there[string(enc.row(i))] = struct{}{}
	}
	rows := []int32{}
	enc = newEncoder(keys)
	for i := range f.n {
		if _, ok := there[string(enc.row(i))]; ok == want {
			rows = append(rows, int32(i))
		}
	}
	return f.pick(rows)
}

// pairBytes is what a pair of rows takes in two lists, which are there twice when they grow.
const pairBytes = 16

// match lists the pairs of rows; -1 stands for a side that has none.
func (r *run) match(x *ir.Join, nl int, lk []vec.Vec, nr int, rk []vec.Vec) (li, ri []int32, err error) {
	found := index(rk, nr)
	keepLeft := x.Kind == "leftouter" || x.Kind == "fullouter" || x.Kind == "lookup-leftouter"
	keepRight := x.Kind == "rightouter" || x.Kind == "fullouter"
	used := make([]bool, nr)
	enc := newEncoder(lk)
	most := int(min(int64(r.env.MaxRows), r.left()/pairBytes))
	for i := range nl {
		rows := found[string(enc.row(i))]
		if len(rows) == 0 && keepLeft {
			li, ri = append(li, int32(i)), append(ri, -1)
		}
		if n := len(li) + len(rows); n > most {
			if err := r.rows("join", n); err != nil {
				return nil, nil, err
			}
			return nil, nil, r.fits("join", pairBytes*int64(n))
		}
		for _, j := range rows {
			li, ri = append(li, int32(i)), append(ri, j)
			used[j] = true
		}
		if i%65536 == 0 && r.ctx.Err() != nil {
			return nil, nil, r.ctx.Err()
		}
	}
	for j, u := range used {
		if keepRight && !u {
			li, ri = append(li, -1), append(ri, int32(j))
		}
	}
	return li, ri, nil
}

// joined puts the columns of both sides together; a lookup leaves out the right keys.
func joined(x *ir.Join, left, right *frame, li, ri []int32) *frame {
	out := &frame{cols: x.Cols, n: len(li)}
	for _, v := range left.vecs {
		out.vecs = append(out.vecs, v.Pick(li))
	}
	var drop []int
	if x.Kind == "lookup-inner" || x.Kind == "lookup-leftouter" {
		for _, k := range x.RightKeys {
			if c, ok := k.(*ir.Col); ok {
				drop = append(drop, c.Index)
			}
		}
	}
	for k, v := range right.vecs {
		if !slices.Contains(drop, k) {
			out.vecs = append(out.vecs, v.Pick(ri))
		}
	}
	return out
}
