package metric_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/metric"
)

func TestExpressionsThatCostToReadAreRefused(t *testing.T) {
	s := store(t, metric.Options{})
	h := s.API(func(*http.Request) (metric.Scope, error) { return metric.Scope{Project: "shop"}, nil }, nil)
	long := "1" + strings.Repeat("+1", 200_000)
	deep := strings.Repeat("(", 1500) + "1" + strings.Repeat(")", 1500)
	for _, tt := range []struct {
		path   string
		form   url.Values
		status int
	}{
		{"query", url.Values{"query": {long}}, 413},
		{"query_range", url.Values{"query": {long}, "start": {"0"}, "end": {"1"}, "step": {"1"}}, 413},
		{"series", url.Values{"match[]": {long}}, 413},
		{"labels", url.Values{"match[]": {long}}, 413},
		{"format_query", url.Values{"query": {long}}, 400},
		{"format_query", url.Values{"query": {deep}}, 400},
		{"format_query", url.Values{"query": {"sum by(a)(rate(b[5m]))/2"}}, 200},
		{"query", url.Values{"query": {"(((((1)))))"}}, 200},
	} {
		if status, text := ask(t, h, http.MethodPost, "/api/v1/"+tt.path, tt.form); status != tt.status {
			t.Errorf("%s: %d %.200s", tt.path, status, text)
		}
	}
	in := metric.Scope{Project: "shop"}
	if _, err := s.Instant(t.Context(), in, long, time.Time{}); !fault.Is(err, fault.TooLarge) {
		t.Errorf("instant: %v", err)
	}
	if _, err := s.Range(t.Context(), in, long, time.Now(), time.Now(), time.Second); !fault.Is(err, fault.TooLarge) {
		t.Errorf("range: %v", err)
	}
	if err := s.Samples(t.Context(), in, long, time.Now(), time.Now(), nil); !fault.Is(err, fault.TooLarge) {
		t.Errorf("samples: %v", err)
	}
}

func TestLabelsOfASeriesHaveABound(t *testing.T) {
	s := store(t, metric.Options{})
	pairs := []string{}
	for i := range 10 {
		pairs = append(pairs, fmt.Sprintf("l%d", i), strings.Repeat("x", 1000))
	}
	if o := push(t, s, metric.Origin{Project: "shop"}, sample("big", noon, 1, pairs...), sample("small", noon, 1, pairs[:4]...)); o.Taken != 1 || o.Reasons["invalid"] != 1 {
		t.Errorf("%+v", o)
	}
}

func TestJobsOfThePlatformAreNotForOthers(t *testing.T) {
	s := store(t, metric.Options{})
	push(t, s, metric.Origin{Project: "shop"}, sample("a", noon, 1, "job", "kubelet"), sample("b", noon, 1, "job", "mine"))
	push(t, s, metric.Origin{}, sample("c", noon, 1, "job", "kubelet"))
	all := metric.Scope{All: true}
	for expr, want := range map[string]int{`a{job="",exported_job="kubelet"}`: 1, `{job="kubelet",__name__=~".+"}`: 1, `b{job="mine"}`: 1, `c{job="kubelet"}`: 1} {
		if got := instant(t, s, all, expr); len(got) != want {
			t.Errorf("%s: %v", expr, got)
		}
	}
}
