package exec

import (
	"encoding/binary"
	"math"

	"towpath.dev/towpath/internal/monitor/kql/exec/agg"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// groups deals rows to groups of equal keys, numbered in the order of their first rows.
type groups struct {
	of    []int32 // of each row
	first []int32 // the first row of each group
}

func groupRows(keys []vec.Vec, n int) *groups {
	g := &groups{of: make([]int32, n)}
	if len(keys) == 1 && !keys[0].Const {
		switch vec.ClassOf(keys[0].Kind) {
		case vec.Texts:
			groupBy(g, keys[0].Text)
			return g
		case vec.Ints:
			if keys[0].Null == nil {
				groupBy(g, keys[0].Int)
				return g
			}
		}
	}
	seen := map[string]int32{}
	enc := newEncoder(keys)
	for i := range n {
		b := enc.row(i)
		id, ok := seen[string(b)]
		if !ok {
			id = int32(len(g.first))
			seen[string(b)] = id
			g.first = append(g.first, int32(i))
		}
		g.of[i] = id
	}
	return g
}

func groupBy[T comparable](g *groups, keys []T) {
	seen := map[T]int32{}
	for i, k := range keys {
		if i > 0 && k == keys[i-1] { // logs come in runs
			g.of[i] = g.of[i-1]
			continue
		}
		id, ok := seen[k]
		if !ok {
			id = int32(len(g.first))
			seen[k] = id
			g.first = append(g.first, int32(i))
		}
		g.of[i] = id
	}
}

// encoder writes the keys of a row so that equal keys, and only they, are equal bytes.
// Null equals null.
type encoder struct {
	keys []vec.Vec
	buf  []byte
}

func newEncoder(keys []vec.Vec) *encoder {
	e := &encoder{}
	for _, k := range keys {
		e.keys = append(e.keys, k.Parsed())
	}
	return e
}

func (e *encoder) row(i int) []byte {
	b := e.buf[:0]
	for _, k := range e.keys {
		if k.IsNull(i) {
			b = append(b, 0)
			continue
		}
		b = append(b, 1)
		j := i & k.Mask()
		switch vec.ClassOf(k.Kind) {
		case vec.Ints:
			b = binary.LittleEndian.AppendUint64(b, uint64(k.Int[j]))
		case vec.Reals:
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(k.Real[j]+0)) // -0 is 0
		case vec.Texts:
			b = binary.AppendUvarint(b, uint64(len(k.Text[j])))
			b = append(b, k.Text[j]...)
		default:
			at := len(b)
			b = value.AppendJSON(append(b, 0, 0, 0, 0), k.Dyn[j])
			binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
		}
	}
	e.buf = b
	return b
}

func (r *run) summarize(x *ir.Summarize, f *frame) (*frame, error) {
	keys, err := r.exprs(exprsOf(x.Keys), f)
	if err != nil {
		return nil, err
	}
	out := &frame{cols: x.Cols}
	var of []int32
	out.n = 1
	if len(keys) > 0 {
		g := groupRows(keys, f.n)
		of, out.n = g.of, len(g.first)
		for _, k := range keys {
			out.vecs = append(out.vecs, k.Pick(g.first))
		}
	}
	ev, held := r.over(f), int64(0)
	defer func() { r.release(held) }()
	for i := range x.Aggs {
		vs, err := ev.aggregate(&x.Aggs[i], of, out.n)
		if err != nil {
			return nil, at(x.Aggs[i], err)
		}
		n := (&frame{vecs: vs, n: out.n}).bytes()
		if err := r.hold(x.Aggs[i].Func, n); err != nil {
			return nil, at(x.Aggs[i], err)
		}
		out.vecs, held = append(out.vecs, vs...), held+n
	}
	return out.as(x.Cols), nil
}

func exprsOf(named []ir.Named) []ir.Expr {
	out := make([]ir.Expr, len(named))
	for i, n := range named {
		out[i] = n.Expr
	}
	return out
}

// aggregate computes an aggregate over the rows of each group.
func (e *eval) aggregate(x *ir.Agg, of []int32, n int) ([]vec.Vec, error) {
	c := &agg.Call{Func: x.Func, Kinds: x.Kinds, Group: of, N: e.f.n, Groups: n}
	held := int64(0)
	defer func() { e.r.release(held) }()
	for _, a := range x.Args {
		v, err := e.expr(a)
		if err != nil {
			return nil, err
		}
		size, err := e.keep(x.Func, v)
		if err != nil {
			return nil, err
		}
		c.Args, held = append(c.Args, v), held+size
	}
	c.MaxBytes = max(1, e.r.left())
	if x.If != nil {
		v, err := e.expr(x.If)
		if err != nil {
			return nil, err
		}
		v = v.Convert(table.Bool, e.f.n)
		c.Keep = make([]bool, e.f.n)
		for i := range c.Keep {
			c.Keep[i] = v.Int[i&v.Mask()] != 0 && !v.IsNull(i)
		}
	}
	if err := e.r.ctx.Err(); err != nil {
		return nil, err
	}
	return agg.Run(c)
}
