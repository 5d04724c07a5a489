package insight_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
)

// shopTraffic adds requests of web, each with a call to cart and one to the database of cart;
// every third of web's calls is sampled and stands for four.
func shopTraffic(w *world) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 60 {
		weight := 1
		if i%3 == 0 {
			weight = 4
		}
		trace, ok := fmt.Sprintf("t%d", i), i%10 != 0
		row := func(id, parent, role, name string) map[string]any {
			return map[string]any{
				"OperationId": trace, "Id": id, "ParentId": parent, "AppRoleName": role, "Name": name, "ItemCount": weight, "Success": ok, "DurationMs": 10 + 5*r.Float64(),
				table.TimeGenerated: start().Add(time.Duration(i) * time.Second),
			}
		}
		call := func(id, parent, role, kind, target string) map[string]any {
			c := row(id, parent, role, "call")
			c["DependencyType"], c["Target"] = kind, target
			return c
		}
		w.add(table.AppRequests, row("a", "", "web", "GET /"), row("c", "b", "cart", `GET /cart "7"`))
		w.add(table.AppDependencies, call("b", "a", "web", "HTTP", "cart:8080"), call("d", "c", "cart", "postgresql", "db|carts"), call("e", "c", "cart", "InProc", ""))
		if i%20 == 0 { // A call whose answer is not known: its telemetry got lost.
			w.add(table.AppDependencies, call("f", "a", "web", "HTTP", "cart:8080"))
		}
	}
}

// ask runs the query behind a number as somebody would who clicks on it.
func (w *world) ask(t *testing.T, text string) insight.Totals {
	t.Helper()
	q := query.New(query.Options{Clock: w.clock, Tables: w.rows})
	r, err := q.Run(context.Background(), query.Ask{Text: text, Project: "shop"})
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	if r.Batch.Rows() != 1 {
		t.Fatalf("%d rows:\n%s", r.Batch.Rows(), text)
	}
	number := func(column string) float64 {
		v := r.Batch.Vectors[r.Batch.Index(column)]
		switch {
		case v.IsNull(0):
			return 0
		case v.Int != nil:
			return float64(v.Int[0])
		}
		return v.Real[0]
	}
	return insight.Totals{Count: int64(number("Count")), Failures: int64(number("Failures")), P50: number("P50"), P95: number("P95"), Query: text}
}

// TestTheMapIsWhatItsQueriesSay: each number of the map is the answer to the query that it carries.
func TestTheMapIsWhatItsQueriesSay(t *testing.T) {
	w := inMemory(t)
	shopTraffic(w)
	scope := insight.Scope{Project: "shop", Environment: "production", From: start().Add(-time.Minute), To: start().Add(time.Hour)}
	m, err := w.Map(context.Background(), actor("bob"), scope)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range m.Nodes {
		got = append(got, fmt.Sprintf("%s external=%v %d/%d", n.Role, n.External, n.Failures, n.Count))
		// A percentile of nothing is NaN; the map shows none.
		if want := w.ask(t, n.Query); n.Count > 0 && !cmp.Equal(want, n.Totals) {
			t.Errorf("node %s:\n%s", n.Role, cmp.Diff(want, n.Totals))
		} else if want.Count != n.Count {
			t.Errorf("node %s: %d of %d", n.Role, n.Count, want.Count)
		}
	}
	for _, e := range m.Edges {
		got = append(got, fmt.Sprintf("%s -> %s (%s) %d/%d", e.From, e.To, e.Kind, e.Failures, e.Count))
		if diff := cmp.Diff(w.ask(t, e.Query), e.Totals); diff != "" {
			t.Errorf("edge %s -> %s:\n%s", e.From, e.To, diff)
		}
	}
	// 60 of which 20 stand for four: 120; the six that fail: i = 0, 30 for four.
	want := []string{
		"cart external=false 12/120", "web external=false 12/120", "db|carts external=true 12/120", "cart:8080 external=true 6/6",
		"cart -> db|carts (postgresql) 12/120", "web -> cart (HTTP) 12/120", "web -> cart:8080 (HTTP) 6/6",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := w.Map(context.Background(), actor("eve"), scope); !fault.Is(err, fault.Denied) {
		t.Errorf("a stranger sees the map: %v", err)
	}
	if _, err := w.Map(context.Background(), actor("ada"), insight.Scope{All: true}); !fault.Is(err, fault.Denied) {
		t.Errorf("a member sees everybody's map: %v", err)
	}
}

func TestOperations(t *testing.T) {
	w := inMemory(t)
	shopTraffic(w)
	scope := insight.Scope{Project: "shop", From: start(), To: start().Add(2 * time.Minute)}
	ops, err := w.Operations(context.Background(), actor("bob"), scope, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range ops {
		got = append(got, fmt.Sprintf("%s %s %d/%d %.1f/s", o.Role, o.Name, o.Failures, o.Count, o.Rate))
		if diff := cmp.Diff(w.ask(t, o.Query), o.Totals); diff != "" {
			t.Errorf("%s:\n%s", o.Name, diff)
		}
		if !(o.P50 >= 10 && o.P95 >= o.P50 && o.P99 >= o.P95 && o.P99 <= 15) {
			t.Errorf("%s: %v %v %v", o.Name, o.P50, o.P95, o.P99)
		}
	}
	if diff := cmp.Diff([]string{`cart GET /cart "7" 12/120 1.0/s`, "web GET / 12/120 1.0/s"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPatternsOfLines(t *testing.T) {
	w := inMemory(t)
	for i := range 20 {
		w.add(table.ContainerLogV2, map[string]any{"LogMessage": fmt.Sprintf(`"order %d paid"`, i)}, map[string]any{"LogMessage": fmt.Sprintf(`{"level":"info","msg":"stock of sku%d is low"}`, i)})
	}
	a, err := w.Patterns(context.Background(), actor("bob"), insight.PatternQuestion{Scope: insight.Scope{Project: "shop", From: start().Add(-time.Hour), To: start().Add(time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range a.Patterns {
		got = append(got, fmt.Sprintf("%d %s", p.Count, p.Text))
	}
	if diff := cmp.Diff([]string{"20 order <num> paid", "20 stock of <*> is low"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
