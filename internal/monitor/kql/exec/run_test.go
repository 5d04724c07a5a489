package exec_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/bind"
	"towpath.dev/towpath/internal/monitor/kql/exec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/table"
)

func bound(t testing.TB, query string) ir.Rel {
	t.Helper()
	q, errs := bind.Bind(query, bind.NewCatalog(table.Catalog(), nil))
	if len(errs) > 0 {
		t.Fatalf("%s\n%v", query, errs[0])
	}
	return q.Rel
}

// TestBombsAreRefused: what grows without measure ends with a refusal that names the
// operator, or with the context.
func TestBombsAreRefused(t *testing.T) {
	for name, query := range map[string]string{
		"join":      "range x from 1 to 5000 step 1 | extend k = 1 | join kind=inner (range y from 1 to 5000 step 1 | extend k = 1) on k",
		"mv-expand": "range x from 1 to 5000 step 1 | extend d = range(1, 5000) | mv-expand d",
		"union":     "let t = range x from 1 to 90000 step 1; union t, t, t",
		"strrep":    "range x from 1 to 90000 step 1 | extend s = strrep(tostring(x), 100000)",
		"range":     "range x from 1 to 90000 step 1 | extend s = range(x, 1000000)",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := exec.Run(t.Context(), bound(t, query), exec.Env{Now: now, MaxRows: 100_000, MaxBytes: 64 << 20})
			if !fault.Is(err, fault.TooLarge) {
				t.Fatalf("got %v, want a refusal as too large", err)
			}
			if m, next := fault.Public(err); next == "" || m == "" {
				t.Errorf("the refusal %q says no next step", m)
			}
		})
	}
}

// TestTheRestOfManyPatternsAreOthers: 1,500 words that come twice each are 1,000 patterns.
func TestTheRestOfManyPatternsAreOthers(t *testing.T) {
	got, err := exec.Run(t.Context(), bound(t, `range i from 1 to 3000 step 1 | extend s=strcat("w", i % 1500) | reduce by s | where Pattern == "others" or Count != 2`), exec.Env{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if at := got.Index("Count"); got.Rows() != 1 || got.Vectors[at].Int[0] != 1000 {
		t.Errorf("the patterns that are no pair are\n%s", render(got))
	}
}

func TestACancelledQueryEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := exec.Run(ctx, bound(t, "range x from 1 to 10 step 1 | count"), exec.Env{Now: now})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's end", err)
	}
}

func TestInputsAreNotChanged(t *testing.T) {
	batch := &table.Batch{
		Columns: []table.Column{{Name: "n", Kind: table.Long}, {Name: "d", Kind: table.Dynamic}},
		Vectors: []table.Vector{{Kind: table.Long, Int: []int64{3, 1, 2}, Null: []bool{false, true, false}}, {Kind: table.Dynamic, Text: []string{`{"a":1}`, "", "[1]"}}},
	}
	given := &ir.Given{Out: ir.Out{Cols: batch.Columns}, Batch: batch}
	n := &ir.Col{K: table.Long, Index: 0, Name: "n"}
	rel := &ir.Sort{Out: given.Out, Keys: []ir.SortKey{{Expr: n, Asc: true}}, In: &ir.Project{Out: given.Out, In: given, Exprs: []ir.Named{
		{Name: "n", Expr: &ir.Call{K: table.Long, Func: "coalesce", Args: []ir.Expr{n, &ir.Lit{K: table.Long, Value: int64(9)}}}},
		{Name: "d", Expr: &ir.Col{K: table.Dynamic, Index: 1, Name: "d"}},
	}}}
	got, err := exec.Run(t.Context(), rel, exec.Env{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if s := render(got); !strings.Contains(s, "9 | null") {
		t.Errorf("the result is\n%s", s)
	}
	if batch.Vectors[0].Int[1] != 1 || !batch.Vectors[0].Null[1] || batch.Vectors[1].Text[0] != `{"a":1}` {
		t.Errorf("the input has changed: %+v", batch.Vectors)
	}
}

func TestFold(t *testing.T) {
	e := &ir.Call{K: table.DateTime, Func: "ago", Args: []ir.Expr{&ir.Lit{K: table.TimeSpan, Value: int64(time.Hour / 100)}}}
	lit, err := exec.Fold(e, now)
	if err != nil || lit.Value != table.TicksOf(now.Add(-time.Hour)) {
		t.Errorf("ago(1h) is %v, %v", lit, err)
	}
	if exec.Constant(&ir.Call{K: table.Real, Func: "rand"}) {
		t.Error("rand is no constant")
	}
	if _, err := exec.Fold(&ir.Col{K: table.Long}, now); err == nil {
		t.Error("a column was folded")
	}
}

// logs makes rows like those of containers.
func logs(n int) *table.Batch {
	times, levels, texts, sizes := make([]int64, n), make([]string, n), make([]string, n), make([]float64, n)
	start := table.TicksOf(now)
	for i := range n {
		times[i] = start + int64(i)*10_000
		levels[i] = []string{"INFO", "INFO", "WARNING", "ERROR"}[i*7%4]
		texts[i] = []string{`GET /cart/42 200 in 12 ms`, `user signed in`, `connection to database refused`, `PUT /orders/7 500 in 90 ms`}[i*5%4]
		sizes[i] = float64(i % 1000)
	}
	return &table.Batch{
		Columns: []table.Column{{Name: "TimeGenerated", Kind: table.DateTime}, {Name: "Level", Kind: table.String}, {Name: "Message", Kind: table.String}, {Name: "Size", Kind: table.Real}},
		Vectors: []table.Vector{{Kind: table.DateTime, Int: times}, {Kind: table.String, Text: levels}, {Kind: table.String, Text: texts}, {Kind: table.Real, Real: sizes}},
	}
}

// measure runs a query over a million rows.
func measure(b *testing.B, query string) {
	const n = 1_000_000
	batch := logs(n)
	t := &table.Table{Name: "Logs", Columns: batch.Columns}
	q, errs := bind.Bind(query, bind.NewCatalog([]*table.Table{t}, nil))
	if len(errs) > 0 {
		b.Fatal(errs[0])
	}
	env := exec.Env{Now: now, Source: func(context.Context, *ir.Scan) (*table.Batch, error) { return batch, nil }}
	b.ResetTimer()
	for b.Loop() {
		if _, err := exec.Run(b.Context(), q.Rel, env); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkFilterEquals(b *testing.B) { measure(b, `Logs | where Level == "ERROR" | count`) }
func BenchmarkFilterHas(b *testing.B)    { measure(b, `Logs | where Message has "database" | count`) }
func BenchmarkProject(b *testing.B) {
	measure(b, `Logs | project t = bin(TimeGenerated, 1m), kb = Size / 1024, m = toupper(Level)`)
}
func BenchmarkSummarizeByText(b *testing.B) {
	measure(b, `Logs | summarize count(), avg(Size) by Level`)
}
func BenchmarkTimeChart(b *testing.B) {
	measure(b, `Logs | summarize count() by bin(TimeGenerated, 1m), Level`)
}
func BenchmarkPercentile(b *testing.B) { measure(b, `Logs | summarize percentile(Size, 95) by Level`) }
func BenchmarkTop(b *testing.B)        { measure(b, `Logs | top 10 by Size`) }
func BenchmarkSort(b *testing.B)       { measure(b, `Logs | sort by Size asc`) }
func BenchmarkParse(b *testing.B) {
	measure(b, `Logs | parse Message with * " in " ms: long " ms" | where ms > 50 | count`)
}
func BenchmarkJoin(b *testing.B) {
	measure(b, `Logs | join kind=inner (datatable(Level: string, Rank: long) ["INFO", 1, "ERROR", 3]) on Level | count`)
}
