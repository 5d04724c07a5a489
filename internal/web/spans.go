package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/web/page"
)

// operationsQuery is behind the table of operations; requests are weighed by what they
// stand for when they are sampled.
const operationsQuery = `AppRequests
| summarize Requests = sum(ItemCount), Failed = sumif(ItemCount, Success == false), p50 = percentile(DurationMs, 50), p95 = percentile(DurationMs, 95), p99 = percentile(DurationMs, 99) by AppRoleName, Name
| top 200 by Requests desc`

// requestsQuery is behind the table of requests: the slowest of the failed ones first.
func requestsQuery(role, name string) string {
	text := "AppRequests"
	if role != "" {
		text += "\n| where AppRoleName == " + monitor.Quote(role)
	}
	if name != "" {
		text += "\n| where Name == " + monitor.Quote(name)
	}
	return text + "\n| project TimeGenerated, OperationId, Id, AppRoleName, Name, ResultCode, Release, DurationMs, Success\n| sort by Success asc, DurationMs desc\n| take 50"
}

// traces lists operations and requests.
func (h *handler) traces(w http.ResponseWriter, r request) error {
	if id := strings.ToLower(strings.TrimSpace(r.query("trace"))); id != "" {
		http.Redirect(w, r.Request, page.Shell{Project: r.project()}.At("/monitor/traces/"+page.Esc(id)), http.StatusSeeOther)
		return nil
	}
	s, err := h.monitorShell(w, r, "Traces", page.Crumb{Text: "traces"})
	if err != nil {
		return err
	}
	_, seconds := asked(r)
	v := page.TracesView{Range: seconds, OperationsQuery: operationsQuery, RequestsQuery: requestsQuery(r.query("role"), r.query("name")), Title: "Requests that failed or took long"}
	if n := r.query("name"); n != "" {
		v.Title = n + " of " + r.query("role")
	}
	from := h.Clock.Now().Add(-time.Duration(seconds) * time.Second)
	ask := func(text string) (*monitor.Answer, error) {
		return h.Monitor.Query(r.Context(), r.actor, monitor.Question{Scope: monitor.Scope{Project: r.project()}, Text: text, From: from})
	}
	a, err := ask(v.OperationsQuery)
	if err != nil {
		return err
	}
	for _, row := range a.Rows {
		c := cells{a, row}
		v.Operations = append(v.Operations, page.OperationRow{
			Role: c.text("AppRoleName"), Name: c.text("Name"), Requests: c.whole("Requests"), Failed: c.whole("Failed"),
			P50: c.number("p50"), P95: c.number("p95"), P99: c.number("p99"),
		})
	}
	if a, err = ask(v.RequestsQuery); err != nil {
		return err
	}
	for _, row := range a.Rows {
		c := cells{a, row}
		q := page.RequestRow{
			Trace: c.text("OperationId"), ID: c.text("Id"), Role: c.text("AppRoleName"), Name: c.text("Name"), Code: c.text("ResultCode"), Release: c.text("Release"),
			Took: c.number("DurationMs"), Failed: c.value("Success") == false,
		}
		q.Time, _ = time.Parse(time.RFC3339Nano, c.text("TimeGenerated")) // An answer's own form.
		v.Requests = append(v.Requests, q)
	}
	return h.render(w, r, page.TracesPage(s, v))
}

// cells reads a row of an answer by the names of its columns.
type cells struct {
	of  *monitor.Answer
	row []any
}

func (c cells) value(name string) any {
	for i, column := range c.of.Columns {
		if column.Name == name {
			return c.row[i]
		}
	}
	return nil
}

func (c cells) text(name string) string {
	s, _ := c.value(name).(string)
	return s
}

func (c cells) whole(name string) int64 {
	switch v := c.value(name).(type) {
	case int64:
		return v
	case float64:
		return int64(v)
	}
	return 0
}

func (c cells) number(name string) float64 {
	switch v := c.value(name).(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return 0
}

// plainSpans is how many spans a page without a script lists.
const plainSpans = 500

// spans draws one trace.
func (h *handler) spans(w http.ResponseWriter, r request) error {
	id := r.PathValue("id")
	s, err := h.monitorShell(w, r, "Trace", page.Crumb{Text: "traces", Href: page.Shell{Project: r.project()}.At("/monitor/traces")}, page.Crumb{Text: page.Short(id)})
	if err != nil {
		return err
	}
	t, err := h.Monitor.Trace(r.Context(), r.actor, monitor.Scope{Project: r.project()}, id)
	if err != nil {
		return err
	}
	v := page.SpansView{ID: id, Start: t.Start, Took: t.Duration, Spans: t.Spans, Errors: t.Errors, Truncated: t.Truncated}
	v.Title = fmt.Sprintf("%s · %s", t.Roles[t.Role[0]], t.Names[t.Name[0]])
	for _, role := range t.Roles {
		v.Roles = append(v.Roles, page.RoleCount{Name: role})
	}
	for i := range t.SpanID {
		v.Roles[t.Role[i]].Spans++
		if i < plainSpans {
			v.Plain = append(v.Plain, page.PlainSpan{
				Role: t.Roles[t.Role[i]], Name: strings.Repeat("\u2003", min(t.Depth[i], 12)) + t.Names[t.Name[i]], At: t.Offset[i], Took: t.Took[i],
			})
		}
	}
	s.Scripts = []string{"monitor.js", "spans.js"}
	return h.render(w, r, page.SpansPage(s, v))
}

// metrics is the metrics explorer.
func (h *handler) metrics(w http.ResponseWriter, r request) error {
	s, err := h.monitorShell(w, r, "Metrics", page.Crumb{Text: "metrics"})
	if err != nil {
		return err
	}
	v := page.MetricsView{Query: r.URL.Query().Get("q")}
	_, v.Range = asked(r)
	if v.Query == "" || len(v.Query) > maxAddressQuery {
		v.Query = `sum by (pod) (container_memory_working_set_bytes{container!=""})`
	}
	s.Scripts = []string{"monitor.js", "metrics.js"}
	return h.render(w, r, page.MetricsPage(s, v))
}
