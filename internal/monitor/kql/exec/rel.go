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
	if err != nil {
		return nil, err
	}
	if err := r.rows(operatorName(x), f.n); err != nil {
		return nil, err
	}
	if b := f.bytes(); b > r.env.MaxBytes {
		return nil, fault.New(fault.TooLarge, "%s needs more than %d MiB of memory", operatorName(x), r.env.MaxBytes>>20).
			WithNext("narrow the time range, filter earlier with where, or keep fewer columns with project")
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
	return op(f)
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
	for n := from; step > 0 && n <= to || step < 0 && n >= to; n += step {
		if out = append(out, n); len(out) > r.env.MaxRows {
			return nil, r.rows("range", len(out))
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
	out := []float64{}
	for i := 0; c[2] != 0; i++ {
		n := c[0] + float64(i)*c[2]
		if c[2] > 0 && n > c[1] || c[2] < 0 && n < c[1] {
			break
		}
		if out = append(out, n); len(out) > r.env.MaxRows {
			return nil, r.rows("range", len(out))
		}
	}
	return &frame{cols: x.Cols, n: len(out), vecs: []vec.Vec{{Kind: x.Cols[0].Kind, Real: out}}}, nil
}

func (r *run) once(x *ir.Shared) (*frame, error) {
	if f, ok := r.shared[x.ID]; ok {
		return f, nil
	}
	f, err := r.rel(x.In)
	if err == nil && !refers(x.In) {
		r.shared[x.ID] = f
	}
	return f, err
}

func (r *run) union(x *ir.Union) (*frame, error) {
	parts := make([]*frame, 0, len(x.Inputs))
	n := 0
	for _, in := range x.Inputs {
		f, err := r.rel(in)
		if err != nil {
			return nil, err
		}
		if n += f.n; n > r.env.MaxRows {
			return nil, r.rows("union", n)
		}
		parts = append(parts, f)
	}
	return concat(x.Cols, parts), nil
}
