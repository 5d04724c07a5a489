package monitor_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/store/storetest"
)

const traceOf = "0af7651916cd43dd8448eb211c80319c"

// span is a row of a request or, with a kind, of a dependency.
func span(id, parent, role, name, kind string, ms, took int) map[string]any {
	row := map[string]any{
		table.TimeGenerated: at(-10).Add(time.Duration(ms) * time.Millisecond), "Id": strings.Repeat(id, 16), "ParentId": strings.Repeat(parent, 16), "OperationId": traceOf,
		"AppRoleName": role, "Name": name, "DurationMs": float64(took), "Success": name != "bad", table.Project: "shop",
	}
	if kind != "" {
		row["DependencyType"] = kind
	}
	return row
}

// draw writes a trace as a tree, a mark for failed and for critical spans.
func draw(t *monitor.Trace) string {
	var b strings.Builder
	for i := range t.SpanID {
		mark := ""
		if t.Failed[i] {
			mark += "!"
		}
		if t.Critical[i] {
			mark += "*"
		}
		fmt.Fprintf(&b, "%s%s %s %s %g+%g %s%s\n", strings.Repeat("  ", t.Depth[i]), t.SpanID[i][:1], t.Roles[t.Role[i]], t.Names[t.Name[i]], t.Offset[i], t.Took[i], t.Types[t.Type[i]], mark)
	}
	return b.String()
}

func TestTraceIsATree(t *testing.T) {
	requests := rows(t, table.AppRequests, span("a", "", "web", "GET /", "", 0, 100), span("c", "b", "cart", "GET /cart", "", 12, 30), span("e", "d", "pricing", "bad", "", 52, 40))
	calls := rows(t, table.AppDependencies, span("b", "a", "web", "cart", "HTTP", 10, 35), span("d", "a", "web", "pricing", "HTTP", 50, 45),
		span("1", "9", "job", "lost", "InProc", 5, 1), span("7", "8", "loop", "ring", "InProc", 6, 1), span("8", "7", "loop", "ring", "InProc", 7, 1))
	s := world(t, storetest.SQLite(t), requests, calls)
	got, err := s.Trace(t.Context(), user("ben"), monitor.Scope{Project: "shop"}, traceOf)
	if err != nil {
		t.Fatal(err)
	}
	want := `a web GET / 0+100 request*
  b web cart 10+35 HTTP*
    c cart GET /cart 12+30 request*
  d web pricing 50+45 HTTP*
    e pricing bad 52+40 request!*
1 job lost 5+1 InProc
7 loop ring 6+1 InProc
  8 loop ring 7+1 InProc
`
	if diff := cmp.Diff(want, draw(got)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if got.Spans != 8 || got.Errors != 1 || got.Duration != 100 || got.Truncated {
		t.Errorf("%d spans, %d errors, %g ms", got.Spans, got.Errors, got.Duration)
	}
	for i, p := range got.Parent {
		if p >= i {
			t.Errorf("span %d stands before its parent %d", i, p)
		}
	}
	one, err := s.Span(t.Context(), user("ben"), monitor.Scope{Project: "shop"}, traceOf, strings.Repeat("e", 16))
	if err != nil || one.Table != table.AppRequests || one.Fields["Name"] != "bad" {
		t.Errorf("span %+v, %v", one, err)
	}
}

func TestTraceRefuses(t *testing.T) {
	s := world(t, storetest.SQLite(t))
	for id, kind := range map[string]fault.Kind{"": fault.Invalid, `" or true //`: fault.Invalid, strings.ToUpper(traceOf): fault.Invalid, traceOf: fault.NotFound} {
		if _, err := s.Trace(t.Context(), user("ben"), monitor.Scope{Project: "shop"}, id); !fault.Is(err, kind) {
			t.Errorf("%q: %v", id, err)
		}
	}
}
