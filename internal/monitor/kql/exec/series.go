package exec

import (
	"math"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// maxSeries is how many points a series may have ("make-series operator").
const maxSeries = 1 << 20

// axis is the line on which a make-series puts its values, counted in reals: numbers as
// they are, times in ticks from origin, so that they stay exact.
type axis struct {
	kind     table.Kind
	origin   int64
	from, to float64 // NaN when it follows from the data
	step     float64
}

func (a *axis) cell(x float64) any {
	if vec.ClassOf(a.kind) == vec.Reals {
		return x
	}
	n := a.origin + int64(x)
	switch a.kind {
	case table.DateTime:
		return value.DateTime(n)
	case table.TimeSpan:
		return value.TimeSpan(n)
	}
	return n
}

func (a *axis) position(cell any) float64 {
	switch x := cell.(type) {
	case value.DateTime:
		return float64(int64(x) - a.origin)
	case value.TimeSpan:
		return float64(int64(x) - a.origin)
	case int64:
		return float64(x - a.origin)
	case float64:
		return x
	}
	return math.NaN()
}

func (r *run) axisOf(x *ir.MakeSeries) (*axis, error) {
	a := &axis{kind: x.Axis.Expr.Kind(), from: math.NaN(), to: math.NaN()}
	one := r.over(&frame{n: 1})
	cell := func(e ir.Expr) (any, error) {
		if e == nil {
			return nil, nil
		}
		v, err := one.expr(e)
		if err != nil {
			return nil, err
		}
		if v.Kind != a.kind && !(a.kind == table.DateTime && v.Kind == table.TimeSpan) {
			v = v.Convert(a.kind, 1)
		}
		return v.At(0), nil
	}
	from, err := cell(x.From)
	if err != nil {
		return nil, err
	}
	to, err := cell(x.To)
	if err != nil {
		return nil, err
	}
	step, err := cell(x.Step)
	if err != nil {
		return nil, err
	}
	a.step = a.position(step)
	switch f := from.(type) {
	case value.DateTime:
		a.origin = int64(f)
	case value.TimeSpan:
		a.origin = int64(f)
	case int64:
		a.origin = f
	}
	if from != nil {
		a.from = a.position(from)
	}
	if to != nil {
		a.to = a.position(to)
	}
	if !(a.step > 0) {
		return nil, fault.New(fault.Invalid, "make-series: the step must be greater than 0")
	}
	if n := (a.to - a.from) / a.step; n > maxSeries {
		return nil, fault.New(fault.TooLarge, "make-series makes more than %d points", maxSeries).WithNext("take a larger step or a shorter range")
	}
	return a, nil
}

// makeSeries puts the aggregates of each bin into arrays, with the default where a bin has
// no row.
func (r *run) makeSeries(x *ir.MakeSeries, f *frame) (*frame, error) {
	a, err := r.axisOf(x)
	if err != nil {
		return nil, err
	}
	v, err := r.expr(x.Axis.Expr, f)
	if err != nil {
		return nil, err
	}
	rows, bins := []int32{}, []int64{}
	base := a.from
	if math.IsNaN(base) { // bins as bin() has them, from the epoch
		base = 0
	}
	for i := range f.n {
		p := a.position(v.At(i))
		if p != p || p < a.from || p >= a.to {
			continue
		}
		rows, bins = append(rows, int32(i)), append(bins, int64(math.Floor((p-base)/a.step)))
	}
	f = f.pick(rows)
	keys, err := r.exprs(exprsOf(x.Keys), f)
	if err != nil {
		return nil, err
	}
	s := &seriesMaker{x: x, a: a, base: base}
	if len(keys) == 0 && f.n > 0 {
		s.g = &groups{of: make([]int32, f.n), first: []int32{0}}
	} else {
		s.g = groupRows(keys, f.n)
	}
	if f.n == 0 && x.NonEmpty && len(keys) == 0 {
		s.g.first = []int32{-1}
	}
	return s.make(r, f, keys, bins)
}

type seriesMaker struct {
	x    *ir.MakeSeries
	a    *axis
	base float64
	g    *groups
}

// bounds are the first bin of each series and the number of its bins.
func (s *seriesMaker) bounds(bins []int64) (first []int64, count []int, err error) {
	n := len(s.g.first)
	first, last := make([]int64, n), make([]int64, n)
	for k := range first {
		first[k], last[k] = math.MaxInt64, math.MinInt64
	}
	for i, b := range bins {
		k := s.g.of[i]
		first[k], last[k] = min(first[k], b), max(last[k], b)
	}
	count = make([]int, n)
	for k := range first {
		if !math.IsNaN(s.a.from) {
			first[k] = 0
		}
		end := last[k] + 1
		if !math.IsNaN(s.a.to) {
			end = int64(math.Ceil((s.a.to - s.base) / s.a.step))
		}
		if first[k] == math.MaxInt64 || end < first[k] {
			end = first[k]
		}
		if end-first[k] > maxSeries {
			return nil, nil, fault.New(fault.TooLarge, "make-series makes more than %d points", maxSeries).WithNext("take a larger step or a shorter range")
		}
		count[k] = int(end - first[k])
	}
	return first, count, nil
}

func (s *seriesMaker) make(r *run, f *frame, keys []vec.Vec, bins []int64) (*frame, error) {
	first, count, err := s.bounds(bins)
	if err != nil {
		return nil, err
	}
	out := &frame{cols: s.x.Cols, n: len(first)}
	for _, k := range keys {
		out.vecs = append(out.vecs, k.Pick(s.g.first))
	}
	points := 0
	line := vec.New(table.Dynamic, out.n)
	for k, n := range count {
		if points += n; points > r.env.MaxRows {
			return nil, r.rows("make-series", points)
		}
		// A point is a cell in the array of the axis and in those of the aggregates.
		if err := r.fits("make-series", int64(points)*int64(24*(1+len(s.x.Aggs)))); err != nil {
			return nil, err
		}
		list := make([]any, n)
		for i := range list {
			list[i] = s.a.cell(s.base + float64(first[k]+int64(i))*s.a.step)
		}
		line.Dyn[k] = list
	}
	// One group per series and bin.
	cells := groupRows([]vec.Vec{{Kind: table.Int, Int: widen(s.g.of)}, {Kind: table.Long, Int: bins}}, f.n)
	ev := r.over(f)
	var arrays []vec.Vec
	for i := range s.x.Aggs {
		vs, err := ev.aggregate(&s.x.Aggs[i], cells.of, len(cells.first))
		if err != nil {
			return nil, err
		}
		fill, err := s.fill(r, i)
		if err != nil {
			return nil, err
		}
		arrays = append(arrays, s.array(vs[0], fill, cells, bins, first, count))
	}
	at := len(keys) // the axis stands before or after the aggregates, as the schema says
	if at < len(s.x.Cols) && s.x.Cols[at].Name == s.x.Axis.Name {
		out.vecs = append(append(out.vecs, line), arrays...)
	} else {
		out.vecs = append(append(out.vecs, arrays...), line)
	}
	return out, nil
}

func widen(of []int32) []int64 {
	out := make([]int64, len(of))
	for i, g := range of {
		out[i] = int64(g)
	}
	return out
}

// fill is the value of a bin without rows: what the query says, else 0 of the type.
func (s *seriesMaker) fill(r *run, i int) (any, error) {
	kind := s.x.Aggs[i].Kinds[0]
	if i < len(s.x.Defaults) && s.x.Defaults[i] != nil {
		v, err := r.expr(s.x.Defaults[i], &frame{n: 1})
		if err != nil {
			return nil, err
		}
		return v.At(0), nil
	}
	if kind == table.Dynamic {
		return nil, nil
	}
	return value.To(int64(0), kind), nil
}

func (s *seriesMaker) array(v vec.Vec, fill any, cells *groups, bins, first []int64, count []int) vec.Vec {
	out := vec.New(table.Dynamic, len(count))
	lists := make([][]any, len(count))
	for k, n := range count {
		lists[k] = make([]any, n)
		for i := range lists[k] {
			lists[k][i] = fill
		}
		out.Dyn[k] = lists[k]
	}
	v = v.Parsed()
	for c, row := range cells.first {
		k := s.g.of[row]
		if at := bins[row] - first[k]; at >= 0 && at < int64(count[k]) {
			lists[k][at] = v.At(c)
		}
	}
	return out
}
