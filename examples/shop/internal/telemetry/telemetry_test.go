package telemetry_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	oteltrace "go.opentelemetry.io/otel/trace"

	"shop/internal/hop"
	"shop/internal/telemetry"
)

// handle sends one request through the telemetry of a fresh service and closes it, which flushes.
func handle(t *testing.T) error {
	t.Helper()
	tel, err := telemetry.New(t.Context(), hop.Self{Service: "pricing", Build: "b9"}, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	handler := tel.Server(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	return tel.Close(t.Context())
}

func TestSpansGoToTheNamedCollector(t *testing.T) {
	var mu sync.Mutex
	var got []byte
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got = append(append(got, r.URL.Path...), body...)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.uid=0f3c")
	if err := handle(t); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"/v1/traces", "service.name", "pricing", "service.version", "b9", "k8s.pod.uid", "0f3c"} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("the collector did not receive %q", want)
		}
	}
}

func TestWithoutACollectorNothingIsSaid(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	var said bytes.Buffer
	telemetry.LogErrors(slog.New(slog.NewTextHandler(&said, nil)), time.Minute, time.Now)
	if err := handle(t); err != nil || said.Len() > 0 {
		t.Errorf("got %v and the log %s", err, said.String())
	}
}

func TestErrorsAreLimited(t *testing.T) {
	var said bytes.Buffer
	now := time.Unix(1000, 0)
	telemetry.LogErrors(slog.New(slog.NewTextHandler(&said, nil)), time.Minute, func() time.Time { return now })
	for range 100 {
		otel.Handle(errors.New("collector away"))
	}
	if lines := strings.Count(said.String(), "\n"); lines != 1 {
		t.Errorf("a hundred errors at once gave %d lines, want 1", lines)
	}
	now = now.Add(time.Minute)
	otel.Handle(errors.New("collector still away"))
	if !strings.Contains(said.String(), "still away") || !strings.Contains(said.String(), "unsaid=99") {
		t.Errorf("a minute later: %s", said.String())
	}
}

func TestMetricsAndLogsGoToTheNamedCollector(t *testing.T) {
	var mu sync.Mutex
	got := map[string]string{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got[r.URL.Path] += string(body)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	tel, err := telemetry.New(t.Context(), hop.Self{Service: "web", Build: "b9"}, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	var local bytes.Buffer
	log := tel.Log(slog.New(slog.NewJSONHandler(&local, nil))).With("build", "b9")
	count, err := tel.Meter().Int64Counter("shop.checkouts")
	if err != nil {
		t.Fatal(err)
	}
	var trace string
	tel.Server(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		count.Add(r.Context(), 2)
		log.WarnContext(r.Context(), "low tide", "depth", 3)
		trace = oteltrace.SpanContextFromContext(r.Context()).TraceID().String()
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	scrape := httptest.NewRecorder()
	tel.Metrics().ServeHTTP(scrape, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if err := tel.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for path, texts := range map[string][]string{
		"/v1/metrics": {"shop.checkouts", "http.server.request.duration", "web"}, "/v1/logs": {"low tide", "depth", "WARN", "b9"},
	} {
		for _, want := range texts {
			if !strings.Contains(got[path], want) {
				t.Errorf("%s did not receive %q", path, want)
			}
		}
	}
	if !strings.Contains(local.String(), `"trace_id":"`+trace+`"`) || !strings.Contains(local.String(), `"span_id":"`) {
		t.Errorf("the line has no ids of trace %s: %s", trace, local.String())
	}
	for _, want := range []string{"# TYPE shop_checkouts_total counter\nshop_checkouts_total 2\n", "http_server_request_duration_seconds_bucket{", `le="+Inf"} 1`} {
		if !strings.Contains(scrape.Body.String(), want) {
			t.Errorf("the scrape lacks %q:\n%s", want, scrape.Body)
		}
	}
}
