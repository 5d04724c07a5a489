//go:build cgo

package query_test

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/bind"
	"towpath.dev/towpath/internal/monitor/kql/exec"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	plan "towpath.dev/towpath/internal/monitor/kql/sql"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/bloom"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/monitor/table/sqltype"
)

// corpusLine is one query of testdata with how much of it the engine must answer.
type corpusLine struct {
	line  int
	whole bool
	text  string
}

func corpus(t *testing.T, path string) []corpusLine {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []corpusLine
	s := bufio.NewScanner(f)
	for n := 1; s.Scan(); n++ {
		if how, text, ok := strings.Cut(s.Text(), " "); ok && (how == "W" || how == "P") {
			out = append(out, corpusLine{n, how == "W", text})
		}
	}
	return out
}

// duck is an engine over rows in an in-process DuckDB, which does no more than the lake
// must: it applies project and time. Beyond that it takes every hint at its word, so that
// a hint that leaves out a row makes a difference.
type duck struct {
	db     *sql.DB
	tables map[string]*table.Batch
	failed error // the last error, which the runner may have mended
}

func newDuck(t *testing.T, batches ...*table.Batch) *duck {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	d := &duck{db: db, tables: map[string]*table.Batch{}}
	for _, b := range batches {
		d.tables[b.Table] = b
	}
	return d
}

// load makes the table that a scan names.
func (d *duck) load(ctx context.Context, s lake.Scan) error {
	b := d.tables[s.Table]
	var cols []table.Column
	for _, name := range s.Columns {
		cols = append(cols, b.Columns[b.Index(name)])
	}
	defs := []string{`"rows_" INTEGER`}
	for _, c := range cols {
		defs = append(defs, `"`+c.Name+`" `+sqltype.DuckDB(c.Kind))
	}
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `CREATE OR REPLACE TABLE "`+s.Name+`" (`+strings.Join(defs, ", ")+")"); err != nil {
		return err
	}
	return conn.Raw(func(raw any) error {
		a, err := duckdb.NewAppenderFromConn(raw.(driver.Conn), "", s.Name)
		if err != nil {
			return err
		}
		for i := range b.Rows() {
			if !wanted(b, i, s) {
				continue
			}
			row := []driver.Value{int32(1)}
			for _, c := range cols {
				row = append(row, cellOf(b.Vectors[b.Index(c.Name)], i))
			}
			if err := a.AppendRow(row...); err != nil {
				return err
			}
		}
		return a.Close()
	})
}

// wanted reports whether the hints of a scan let a row through.
func wanted(b *table.Batch, i int, s lake.Scan) bool {
	if b.Index(table.TimeGenerated) < 0 {
		return true // a table that is not the catalogue's
	}
	text := func(name string) string { return b.Vectors[b.Index(name)].Text[i] }
	at := b.Vectors[b.Index(table.TimeGenerated)].Int[i]
	if !s.All && text(table.Project) != s.Project || s.From > 0 && at < s.From || s.To > 0 && at >= s.To {
		return false
	}
	for name, values := range s.Equal {
		if !slices.Contains(values, text(name)) {
			return false
		}
	}
	terms := bloom.Set{}
	for _, name := range table.ByName(s.Table).Search {
		terms.AddJSON(text(name))
	}
	for _, term := range s.Terms {
		if _, ok := terms[bloom.HashOf(term)]; !ok {
			return false
		}
	}
	return true
}

func cellOf(v table.Vector, i int) driver.Value {
	if v.IsNull(i) && v.Text == nil {
		return nil
	}
	switch v.Kind {
	case table.Bool:
		return v.Int[i] != 0
	case table.Int:
		return int32(v.Int[i])
	case table.Real, table.Decimal:
		return v.Real[i]
	case table.GUID, table.String, table.Dynamic:
		return v.Text[i]
	}
	return v.Int[i]
}

func (d *duck) Query(ctx context.Context, q lake.Query) (*lake.Answer, error) {
	a, err := d.answer(ctx, q)
	if err != nil {
		d.failed = fmt.Errorf("%w\n%s", err, q.SQL)
	}
	return a, err
}

func (d *duck) answer(ctx context.Context, q lake.Query) (*lake.Answer, error) {
	for _, s := range q.Scans {
		if err := d.load(ctx, s); err != nil {
			return nil, fmt.Errorf("loading %s: %w", s.Table, err)
		}
	}
	rows, err := d.db.QueryContext(ctx, q.SQL)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "asking DuckDB")
	}
	defer rows.Close()
	out := &lake.Answer{Batch: &table.Batch{Columns: q.Columns, Vectors: make([]table.Vector, len(q.Columns))}}
	cells, to := make([]any, len(q.Columns)), make([]any, len(q.Columns))
	for i, c := range q.Columns {
		out.Batch.Vectors[i] = table.NewVector(c.Kind, 0)
		to[i] = &cells[i]
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		for i := range cells {
			if err := put(&out.Batch.Vectors[i], cells[i]); err != nil {
				return nil, fmt.Errorf("column %s: %w", q.Columns[i].Name, err)
			}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "asking DuckDB")
	}
	return out, nil
}

// put adds a cell of exactly the type that the contract of package lake names.
func put(v *table.Vector, cell any) error {
	want := sqltype.DuckDB(v.Kind)
	switch x := cell.(type) {
	case nil:
		if want == "VARCHAR" {
			return fmt.Errorf("NULL in a text")
		}
		v.AppendNull()
		return nil
	case bool:
		if want == "BOOLEAN" {
			v.AppendInt(map[bool]int64{true: 1}[x])
			return nil
		}
	case int32:
		if want == "INTEGER" {
			v.AppendInt(int64(x))
			return nil
		}
	case int64:
		if want == "BIGINT" {
			v.AppendInt(x)
			return nil
		}
	case float64:
		if want == "DOUBLE" {
			v.AppendReal(x)
			return nil
		}
	case string:
		if want == "VARCHAR" {
			v.AppendText(x)
			return nil
		}
	}
	return fmt.Errorf("%T for %s", cell, want)
}

// reference answers a query with the executor alone, over all rows of the project.
func reference(ctx context.Context, text string, ask query.Ask, tables map[string]*table.Batch) (*table.Batch, error) {
	q, errs := bind.Bind(text, bind.Standard())
	if len(errs) > 0 {
		return nil, query.Errors(errs)
	}
	return run(ctx, q.Rel, ask, tables)
}

func run(ctx context.Context, rel ir.Rel, ask query.Ask, tables map[string]*table.Batch) (*table.Batch, error) {
	return exec.Run(ctx, rel, exec.Env{Now: now, Source: func(_ context.Context, s *ir.Scan) (*table.Batch, error) {
		b := tables[s.Table]
		scan := lake.Scan{Table: s.Table, Project: ask.Project, All: ask.All}
		if !ask.From.IsZero() {
			scan.From = table.TicksOf(ask.From)
		}
		if !ask.To.IsZero() {
			scan.To = table.TicksOf(ask.To)
		}
		var keep []int
		for i := range b.Rows() {
			if wanted(b, i, scan) {
				keep = append(keep, i)
			}
		}
		return b.Pick(keep), nil
	}})
}

// lines writes rows so that equal rows are equal texts. Reals are rounded to twelve
// digits: engines add in another order.
func lines(b *table.Batch) []string {
	out := make([]string, b.Rows())
	for i := range out {
		var cells []string
		for _, v := range b.Vectors {
			switch {
			case v.IsNull(i):
				cells = append(cells, "null")
			case v.Kind == table.Dynamic:
				// A text that is no JSON and the same text in quotes are one value.
				cells = append(cells, value.JSON(vec.Parse(v.Text[i])))
			case v.Text != nil:
				cells = append(cells, fmt.Sprintf("%q", v.Text[i]))
			case v.Real != nil && math.Abs(v.Real[i]) < 1e-9:
				cells = append(cells, "0")
			case v.Real != nil:
				cells = append(cells, fmt.Sprintf("%.11g", v.Real[i]))
			default:
				cells = append(cells, fmt.Sprint(v.Int[i]))
			}
		}
		out[i] = strings.Join(cells, " | ")
	}
	return out
}

// ordered reports whether the order of the rows of a query means something.
func ordered(text string) bool {
	last := text[strings.LastIndex(text, "| ")+1:]
	for _, op := range []string{" sort by", " order by", " top "} {
		if strings.Contains(last, op) {
			return true
		}
	}
	return strings.Contains(text, "sort by") && !strings.Contains(text, "summarize") && !strings.Contains(text, "union") && !strings.Contains(text, "join")
}

// sameRows compares, in their order where the query has one; its last key is unique.
func sameRows(t *testing.T, text string, want, got *table.Batch) {
	t.Helper()
	compare(t, text, want, got, ordered(text))
}

// sameSet compares in any order.
func sameSet(t *testing.T, text string, want, got *table.Batch) {
	t.Helper()
	compare(t, text, want, got, false)
}

func compare(t *testing.T, text string, want, got *table.Batch, inOrder bool) {
	t.Helper()
	if !slices.Equal(want.Columns, got.Columns) {
		t.Errorf("%s\ncolumns %v, not %v", text, got.Columns, want.Columns)
		return
	}
	w, g := lines(want), lines(got)
	if !inOrder {
		slices.Sort(w)
		slices.Sort(g)
	}
	if slices.Equal(w, g) {
		return
	}
	var diff []string
	for i := range max(len(w), len(g)) {
		a, b := "-", "-"
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b && len(diff) < 6 {
			diff = append(diff, "  executor "+a+"\n  engine   "+b)
		}
	}
	t.Errorf("%s\n%d rows by the executor, %d by the engine:\n%s", text, len(w), len(g), strings.Join(diff, "\n"))
}

// sample makes rows of all tables that lie in an engine.
func sample(seed uint64, n int) (batches []*table.Batch, tables map[string]*table.Batch) {
	r, tables := seeded{rand.New(rand.NewPCG(seed, 1))}, map[string]*table.Batch{}
	for _, t := range table.Catalog() {
		if !t.Virtual {
			b := r.rows(t, n)
			batches, tables[t.Name] = append(batches, b), b
		}
	}
	return batches, tables
}

// wholeCorpus asks a runner every query of the corpus; failed returns the last error of its
// engine, which the runner may have mended by asking carefully.
func wholeCorpus(t *testing.T, r *query.Runner, tables map[string]*table.Batch, failed func() error) {
	t.Helper()
	for _, c := range corpus(t, "testdata/pushed.kql") {
		ask := query.Ask{Text: c.text, Project: "shop", MaxRows: 100_000}
		want, err := reference(t.Context(), c.text, ask, tables)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Run(t.Context(), ask)
		if engine := failed(); err != nil || engine != nil {
			t.Errorf("line %d: %s\nplanned: %v\nthe engine: %v", c.line, c.text, err, engine)
			continue
		}
		sameRows(t, fmt.Sprintf("line %d: %s\n%s", c.line, c.text, got.Stats.Pushed), want, got.Batch)
	}
}

// pushedWhole reports whether the engine is to answer all of a query.
func pushedWhole(t *testing.T, text string, ask query.Ask, tables map[string]*table.Batch) bool {
	t.Helper()
	q, errs := bind.Bind(text, bind.Standard())
	if len(errs) > 0 {
		t.Fatal(query.Errors(errs))
	}
	rel, err := plan.Subs(q.Rel, func(r ir.Rel) (*table.Batch, error) { return run(context.Background(), r, ask, tables) })
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(rel, plan.DuckDB(), plan.Options{Now: now, Table: bind.Standard().Table, Virtual: func(name string) bool { return bind.Standard().Table(name).Virtual }})
	if err != nil {
		t.Fatal(err)
	}
	return len(p.Parts) == 1 && p.Parts[0].Whole
}

// TestPushdownNeverChangesAnAnswer asks every query of the corpus twice: the executor
// alone, and planned, over the same random rows. A query marked W is answered by the engine
// alone, and without an error on the way.
func TestPushdownNeverChangesAnAnswer(t *testing.T) {
	ctx := context.Background()
	for _, seed := range []uint64{1, 2} {
		batches, tables := sample(seed, 400)
		engine := newDuck(t, batches...)
		r := query.New(query.Options{Clock: clock.Fixed(now, 0), Engine: engine})
		for _, ask := range []query.Ask{{Project: "shop"}, {All: true, From: now.Add(-4 * time.Hour), To: now.Add(-10 * time.Minute)}} {
			for _, c := range corpus(t, "testdata/pushed.kql") {
				want, err := reference(ctx, c.text, ask, tables)
				if err != nil {
					t.Errorf("line %d: %s\nthe executor: %v", c.line, c.text, err)
					continue
				}
				if whole := pushedWhole(t, c.text, ask, tables); whole != c.whole {
					t.Errorf("line %d: %s\npushed as a whole: %t", c.line, c.text, whole)
				}
				engine.failed = nil
				ask.Text, ask.MaxRows = c.text, 100_000
				got, err := r.Run(ctx, ask)
				if err != nil || engine.failed != nil {
					t.Errorf("line %d: %s\nplanned: %v\nthe engine: %v", c.line, c.text, err, engine.failed)
					continue
				}
				sameRows(t, fmt.Sprintf("line %d: %s\n%s", c.line, c.text, got.Stats.Pushed), want, got.Batch)
			}
		}
	}
}
