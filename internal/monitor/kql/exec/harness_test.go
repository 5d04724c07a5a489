package exec_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/monitor/kql/bind"
	"towpath.dev/towpath/internal/monitor/kql/exec"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// now is the moment of every query of the tests.
var now = time.Date(2024, 3, 15, 12, 30, 0, 0, time.UTC)

// nothing is a catalogue without tables.
type nothing struct{}

func (nothing) Table(string) *table.Table { return nil }
func (nothing) View(string) string        { return "" }
func (nothing) Names() []string           { return nil }

// answer binds and runs a query; told is why the binder refused it.
func answer(t *testing.T, query string) (b *table.Batch, told string, err error) {
	t.Helper()
	q, errs := bind.Bind(query, nothing{})
	if len(errs) > 0 {
		return nil, errs[0].Error(), nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err = exec.Run(ctx, q.Rel, exec.Env{Now: now, Seed: 1})
	return b, "", err
}

// cell writes a cell as the fixtures have it.
func cell(b *table.Batch, col, row int) string {
	v := vec.Of(b.Vectors[col])
	if v.IsNull(row) {
		return "null"
	}
	return value.String(v.At(row))
}

// render writes a result as the fixtures have it: a line of names with types, then a line
// per row.
func render(b *table.Batch) string {
	var lines []string
	var head []string
	for _, c := range b.Columns {
		head = append(head, c.Name+":"+c.Kind.String())
	}
	lines = append(lines, strings.Join(head, " | "))
	for i := range b.Rows() {
		var row []string
		for k := range b.Columns {
			row = append(row, strings.ReplaceAll(cell(b, k, i), "\n", "\\n"))
		}
		lines = append(lines, strings.TrimRight(strings.Join(row, " | "), " "))
	}
	return strings.Join(lines, "\n")
}
