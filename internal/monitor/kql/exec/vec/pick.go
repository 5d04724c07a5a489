package vec

import "towpath.dev/towpath/internal/monitor/table"

// Pick returns the entries at the given rows; a row of -1 gives null.
func (v Vec) Pick(rows []int32) Vec {
	if v.Const {
		v = v.unconst(rows)
		return v
	}
	out := Vec{Kind: v.Kind, Null: pickNull(v, rows)}
	out.Int = pick(v.Int, rows)
	out.Real = pick(v.Real, rows)
	out.Text = pick(v.Text, rows)
	out.Dyn = pick(v.Dyn, rows)
	return out
}

// unconst spreads a constant over rows.
func (v Vec) unconst(rows []int32) Vec {
	at := make([]int32, len(rows))
	for i, r := range rows {
		at[i] = min(r, 0)
	}
	v.Const = false
	return v.Pick(at)
}

func pick[T any](from []T, rows []int32) []T {
	if from == nil {
		return nil
	}
	out := make([]T, len(rows))
	for i, r := range rows {
		if r >= 0 {
			out[i] = from[r]
		}
	}
	return out
}

func pickNull(v Vec, rows []int32) []bool {
	if c := ClassOf(v.Kind); c == Texts || c == Dyns {
		return nil
	}
	var out []bool
	for i, r := range rows {
		if r < 0 || v.Null != nil && v.Null[r] {
			if out == nil {
				out = make([]bool, len(rows))
			}
			out[i] = true
		}
	}
	return out
}

// Slice returns the rows from lo to hi.
func (v Vec) Slice(lo, hi int) Vec {
	if v.Const {
		return v
	}
	out := Vec{Kind: v.Kind}
	if v.Int != nil {
		out.Int = v.Int[lo:hi]
	}
	if v.Real != nil {
		out.Real = v.Real[lo:hi]
	}
	if v.Text != nil {
		out.Text = v.Text[lo:hi]
	}
	if v.Dyn != nil {
		out.Dyn = v.Dyn[lo:hi]
	}
	if v.Null != nil {
		out.Null = v.Null[lo:hi]
	}
	return out
}

// Concat appends vectors of one kind; lens are the numbers of their rows.
func Concat(kind table.Kind, parts []Vec, lens []int) Vec {
	if len(parts) == 1 {
		return parts[0].Flat(lens[0])
	}
	total := 0
	for _, n := range lens {
		total += n
	}
	out, at := New(kind, total), 0
	for k, p := range parts {
		n := lens[k]
		if p.Kind != kind {
			for i := range n {
				out.Set(at+i, p.At(i))
			}
			at += n
			continue
		}
		p = p.Flat(n)
		copy(out.Int[min(at, len(out.Int)):], p.Int)
		copy(out.Real[min(at, len(out.Real)):], p.Real)
		if kind == table.Dynamic {
			copy(out.Dyn[at:], p.Parsed().Dyn)
		} else {
			copy(out.Text[min(at, len(out.Text)):], p.Text)
		}
		for i, null := range p.Null {
			if null {
				out.SetNull(at + i)
			}
		}
		at += n
	}
	return out
}

// Convert returns the vector as another kind, as the conversion functions do (tolong …).
func (v Vec) Convert(to table.Kind, n int) Vec {
	if v.Kind == to {
		return v
	}
	if v.Const {
		n = 1
	}
	if ClassOf(v.Kind) == Ints && to == table.Long && v.Kind == table.Int {
		v.Kind = to
		return v
	}
	if (to == table.Real || to == table.Decimal) && (v.Kind == table.Int || v.Kind == table.Long) {
		out := Vec{Kind: to, Const: v.Const, Null: v.Null, Real: make([]float64, n)}
		for i := range n {
			out.Real[i] = float64(v.Int[i])
		}
		return out
	}
	out := New(to, n)
	out.Const = v.Const
	for i := range n {
		out.Set(i, v.At(i))
	}
	return out
}

// Bytes estimates the memory of the entries.
func (v Vec) Bytes() int64 {
	b := int64(len(v.Int))*8 + int64(len(v.Real))*8 + int64(len(v.Null)) + int64(len(v.Text))*16 + int64(len(v.Dyn))*64
	for _, t := range v.Text {
		b += int64(len(t))
	}
	return b
}
