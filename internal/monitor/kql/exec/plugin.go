package exec

import (
	"slices"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

func (r *run) evaluate(x *ir.Evaluate) (*frame, error) {
	f, err := r.rel(x.In)
	if err != nil {
		return nil, err
	}
	n := counted(x.In, f)
	if err := r.hold(operatorName(x), n); err != nil {
		return nil, err
	}
	defer r.release(n)
	var out *frame
	switch x.Plugin {
	case "pivot":
		out, err = r.pivot(x, f)
	case "bag_unpack":
		out, err = r.unpack(x, f)
	case "narrow":
		out, err = r.narrow(f)
	default:
		return nil, fault.New(fault.Invalid, "the plugin %s is not supported", x.Plugin)
	}
	if err != nil || x.Open {
		return out, err
	}
	return fit(out, x.Cols), nil
}

// fit gives a frame the schema that a query declared: columns by name, null for those that
// the data does not have.
func fit(f *frame, cols []table.Column) *frame {
	out := &frame{cols: cols, n: f.n}
	for _, c := range cols {
		i := slices.IndexFunc(f.cols, func(o table.Column) bool { return o.Name == c.Name })
		if i < 0 {
			out.vecs = append(out.vecs, vec.Nulls(c.Kind))
			continue
		}
		out.vecs = append(out.vecs, f.vecs[i].Convert(c.Kind, f.n))
	}
	return out
}

// maxPivot bounds the columns that the data may make.
const maxPivot = 1000

// cellBytes is about what a cell of a column takes, but for its text.
const cellBytes = 16

// pivot makes a column for each value. Its input has been aggregated: the columns that
// stay, the column of the names, and the value; its argument is the value for where there
// is none.
func (r *run) pivot(x *ir.Evaluate, f *frame) (*frame, error) {
	n := len(f.cols)
	if n < 2 || len(x.Args) != 1 {
		return nil, fault.New(fault.Internal, "pivot: its input is not of the form that the binder makes")
	}
	fill, err := r.expr(x.Args[0], &frame{n: 1})
	if err != nil {
		return nil, err
	}
	rows := groupRows(f.vecs[:n-2], f.n)
	names := groupRows(f.vecs[n-2:n-1], f.n)
	if len(names.first) > maxPivot {
		return nil, fault.New(fault.TooLarge, "pivot makes more than %d columns", maxPivot).WithNext("filter the values of %s first", f.cols[n-2].Name)
	}
	out := &frame{n: len(rows.first)}
	for i := range n - 2 {
		out.cols, out.vecs = append(out.cols, f.cols[i]), append(out.vecs, f.vecs[i].Pick(rows.first))
	}
	if err := r.fits("pivot", int64(len(names.first))*int64(out.n)*cellBytes); err != nil {
		return nil, err
	}
	cells := make([]vec.Vec, len(names.first))
	for k := range cells {
		cells[k] = vec.New(f.cols[n-1].Kind, out.n)
		for i := range out.n {
			cells[k].Set(i, fill.At(0))
		}
	}
	for i := range f.n {
		cells[names.of[i]].Set(int(rows.of[i]), f.vecs[n-1].At(i))
	}
	order := make([]int, len(cells))
	for i := range order {
		order[i] = i
	}
	name := func(i int) any { return f.vecs[n-2].At(int(names.first[i])) }
	slices.SortStableFunc(order, func(i, j int) int { return value.Compare(name(i), name(j)) })
	for _, i := range order {
		out.cols = append(out.cols, table.Column{Name: value.String(name(i)), Kind: f.cols[n-1].Kind})
		out.vecs = append(out.vecs, cells[i])
	}
	return out, nil
}

// unpack is bag_unpack(column[, prefix[, conflict[, ignored keys]]]): a column per key.
func (r *run) unpack(x *ir.Evaluate, f *frame) (*frame, error) {
	col, ok := x.Args[0].(*ir.Col)
	if !ok {
		return nil, fault.New(fault.Invalid, "bag_unpack: the first argument must be a column")
	}
	prefix, conflict := "", "error"
	ignored := map[string]bool{}
	for i, a := range x.Args[1:] {
		v, err := r.expr(a, &frame{n: 1})
		if err != nil {
			return nil, err
		}
		switch i {
		case 0:
			prefix = value.String(v.At(0))
		case 1:
			conflict = value.String(v.At(0))
		case 2:
			list, _ := v.At(0).([]any)
			for _, k := range list {
				ignored[value.String(k)] = true
			}
		}
	}
	bags := f.vecs[col.Index].Parsed()
	kinds := bagKinds(bags, f.n, ignored)
	if err := r.fits("bag_unpack", int64(min(len(kinds), maxPivot))*int64(f.n)*cellBytes); err != nil {
		return nil, err
	}
	out := &frame{n: f.n}
	for i, c := range f.cols {
		if i != col.Index {
			out.cols, out.vecs = append(out.cols, c), append(out.vecs, f.vecs[i])
		}
	}
	return out, addKeys(out, bags, kinds, prefix, conflict)
}

// bagKinds finds the keys and their types: one for all values, real for whole and other
// numbers, dynamic for what else differs.
func bagKinds(bags vec.Vec, n int, ignored map[string]bool) map[string]table.Kind {
	kinds := map[string]table.Kind{}
	for i := range n {
		b, ok := bags.At(i).(*value.Bag)
		for k := 0; ok && k < b.Len(); k++ {
			key, v := b.At(k)
			if ignored[key] {
				continue
			}
			kinds[key] = joinKinds(kinds[key], value.KindOf(v))
		}
	}
	return kinds
}

func joinKinds(a, b table.Kind) table.Kind {
	switch {
	case a == table.Unknown || a == b:
		return b
	case b == table.Unknown:
		return a
	case (a == table.Long || a == table.Real) && (b == table.Long || b == table.Real):
		return table.Real
	}
	return table.Dynamic
}

func addKeys(out *frame, bags vec.Vec, kinds map[string]table.Kind, prefix, conflict string) error {
	keys := make([]string, 0, len(kinds))
	for k := range kinds {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	if len(keys) > maxPivot {
		return fault.New(fault.TooLarge, "bag_unpack makes more than %d columns", maxPivot)
	}
	for _, k := range keys {
		kind := kinds[k]
		if kind == table.Unknown {
			kind = table.Dynamic
		}
		v := vec.New(kind, out.n)
		for i := range out.n {
			var cell any
			if b, ok := bags.At(i).(*value.Bag); ok {
				cell, _ = b.Get(k)
			}
			if cell == nil {
				v.SetNull(i)
			} else {
				v.Set(i, cell)
			}
		}
		c := table.Column{Name: prefix + k, Kind: kind}
		at := slices.IndexFunc(out.cols, func(o table.Column) bool { return o.Name == c.Name })
		switch {
		case at < 0:
			out.cols, out.vecs = append(out.cols, c), append(out.vecs, v)
		case conflict == "replace_source":
			out.cols[at], out.vecs[at] = c, v
		case conflict == "keep_source":
		default:
			return fault.New(fault.Invalid, "bag_unpack: there is a column %s already", c.Name).
				WithNext("give a prefix, or the conflict mode replace_source or keep_source")
		}
	}
	return nil
}

// narrow makes a row of each cell: the row's number, the column's name, the value as text.
func (r *run) narrow(f *frame) (*frame, error) {
	cols := []table.Column{{Name: "Row", Kind: table.Long}, {Name: "Column", Kind: table.String}, {Name: "Value", Kind: table.String}}
	n := f.n * len(f.cols)
	if err := r.rows("narrow", n); err != nil {
		return nil, err
	}
	if err := r.fits("narrow", f.bytes()+int64(n)*3*cellBytes); err != nil {
		return nil, err
	}
	out := newFrame(cols, n)
	at := 0
	for i := range f.n {
		for k, c := range f.cols {
			out.vecs[0].Int[at] = int64(i)
			out.vecs[1].Text[at] = c.Name
			out.vecs[2].Text[at] = value.String(f.vecs[k].At(i))
			at++
		}
	}
	return out, nil
}
