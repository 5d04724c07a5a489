package webtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor"
	"towpath.dev/towpath/internal/monitor/insight/drain"
	"towpath.dev/towpath/internal/monitor/metric"
)

// API answers what the scripts of the pages ask of /api/v1 and /prometheus, for everybody:
// the pages ask who somebody is.
func (f *Fixture) API() http.Handler {
	mux := http.NewServeMux()
	ada := identity.Actor{Kind: identity.KindUser, Name: "ada", Admin: true, Cap: identity.Admin}
	answer := func(pattern string, what func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := what(r)
			w.Header().Set("Content-Type", "application/json")
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				v = map[string]string{"detail": err.Error()}
			}
			_ = json.NewEncoder(w).Encode(v) // The client may have left.
		})
	}
	answer("POST /api/v1/monitor/newest", func(r *http.Request) (any, error) {
		var q struct{ Query string }
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			return nil, err
		}
		return Monitor{f}.Newest(r.Context(), ada, monitor.Question{Scope: monitor.Scope{Project: "shop"}, Text: q.Query})
	})
	answer("POST /api/v1/monitor/explore", func(*http.Request) (any, error) { return overview(), nil })
	answer("POST /api/v1/monitor/check", func(*http.Request) (any, error) {
		return monitor.Checked{Errors: []monitor.Mistake{}, Columns: []monitor.Column{}}, nil
	})
	answer("POST /api/v1/monitor/complete", func(*http.Request) (any, error) {
		return []map[string]string{{"label": "LogLevel", "kind": "column", "detail": "string", "insert": "LogLevel"}, {"label": "LogMessage", "kind": "column", "detail": "dynamic", "insert": "LogMessage"}}, nil
	})
	answer("POST /api/v1/monitor/patterns", func(*http.Request) (any, error) {
		return []drain.Pattern{{Text: "GET /cart <num> <dur>", Count: 43, Sample: "GET /cart 200 9ms"}, {Text: "checkout failed: pricing returned <num> after <num> retries order=<num>", Count: 9, Sample: "<img src=x>"}}, nil
	})
	answer("GET /api/v1/monitor/traces/{id}", func(*http.Request) (any, error) { return trace(), nil })
	answer("GET /api/v1/monitor/traces/{id}/{span}", func(*http.Request) (any, error) {
		return monitor.Span{Table: "AppRequests", Time: Now, Properties: json.RawMessage(`{"http.route": "/checkout"}`), Fields: map[string]any{"ResultCode": "503"}, Records: []monitor.Record{{Time: Now, Table: "AppExceptions", Type: "PricingUnavailable", Message: "pricing returned 503"}}}, nil
	})
	answer("GET /api/v1/monitor/promql", func(*http.Request) (any, error) {
		s := metric.Series{Labels: map[string]string{"pod": "cart-6c54b7d9f-x2k4q"}}
		for i := range 30 {
			s.Times, s.Values = append(s.Times, Now.Add(time.Duration(i-30)*time.Minute)), append(s.Values, metric.Value(40+i%7))
		}
		return []metric.Series{s}, nil
	})
	answer("GET /api/v1/projects/{project}/views", func(r *http.Request) (any, error) { return Monitor{f}.Views(r.Context(), ada, "shop") })
	answer("GET /prometheus/{project}/api/v1/label/__name__/values", func(*http.Request) (any, error) {
		return map[string]any{"status": "success", "data": []string{"container_cpu_usage_seconds_total", "up"}}, nil
	})
	answer("GET /prometheus/{project}/api/v1/metadata", func(*http.Request) (any, error) {
		return map[string]any{"status": "success", "data": map[string]any{}}, nil
	})
	return mux
}

// overview is of half an hour in which release 47 made errors.
func overview() *monitor.Overview {
	o := &monitor.Overview{
		Rows: true, Total: 49055, From: Now.Add(-30 * time.Minute), Step: 15, Bars: 120, Levels: []monitor.LevelBars{{Level: "ERROR", Counts: make([]int64, 120)}, {Level: "INFO", Counts: make([]int64, 120)}},
		Facets: []monitor.Facet{
			{Column: "LogLevel", Title: "Level", Values: []monitor.FacetValue{{Value: "INFO", Count: 48210}, {Value: "WARNING", Count: 631}, {Value: "ERROR", Count: 214}}},
			{Column: "ContainerName", Title: "Workload", Values: []monitor.FacetValue{{Value: "web", Count: 30127}, {Value: "<img src=x> with a name that is too long for its place", Count: 12044}}},
		},
		Marks:   []monitor.Mark{{Release: "shop/production/47", Result: "deployed", Commit: Second, Actor: "run:2040", At: Now.Add(-12 * time.Minute), Verdict: "worse", Why: "more fail"}, {Release: "shop/production/46", Result: "rolled-back", Actor: "run:2040", At: Now.Add(-7 * time.Minute)}},
		Columns: []monitor.Column{{Name: "TimeGenerated", Type: "datetime"}, {Name: "LogLevel", Type: "string"}, {Name: "ContainerName", Type: "string"}},
	}
	for i := range 120 {
		o.Levels[1].Counts[i] = int64(300 + i*37%90)
		if i > 72 && i < 92 {
			o.Levels[0].Counts[i] = int64(90 + i*13%40)
		}
	}
	o.Stats.Milliseconds, o.Stats.Segments, o.Stats.Read = 118, 41, 3
	return o
}

// trace is the one of the fixture, with more spans of one kind than a window shows.
func trace() *monitor.Trace {
	t := &monitor.Trace{
		ID: TraceID, Start: Now.Add(-40 * time.Second), Duration: 1204, Spans: 4, Errors: 1, Roles: []string{"web", "cart", "<script>alert(1)"}, Names: []string{"POST /checkout", "GET /quote", "SELECT price"}, Types: []string{"request", "HTTP", "postgresql"}, Releases: []string{"shop/production/47"},
		SpanID: []string{"00f067aa0ba902b7", "00f067aa0ba902b8", "00f067aa0ba902b9", "00f067aa0ba902ba"}, Parent: []int{-1, 0, 1, 2}, Depth: []int{0, 1, 2, 3}, Offset: []float64{0, 20, 40, 60}, Took: []float64{1204, 900, 412, 12},
		Role: []int{0, 0, 1, 2}, Name: []int{0, 1, 1, 2}, Type: []int{0, 1, 0, 2}, Release: []int{0, 0, 0, 0}, Failed: []bool{false, false, true, false}, Code: []string{"200", "503", "503", ""}, Critical: []bool{true, true, true, false},
	}
	for i := range 400 {
		t.SpanID, t.Parent, t.Depth, t.Offset = append(t.SpanID, fmt.Sprintf("%016x", i)), append(t.Parent, 0), append(t.Depth, 1), append(t.Offset, float64(i)*2)
		t.Took, t.Role, t.Name, t.Type, t.Release = append(t.Took, float64(5+i%40)), append(t.Role, i%3), append(t.Name, i%3), append(t.Type, 2), append(t.Release, 0)
		t.Failed, t.Code, t.Critical = append(t.Failed, i%90 == 0), append(t.Code, ""), append(t.Critical, false)
	}
	t.Spans = len(t.SpanID)
	return t
}
