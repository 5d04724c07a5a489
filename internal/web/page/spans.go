package page

import (
	"time"

	"towpath.dev/towpath/internal/monitor/insight"
)

// failedShare is how many of a hundred requests failed.
func failedShare(t insight.Totals) float64 {
	if t.Count == 0 {
		return 0
	}
	return 100 * float64(t.Failures) / float64(t.Count)
}

// RequestRow is one request.
type RequestRow struct {
	Trace, ID, Role, Name, Code, Release string
	Took                                 float64 // milliseconds
	Failed                               bool
	Time                                 time.Time
}

// TracesView lists operations and requests.
type TracesView struct {
	Range         int
	Title         string // of the requests
	Operations    []insight.Operation
	Requests      []RequestRow
	RequestsQuery string
}

// RoleCount is a service with its spans in a trace.
type RoleCount struct {
	Name  string
	Spans int
}

// PlainSpan is a span for those without a script.
type PlainSpan struct {
	Role, Name string
	At, Took   float64
}

// SpansView is one trace.
type SpansView struct {
	ID, Title     string
	Start         time.Time
	Took          float64
	Spans, Errors int
	Truncated     bool
	Roles         []RoleCount
	Plain         []PlainSpan
}

// MetricsView is the metrics explorer.
type MetricsView struct {
	Query string
	Range int
}

func requestState(failed bool) State {
	if failed {
		return Shut
	}
	return Open
}

func requestWord(failed bool) string {
	if failed {
		return "failed"
	}
	return "ok"
}

// exporter are the variables by which an SDK of OpenTelemetry finds this installation.
func (s Shell) exporter() string {
	return "OTEL_EXPORTER_OTLP_ENDPOINT=" + s.PublicURL + "/otlp OTEL_EXPORTER_OTLP_HEADERS='Authorization=Bearer%20TOKEN,X-Towpath-Project=" + s.Project + "'"
}
