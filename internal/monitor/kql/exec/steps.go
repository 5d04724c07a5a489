package exec

import (
	"slices"

	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/table"
)

// scanner is the scan operator at work ("scan operator", matching logic). The state of a
// step holds the latest row of each step up to it, nil while there is none.
type scanner struct {
	r        *run
	x        *ir.ScanSteps
	f        *frame
	cols     []table.Column // of the input, then the declared ones
	defaults []any
	state    [][][]any
	match    []int64 // the sequence that the state of each step belongs to
	begun    int64   // sequences so far
	held     [][]any // of steps with output=last
	rows     [][]any
}

func (r *run) scanSteps(x *ir.ScanSteps, f *frame) (*frame, error) {
	s := &scanner{r: r, x: x, f: f, cols: slices.Clone(f.cols), state: make([][][]any, len(x.Steps)), held: make([][]any, len(x.Steps)), match: make([]int64, len(x.Steps))}
	for _, d := range x.Declare {
		var cell any
		kind := table.Dynamic
		if d.Expr != nil {
			v, err := r.expr(d.Expr, &frame{n: 1})
			if err != nil {
				return nil, err
			}
			cell, kind = v.At(0), v.Kind
		}
		if i := slices.IndexFunc(x.Cols, func(c table.Column) bool { return c.Name == d.Name }); i >= 0 {
			kind = x.Cols[i].Kind
		}
		s.defaults = append(s.defaults, cell)
		s.cols = append(s.cols, table.Column{Name: d.Name, Kind: kind})
	}
	for i := range f.n {
		if err := s.row(i); err != nil {
			return nil, err
		}
		if err := r.rows("scan", len(s.rows)); err != nil {
			return nil, err
		}
		if err := r.fits("scan", int64(len(s.rows))*int64(24+48*len(s.cols))); err != nil {
			return nil, err
		}
	}
	for k := range s.held {
		s.release(k)
	}
	return s.result(), nil
}

func (s *scanner) row(i int) error {
	row := make([]any, 0, len(s.cols))
	for _, v := range s.f.vecs {
		row = append(row, v.At(i))
	}
	row = append(row, s.defaults...)
	for k := len(s.x.Steps) - 1; k >= 0; k-- {
		if k > 0 && s.state[k-1] != nil {
			hit, err := s.try(k, row, s.state[k-1])
			if err != nil {
				return err
			}
			if hit != nil {
				s.release(k)
				s.state[k] = append(slices.Clone(s.state[k-1]), hit)
				s.state[k-1], s.match[k] = nil, s.match[k-1]
				s.emit(k, hit)
				continue
			}
		}
		if k > 0 && s.state[k] == nil {
			continue
		}
		hit, err := s.try(k, row, s.state[k])
		if err != nil {
			return err
		}
		if hit != nil {
			if s.state[k] == nil {
				s.state[k] = [][]any{hit}
				s.match[k], s.begun = s.begun, s.begun+1
			} else {
				s.state[k] = slices.Clone(s.state[k])
				s.state[k][k] = hit
			}
			s.emit(k, hit)
		}
	}
	return nil
}

// try matches a row with a step under a state; nil when it does not match, else the row
// with the step's assignments.
func (s *scanner) try(k int, row []any, state [][]any) ([]any, error) {
	step := &s.x.Steps[k]
	f := &frame{cols: s.cols, n: 1}
	for i, c := range s.cols {
		f.vecs = append(f.vecs, vec.Constant(c.Kind, row[i]))
	}
	full := make([][]any, len(s.x.Steps))
	copy(full, state)
	for i := range full { // a declared column of a step without state has its default
		if full[i] == nil {
			full[i] = append(make([]any, len(s.f.cols)), s.defaults...)
		}
	}
	ev := &eval{r: s.r, f: f, state: full}
	v, err := ev.expr(step.Cond)
	if err != nil || v.IsNull(0) || v.At(0) != true {
		return nil, err
	}
	out := slices.Clone(row)
	for at, e := range step.Assign {
		v, err := ev.expr(e)
		if err != nil {
			return nil, err
		}
		out[len(s.f.cols)+at] = v.At(0)
	}
	return out, nil
}

// emit puts a row out, with the number of its sequence behind its columns.
func (s *scanner) emit(k int, row []any) {
	row = append(slices.Clone(row), s.match[k])
	switch s.x.Steps[k].Output {
	case "none":
	case "last":
		s.held[k] = row
	default:
		s.rows = append(s.rows, row)
	}
}

// release puts out the last row of a run of matches.
func (s *scanner) release(k int) {
	if s.held[k] != nil {
		s.rows, s.held[k] = append(s.rows, s.held[k]), nil
	}
}

func (s *scanner) result() *frame {
	out := newFrame(s.x.Cols, len(s.rows))
	for i, row := range s.rows {
		for k, c := range s.x.Cols {
			at := slices.IndexFunc(s.cols, func(o table.Column) bool { return o.Name == c.Name })
			if s.x.MatchID && k == len(s.x.Cols)-1 {
				at = len(row) - 1
			}
			if at < 0 || row[at] == nil {
				out.vecs[k].SetNull(i)
				continue
			}
			out.vecs[k].Set(i, row[at])
		}
	}
	return out
}
