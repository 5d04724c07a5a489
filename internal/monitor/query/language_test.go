//go:build cgo

package query_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/monitor/kql/bind"
	"towpath.dev/towpath/internal/monitor/kql/exec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
)

// chance are the words of queries that may answer differently each time.
var chance = regexp.MustCompile(`\b(rand|new_guid|take|limit|take_any|any|anyif|take_anyif|sample|sample-distinct|partition|row_number|prev|next|scan|serialize)\b`)

// languageTables are T and U of the corpus of package bind, with rows.
func languageTables() ([]*table.Table, []*table.Batch) {
	c := func(name string, k table.Kind) table.Column { return table.Column{Name: name, Kind: k} }
	tables := []*table.Table{
		{Name: "T", Columns: []table.Column{c("i", table.Int), c("l", table.Long), c("r", table.Real), c("c", table.Decimal), c("s", table.String),
			c("d", table.DateTime), c("t", table.TimeSpan), c("g", table.GUID), c("b", table.Bool), c("y", table.Dynamic)}},
		{Name: "U", Columns: []table.Column{c("i", table.Long), c("s", table.String), c("s1", table.String), c("z", table.Real)}},
	}
	r := seeded{rand.New(rand.NewPCG(3, 4))}
	var batches []*table.Batch
	for _, t := range tables {
		b := &table.Batch{Table: t.Name, Columns: t.Columns}
		for _, c := range t.Columns {
			v := table.NewVector(c.Kind, 0)
			for range 60 {
				languageCell(r, &v)
			}
			b.Vectors = append(b.Vectors, v)
		}
		batches = append(batches, b)
	}
	return tables, batches
}

func languageCell(r seeded, v *table.Vector) {
	if r.sometimes(6) {
		v.AppendNull()
		return
	}
	switch v.Kind {
	case table.String:
		v.AppendText(r.text([]string{"a", "A", "b", "a b", "1", "-2", "3.5", "true", "2026-11-23", "x-1", "it's"}))
	case table.GUID:
		v.AppendText(r.text([]string{"74be27de-1e4e-49d9-b579-fe0b331d3642", "00000000-0000-0000-0000-000000000001"}))
	case table.Dynamic:
		v.AppendText(canonical(r.text(append([]string{`5`, `"x"`, `[1,2,3]`, `true`, `2.5`, `{"a":{"b":1},"b":"q"}`}, bags...))))
	case table.DateTime:
		v.AppendInt(table.TicksOf(now) - int64(r.IntN(1e6))*table.TicksPerSecond)
	case table.TimeSpan:
		v.AppendInt(int64(r.IntN(20000)-10000) * table.TicksPerSecond / 7)
	case table.Bool:
		v.AppendInt(int64(r.IntN(2)))
	case table.Real, table.Decimal:
		v.AppendReal(float64(r.IntN(4000))/16 - 100)
	default:
		v.AppendInt(int64(r.IntN(12) - 4))
	}
}

// alone runs a query in the executor. A panic there is an error of the test's, not its end.
func alone(ctx context.Context, rel ir.Rel, tables map[string]*table.Batch) (b *table.Batch, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return exec.Run(ctx, rel, exec.Env{Now: now, Source: func(_ context.Context, s *ir.Scan) (*table.Batch, error) { return tables[s.Table], nil }})
}

// TestTheCorpusOfTheLanguage runs every text of the binder's corpus over all types: each
// operator with each pair of types, each function, each form.
func TestTheCorpusOfTheLanguage(t *testing.T) {
	tables, batches := languageTables()
	catalog := bind.NewCatalog(tables, nil)
	engine := newDuck(t, batches...)
	r := query.New(query.Options{Clock: clock.Fixed(now, 0), Engine: engine, Catalog: catalog})
	files, err := filepath.Glob("../kql/testdata/corpus/*.kql")
	if err != nil || len(files) == 0 {
		t.Fatal("no corpus", err)
	}
	ran, pushed := 0, 0
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for n, text := range strings.Split(string(raw), "\n") {
			q, errs := bind.Bind(text, catalog)
			if len(errs) > 0 || text == "" || chance.MatchString(text) {
				continue
			}
			ctx := context.Background()
			want, wrong := alone(ctx, q.Rel, engine.tables)
			got, err := r.Run(ctx, query.Ask{Text: text, All: true, MaxRows: 100_000})
			if (wrong == nil) != (err == nil) {
				t.Errorf("%s:%d: %s\nthe executor: %v\nplanned: %v", path, n+1, text, wrong, err)
			}
			if wrong == nil && err == nil {
				sameSet(t, fmt.Sprintf("%s:%d: %s\n%s", filepath.Base(path), n+1, text, got.Stats.Pushed), want, got.Batch)
				ran++
				if got.Stats.Pushed != "" {
					pushed++
				}
			}
		}
	}
	t.Logf("%d queries, %d with a part in SQL", ran, pushed)
	if ran < 500 {
		t.Errorf("only %d queries of the corpus ran", ran)
	}
}
