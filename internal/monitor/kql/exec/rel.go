package exec

import (
	"context"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/exec/scalar"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// run is one query on its way.
type run struct {
	ctx     context.Context
	env     Env
	scalars *scalar.Env
	held    int64 // bytes of what is needed while something else is computed
	shared  map[int]*frame
	refs    map[int]*frame
	subs    map[*ir.Sub]*frame
}

// rel computes an operator and holds it to the limits.
func (r *run) rel(x ir.Rel) (*frame, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	f, err := r.compute(x)
	if err == nil {
		err = r.rows(operatorName(x), f.n)
	}
	if err == nil {
		err = r.fits(operatorName(x), counted(x, f))
	}
	if err != nil {
		return nil, at(x, err)
	}
	return f, nil
}

// rows refuses an operator that makes more rows than are allowed.
func (r *run) rows(operator string, n int) error {
	if n <= r.env.MaxRows {
		return nil
	}
	return fault.New(fault.TooLarge, "%s makes more than %d rows", operator, r.env.MaxRows).
		WithNext("narrow the time range, filter earlier with where, or aggregate with summarize")
}

// operatorName is the operator as people write it.
func operatorName(x ir.Rel) string {
	switch x := x.(type) {
	case *ir.Scan:
		return "the table " + x.Table
	case *ir.Filter:
		return "where"
	case *ir.Expand, *ir.Apply:
		return "mv-expand"
	case *ir.MakeSeries:
		return "make-series"
	case *ir.TopNested:
		return "top-nested"
	case *ir.TopHitters:
		return "top-hitters"
	case *ir.ParseKV:
		return "parse-kv"
	case *ir.ScanSteps:
		return "scan"
	case *ir.Evaluate:
		return "evaluate " + x.Plugin
	}
	return strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", x), "*ir."))
}

func (r *run) compute(x ir.Rel) (*frame, error) {
	switch x := x.(type) {
	case *ir.Scan:
		return r.scan(x)
	case *ir.Given:
		if x.Batch == nil {
			return nil, fault.New(fault.Internal, "a table that an engine was to answer is missing")
		}
		return frameOf(x.Batch), nil
	case *ir.Rows:
		return r.constants(x)
	case *ir.Range:
		return r.series(x)
	case *ir.Shared:
		return r.once(x)
	case *ir.Ref:
		f, ok := r.refs[x.ID]
		if !ok {
			return nil, fault.New(fault.Internal, "a reference to a table that nothing puts in")
		}
		return f, nil
	case *ir.Union:
		return r.union(x)
	case *ir.Join:
		return r.join(x)
	case *ir.Evaluate:
		return r.evaluate(x)
	}
	return r.unary(x)
}

// unary computes the operators of one input.
func (r *run) unary(x ir.Rel) (*frame, error) {
	in, op := r.inputOf(x)
	if op == nil {
		return nil, fault.New(fault.Internal, "the operator %T is not known", x)
	}
	f, err := r.rel(in)
	if err != nil {
		return nil, err
	}
	n := counted(in, f)
	if err := r.hold(operatorName(x), n); err != nil {
		return nil, err
	}
	defer r.release(n)
	out, err := op(f)
	if err != nil {
		return nil, err
	}
	return out, r.beside(x, f, out)
}

// beside refuses a table that does not fit into memory beside the input of its operator.
// What only takes rows away needs no more than its input, and its texts are the same.
func (r *run) beside(x ir.Rel, in, out *frame) error {
	switch x.(type) {
	case *ir.Filter, *ir.Sort, *ir.Serialize, *ir.Take, *ir.Sample:
		return nil
	}
	return r.fits(operatorName(x), out.fresh(in))
}

func (r *run) inputOf(x ir.Rel) (ir.Rel, func(f *frame) (*frame, error)) {
	switch x := x.(type) {
	case *ir.Filter:
		return x.In, func(f *frame) (*frame, error) { return r.filter(x, f) }
	case *ir.Project:
		return x.In, func(f *frame) (*frame, error) { return r.project(x, f) }
	case *ir.Summarize:
		return x.In, func(f *frame) (*frame, error) { return r.summarize(x, f) }
	case *ir.Sort:
		return x.In, func(f *frame) (*frame, error) { return r.sort(x, f) }
	case *ir.Serialize:
		return x.In, func(f *frame) (*frame, error) { return f, nil }
	case *ir.Take:
		return r.takeInput(x)
	case *ir.Sample:
		return x.In, func(f *frame) (*frame, error) { return r.sample(x, f) }
	case *ir.Expand:
		return x.In, func(f *frame) (*frame, error) { return r.expand(x, f) }
	case *ir.Apply:
		return x.Expand.In, func(f *frame) (*frame, error) { return r.apply(x, f) }
	case *ir.Partition:
		return x.In, func(f *frame) (*frame, error) { return r.partition(x, f) }
	case *ir.Parse:
		return x.In, func(f *frame) (*frame, error) { return r.parse(x, f) }
	case *ir.ParseKV:
		return x.In, func(f *frame) (*frame, error) { return r.parseKV(x, f) }
	case *ir.MakeSeries:
		return x.In, func(f *frame) (*frame, error) { return r.makeSeries(x, f) }
	case *ir.TopNested:
		return x.In, func(f *frame) (*frame, error) { return r.topNested(x, f) }
	case *ir.TopHitters:
		return x.In, func(f *frame) (*frame, error) { return r.topHitters(x, f) }
	case *ir.Reduce:
		return x.In, func(f *frame) (*frame, error) { return r.reduce(x, f) }
	case *ir.ScanSteps:
		return x.In, func(f *frame) (*frame, error) { return r.scanSteps(x, f) }
	}
	return nil, nil
}

func (r *run) scan(x *ir.Scan) (*frame, error) {
	if r.env.Source == nil {
		return nil, fault.New(fault.Internal, "nothing answers the table %s", x.Table)
	}
	b, err := r.env.Source(r.ctx, x)
	if err != nil {
		return nil, err
	}
	return frameOf(b), nil
}

func (r *run) constants(x *ir.Rows) (*frame, error) {
	one := &frame{n: 1}
	if len(x.Rows) == 1 { // print
		out := &frame{cols: x.Cols, n: 1}
		ev := r.over(one)
		for k, e := range x.Rows[0] {
			v, err := ev.expr(e)
			if err != nil {
				return nil, err
			}
			out.vecs = append(out.vecs, v.Convert(x.Cols[k].Kind, 1).Flat(1))
		}
		return out, nil
	}
	out := newFrame(x.Cols, len(x.Rows))
	for i, row := range x.Rows {
		for k, e := range row {
			v, err := r.expr(e, one)
			if err != nil {
				return nil, err
			}
			out.vecs[k].Set(i, v.At(0))
		}
	}
	return out, nil
}

// series is the range operator.
func (r *run) series(x *ir.Range) (*frame, error) {
	vs, err := r.exprs([]ir.Expr{x.From, x.To, x.Step}, &frame{n: 1})
	if err != nil {
		return nil, err
	}
	k := x.Cols[0].Kind
	if vec.ClassOf(k) == vec.Reals {
		return r.realSeries(x, vs)
	}
	cells := make([]int64, 3)
	for i, v := range vs {
		if v.IsNull(0) {
			return newFrame(x.Cols, 0), nil
		}
		if cells[i] = v.Convert(ticksKind(v.Kind), 1).Int[0]; i == 2 && cells[i] == 0 {
			return newFrame(x.Cols, 0), nil
		}
	}
	from, to, step := cells[0], cells[1], cells[2]
	var out []int64
	most := r.rangeMost()
	for n := from; step > 0 && n <= to || step < 0 && n >= to; n += step {
		if out = append(out, n); len(out) > most {
			return nil, r.rangeEnds(len(out))
		}
		if step > 0 && n > n+step || step < 0 && n < n+step { // past the largest number
			break
		}
	}
	return &frame{cols: x.Cols, n: len(out), vecs: []vec.Vec{{Kind: k, Int: notNil(out)}}}, nil
}

// ticksKind is the kind in which a whole number or a time is counted.
func ticksKind(k table.Kind) table.Kind {
	if vec.ClassOf(k) == vec.Ints {
		return k
	}
	return table.Long
}

func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func (r *run) realSeries(x *ir.Range, vs []vec.Vec) (*frame, error) {
	var c [3]float64
	for i, v := range vs {
		f, ok := value.To(v.At(0), table.Real).(float64)
		if !ok {
			return newFrame(x.Cols, 0), nil
		}
		c[i] = f
	}
	out, most := []float64{}, r.rangeMost()
	for i := 0; c[2] != 0; i++ {
		n := c[0] + float64(i)*c[2]
		if c[2] > 0 && n > c[1] || c[2] < 0 && n < c[1] {
			break
		}
		if out = append(out, n); len(out) > most {
			return nil, r.rangeEnds(len(out))
		}
	}
	return &frame{cols: x.Cols, n: len(out), vecs: []vec.Vec{{Kind: x.Cols[0].Kind, Real: out}}}, nil
}

// rangeMost is how many numbers a range may make, each of eight bytes; they are there twice
// when the list grows.
func (r *run) rangeMost() int { return int(min(int64(r.env.MaxRows), r.left()/16)) }

// rangeEnds refuses a range that has more.
func (r *run) rangeEnds(n int) error {
	if err := r.rows("range", n); err != nil {
		return err
	}
	return r.fits("range", 16*int64(n))
}

func (r *run) once(x *ir.Shared) (*frame, error) {
	if f, ok := r.shared[x.ID]; ok {
		return f, nil
	}
	f, err := r.rel(x.In)
	if err == nil && !refers(x.In) {
		r.shared[x.ID] = f
		r.held += f.bytes()
	}
	return f, err
}

func (r *run) union(x *ir.Union) (*frame, error) {
	parts := make([]*frame, 0, len(x.Inputs))
	n, held := 0, int64(0)
	defer func() { r.release(held) }()
	for _, in := range x.Inputs {
		f, err := r.rel(in)
		if err != nil {
			return nil, err
		}
		if n += f.n; n > r.env.MaxRows {
			return nil, r.rows("union", n)
		}
		b := f.bytes()
		if err := r.hold("union", b); err != nil {
			return nil, err
		}
		parts, held = append(parts, f), held+b
	}
	if err := r.fits("union", headers(parts)); err != nil {
		return nil, err
	}
	return concat(x.Cols, parts), nil
}
