package virtual

import (
	"encoding/json"
	"time"

	"towpath.dev/towpath/internal/monitor/table"
)

// row is the values of one row by the names of the columns: string, int64, float64 or
// time.Time. A column that is not named is null.
type row map[string]any

// rows collects rows of one table.
type rows struct{ b *table.Batch }

func newRows(name string) *rows {
	b := &table.Batch{Table: name}
	for _, t := range table.Catalog() {
		if t.Name == name {
			b.Columns = t.Columns
		}
	}
	for _, c := range b.Columns {
		b.Vectors = append(b.Vectors, table.NewVector(c.Kind, 0))
	}
	return &rows{b}
}

func (r *rows) add(values row) {
	for i, c := range r.b.Columns {
		to := &r.b.Vectors[i]
		switch v := values[c.Name].(type) {
		case string:
			to.AppendText(v)
		case int64:
			to.AppendInt(v)
		case float64:
			to.AppendReal(v)
		case time.Time:
			to.AppendInt(table.TicksOf(v))
		default:
			to.AppendNull()
		}
	}
}

// object writes labels as a JSON object, without those named.
func object(ls map[string]string, without ...string) string {
	out := make(map[string]string, len(ls))
	for k, v := range ls {
		out[k] = v
	}
	for _, k := range without {
		delete(out, k)
	}
	text, err := json.Marshal(out)
	if err != nil {
		return "{}" // strings are always written
	}
	return string(text)
}
