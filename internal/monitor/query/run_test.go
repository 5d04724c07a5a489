package query_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
)

// logs makes rows of ContainerLogV2, a minute apart, the newest at now.
func logs(project string, messages ...string) *table.Batch {
	b := table.NewBuilder(table.ByName(table.ContainerLogV2))
	for i, m := range messages {
		b.Next()
		b.Set(table.TimeGenerated, now.Add(-time.Duration(len(messages)-1-i)*time.Minute))
		b.Set("LogMessage", m)
		b.Set("PodName", "cart-0")
		b.Set(table.Project, project)
	}
	return b.Batch([16]byte{})
}

func inMemory(batches ...*table.Batch) *query.Runner {
	return query.New(query.Options{Clock: clock.Fixed(now, 0), Tables: query.NewMemory(batches...)})
}

func texts(t *testing.T, r *query.Result, column string) []string {
	t.Helper()
	at := r.Batch.Index(column)
	if at < 0 {
		t.Fatalf("no column %s among %v", column, r.Batch.Columns)
	}
	return append([]string{}, r.Batch.Vectors[at].Text...)
}

func TestOneSeesTheRowsOfTheAskAlone(t *testing.T) {
	r := inMemory(logs("shop", "a", "b", "c"), logs("other", "x"), logs("", "platform"))
	for _, tc := range []struct {
		ask  query.Ask
		want []string
	}{
		{query.Ask{Text: `ContainerLogV2 | sort by TimeGenerated asc`, Project: "shop"}, []string{"a", "b", "c"}},
		{query.Ask{Text: `ContainerLogV2 | where Project == "other" or true`, Project: "shop"}, []string{"a", "b", "c"}},
		{query.Ask{Text: `union * | where LogMessage has "x" or LogMessage has "b" | project LogMessage = tostring(LogMessage)`, Project: "shop"}, []string{"b"}},
		{query.Ask{Text: `search "x" | project LogMessage`, Project: "shop"}, []string{}},
		{query.Ask{Text: `ContainerLogV2 | where LogMessage in ("a", "x", "platform") | sort by tostring(LogMessage) asc`, All: true}, []string{"a", "platform", "x"}},
		{query.Ask{Text: `ContainerLogV2 | sort by TimeGenerated asc`, Project: "shop", From: now.Add(-time.Minute)}, []string{"b", "c"}},
		{query.Ask{Text: `ContainerLogV2 | sort by TimeGenerated asc`, Project: "shop", To: now}, []string{"a", "b"}},
		{query.Ask{Text: `ContainerLogV2 | where TimeGenerated > ago(90s) and TimeGenerated < now()`, Project: "shop"}, []string{"b"}},
		{query.Ask{Text: `ContainerLogV2 | sort by TimeGenerated asc`}, []string{"platform"}},
	} {
		got, err := r.Run(context.Background(), tc.ask)
		if err != nil {
			t.Errorf("%s: %v", tc.ask.Text, err)
			continue
		}
		if diff := cmp.Diff(tc.want, texts(t, got, "LogMessage")); diff != "" {
			t.Errorf("%+v\n%s", tc.ask, diff)
		}
	}
}

// TestWhatIsRefusedIsNamedWithItsPlace: the executor knows the operator, the text its place.
func TestWhatIsRefusedIsNamedWithItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"print 1\n| extend x = extract(strcat(\"(\", \"\"), 0, \"a\")":                                                    "2:14: extract: ",
		"print x = strrep(\"a\", 1000000)\n| extend y = replace_string(x, \"a\", x)":                                      "2:14: replace_string makes more than ",
		"range i from 1 to 3000000 step 1":                                                                                "1:1: range makes more than 2000000 rows",
		"range i from 1 to 3000 step 1 | extend k=1\n| join (range j from 1 to 3000 step 1) on $left.k == $right.j":       "",
		"range i from 1 to 3000 step 1 | extend k=1\n| join kind=inner (range i from 1 to 3000 step 1 | extend k=1) on k": "2:3: join makes more than 2000000 rows",
		`print x = "a" | extend extract("(?:" + "x){2000}", 0, x)`:                                                        "1:",
	} {
		_, err := inMemory().Run(context.Background(), query.Ask{Text: text})
		if message, _ := fault.Public(err); want == "" && err != nil || want != "" && !strings.HasPrefix(message, want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestMoreRowsThanAskedForAreCutAndSaidSo(t *testing.T) {
	r := inMemory(logs("shop", "a", "b", "c"))
	for rows, want := range map[int]bool{2: true, 3: false} {
		got, err := r.Run(context.Background(), query.Ask{Text: `ContainerLogV2`, Project: "shop", MaxRows: rows})
		if err != nil {
			t.Fatal(err)
		}
		if got.Truncated != want || got.Batch.Rows() != rows {
			t.Errorf("of 3 rows %d were asked for and %d came, truncated: %t", rows, got.Batch.Rows(), got.Truncated)
		}
	}
}

func TestAWrongTextIsRefusedWithItsPlace(t *testing.T) {
	_, err := inMemory().Run(context.Background(), query.Ask{Text: "ContainerLogV2\n| where NoSuchColumn == 1\n| where AlsoNone > 2"})
	var all query.Errors
	if !fault.Is(err, fault.Invalid) || !errors.As(err, &all) || all[0].Line != 2 || all[0].Col != 9 {
		t.Fatalf("%v", err)
	}
	if message, _ := fault.Public(err); !strings.HasPrefix(message, "2:9: ") || !strings.Contains(message, "NoSuchColumn") {
		t.Errorf("people are told %q", message)
	}
}

func TestTheChartThatWasAskedForIsPassedOn(t *testing.T) {
	got, err := inMemory(logs("shop", "a")).Run(context.Background(), query.Ask{Text: `ContainerLogV2 | summarize count() by bin(TimeGenerated, 1m) | render timechart`, Project: "shop"})
	if err != nil || got.Render == nil || got.Render.Chart != "timechart" {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestTablesInsideExpressions(t *testing.T) {
	r := inMemory(logs("shop", "a", "b", "c"))
	for text, want := range map[string][]string{
		`ContainerLogV2 | where TimeGenerated == toscalar(ContainerLogV2 | summarize max(TimeGenerated))`:                                         {"c"},
		`ContainerLogV2 | where tostring(LogMessage) in ((ContainerLogV2 | where LogMessage has "b" | project tostring(LogMessage)))`:             {"b"},
		`ContainerLogV2 | where tostring(LogMessage) !in ((ContainerLogV2 | where LogMessage has "zzz" | project tostring(LogMessage))) | take 1`: {"a"},
	} {
		got, err := r.Run(context.Background(), query.Ask{Text: text, Project: "shop"})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, texts(t, got, "LogMessage")); diff != "" {
			t.Errorf("%s\n%s", text, diff)
		}
	}
}

// answering is an engine with one answer, which also remembers what it was asked.
type answering struct {
	asked  []lake.Query
	answer *lake.Answer
	err    []error // of the first calls
}

func (a *answering) Query(_ context.Context, q lake.Query) (*lake.Answer, error) {
	a.asked = append(a.asked, q)
	if n := len(a.asked); n <= len(a.err) && a.err[n-1] != nil {
		return nil, a.err[n-1]
	}
	return a.answer, nil
}

func counted(n int64) *lake.Answer {
	return &lake.Answer{Batch: &table.Batch{Columns: []table.Column{{Name: "Count", Kind: table.Long}}, Vectors: []table.Vector{{Kind: table.Long, Int: []int64{n}}}},
		Stats: lake.Stats{Segments: 3, Read: 1, Rows: 7}}
}

func TestTheEngineIsToldWhoAsks(t *testing.T) {
	e := &answering{answer: counted(5)}
	r := query.New(query.Options{Clock: clock.Fixed(now, 0), Engine: e})
	got, err := r.Run(context.Background(), query.Ask{Text: `ContainerLogV2 | where TimeGenerated > ago(1h) | count`, Project: "shop", From: now.Add(-10 * time.Minute), MaxRows: 11})
	if err != nil {
		t.Fatal(err)
	}
	q := e.asked[0]
	if s := q.Scans[0]; s.Project != "shop" || s.All || s.From != table.TicksOf(now.Add(-10*time.Minute)) || q.MaxRows != 11 {
		t.Errorf("asked %+v", q)
	}
	if got.Stats.Pushed != q.SQL || got.Stats.Segments != 3 || got.Stats.Stats.Rows != 7 || got.Batch.Vectors[0].Int[0] != 5 {
		t.Errorf("answered %+v", got)
	}
	if _, err := r.Run(context.Background(), query.Ask{Text: `ContainerLogV2 | count`, All: true}); err != nil || !e.asked[1].Scans[0].All {
		t.Errorf("asked %+v, %v", e.asked[1], err)
	}
}

func TestWhatTheEngineCannotComputeIsAskedAgainCarefully(t *testing.T) {
	e := &answering{answer: counted(5), err: []error{fault.New(fault.Invalid, "overflow")}}
	r := query.New(query.Options{Clock: clock.Fixed(now, 0), Engine: e})
	// The second plan leaves the arithmetic to the executor and asks for its columns only.
	e.answer = &lake.Answer{Batch: &table.Batch{Columns: []table.Column{{Name: "ItemCount", Kind: table.Int}}, Vectors: []table.Vector{{Kind: table.Int, Int: []int64{2, 3}}}}}
	got, err := r.Run(context.Background(), query.Ask{Text: `AppRequests | summarize s = sum(ItemCount * 2)`, Project: "shop"})
	if err != nil || got.Batch.Vectors[0].Int[0] != 10 || len(e.asked) != 2 {
		t.Fatalf("%+v, %v after %d questions", got, err, len(e.asked))
	}
	for _, kind := range []fault.Kind{fault.TooLarge, fault.Unavailable} {
		e.asked, e.err = nil, []error{fault.New(kind, "no")}
		if _, err := r.Run(context.Background(), query.Ask{Text: `AppRequests | count`, Project: "shop"}); !fault.Is(err, kind) || len(e.asked) != 1 {
			t.Errorf("%s: %v after %d questions", kind, err, len(e.asked))
		}
	}
}

func TestWhatWouldHoldTooMuchIsRefused(t *testing.T) {
	e := &answering{answer: counted(1)}
	r := query.New(query.Options{Clock: clock.Fixed(now, 0), Engine: e, Budget: 1000})
	names := &table.Batch{Columns: []table.Column{{Name: "Name", Kind: table.String}}, Vectors: []table.Vector{table.Texts(table.String, strings.Repeat("x", 100), 20)}}
	e.answer = &lake.Answer{Batch: names}
	if _, err := r.Run(context.Background(), query.Ask{Text: `AppRequests | project n = toupper(Name)`, Project: "shop"}); !fault.Is(err, fault.TooLarge) {
		t.Errorf("over the budget: %v", err)
	}
	r = query.New(query.Options{Clock: clock.Fixed(now, 0), Engine: e})
	e.answer = &lake.Answer{Batch: names, Truncated: true}
	_, err := r.Run(context.Background(), query.Ask{Text: "AppRequests\n| project n = toupper(Name)", Project: "shop"})
	if message, next := fault.Public(err); !fault.Is(err, fault.TooLarge) || next == "" || !strings.HasPrefix(message, "1:1: ") {
		t.Errorf("a part that was cut: %v", err)
	}
}

func TestVirtualTablesAreAskedWithWhatTheTextSays(t *testing.T) {
	v := &remembering{Memory: query.NewMemory()}
	r := query.New(query.Options{Clock: clock.Fixed(now, 0), Engine: &answering{}, Tables: v})
	text := `Perf | where TimeGenerated > ago(30m) and CounterName in ("cpuUsageNanoCores", "memoryRssBytes") | summarize avg(CounterValue)`
	if _, err := r.Run(context.Background(), query.Ask{Text: text, Project: "shop"}); err != nil {
		t.Fatal(err)
	}
	want := query.VirtualScan{Table: "Perf", Project: "shop", From: now.Add(-30*time.Minute + 100), Equal: map[string][]string{"CounterName": {"cpuUsageNanoCores", "memoryRssBytes"}}, Limit: 500_000}
	if diff := cmp.Diff([]query.VirtualScan{want}, v.asked); diff != "" {
		t.Error(diff)
	}
	if _, err := query.New(query.Options{Clock: clock.Fixed(now, 0), Engine: &answering{}}).Run(context.Background(), query.Ask{Text: text}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without a metric store: %v", err)
	}
}

type remembering struct {
	*query.Memory
	asked []query.VirtualScan
}

func (r *remembering) Rows(ctx context.Context, v query.VirtualScan) (*table.Batch, error) {
	r.asked = append(r.asked, v)
	return r.Memory.Rows(ctx, v)
}

func TestMemoryRefusesWhatItDoesNotHave(t *testing.T) {
	m := query.NewMemory(logs("shop", "a", "b"))
	if _, err := m.Rows(context.Background(), query.VirtualScan{Table: "Nowhere"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown table: %v", err)
	}
	if _, err := m.Rows(context.Background(), query.VirtualScan{Table: table.ContainerLogV2, All: true, Limit: 1}); !fault.Is(err, fault.TooLarge) {
		t.Errorf("over the limit: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Rows(ctx, query.VirtualScan{Table: table.ContainerLogV2, All: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
