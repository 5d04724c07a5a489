// Package telemetry sets up tracing for one service: W3C trace context and baggage on every hop, spans exported over OTLP if a
// collector is named.
//
// Noun: Telemetry. It is passed by hand and never stored in OpenTelemetry's globals, so several services can live in one process
// (cmd/all and the tests do that). Must not import a service.
package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/stats"

	"shop/internal/hop"
)

// Telemetry is the tracing of one service.
type Telemetry struct {
	provider   *sdktrace.TracerProvider
	propagator propagation.TextMapPropagator
}

// New starts the tracing of a service. Spans leave the process only if getenv names a collector (OTEL_EXPORTER_OTLP_ENDPOINT or
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, both over HTTP); without one there is no exporter, but trace ids and baggage are still made
// and passed on. OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME are honoured by the SDK. Call Close to flush.
func New(ctx context.Context, self hop.Self, getenv func(string) string, extra ...sdktrace.TracerProviderOption) (*Telemetry, error) {
	res, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", self.Service), attribute.String("service.version", self.Build)),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describing the service for tracing: %w", err)
	}
	options := append([]sdktrace.TracerProviderOption{sdktrace.WithResource(res)}, extra...)
	if getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" {
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("setting up the OTLP exporter: %w", err)
		}
		options = append(options, sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(time.Second)))
	}
	return &Telemetry{
		provider:   sdktrace.NewTracerProvider(options...),
		propagator: propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
	}, nil
}

// Close sends the spans that still wait and stops the tracing.
func (t *Telemetry) Close(ctx context.Context) error {
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("flushing traces: %w", err)
	}
	return nil
}

// Server wraps an HTTP handler: it reads trace context and baggage from the request and records a server span.
func (t *Telemetry) Server(next http.Handler) http.Handler {
	return otelhttp.NewHandler(next, "http", otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(t.propagator))
}

// Client wraps a transport: it records a client span and writes trace context and baggage to the request.
func (t *Telemetry) Client(base http.RoundTripper) http.RoundTripper {
	return otelhttp.NewTransport(base, otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(t.propagator))
}

// GRPCServer is Server for gRPC.
func (t *Telemetry) GRPCServer() stats.Handler {
	return otelgrpc.NewServerHandler(otelgrpc.WithTracerProvider(t.provider), otelgrpc.WithPropagators(t.propagator))
}

// GRPCClient is Client for gRPC.
func (t *Telemetry) GRPCClient() stats.Handler {
	return otelgrpc.NewClientHandler(otelgrpc.WithTracerProvider(t.provider), otelgrpc.WithPropagators(t.propagator))
}

// LogErrors sends OpenTelemetry's own errors to the log, at most one in every interval. The SDK reports through a global and once
// per failed batch: a collector that is away must not fill the log of a service that works.
func LogErrors(log *slog.Logger, interval time.Duration, now func() time.Time) {
	otel.SetErrorHandler(&limited{log: log, interval: interval, now: now})
}

// limited is an error handler with a rate limit.
type limited struct {
	log      *slog.Logger
	interval time.Duration
	now      func() time.Time

	mu     sync.Mutex
	next   time.Time
	unsaid int
}

// Handle logs the error, or counts it when the last line is too recent.
func (l *limited) Handle(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := l.now(); at.Before(l.next) {
		l.unsaid++
	} else {
		l.log.Warn("telemetry", "error", err, "unsaid", l.unsaid)
		l.next, l.unsaid = at.Add(l.interval), 0
	}
}
