package exec

import (
	"math"

	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// items lists what a cell expands to: the elements of an array, the entries of a bag, or
// itself. Null gives one null; an empty array or bag gives nothing.
func items(v any, arrayMode bool) []any {
	switch x := v.(type) {
	case []any:
		return x
	case *value.Bag:
		out := make([]any, x.Len())
		for i := range out {
			k, e := x.At(i)
			if arrayMode {
				out[i] = []any{k, e}
				continue
			}
			b := &value.Bag{}
			b.Set(k, e)
			out[i] = b
		}
		return out
	}
	return []any{v}
}

// expand is mv-expand.
func (r *run) expand(x *ir.Expand, f *frame) (*frame, error) {
	limit, err := r.number(x.Limit, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	cells := make([]vec.Vec, len(x.Cells))
	ev := r.over(f)
	for k, c := range x.Cells {
		v, err := ev.expr(c.Expr)
		if err != nil {
			return nil, err
		}
		cells[k] = v.Parsed()
	}
	if err := r.expandable(x, f, cells, limit); err != nil {
		return nil, err
	}
	var rows []int32 // the input row of each output row
	var at []int64   // its place in the expansion
	lists := make([][]any, len(cells))
	values := make([][]any, len(cells))
	for i := range f.n {
		n := 0
		for k, c := range cells {
			lists[k] = items(c.At(i), x.ArrayMode)
			n = max(n, len(lists[k]))
		}
		n = int(min(int64(n), limit))
		for j := range n {
			rows, at = append(rows, int32(i)), append(at, int64(j))
			for k, l := range lists {
				var v any
				if j < len(l) {
					v = l[j]
				}
				values[k] = append(values[k], v)
			}
		}
	}
	return expanded(x, f, rows, at, values), nil
}

// expandable refuses an expansion that has too many rows, before they are made.
func (r *run) expandable(x *ir.Expand, f *frame, cells []vec.Vec, limit int64) error {
	total := 0
	for i := range f.n {
		n := 0
		for _, c := range cells {
			n = max(n, countItems(c.At(i)))
		}
		if total += int(min(int64(n), limit)); total > r.env.MaxRows {
			return r.rows("mv-expand", total)
		}
	}
	// An element is a cell in a list, and then one of a column, which may be a text.
	return r.fits("mv-expand", int64(total)*(f.row()+int64(48*len(cells))))
}

// countItems is the number of items.
func countItems(v any) int {
	switch x := v.(type) {
	case []any:
		return len(x)
	case *value.Bag:
		return x.Len()
	}
	return 1
}

// expanded builds the result: expanded columns at their places, the others repeated.
func expanded(x *ir.Expand, f *frame, rows []int32, at []int64, values [][]any) *frame {
	out := &frame{cols: x.Cols, n: len(rows), vecs: make([]vec.Vec, len(x.Cols))}
	done := make([]bool, len(x.Cols))
	for k, c := range x.Cells {
		v := vec.New(x.Cols[c.Place].Kind, len(rows))
		for i, cell := range values[k] {
			if cell != nil || v.Kind == table.Dynamic {
				v.Set(i, cell)
			} else {
				v.SetNull(i)
			}
		}
		out.vecs[c.Place], done[c.Place] = v, true
	}
	if x.Index >= 0 && x.Index < len(done) {
		out.vecs[x.Index] = vec.Vec{Kind: table.Long, Int: notNil(at)}
		done[x.Index] = true
	}
	carry(out, f, done, rows)
	return out
}

// carry fills the columns that an operator passes on. done says which it made itself: one
// of an input column's name stands in its place.
func carry(out, f *frame, done []bool, rows []int32) {
	from := 0
	for k := range out.vecs {
		if done[k] {
			if from < len(f.cols) && f.cols[from].Name == out.cols[k].Name {
				from++
			}
			continue
		}
		for from < len(f.cols)-1 && f.cols[from].Name != out.cols[k].Name {
			from++
		}
		if out.vecs[k] = f.vecs[from]; rows != nil {
			out.vecs[k] = f.vecs[from].Pick(rows)
		}
		from++
	}
}

// apply is mv-apply: the sub-query sees the expansion of one row at a time.
func (r *run) apply(x *ir.Apply, f *frame) (*frame, error) {
	all, err := r.expand(x.Expand, f)
	if err != nil {
		return nil, err
	}
	bounds, err := r.expansions(x, f)
	if err != nil {
		return nil, err
	}
	defer r.restore(x.Ref)()
	var parts []*frame
	total, held := 0, all.bytes()
	if err := r.hold("mv-apply", held); err != nil {
		return nil, err
	}
	defer func() { r.release(held) }()
	for i := range f.n {
		r.refs[x.Ref] = all.slice(bounds[i], bounds[i+1])
		sub, err := r.rel(x.Sub)
		if err != nil {
			return nil, err
		}
		part := &frame{cols: x.Cols, n: sub.n}
		rows := make([]int32, sub.n)
		for j := range rows {
			rows[j] = int32(i)
		}
		for _, o := range x.Outer {
			part.vecs = append(part.vecs, f.vecs[o].Pick(rows))
		}
		part.vecs = append(part.vecs, sub.vecs...)
		parts = append(parts, part)
		if total += sub.n; total > r.env.MaxRows {
			return nil, r.rows("mv-apply", total)
		}
		n := part.bytes() + partBytes
		if err := r.hold("mv-apply", n); err != nil {
			return nil, err
		}
		held += n
	}
	return concat(x.Cols, parts), nil
}

// partBytes is what a table takes beside its rows.
const partBytes = 256

// restore returns what puts a reference back to what it was.
func (r *run) restore(id int) func() {
	old, had := r.refs[id]
	return func() {
		delete(r.refs, id)
		if had {
			r.refs[id] = old
		}
	}
}

// expansions says where the rows of each input row begin in the expansion.
func (r *run) expansions(x *ir.Apply, f *frame) ([]int, error) {
	limit, err := r.number(x.Expand.Limit, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	out := make([]int, f.n+1)
	ev := r.over(f)
	for _, c := range x.Expand.Cells {
		v, err := ev.expr(c.Expr)
		if err != nil {
			return nil, err
		}
		v = v.Parsed()
		for i := range f.n {
			out[i+1] = max(out[i+1], int(min(limit, int64(len(items(v.At(i), x.Expand.ArrayMode))))))
		}
	}
	for i := range f.n {
		out[i+1] += out[i]
	}
	return out, nil
}

// partition runs the sub-query on the rows of each key.
func (r *run) partition(x *ir.Partition, f *frame) (*frame, error) {
	by, err := r.expr(x.By, f)
	if err != nil {
		return nil, err
	}
	g := groupRows([]vec.Vec{by}, f.n)
	rows := make([][]int32, len(g.first))
	for i, id := range g.of {
		rows[id] = append(rows[id], int32(i))
	}
	defer r.restore(x.Ref)()
	var parts []*frame
	total, held := 0, int64(0)
	defer func() { r.release(held) }()
	for _, part := range rows {
		r.refs[x.Ref] = f.pick(part)
		sub, err := r.rel(x.Sub)
		if err != nil {
			return nil, err
		}
		parts = append(parts, sub)
		if total += sub.n; total > r.env.MaxRows {
			return nil, r.rows("partition", total)
		}
		n := sub.bytes() + partBytes
		if err := r.hold("partition", n); err != nil {
			return nil, err
		}
		held += n
	}
	return concat(x.Cols, parts), nil
}
