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
