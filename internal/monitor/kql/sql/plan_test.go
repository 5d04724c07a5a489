package sql_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/monitor/kql/bind"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/sql"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/table"
)

var update = flag.Bool("update", false, "write the golden files")

var now = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func options() sql.Options {
	c := bind.Standard()
	return sql.Options{Now: now, Table: c.Table, Virtual: func(name string) bool { return c.Table(name) == nil || c.Table(name).Virtual }}
}

func bound(t testing.TB, text string) ir.Rel {
	t.Helper()
	q, errs := bind.Bind(text, bind.Standard())
	if len(errs) > 0 {
		t.Fatalf("%s\n%v", text, errs[0])
	}
	return q.Rel
}

func made(t testing.TB, text string, d sql.Dialect, o sql.Options) *sql.Plan {
	t.Helper()
	p, err := sql.Make(bound(t, text), d, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// shown writes a plan: the SQL and the scans of each part, and what remains.
func shown(t *testing.T, p *sql.Plan) string {
	t.Helper()
	var b strings.Builder
	for _, part := range p.Parts {
		b.WriteString(part.Query.SQL + "\n")
		for _, s := range part.Query.Scans {
			hints, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "  %s\n", hints)
		}
	}
	if len(p.Parts) != 1 || !p.Parts[0].Whole {
		fmt.Fprintf(&b, "then %T\n", p.Rel)
	}
	return b.String()
}

// TestPlansAreTheGoldenOnes compares plans with the files of testdata: the query, and
// behind dashes what each engine is asked.
func TestPlansAreTheGoldenOnes(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text, want, _ := strings.Cut(string(raw), "--- duckdb\n")
			got := shown(t, made(t, text, sql.DuckDB(), options())) + "--- clickhouse\n" + shown(t, made(t, text, sql.ClickHouse(), options()))
			if *update {
				if err := os.WriteFile(path, []byte(text+"--- duckdb\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHintsOfScans(t *testing.T) {
	ticks := func(d time.Duration) int64 { return table.TicksOf(now.Add(d)) }
	for _, tc := range []struct {
		text string
		want lake.Scan
	}{
		{`ContainerLogV2 | where TimeGenerated > ago(1h)`, lake.Scan{From: ticks(-time.Hour) + 1}},
		{`ContainerLogV2 | where TimeGenerated >= ago(2h) and TimeGenerated < ago(1h)`, lake.Scan{From: ticks(-2 * time.Hour), To: ticks(-time.Hour)}},
		{`ContainerLogV2 | where TimeGenerated between (ago(2h) .. ago(1h))`, lake.Scan{From: ticks(-2 * time.Hour), To: ticks(-time.Hour) + 1}},
		{`ContainerLogV2 | where TimeGenerated between (ago(2h) .. 1h)`, lake.Scan{From: ticks(-2 * time.Hour), To: ticks(-time.Hour) + 1}},
		{`ContainerLogV2 | where ago(1h) <= TimeGenerated | where TimeGenerated > ago(1d)`, lake.Scan{From: ticks(-time.Hour)}},
		{`ContainerLogV2 | where TimeGenerated > ago(1h) or LogLevel == "ERROR"`, lake.Scan{}},
		{`ContainerLogV2 | where not(TimeGenerated > ago(1h))`, lake.Scan{}},
		{`ContainerLogV2 | where LogMessage has "Disk full at"`, lake.Scan{Terms: []string{"disk", "full"}}},
		{`ContainerLogV2 | where LogMessage has_all ("disk", "full")`, lake.Scan{Terms: []string{"disk", "full"}}},
		{`ContainerLogV2 | where LogMessage has_any ("disk", "full")`, lake.Scan{}},
		{`ContainerLogV2 | where LogMessage has "größe"`, lake.Scan{}},
		{`ContainerLogV2 | where LogMessage contains "disk"`, lake.Scan{}},
		{`ContainerLogV2 | where LogMessage !has "disk"`, lake.Scan{}},
		{`ContainerLogV2 | where Computer has "disk"`, lake.Scan{}},
		{`ContainerLogV2 | where PodName == "cart-abc"`, lake.Scan{Terms: []string{"abc", "cart"}, Equal: map[string][]string{"PodName": {"cart-abc"}}}},
		{`ContainerLogV2 | where PodNamespace in ("shop", "web")`, lake.Scan{Equal: map[string][]string{"PodNamespace": {"shop", "web"}}}},
		{`ContainerLogV2 | where PodNamespace == "shop" or PodNamespace == "web"`, lake.Scan{Equal: map[string][]string{"PodNamespace": {"shop", "web"}}}},
		{`ContainerLogV2 | where PodNamespace == "shop" or LogLevel == "ERROR"`, lake.Scan{}},
		{`ContainerLogV2 | where PodNamespace in ("shop", "web") and PodNamespace == "web"`, lake.Scan{Equal: map[string][]string{"PodNamespace": {"web"}}}},
		{`ContainerLogV2 | project t = TimeGenerated, n = PodNamespace | where t > ago(1h) and n == "shop"`,
			lake.Scan{From: ticks(-time.Hour) + 1, Equal: map[string][]string{"PodNamespace": {"shop"}}}},
		{`ContainerLogV2 | extend PodNamespace = strcat(PodNamespace, "x") | where PodNamespace == "shop"`, lake.Scan{}},
		{`ContainerLogV2 | summarize n = count() by PodNamespace | where PodNamespace == "shop" and n > 3`, lake.Scan{Equal: map[string][]string{"PodNamespace": {"shop"}}}},
		{`ContainerLogV2 | sort by TimeGenerated desc | where PodNamespace == "shop"`, lake.Scan{Equal: map[string][]string{"PodNamespace": {"shop"}}}},
		{`ContainerLogV2 | take 10 | where PodNamespace == "shop"`, lake.Scan{}},
		{`ContainerLogV2 | where toupper(LogSource) == "X" and PodNamespace == "shop"`, lake.Scan{Equal: map[string][]string{"PodNamespace": {"shop"}}}},
		{`ContainerLogV2 | parse PodName with a "-" b | where PodNamespace == "shop" and a == "shop"`, lake.Scan{Equal: map[string][]string{"PodNamespace": {"shop"}}}},
	} {
		p := made(t, tc.text, sql.DuckDB(), options())
		got := p.Parts[0].Query.Scans[0]
		got.Name, got.Table, got.Columns = "", "", nil
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s\n%s", tc.text, diff)
		}
	}
}

// TestJoinsPassConditionsOnlyToTheSideThatMustMatch guards the hints of outer joins.
func TestJoinsPassConditionsOnlyToTheSideThatMustMatch(t *testing.T) {
	for kind, want := range map[string][2]bool{
		"inner": {true, true}, "leftouter": {true, false}, "rightouter": {false, true}, "fullouter": {false, false}, "innerunique": {false, false},
	} {
		p := made(t, `AppRequests | join kind=`+kind+` (AppDependencies) on OperationId | where AppRoleName == "a" and AppRoleName1 == "b"`, sql.DuckDB(), options())
		got := [2]bool{}
		for _, part := range p.Parts {
			for _, s := range part.Query.Scans {
				if s.Equal != nil {
					got[map[string]int{"AppDependencies": 1}[s.Table]] = true
				}
			}
		}
		if got != want {
			t.Errorf("%s: conditions reach left and right: %v, not %v", kind, got, want)
		}
	}
}

// TestOnlyColumnsThatAreReadAreAskedFor also looks at what the executor is handed: the
// other columns are there and null.
func TestOnlyColumnsThatAreReadAreAskedFor(t *testing.T) {
	p := made(t, `ContainerLogV2 | where LogLevel == "ERROR" | parse PodName with a "-" b | where toupper(a) == "CART" | project b, Computer`, sql.DuckDB(), options())
	if len(p.Parts) != 1 {
		t.Fatalf("%d parts", len(p.Parts))
	}
	part := p.Parts[0]
	if diff := cmp.Diff([]string{"Computer", "PodName", "LogLevel"}, part.Query.Scans[0].Columns); diff != "" {
		t.Error("of the scan:", diff)
	}
	if diff := cmp.Diff([]table.Column{{Name: "Computer", Kind: table.String}, {Name: "PodName", Kind: table.String}}, part.Query.Columns); diff != "" {
		t.Error("of the answer:", diff)
	}
	answer := &table.Batch{Columns: part.Query.Columns, Vectors: []table.Vector{table.Texts(table.String, "node", 2), table.Texts(table.String, "cart-1", 2)}}
	if err := part.Fill(answer); err != nil {
		t.Fatal(err)
	}
	b := part.Given.Batch
	if b.Rows() != 2 || len(b.Vectors) != len(part.Given.Cols) || b.Vectors[b.Index("PodName")].Text[1] != "cart-1" || !b.Vectors[b.Index("TimeGenerated")].IsNull(0) {
		t.Errorf("the executor is handed %+v", b)
	}
	if err := part.Fill(&table.Batch{}); err == nil {
		t.Error("an answer without its columns was taken")
	}
}

func TestTextOfAQueryIsNeverMoreThanALiteral(t *testing.T) {
	evil := `'; DROP TABLE s1; --\' "x" \\ `
	quoted, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`ContainerLogV2 | where PodName == %[1]s or PodName contains %[1]s or PodName matches regex "'" | project ['a"b'] = PodName, ['a"; --'] = 1`, quoted)
	for d, want := range map[sql.Dialect][]string{
		sql.DuckDB():     {`'''; DROP TABLE s1; --\'' "x" \\ '`, `"column 1"`, `"column 2"`, `regexp_matches(t1."PodName", '''')`},
		sql.ClickHouse(): {`'\'; DROP TABLE s1; --\\\' "x" \\\\ '`, `"column 1"`, `match(t1."PodName", '(?-s)\'')`},
	} {
		got := made(t, text, d, options()).Parts[0].Query.SQL
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %s is not in\n%s", d.Name(), w, got)
			}
		}
		if strings.Contains(got, `a"`) {
			t.Errorf("%s: the name of a column is in\n%s", d.Name(), got)
		}
	}
}

func TestDeepQueriesArePlannedInBoundedTime(t *testing.T) {
	text := "AppRequests" + strings.Repeat(" | extend ItemCount = ItemCount + 1", 1500) + " | summarize sum(ItemCount)"
	p, err := sql.Make(bound(t, text), sql.DuckDB(), options())
	if err == nil && len(p.Parts) != 1 {
		t.Errorf("%d parts", len(p.Parts))
	}
}

func TestASharedTableThatKeepsAnyRowsIsComputedOnce(t *testing.T) {
	p := made(t, `let some = materialize(AppRequests | take 10); union (some | summarize count()), (some | summarize max(DurationMs))`, sql.DuckDB(), options())
	if len(p.Parts) != 1 || strings.Count(p.Parts[0].Query.SQL, "LIMIT 10") != 1 {
		t.Errorf("%s", shown(t, p))
	}
	p = made(t, `let some = materialize(AppRequests | where Success); union (some | summarize count()), (some | summarize max(DurationMs))`, sql.DuckDB(), options())
	if len(p.Parts) != 1 || !p.Parts[0].Whole {
		t.Errorf("%s", shown(t, p))
	}
}

func BenchmarkPlan(b *testing.B) {
	rel := bound(b, `ContainerLogV2 | where TimeGenerated > ago(1h) and PodNamespace == "shop" and LogMessage has "error" | summarize count() by bin(TimeGenerated, 1m), LogLevel | sort by TimeGenerated asc`)
	for b.Loop() {
		if _, err := sql.Make(rel, sql.DuckDB(), options()); err != nil {
			b.Fatal(err)
		}
	}
}

// TestNewestIsSaidOfWhatKeepsTheNewestRows: of nothing else may a row be left out.
func TestNewestIsSaidOfWhatKeepsTheNewestRows(t *testing.T) {
	for text, want := range map[string]*lake.Newest{
		`ContainerLogV2 | top 5 by TimeGenerated desc`: {SQL: `SELECT t1."TimeGenerated" AS "time" FROM "s1" AS t1`, Rows: 5},
		`ContainerLogV2 | where PodName == "a" | sort by TimeGenerated desc, PodName asc | take 9 | project PodName`: {
			SQL: `SELECT t1."TimeGenerated" AS "time" FROM "s1" AS t1 WHERE (t1."PodName" = 'a')`, Rows: 9},
		`ContainerLogV2 | project At = TimeGenerated | sort by At desc`:                                {SQL: `SELECT t1."TimeGenerated" AS "time" FROM "s1" AS t1`},
		`ContainerLogV2 | top 5 by TimeGenerated asc`:                                                  nil,
		`ContainerLogV2 | sort by PodName desc, TimeGenerated desc | take 5`:                           nil,
		`ContainerLogV2 | extend TimeGenerated = bin(TimeGenerated, 1h) | top 5 by TimeGenerated desc`: nil,
		`ContainerLogV2 | take 7 | top 5 by TimeGenerated desc`:                                        nil,
		`ContainerLogV2 | summarize count() by TimeGenerated | top 5 by TimeGenerated desc`:            nil,
		`union ContainerLogV2, AppTraces | top 5 by TimeGenerated desc`:                                nil,
		`AppTraces | join kind=inner AppRequests on OperationId | top 5 by TimeGenerated desc`:         nil,
		`AppTraces | where OperationId in (AppRequests | project OperationId) | top 5 by Message desc`: nil,
	} {
		for _, p := range made(t, text, sql.DuckDB(), options()).Parts {
			if diff := cmp.Diff(want, p.Query.Newest); diff != "" && len(p.Query.Scans) > 0 {
				t.Errorf("%s\n%s\n%s", text, p.Query.SQL, diff)
			}
		}
	}
}
