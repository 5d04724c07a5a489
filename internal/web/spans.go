package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/insight"
	"towpath.dev/towpath/internal/web/page"
)

// maxOperations is how many operations the page lists, the most frequent first.
const maxOperations = 200

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
	v := page.TracesView{Range: seconds, RequestsQuery: requestsQuery(r.query("role"), r.query("name")), Title: "Requests that failed or took long"}
	if n := r.query("name"); n != "" {
		v.Title = n + " of " + r.query("role")
	}
	now := h.Clock.Now()
	from := now.Add(-time.Duration(seconds) * time.Second)
	v.Operations, err = h.Insight.Operations(r.Context(), r.actor, insight.Scope{Project: r.project(), From: from, To: now}, "")
	if err != nil {
		return err
	}
	v.Operations = v.Operations[:min(len(v.Operations), maxOperations)]
	a, err := h.Monitor.Query(r.Context(), r.actor, monitor.Question{Scope: monitor.Scope{Project: r.project()}, Text: v.RequestsQuery, From: from})
	if err != nil {
		return err
	}
	for _, row := range a.Rows {
		c := cells{a, row}
		q := page.RequestRow{
			Trace: c.text("OperationId"), ID: c.text("Id"), Role: c.text("AppRoleName"), Name: c.text("Name"), Code: c.text("ResultCode"), Release: c.text("Release"),
			Took: c.number("DurationMs"), Failed: c.value("Success") == false,
		}
		q.Time = c.time("TimeGenerated")
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

// time is zero for what is no time.
func (c cells) time(name string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, c.text(name))
	if err != nil {
		return time.Time{}
	}
	return t
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

// spansQuery is the first spans of a trace, summaryQuery what all of them add up to. The
// script reads the trace itself from the API, so the page must not wait for all of it. The
// id was checked: it holds hexadecimal digits only.
func spansQuery(id string) string {
	return fmt.Sprintf("union AppRequests, AppDependencies\n| where OperationId == %q\n| project TimeGenerated, Id, ParentId, AppRoleName, Name, DurationMs\n| sort by TimeGenerated asc, DurationMs desc\n| take %d", id, plainSpans)
}

func summaryQuery(id string) string {
	return fmt.Sprintf("union AppRequests, AppDependencies\n| where OperationId == %q\n| summarize Spans = count(), Failed = countif(Success == false), First = min(TimeGenerated), Last = max(TimeGenerated + DurationMs * 1ms) by AppRoleName\n| sort by First asc", id)
}

// spans draws one trace.
func (h *handler) spans(w http.ResponseWriter, r request) error {
	id := strings.ToLower(r.PathValue("id"))
	s, err := h.monitorShell(w, r, "Trace", page.Crumb{Text: "traces", Href: page.Shell{Project: r.project()}.At("/monitor/traces")}, page.Crumb{Text: page.Short(id)})
	if err != nil {
		return err
	}
	if !traceID.MatchString(id) {
		return fault.New(fault.NotFound, "%.40q is not the id of a trace.", id).WithNext("give its 32 hexadecimal digits; OperationId has them")
	}
	v := page.SpansView{ID: id}
	if err := h.summary(r, &v); err != nil {
		return err
	}
	if v.Spans == 0 {
		return fault.New(fault.NotFound, "No span of the trace %s is stored.", id).WithNext("it may be older than what is kept, not sampled, or of another project")
	}
	a, err := h.Monitor.Query(r.Context(), r.actor, monitor.Question{Scope: monitor.Scope{Project: r.project()}, Text: spansQuery(id)})
	if err != nil {
		return err
	}
	depth := map[string]int{}
	for i, row := range a.Rows {
		c := cells{a, row}
		at := 0
		if up, ok := depth[c.text("ParentId")]; ok {
			at = up + 1
		}
		depth[c.text("Id")] = at
		if i == 0 {
			v.Title = c.text("AppRoleName") + " · " + c.text("Name")
		}
		v.Plain = append(v.Plain, page.PlainSpan{
			Role: c.text("AppRoleName"), Name: strings.Repeat("\u2003", min(at, 12)) + c.text("Name"), Took: c.number("DurationMs"),
			At: float64(c.time("TimeGenerated").Sub(v.Start)) / float64(time.Millisecond),
		})
	}
	s.Scripts = []string{"monitor.js", "spans.js"}
	s.Preload = "/api/v1/monitor/traces/" + id + "?project=" + r.project()
	return h.render(w, r, page.SpansPage(s, v))
}

// summary fills in how many spans there are, of whom, and how long all took.
func (h *handler) summary(r request, v *page.SpansView) error {
	a, err := h.Monitor.Query(r.Context(), r.actor, monitor.Question{Scope: monitor.Scope{Project: r.project()}, Text: summaryQuery(v.ID)})
	if err != nil {
		return err
	}
	var end time.Time
	for _, row := range a.Rows {
		c := cells{a, row}
		n := int(c.whole("Spans"))
		v.Roles = append(v.Roles, page.RoleCount{Name: c.text("AppRoleName"), Spans: n})
		v.Spans, v.Errors = v.Spans+n, v.Errors+int(c.whole("Failed"))
		if first := c.time("First"); v.Start.IsZero() || first.Before(v.Start) {
			v.Start = first
		}
		if last := c.time("Last"); last.After(end) {
			end = last
		}
	}
	v.Took, v.Truncated = float64(end.Sub(v.Start))/float64(time.Millisecond), v.Spans > monitor.MaxSpans
	return nil
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
