package metric

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"

	"towpath.dev/towpath/internal/fault"
)

// Value is a sample's value; what JSON has no number for stands as a string ("NaN", "+Inf").
type Value float64

// MarshalJSON writes a number, or the string.
func (v Value) MarshalJSON() ([]byte, error) {
	f := float64(v)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return json.Marshal(strconv.FormatFloat(f, 'g', -1, 64))
	}
	return json.Marshal(f)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (v *Value) UnmarshalJSON(b []byte) error {
	if len(b) > 1 && b[0] == '"' {
		b = b[1 : len(b)-1]
	}
	f, err := strconv.ParseFloat(string(b), 64)
	*v = Value(f)
	return err
}

// Series is the values of one series at moments: both lists have the same length, the
// oldest first. Steps at which there is no value are left out.
type Series struct {
	Labels map[string]string `json:"labels"`
	Times  []time.Time       `json:"times"`
	Values []Value           `json:"values"`
}

// Range evaluates an expression at each step from start to end, both included.
func (s *Store) Range(ctx context.Context, in Scope, expr string, start, end time.Time, step time.Duration) ([]Series, error) {
	if err := errors.Join(in.check(), short(expr)); err != nil {
		return nil, err
	}
	leave, err := s.enter(ctx, in)
	if err != nil {
		return nil, err
	}
	defer leave()
	q, err := s.engine.NewRangeQuery(ctx, confine(s.db, in), nil, expr, start, end, step)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The PromQL expression is not valid: %v.", err)
	}
	defer q.Close()
	r := q.Exec(ctx)
	if r.Err != nil {
		return nil, asFault(r.Err)
	}
	m, err := r.Matrix()
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The expression is a %s, which has no values over time.", r.Value.Type())
	}
	return matrix(m), nil
}

func matrix(m promql.Matrix) []Series {
	out := make([]Series, 0, len(m))
	for _, s := range m {
		one := Series{Labels: s.Metric.Map(), Times: make([]time.Time, 0, len(s.Floats)), Values: make([]Value, 0, len(s.Floats))}
		for _, p := range s.Floats {
			if !value.IsStaleNaN(p.F) {
				one.Times, one.Values = append(one.Times, time.UnixMilli(p.T).UTC()), append(one.Values, Value(p.F))
			}
		}
		out = append(out, one)
	}
	return out
}
