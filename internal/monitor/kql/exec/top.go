package exec

import (
	"slices"

	"towpath.dev/towpath/internal/monitor/kql/exec/agg"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// nest is top-nested at work: each level ranks the values of its column within a value of
// the level above.
type nest struct {
	r    *run
	x    *ir.TopNested
	f    *frame
	by   []vec.Vec
	rows [][]any
}

func (r *run) topNested(x *ir.TopNested, f *frame) (*frame, error) {
	n := &nest{r: r, x: x, f: f}
	for _, l := range x.Levels {
		v, err := r.expr(l.By.Expr, f)
		if err != nil {
			return nil, err
		}
		n.by = append(n.by, v.Parsed())
	}
	all := make([]int32, f.n)
	for i := range all {
		all[i] = int32(i)
	}
	if err := n.level(0, all, nil); err != nil {
		return nil, err
	}
	out := newFrame(x.Cols, len(n.rows))
	for i, row := range n.rows {
		for k, cell := range row {
			if cell == nil {
				out.vecs[k].SetNull(i)
			} else {
				out.vecs[k].Set(i, cell)
			}
		}
	}
	return out, nil
}

func (n *nest) level(depth int, rows []int32, above []any) error {
	if depth == len(n.x.Levels) {
		n.rows = append(n.rows, above)
		if err := n.r.fits("top-nested", int64(len(n.rows))*int64(24+48*len(above))); err != nil {
			return err
		}
		return n.r.rows("top-nested", len(n.rows))
	}
	l := &n.x.Levels[depth]
	part := n.f.pick(rows)
	by := n.by[depth].Pick(rows)
	g := groupRows([]vec.Vec{by}, len(rows))
	vs, err := n.r.over(part).aggregate(&l.Agg, g.of, len(g.first))
	if err != nil {
		return err
	}
	order := make([]int32, len(g.first))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(i, j int32) int {
		return compareAt(vs[0].Parsed(), int(i), int(j), ir.SortKey{Asc: l.Asc, NullsFirst: false})
	})
	keep, err := n.r.number(l.N, int64(len(order)))
	if err != nil {
		return err
	}
	keep = max(0, min(keep, int64(len(order))))
	members := make([][]int32, len(g.first))
	for i, id := range g.of {
		members[id] = append(members[id], rows[i])
	}
	for _, id := range order[:keep] {
		row := append(slices.Clone(above), by.At(int(g.first[id])), vs[0].At(int(id)))
		if err := n.level(depth+1, members[id], row); err != nil {
			return err
		}
	}
	if l.Others == nil {
		return nil
	}
	return n.others(depth, members, order[keep:], above)
}

// others adds one row for what a level left out; the levels below it have no value unless
// they name one for others too.
func (n *nest) others(depth int, members [][]int32, left []int32, above []any) error {
	var rows []int32
	for _, id := range left {
		rows = append(rows, members[id]...)
	}
	row := slices.Clone(above)
	for d := depth; d < len(n.x.Levels); d++ {
		l := &n.x.Levels[d]
		if l.Others == nil {
			row = append(row, nil, nil)
			continue
		}
		name, err := n.r.expr(l.Others, &frame{n: 1})
		if err != nil {
			return err
		}
		vs, err := n.r.over(n.f.pick(rows)).aggregate(&l.Agg, nil, 1)
		if err != nil {
			return err
		}
		row = append(row, name.At(0), vs[0].At(0))
	}
	n.rows = append(n.rows, row)
	return nil
}

// topHitters are the values of a column with the highest counts or sums, exactly.
func (r *run) topHitters(x *ir.TopHitters, f *frame) (*frame, error) {
	of, err := r.expr(x.Of, f)
	if err != nil {
		return nil, err
	}
	n, err := r.number(x.N, 0)
	if err != nil {
		return nil, err
	}
	g := groupRows([]vec.Vec{of}, f.n)
	c := &agg.Call{Func: "count", Kinds: []table.Kind{table.Long}, Group: g.of, N: f.n, Groups: len(g.first)}
	if x.By != nil {
		v, err := r.expr(x.By, f)
		if err != nil {
			return nil, err
		}
		c.Func, c.Args, c.Kinds = "sum", []vec.Vec{v}, []table.Kind{x.Cols[1].Kind}
	}
	vs, err := agg.Run(c)
	if err != nil {
		return nil, err
	}
	all := &frame{cols: x.Cols, n: len(g.first), vecs: []vec.Vec{of.Pick(g.first), vs[0]}}
	rows := make([]int32, all.n)
	for i := range rows {
		rows[i] = int32(i)
	}
	slices.SortStableFunc(rows, func(i, j int32) int { return -value.Compare(vs[0].At(int(i)), vs[0].At(int(j))) })
	return all.pick(rows[:max(0, min(int64(len(rows)), n))]), nil
}
