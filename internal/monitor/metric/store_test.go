package metric_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/metric"
)

// noon is when the tests are.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string, o metric.Options) *metric.Store {
	t.Helper()
	s, err := metric.Open(dir, o, clock.Fixed(noon, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func store(t *testing.T, o metric.Options) *metric.Store {
	t.Helper()
	s := open(t, t.TempDir(), o)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func sample(name string, at time.Time, v float64, pairs ...string) metric.Sample {
	ls := map[string]string{"__name__": name}
	for i := 0; i < len(pairs); i += 2 {
		ls[pairs[i]] = pairs[i+1]
	}
	return metric.Sample{Labels: ls, At: at, Value: v}
}

func push(t *testing.T, s *metric.Store, from metric.Origin, samples ...metric.Sample) metric.Outcome {
	t.Helper()
	o, err := s.Append(context.Background(), from, samples)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func instant(t *testing.T, s *metric.Store, in metric.Scope, expr string) map[string]float64 {
	t.Helper()
	points, err := s.Instant(context.Background(), in, expr, noon)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, p := range points {
		out[fmt.Sprint(p.Labels)] = p.Value
	}
	return out
}

func TestAProjectSeesItsOwnSeriesOnly(t *testing.T) {
	s := store(t, metric.Options{})
	push(t, s, metric.Origin{Project: "shop", Environment: "production"}, sample("up", noon, 1))
	push(t, s, metric.Origin{Project: "bank"}, sample("up", noon, 2, "project", "shop", "environment", "production"))
	push(t, s, metric.Origin{}, sample("up", noon, 3, "project", "shop"))

	shop := metric.Scope{Project: "shop"}
	want := map[string]float64{"map[__name__:up environment:production project:shop]": 1}
	for _, expr := range []string{"up", `up{project="bank"} or up`, `{__name__=~".+"}`, `last_over_time(up[5m:1m]) or up`, `up{project=~".*"}`, `up or up{project!="shop"}`} {
		got := instant(t, s, shop, expr)
		for k, v := range got {
			if v != 1 {
				t.Errorf("%s shows %s = %v to project shop", expr, k, v)
			}
		}
		if len(got) == 0 {
			t.Errorf("%s shows nothing to project shop", expr)
		}
	}
	if diff := cmp.Diff(want, instant(t, s, shop, "up")); diff != "" {
		t.Error(diff)
	}
	all := map[string]float64{
		"map[__name__:up environment:production project:shop]":                                1,
		"map[__name__:up exported_environment:production exported_project:shop project:bank]": 2,
		"map[__name__:up exported_project:shop]":                                              3,
	}
	if diff := cmp.Diff(all, instant(t, s, metric.Scope{All: true}, "up")); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Instant(context.Background(), metric.Scope{}, "up", noon); !fault.Is(err, fault.Invalid) {
		t.Errorf("a scope that names nobody: %v", err)
	}
}

func TestSamplesAreRefusedOneByOne(t *testing.T) {
	s := store(t, metric.Options{SeriesPerProject: 3, OutOfOrder: time.Minute})
	shop := metric.Origin{Project: "shop"}
	push(t, s, shop, sample("a", noon, 1))
	o := push(t, s, shop,
		sample("a", noon, 2), // another value at the same moment
		sample("a", noon.Add(-time.Hour), 1),
		sample("a", noon.Add(-30*time.Second), 1), // out of order, within the window
		sample("a", noon.Add(time.Hour), 1),
		sample("", noon, 1),
		sample("a", noon, 1, "x", strings.Repeat("x", 3000)),
		sample("b", noon, 1, "user", "1"), sample("b", noon, 1, "user", "2"), sample("b", noon, 1, "user", "3"), sample("b", noon, 1, "user", "4"),
	)
	want := map[string]int{"duplicate": 1, "too_old": 1, "out_of_bounds": 1, "invalid": 2, "series_limit": 2}
	if diff := cmp.Diff(want, o.Reasons); diff != "" {
		t.Error(diff)
	}
	if o.Taken != 3 || o.Refused != 7 || o.Message == "" {
		t.Errorf("outcome = %+v", o)
	}
	c, err := s.Cardinality(context.Background(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(metric.Cardinality{Project: "shop", Series: 3, Max: 3, Refused: 2, Metric: "b", Count: 2, Label: "user", Values: 2}, c); diff != "" {
		t.Error(diff)
	}
	// Others are not touched by it.
	if o := push(t, s, metric.Origin{Project: "bank"}, sample("b", noon, 1)); o.Taken != 1 {
		t.Errorf("another project: %+v", o)
	}
}

func TestWhatWasAcknowledgedIsThereAfterAnAbruptEnd(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, metric.Options{SeriesPerProject: 1})
	push(t, s, metric.Origin{Project: "shop"}, sample("a", noon, 7))
	// The files as a crash would leave them: copied while the store is open.
	crashed := t.TempDir()
	copyTree(t, dir, crashed)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, crashed, metric.Options{SeriesPerProject: 1})
	defer again.Close()
	if diff := cmp.Diff(map[string]float64{"map[__name__:a project:shop]": 7}, instant(t, again, metric.Scope{Project: "shop"}, "a")); diff != "" {
		t.Error(diff)
	}
	// What the WAL brought back counts.
	if o := push(t, again, metric.Origin{Project: "shop"}, sample("b", noon, 1)); o.Reasons["series_limit"] != 1 {
		t.Errorf("after the restart: %+v", o)
	}
}

func TestLimitsOfQuestions(t *testing.T) {
	s := store(t, metric.Options{QuerySamples: 100})
	var many []metric.Sample
	for i := range 200 {
		many = append(many, sample("a", noon, 1, "i", fmt.Sprint(i)))
	}
	push(t, s, metric.Origin{Project: "shop"}, many...)
	if _, err := s.Instant(context.Background(), metric.Scope{Project: "shop"}, "a", noon); !fault.Is(err, fault.TooLarge) {
		t.Errorf("too many samples: %v", err)
	}
	if _, err := s.Instant(context.Background(), metric.Scope{Project: "shop"}, "a{", noon); !fault.Is(err, fault.Invalid) {
		t.Errorf("not PromQL: %v", err)
	}
}

// ask asks the API and returns the status with what the answer says, as JSON.
func ask(t *testing.T, h http.Handler, method, path string, form url.Values) (int, string) {
	t.Helper()
	var r *http.Request
	if method == http.MethodPost {
		r = httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		r = httptest.NewRequest(method, path+"?"+form.Encode(), nil)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if !json.Valid(w.Body.Bytes()) {
		t.Fatalf("%s %s: no JSON: %s", method, path, w.Body)
	}
	return w.Code, w.Body.String()
}

func TestAPI(t *testing.T) {
	s := store(t, metric.Options{})
	push(t, s, metric.Origin{Project: "bank"}, sample("secret_total", noon, 9, "customer", "x"))
	requests := sample("requests_total", noon.Add(-time.Minute), 10, "code", "200")
	requests.Type, requests.Help = "counter", "Requests."
	push(t, s, metric.Origin{Project: "shop"}, requests, sample("requests_total", noon, 40, "code", "200"))
	h := s.API(func(r *http.Request) (metric.Scope, error) {
		if r.Header.Get("Forbidden") != "" {
			return metric.Scope{}, fault.New(fault.Denied, "No.")
		}
		return metric.Scope{Project: "shop"}, nil
	}, nil)
	at := fmt.Sprint(noon.Unix())
	for _, tt := range []struct {
		path   string
		form   url.Values
		status int
		want   string
	}{
		{"query", url.Values{"query": {"requests_total"}, "time": {at}}, 200,
			`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"requests_total","code":"200","project":"shop"},"value":[1772366400,"40"]}]}}`},
		{"query", url.Values{"query": {"1+1"}, "time": {at}}, 200, `{"status":"success","data":{"resultType":"scalar","result":[1772366400,"2"]}}`},
		{"query", url.Values{"query": {`secret_total`}, "time": {at}}, 200, `{"status":"success","data":{"resultType":"vector","result":[]}}`},
		{"query", url.Values{"query": {`rate(`}}, 400, `{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:6: parse error: unclosed left parenthesis"}`},
		{"query_range", url.Values{"query": {"requests_total"}, "start": {fmt.Sprint(noon.Unix() - 60)}, "end": {at}, "step": {"1m"}}, 200,
			`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"requests_total","code":"200","project":"shop"},"values":[[1772366340,"10"],[1772366400,"40"]]}]}}`},
		{"query_range", url.Values{"query": {"up"}, "start": {"0"}, "end": {at}, "step": {"1"}}, 400,
			`{"status":"error","errorType":"bad_data","error":"exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"}`},
		{"series", url.Values{"match[]": {`{code="200"}`}}, 200, `{"status":"success","data":[{"__name__":"requests_total","code":"200","project":"shop"}]}`},
		{"series", url.Values{"match[]": {`{code=~".*"}`}}, 400, `{"status":"error","errorType":"bad_data","error":"match[] must contain at least one non-empty matcher"}`},
		{"labels", nil, 200, `{"status":"success","data":["__name__","code","project"]}`},
		{"label/__name__/values", nil, 200, `{"status":"success","data":["requests_total"]}`},
		{"label/project/values", nil, 200, `{"status":"success","data":["shop"]}`},
		{"label/customer/values", nil, 200, `{"status":"success","data":[]}`},
		{"metadata", nil, 200, `{"status":"success","data":{"requests_total":[{"type":"counter","help":"Requests.","unit":""}]}}`},
		{"rules", nil, 200, `{"status":"success","data":{"groups":[]}}`},
		{"alerts", nil, 200, `{"status":"success","data":{"alerts":[]}}`},
		{"query_exemplars", nil, 200, `{"status":"success","data":[]}`},
		{"format_query", url.Values{"query": {"sum(a)by(b)"}}, 200, `{"status":"success","data":"sum by (b) (a)"}`},
		{"nothing", nil, 404, `{"status":"error","errorType":"not_found","error":"There is no /api/v1/nothing here."}`},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			status, got := ask(t, h, method, "/api/v1/"+tt.path, tt.form)
			if status != tt.status || got != tt.want {
				t.Errorf("%s %s %v:\n%d %s, want\n%d %s", method, tt.path, tt.form, status, got, tt.status, tt.want)
			}
		}
	}
	r := httptest.NewRequest("GET", "/api/v1/query?query=up", nil)
	r.Header.Set("Forbidden", "yes")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("a scope that is refused: %d %s", w.Code, w.Body)
	}
}
