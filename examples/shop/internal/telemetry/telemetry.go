// Package telemetry sets up what one service tells of itself: W3C trace context and baggage on every hop, and spans, metrics and log
// records that go out over OTLP if a collector is named; metrics can be scraped, too.
//
// Noun: Telemetry. It is passed by hand and never stored in OpenTelemetry's globals, so several services can live in one process
// (cmd/all and the tests do that). Must not import a service.
package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/stats"

	"shop/internal/hop"
)

// How long spans and log records wait for others, how often metrics go out, and how long the flush at the end may take.
const (
	batchTime   = time.Second
	metricEvery = 10 * time.Second
	flushTime   = 2 * time.Second
)

// Telemetry is what one service tells of itself.
type Telemetry struct {
	traces     *sdktrace.TracerProvider
	metrics    *sdkmetric.MeterProvider
	logs       *sdklog.LoggerProvider // nil without a collector
	scrape     *sdkmetric.ManualReader
	propagator propagation.TextMapPropagator
}

// New starts the telemetry of a service. Spans, metrics and log records leave the process only if getenv names a collector
// (OTEL_EXPORTER_OTLP_ENDPOINT, over HTTP); without one there is no exporter, but trace ids and baggage are still made and passed
// on, and metrics are still counted for a scrape. OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME are honoured by the SDK. Call
// Close to flush.
func New(ctx context.Context, self hop.Self, getenv func(string) string, extra ...sdktrace.TracerProviderOption) (*Telemetry, error) {
	res, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", self.Service), attribute.String("service.version", self.Build)),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describing the service for telemetry: %w", err)
	}
	t := &Telemetry{
		scrape:     sdkmetric.NewManualReader(),
		propagator: propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
	}
	spans := append([]sdktrace.TracerProviderOption{sdktrace.WithResource(res)}, extra...)
	numbers := []sdkmetric.Option{sdkmetric.WithResource(res), sdkmetric.WithReader(t.scrape)}
	if cmp.Or(getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")) != "" {
		spanExporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("setting up the OTLP exporter of traces: %w", err)
		}
		spans = append(spans, sdktrace.WithBatcher(spanExporter, sdktrace.WithBatchTimeout(batchTime)))
	}
	if getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" {
		numberExporter, err := otlpmetrichttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("setting up the OTLP exporter of metrics: %w", err)
		}
		numbers = append(numbers, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(numberExporter, sdkmetric.WithInterval(metricEvery))))
		recordExporter, err := otlploghttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("setting up the OTLP exporter of logs: %w", err)
		}
		t.logs = sdklog.NewLoggerProvider(sdklog.WithResource(res),
			sdklog.WithProcessor(sdklog.NewBatchProcessor(recordExporter, sdklog.WithExportInterval(batchTime))))
	}
	t.traces, t.metrics = sdktrace.NewTracerProvider(spans...), sdkmetric.NewMeterProvider(numbers...)
	return t, nil
}

// Close sends what still waits, for two seconds at most, and stops the telemetry.
func (t *Telemetry) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	err := errors.Join(t.traces.Shutdown(ctx), t.metrics.Shutdown(ctx))
	if t.logs != nil {
		err = errors.Join(err, t.logs.Shutdown(ctx))
	}
	if err != nil {
		return fmt.Errorf("flushing telemetry: %w", err)
	}
	return nil
}

// Log returns a logger that writes as base does, adds trace_id and span_id to a record that belongs to a span, and sends the record
// to the collector if there is one.
func (t *Telemetry) Log(base *slog.Logger) *slog.Logger {
	h := handler{local: base.Handler()}
	if t.logs != nil {
		h.remote = otelslog.NewHandler("shop", otelslog.WithLoggerProvider(t.logs))
	}
	return slog.New(h)
}

// Meter returns the meter for what the service counts itself.
func (t *Telemetry) Meter() metric.Meter { return t.metrics.Meter("shop") }

// Server wraps an HTTP handler: it reads trace context and baggage from the request, records a server span and the duration.
func (t *Telemetry) Server(next http.Handler) http.Handler {
	h := otelhttp.NewHandler(next, "http", otelhttp.WithTracerProvider(t.traces), otelhttp.WithMeterProvider(t.metrics), otelhttp.WithPropagators(t.propagator))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The pattern so far is that of whoever mounted this, "/". The span is named after the one that next finds.
		r.Pattern = ""
		h.ServeHTTP(w, r)
	})
}

// Client wraps a transport: it records a client span and writes trace context and baggage to the request.
func (t *Telemetry) Client(base http.RoundTripper) http.RoundTripper {
	return otelhttp.NewTransport(base, otelhttp.WithTracerProvider(t.traces), otelhttp.WithMeterProvider(t.metrics), otelhttp.WithPropagators(t.propagator))
}

// GRPCServer is Server for gRPC.
func (t *Telemetry) GRPCServer() stats.Handler {
	return otelgrpc.NewServerHandler(otelgrpc.WithTracerProvider(t.traces), otelgrpc.WithMeterProvider(t.metrics), otelgrpc.WithPropagators(t.propagator))
}

// GRPCClient is Client for gRPC.
func (t *Telemetry) GRPCClient() stats.Handler {
	return otelgrpc.NewClientHandler(otelgrpc.WithTracerProvider(t.traces), otelgrpc.WithMeterProvider(t.metrics), otelgrpc.WithPropagators(t.propagator))
}
