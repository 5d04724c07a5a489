package exec

import (
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/table"
)

// frame is a table on its way between operators. A vector may be a constant.
type frame struct {
	cols []table.Column
	vecs []vec.Vec
	n    int
}

func frameOf(b *table.Batch) *frame {
	f := &frame{cols: b.Columns, n: b.Rows()}
	for _, v := range b.Vectors {
		f.vecs = append(f.vecs, vec.Of(v))
	}
	return f
}

// newFrame returns an empty frame of a schema with n rows of zeros and nulls.
func newFrame(cols []table.Column, n int) *frame {
	f := &frame{cols: cols, n: n}
	for _, c := range cols {
		f.vecs = append(f.vecs, vec.New(c.Kind, n))
	}
	return f
}

func (f *frame) batch() *table.Batch {
	b := &table.Batch{Columns: f.cols}
	for _, v := range f.vecs {
		b.Vectors = append(b.Vectors, v.Table(f.n))
	}
	return b
}

// pick returns the rows at the given places; -1 makes a row of nulls.
func (f *frame) pick(rows []int32) *frame {
	out := &frame{cols: f.cols, n: len(rows)}
	for _, v := range f.vecs {
		out.vecs = append(out.vecs, keepConst(v, rows))
	}
	return out
}

// keepConst picks rows; a constant stays one when no row of nulls is asked for.
func keepConst(v vec.Vec, rows []int32) vec.Vec {
	if v.Const {
		for _, r := range rows {
			if r < 0 {
				return v.Pick(rows)
			}
		}
		return v
	}
	return v.Pick(rows)
}

func (f *frame) slice(lo, hi int) *frame {
	out := &frame{cols: f.cols, n: hi - lo}
	for _, v := range f.vecs {
		out.vecs = append(out.vecs, v.Slice(lo, hi))
	}
	return out
}

// as gives the frame another schema: names and order stay, kinds are converted.
func (f *frame) as(cols []table.Column) *frame {
	out := &frame{cols: cols, n: f.n}
	for i, c := range cols {
		out.vecs = append(out.vecs, f.vecs[i].Convert(c.Kind, f.n))
	}
	return out
}

// concat appends frames of one schema.
func concat(cols []table.Column, parts []*frame) *frame {
	out := &frame{cols: cols}
	lens := make([]int, len(parts))
	for i, p := range parts {
		lens[i] = p.n
		out.n += p.n
	}
	for k, c := range cols {
		column := make([]vec.Vec, len(parts))
		for i, p := range parts {
			column[i] = p.vecs[k]
		}
		if len(parts) == 0 {
			out.vecs = append(out.vecs, vec.New(c.Kind, 0))
			continue
		}
		out.vecs = append(out.vecs, vec.Concat(c.Kind, column, lens))
	}
	return out
}
