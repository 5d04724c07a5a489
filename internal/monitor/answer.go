package monitor

import (
	"encoding/json"
	"math"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
)

// Answer is the result of a question. A cell is null, a bool, a number, a string
// (datetimes as RFC 3339 with seven digits, timespans as Kusto writes them), or for a
// dynamic its JSON.
type Answer struct {
	Columns   []Column    `json:"columns"`
	Rows      [][]any     `json:"rows"`
	Render    *ir.Render  `json:"render,omitempty" doc:"the chart that the text asks for"`
	Truncated bool        `json:"truncated,omitempty" doc:"there were more rows than were asked for"`
	Stats     query.Stats `json:"stats" doc:"how the question was answered"`
}

// Column is a column of an answer.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type" doc:"Kusto's name of the type"`
}

func answer(r *query.Result) *Answer {
	b := r.Batch
	out := &Answer{Columns: []Column{}, Rows: make([][]any, b.Rows()), Render: r.Render, Truncated: r.Truncated, Stats: r.Stats}
	for _, c := range b.Columns {
		out.Columns = append(out.Columns, Column{c.Name, c.Kind.String()})
	}
	cells := make([]any, len(out.Rows)*len(b.Columns))
	for i := range out.Rows {
		out.Rows[i], cells = cells[:len(b.Columns):len(b.Columns)], cells[len(b.Columns):]
		for k, v := range b.Vectors {
			out.Rows[i][k] = Cell(v, i)
		}
	}
	return out
}

// Cell returns entry i of a vector as it stands in JSON.
func Cell(v table.Vector, i int) any {
	if v.IsNull(i) {
		return nil
	}
	switch v.Kind {
	case table.Bool:
		return v.Int[i] != 0
	case table.Int, table.Long:
		return v.Int[i]
	case table.DateTime:
		return value.FormatDateTime(v.Int[i])
	case table.TimeSpan:
		return value.FormatTimeSpan(v.Int[i])
	case table.Real, table.Decimal:
		// JSON has no word for these; Kusto's own answers have strings too.
		switch f := v.Real[i]; {
		case math.IsNaN(f):
			return "NaN"
		case math.IsInf(f, 1):
			return "Infinity"
		case math.IsInf(f, -1):
			return "-Infinity"
		default:
			return f
		}
	case table.Dynamic:
		if json.Valid([]byte(v.Text[i])) {
			return json.RawMessage(v.Text[i])
		}
		return v.Text[i]
	}
	return v.Text[i]
}

// TableNames lists the tables that can be asked, by name.
func TableNames() []string {
	var out []string
	for _, t := range table.Catalog() {
		out = append(out, t.Name)
	}
	return out
}
