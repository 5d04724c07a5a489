package exec

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/exec/scalar"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// eval computes the expressions of one operator over its input.
type eval struct {
	r    *run
	f    *frame
	many map[*ir.Call]vec.Vec // calls that make several columns
	// state are the rows that the steps of a scan operator remember, nil outside of one.
	state [][]any
}

func (r *run) over(f *frame) *eval { return &eval{r: r, f: f} }

// expr computes one expression over a frame.
func (r *run) expr(e ir.Expr, f *frame) (vec.Vec, error) { return r.over(f).expr(e) }

// exprs computes several over a frame.
func (r *run) exprs(es []ir.Expr, f *frame) ([]vec.Vec, error) {
	ev := r.over(f)
	out := make([]vec.Vec, len(es))
	for i, e := range es {
		v, err := ev.expr(e)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func (e *eval) expr(x ir.Expr) (vec.Vec, error) {
	switch x := x.(type) {
	case *ir.Lit:
		return literal(x), nil
	case *ir.Col:
		return e.f.vecs[x.Index], nil
	case *ir.Call:
		return e.call(x)
	case *ir.Sub:
		return e.sub(x)
	case *ir.Nth:
		return e.nth(x)
	case *ir.StepCol:
		if e.state == nil || x.Step >= len(e.state) || e.state[x.Step] == nil {
			return vec.Nulls(x.K), nil
		}
		return vec.Constant(x.K, e.state[x.Step][x.Index]), nil
	}
	return vec.Vec{}, fault.New(fault.Internal, "an expression of type %T is not known", x)
}

// literal makes a constant. The value of a datetime or timespan is in ticks, that of a
// dynamic JSON.
func literal(x *ir.Lit) vec.Vec {
	v := x.Value
	switch n := v.(type) {
	case int64:
		switch x.K {
		case table.DateTime:
			v = value.DateTime(n)
		case table.TimeSpan:
			v = value.TimeSpan(n)
		}
	case string:
		switch x.K {
		case table.Dynamic:
			v = vec.Parse(n)
		case table.GUID:
			v = value.GUID(n)
		}
	}
	return vec.Constant(x.K, v)
}

func (e *eval) call(x *ir.Call) (vec.Vec, error) {
	f, ok := scalar.Lookup(x.Func)
	if !ok {
		return vec.Vec{}, fault.New(fault.Invalid, "the function %s is not supported", x.Func)
	}
	if err := e.r.ctx.Err(); err != nil {
		return vec.Vec{}, err
	}
	args, held := make([]vec.Vec, len(x.Args)), int64(0)
	defer func() { e.r.release(held) }()
	for i, a := range x.Args {
		v, err := e.arg(x.Func, a)
		if err != nil {
			return vec.Vec{}, err
		}
		n, err := e.keep(x.Func, v)
		if err != nil {
			return vec.Vec{}, at(x, err)
		}
		args[i], held = v, held+n
	}
	env := *e.r.scalars
	env.MaxBytes = max(1, e.r.left())
	v, err := f.Run(&scalar.Call{Name: x.Func, Kind: x.K, Args: args, N: e.f.n, Env: &env})
	if err == nil {
		err = e.r.ctx.Err() // What a function gives that was ended means nothing.
	}
	return v, at(x, err)
}

// keep holds a column that is needed while others are computed, and returns what it takes:
// nothing for one of the input, which is held anyway.
func (e *eval) keep(what string, v vec.Vec) (int64, error) {
	if e.f.has(v) {
		return 0, nil
	}
	n := bytesOf(v, e.f.n)
	return n, e.r.hold(what, n)
}

// arg computes an argument; a table behind in stands for all of its first column.
func (e *eval) arg(fn string, a ir.Expr) (vec.Vec, error) {
	s, ok := a.(*ir.Sub)
	if !ok {
		return e.expr(a)
	}
	switch fn {
	case "in", "!in", "in~", "!in~", "has_any", "has_all":
	default:
		return e.expr(a)
	}
	f, err := e.r.subTable(s)
	if err != nil {
		return vec.Vec{}, err
	}
	if err := e.r.fits(fn, 40*int64(f.n)); err != nil {
		return vec.Vec{}, at(s, err)
	}
	list := make([]any, 0, f.n)
	for i := range f.n {
		// An array among the rows stands for its elements (Kusto, "The in operator").
		if inner, ok := f.vecs[0].At(i).([]any); ok {
			list = append(list, inner...)
			continue
		}
		list = append(list, f.vecs[0].At(i))
	}
	return vec.Constant(table.Dynamic, list), nil
}

// sub is toscalar: the first cell, null when there is none.
func (e *eval) sub(x *ir.Sub) (vec.Vec, error) {
	f, err := e.r.subTable(x)
	if err != nil {
		return vec.Vec{}, err
	}
	if f.n == 0 {
		return vec.Nulls(x.K), nil
	}
	return vec.Constant(x.K, f.vecs[0].At(0)), nil
}

func (r *run) subTable(x *ir.Sub) (*frame, error) {
	if f, ok := r.subs[x]; ok {
		return f, nil
	}
	f, err := r.rel(x.Rel)
	if err == nil && !refers(x.Rel) {
		r.subs[x] = f
		r.held += f.bytes()
	}
	return f, err
}

// nth takes one value of a function that makes several.
func (e *eval) nth(x *ir.Nth) (vec.Vec, error) {
	all, ok := e.many[x.Call]
	if !ok {
		dyn := *x.Call
		dyn.K = table.Dynamic
		v, err := e.call(&dyn)
		if err != nil {
			return vec.Vec{}, err
		}
		if e.many == nil {
			e.many = map[*ir.Call]vec.Vec{}
		}
		all = v.Parsed()
		if strings.HasPrefix(x.Call.Func, "array_sort_") && arrays(x.Call) == 1 {
			all = alone(all)
		}
		e.many[x.Call] = all
	}
	out := vec.New(x.K, all.Len())
	out.Const = all.Const
	for i := range all.Len() {
		if list, ok := all.Dyn[i].([]any); ok && x.N < len(list) && list[x.N] != nil {
			out.Set(i, list[x.N])
		} else {
			out.SetNull(i)
		}
	}
	return out, nil
}

// arrays counts the arrays that a call sorts; a bool at the end says where nulls go.
func arrays(x *ir.Call) int {
	n := len(x.Args)
	if n > 1 && x.Args[n-1].Kind() == table.Bool {
		n--
	}
	return n
}

// alone makes the one result of a function that may have several a list of one.
func alone(v vec.Vec) vec.Vec {
	out := vec.New(table.Dynamic, v.Len())
	out.Const = v.Const
	for i, d := range v.Dyn {
		out.Dyn[i] = []any{d}
	}
	return out
}

// constant reports whether an expression is the same for every row and every query.
func constant(x ir.Expr) bool {
	switch x := x.(type) {
	case *ir.Lit:
		return true
	case *ir.Call:
		f, ok := scalar.Lookup(x.Func)
		if !ok || f.Volatile {
			return false
		}
		for _, a := range x.Args {
			if !constant(a) {
				return false
			}
		}
		return true
	case *ir.Nth:
		return constant(x.Call)
	}
	return false
}

func fold(x ir.Expr, now time.Time) (*ir.Lit, error) {
	if l, ok := x.(*ir.Lit); ok {
		return l, nil
	}
	if !constant(x) {
		return nil, fault.New(fault.Invalid, "the expression is not a constant")
	}
	r := newRun(context.Background(), Env{Now: now})
	v, err := r.expr(x, &frame{n: 1})
	if err != nil {
		return nil, err
	}
	lit := &ir.Lit{At: ir.At{Span: x.Where()}, K: x.Kind()}
	switch c := v.At(0).(type) {
	case value.DateTime:
		lit.Value = int64(c)
	case value.TimeSpan:
		lit.Value = int64(c)
	case value.GUID:
		lit.Value = string(c)
	case nil:
	default:
		lit.Value = c
		if x.Kind() == table.Dynamic {
			lit.Value = value.JSON(c)
		}
	}
	return lit, nil
}

// number computes an expression without columns to a whole number.
func (r *run) number(x ir.Expr, otherwise int64) (int64, error) {
	if x == nil {
		return otherwise, nil
	}
	v, err := r.expr(x, &frame{n: 1})
	if err != nil {
		return 0, err
	}
	n, ok := value.To(v.At(0), table.Long).(int64)
	if !ok {
		return otherwise, nil
	}
	return n, nil
}

func newRun(ctx context.Context, env Env) *run {
	if env.MaxRows == 0 {
		env.MaxRows = 10_000_000
	}
	if env.MaxBytes == 0 {
		env.MaxBytes = 512 << 20
	}
	return &run{
		ctx: ctx, env: env, shared: map[int]*frame{}, refs: map[int]*frame{}, subs: map[*ir.Sub]*frame{},
		scalars: &scalar.Env{Now: table.TicksOf(env.Now), MaxBytes: env.MaxBytes, Err: ctx.Err, Rand: rand.New(rand.NewPCG(env.Seed, 0x9e3779b97f4a7c15))},
	}
}
