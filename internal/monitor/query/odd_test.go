//go:build cgo

package query_test

import (
	"testing"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
)

// odd are rows with values that engines read or compute in other ways than Kusto.
// ClickHouse takes JSON with whole numbers of more than 64 bits for no JSON at all, which
// its dialect names as a limit; huge puts one in.
func odd(huge bool) (batches []*table.Batch, tables map[string]*table.Batch) {
	requests := table.ByName(table.AppRequests)
	b := table.NewBuilder(requests)
	for _, code := range []string{"1e5", "0x1F", " 12 ", "nan", "-inf", "1e400", "9223372036854775808", "1_000", "5."} {
		b.Next()
		b.Set(table.TimeGenerated, now)
		b.Set("ResultCode", code)
		b.Set("ItemCount", int64(2147483647))
		b.Set("DurationMs", 9.21e18)
		b.Set("Properties", `{"big":18446744073709551615,"text":"1e3"}`)
		if huge {
			b.Set("Properties", `{"big":18446744073709551615,"text":"1e3","huge":123456789012345678901234567890}`)
		}
		b.Set(table.Project, "shop")
	}
	one := b.Batch([16]byte{})
	return []*table.Batch{one}, map[string]*table.Batch{requests.Name: one}
}

// oddQueries each end in an error of the engine, and in an answer all the same.
func oddQueries(t *testing.T, r *query.Runner, tables map[string]*table.Batch, failed func() error) {
	t.Helper()
	for text, gives := range map[string]bool{
		`AppRequests | project x = tolong(ResultCode)`:                                           true,
		`AppRequests | project x = toint(ResultCode)`:                                            true,
		`AppRequests | project x = todouble(ResultCode)`:                                         true,
		`AppRequests | project x = tolong(Properties.big), y = todouble(Properties.big)`:         false,
		`AppRequests | project x = tolong(Properties.text), y = tolong(Properties.huge)`:         true,
		`AppRequests | project x = tolong(DurationMs)`:                                           true,
		`AppRequests | project x = ItemCount * 9223372036854775807`:                              false,
		`AppRequests | summarize x = sum(ItemCount * 4611686018427387904)`:                       false,
		`AppRequests | project x = bin(-9223372036854775807 - tolong(ItemCount) + 5, 7)`:         false,
		`AppRequests | where ItemCount + 9223372036854775807 < 0 | count`:                        false,
		`AppRequests | project x = todouble(ResultCode) | where x > 1`:                           true,
		`AppRequests | project x = -(-9223372036854775807 - 1 + tolong(ItemCount) - 2147483647)`: false,
	} {
		ask := query.Ask{Text: text, Project: "shop"}
		want, err := reference(t.Context(), text, ask, tables)
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		got, err := r.Run(t.Context(), ask)
		if err != nil {
			t.Errorf("%s\n%v", text, err)
			continue
		}
		if gaveUp := failed() != nil; gives && !gaveUp {
			t.Errorf("%s: the engine did not give up", text)
		}
		sameSet(t, text+"\n"+got.Stats.Pushed, want, got.Batch)
	}
}

func TestWhatAnEngineReadsInAnotherWayIsTheExecutors(t *testing.T) {
	batches, tables := odd(true)
	engine := newDuck(t, batches...)
	oddQueries(t, query.New(query.Options{Clock: clock.Fixed(now, 0), Engine: engine}), tables, func() error {
		defer func() { engine.failed = nil }()
		return engine.failed
	})
}
