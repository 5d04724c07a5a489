package clickhouse

import "towpath.dev/towpath/internal/monitor/table"

// reader collects rows into a batch.
type reader struct {
	batch   *table.Batch
	targets []any
	rows    int
	bytes   int64
}

func newReader(columns []table.Column) *reader {
	r := &reader{batch: &table.Batch{Columns: columns, Vectors: make([]table.Vector, len(columns))}}
	for i, c := range columns {
		r.batch.Vectors[i] = table.NewVector(c.Kind, 0)
		switch c.Kind {
		case table.Bool:
			r.targets = append(r.targets, new(*bool))
		case table.Int:
			r.targets = append(r.targets, new(*int32))
		case table.Real, table.Decimal:
			r.targets = append(r.targets, new(*float64))
		case table.GUID, table.String, table.Dynamic:
			r.targets = append(r.targets, new(string))
		default:
			r.targets = append(r.targets, new(*int64))
		}
	}
	return r
}

// take adds the row that was scanned.
func (r *reader) take() {
	r.rows++
	for i := range r.batch.Vectors {
		v := &r.batch.Vectors[i]
		switch t := r.targets[i].(type) {
		case *string:
			v.Text = append(v.Text, *t)
			r.bytes += int64(len(*t)) + 16
			continue
		case **bool:
			add(v, *t, func(b bool) {
				n := int64(0)
				if b {
					n = 1
				}
				v.AppendInt(n)
			})
		case **int32:
			add(v, *t, func(n int32) { v.AppendInt(int64(n)) })
		case **int64:
			add(v, *t, v.AppendInt)
		case **float64:
			add(v, *t, v.AppendReal)
		}
		r.bytes += 8
	}
}

func add[T any](v *table.Vector, x *T, put func(T)) {
	if x == nil {
		v.AppendNull()
		return
	}
	put(*x)
}
