package judge

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// maxGroups is how many groups one evaluation may have.
const maxGroups = 1000

// maxLabel is how many bytes of a dimension's value a label keeps.
const maxLabel = 512

// Measure is how rows become groups with one number each.
type Measure struct {
	Dimensions []string // columns
	Column     string   // of numbers; "" counts rows
	Aggregate  string   // max, min, avg or sum of the column
}

// Group is rows with the same values of the dimensions.
type Group struct {
	Labels map[string]string
	Value  float64
	Rows   int
}

// Groups measures the rows of a result. A null of the measured column is left out; a group
// with nothing but nulls has no number and is left out too. Without dimensions there is
// always one group when rows are counted, be it of no row.
func (m Measure) Groups(b *table.Batch) ([]Group, error) {
	dims, value, err := m.columns(b)
	if err != nil {
		return nil, err
	}
	byKey := map[string]*sum{}
	var order []string
	for i := range b.Rows() {
		labels, key := map[string]string{}, ""
		for k, d := range dims {
			text := table.Shorten(Text(b.Vectors[d], i), maxLabel)
			labels[m.Dimensions[k]] = text
			key += strconv.Itoa(len(text)) + ":" + text
		}
		g := byKey[key]
		if g == nil {
			if len(order) == maxGroups {
				return nil, fault.New(fault.TooLarge, "The result has more than %d combinations of %s.", maxGroups, strings.Join(m.Dimensions, ", ")).
					WithNext("choose dimensions with fewer values, or filter in the query")
			}
			g = &sum{Group: Group{Labels: labels}, min: math.Inf(1), max: math.Inf(-1)}
			byKey[key] = g
			order = append(order, key)
		}
		g.Rows++
		if value >= 0 && !b.Vectors[value].IsNull(i) {
			g.add(number(b.Vectors[value], i))
		}
	}
	if value < 0 && len(m.Dimensions) == 0 && len(order) == 0 {
		return []Group{{Labels: map[string]string{}}}, nil
	}
	var out []Group
	for _, key := range order {
		g := byKey[key]
		switch {
		case value < 0:
			g.Value = float64(g.Rows)
		case g.n == 0:
			continue
		default:
			g.Value = g.result(m.Aggregate)
		}
		out = append(out, g.Group)
	}
	return out, nil
}

// sum is a group while its rows are read.
type sum struct {
	Group
	n               int
	min, max, total float64
}

// add takes a number in; what is none says nothing.
func (s *sum) add(v float64) {
	if math.IsNaN(v) {
		return
	}
	s.n++
	s.total += v
	s.min, s.max = min(s.min, v), max(s.max, v)
}

func (s *sum) result(aggregate string) float64 {
	switch aggregate {
	case "min":
		return s.min
	case "avg":
		return s.total / float64(s.n)
	case "sum":
		return s.total
	}
	return s.max
}

// columns finds the columns, value -1 for rows.
func (m Measure) columns(b *table.Batch) (dims []int, value int, err error) {
	missing := func(name string) error {
		var have []string
		for _, c := range b.Columns {
			have = append(have, c.Name)
		}
		return fault.New(fault.Invalid, "The result has no column %q; it has %s.", name, strings.Join(have, ", ")).
			WithNext("name a column of the result, or keep this one in the query")
	}
	for _, d := range m.Dimensions {
		i := b.Index(d)
		if i < 0 {
			return nil, 0, missing(d)
		}
		dims = append(dims, i)
	}
	if m.Column == "" {
		return dims, -1, nil
	}
	value = b.Index(m.Column)
	if value < 0 {
		return nil, 0, missing(m.Column)
	}
	if k := b.Columns[value].Kind; !slices.Contains(numeric, k) {
		return nil, 0, fault.New(fault.Invalid, "Column %q is a %s; a number is needed.", m.Column, k).WithNext("convert it in the query, as with toreal()")
	}
	return dims, value, nil
}

var numeric = []table.Kind{table.Bool, table.Int, table.Long, table.Real, table.Decimal, table.TimeSpan}

// number returns an entry as a number; a timespan in seconds.
func number(v table.Vector, i int) float64 {
	switch v.Kind {
	case table.Real, table.Decimal:
		return v.Real[i]
	case table.TimeSpan:
		return float64(v.Int[i]) / table.TicksPerSecond
	}
	return float64(v.Int[i])
}

// Text returns an entry as a label's value; null is "".
func Text(v table.Vector, i int) string {
	if v.IsNull(i) {
		return ""
	}
	switch v.Kind {
	case table.Bool:
		return strconv.FormatBool(v.Int[i] != 0)
	case table.DateTime:
		return value.FormatDateTime(v.Int[i])
	case table.TimeSpan:
		return value.FormatTimeSpan(v.Int[i])
	case table.Real, table.Decimal:
		return strconv.FormatFloat(v.Real[i], 'g', -1, 64)
	case table.GUID, table.String:
		return v.Text[i]
	case table.Dynamic:
		var s string
		if json.Unmarshal([]byte(v.Text[i]), &s) == nil {
			return s
		}
		return v.Text[i]
	}
	return fmt.Sprint(v.Int[i])
}
