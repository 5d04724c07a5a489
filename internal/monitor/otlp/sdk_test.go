package otlp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"towpath.dev/towpath/internal/monitor/table"
)

func service() *resource.Resource {
	return resource.NewSchemaless(
		attribute.String("service.name", "cart"), attribute.String("service.namespace", "shop"), attribute.String("service.version", "1.4"),
		attribute.String("telemetry.sdk.language", "go"), attribute.String("telemetry.sdk.version", "1.47.0"), attribute.String("team", "checkout"),
		// A lie about where it runs.
		attribute.String("towpath.project", "blog"), attribute.String("k8s.namespace.name", "blog"))
}

// tracers returns real exporters of both protocols.
func tracers(t *testing.T, w *world) map[string]sdktrace.SpanExporter {
	t.Helper()
	overHTTP, err := otlptracehttp.New(soon(t), otlptracehttp.WithEndpointURL(w.http+"/v1/traces"), otlptracehttp.WithHeaders(pod(shop())),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	if err != nil {
		t.Fatal(err)
	}
	overGRPC, err := otlptracegrpc.New(soon(t), otlptracegrpc.WithEndpoint(w.grpc), otlptracegrpc.WithInsecure(), otlptracegrpc.WithHeaders(pod(shop())),
		otlptracegrpc.WithCompressor("gzip"))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]sdktrace.SpanExporter{"http": overHTTP, "grpc": overGRPC}
}

func TestSpansOfARealSDK(t *testing.T) {
	w := build(t, nil)
	for name, exporter := range tracers(t, w) {
		t.Run(name, func(t *testing.T) {
			w.batches = nil
			provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter), sdktrace.WithResource(service()))
			defer func() { _ = provider.Shutdown(context.Background()) }()
			tracer := provider.Tracer("shop/cart")
			ctx, server := tracer.Start(context.Background(), "GET", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
				attribute.String("http.request.method", "GET"), attribute.String("http.route", "/cart/{id}"), attribute.String("url.path", "/cart/7"),
				attribute.String("url.scheme", "http"), attribute.String("server.address", "cart"), attribute.Int("server.port", 8080),
				attribute.Int("http.response.status_code", 500), attribute.String("client.address", "10.1.2.3"), attribute.String("tenant", "acme")))
			_, client := tracer.Start(ctx, "SELECT carts", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
				attribute.String("db.system", "postgresql"), attribute.String("db.name", "carts"), attribute.String("db.statement", "SELECT 1"), attribute.String("server.address", "db")))
			client.End()
			server.RecordError(errors.New("no such cart"), trace.WithStackTrace(true))
			server.AddEvent("looked up", trace.WithAttributes(attribute.Int("tries", 3)))
			server.SetStatus(codes.Error, "boom")
			server.End()

			id := server.SpanContext()
			requests, calls := w.rows(table.AppRequests), w.rows(table.AppDependencies)
			if len(requests) != 1 || len(calls) != 1 {
				t.Fatalf("%d requests and %d dependencies", len(requests), len(calls))
			}
			want := map[string]any{
				"Id": id.SpanID().String(), "OperationId": id.TraceID().String(), "Name": "GET /cart/{id}", "OperationName": "GET /cart/{id}", "ResultCode": "500", "Success": int64(0),
				"Url": "http://cart:8080/cart/7", "ClientIP": "10.1.2.3", "AppRoleName": "[shop]/cart", "AppRoleInstance": "cart-1", "AppVersion": "1.4", "SDKVersion": "go:otel1.47.0",
				"ItemCount": int64(1), "PerformanceBucket": "<250ms", "Project": "shop", "Environment": "production", "Release": "shop/production/48", "ImageDigest": "sha256:aa",
				"Properties": `{"team":"checkout","tenant":"acme","otel.status_description":"boom","http.request.method":"GET","otel.scope.name":"shop/cart"}`,
			}
			if diff := cmp.Diff(want, only(requests[0], want)); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			want = map[string]any{
				"ParentId": id.SpanID().String(), "OperationId": id.TraceID().String(), "Name": "SELECT carts", "DependencyType": "postgresql", "Target": "db|carts",
				"Data": "SELECT 1", "Success": int64(1), "ResultCode": "0", "Project": "shop", "AppRoleName": "[shop]/cart",
			}
			if diff := cmp.Diff(want, only(calls[0], want)); diff != "" {
				t.Errorf("dependency (-want +got):\n%s", diff)
			}
			thrown := w.rows(table.AppExceptions)
			if len(thrown) != 1 || thrown[0]["ExceptionType"] != "*errors.errorString" || thrown[0]["Message"] != "no such cart" || thrown[0]["ParentId"] != id.SpanID().String() ||
				!strings.Contains(fmt.Sprint(thrown[0]["Details"]), `"inApp":true`) || !strings.HasPrefix(fmt.Sprint(thrown[0]["ProblemId"]), "*errors.errorString/") {
				t.Errorf("exceptions = %v", thrown)
			}
			said := w.rows(table.AppTraces)
			if len(said) != 1 || said[0]["Message"] != "looked up" || !strings.Contains(fmt.Sprint(said[0]["Properties"]), `"tries":"3"`) {
				t.Errorf("traces = %v", said)
			}
		})
	}
}

// only returns the fields of a row that are in want.
func only(row, want map[string]any) map[string]any {
	out := map[string]any{}
	for k := range want {
		if v, ok := row[k]; ok {
			out[k] = v
		}
	}
	return out
}

func TestLogRecordsOfARealSDK(t *testing.T) {
	w := build(t, nil)
	overHTTP, err := otlploghttp.New(soon(t), otlploghttp.WithEndpointURL(w.http+"/v1/logs"), otlploghttp.WithHeaders(pod(shop())))
	if err != nil {
		t.Fatal(err)
	}
	overGRPC, err := otlploggrpc.New(soon(t), otlploggrpc.WithEndpoint(w.grpc), otlploggrpc.WithInsecure(), otlploggrpc.WithHeaders(pod(shop())))
	if err != nil {
		t.Fatal(err)
	}
	for name, exporter := range map[string]sdklog.Exporter{"http": overHTTP, "grpc": overGRPC} {
		t.Run(name, func(t *testing.T) {
			w.batches = nil
			provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewSimpleProcessor(exporter)), sdklog.WithResource(service()))
			defer func() { _ = provider.Shutdown(context.Background()) }()
			var r log.Record
			r.SetTimestamp(time.Now())
			r.SetSeverity(log.SeverityWarn2)
			r.SetBody(attribute.StringValue("stock is low"))
			r.AddAttributes(attribute.String("sku", "A1"), attribute.Int("left", 2))
			span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
			provider.Logger("stock").Emit(trace.ContextWithSpanContext(context.Background(), span), r)
			rows := w.rows(table.AppTraces)
			if len(rows) != 1 {
				t.Fatalf("%d rows", len(rows))
			}
			want := map[string]any{
				"Message": "stock is low", "SeverityLevel": int64(2), "OperationId": span.TraceID().String(), "ParentId": span.SpanID().String(), "Project": "shop",
				"Properties": `{"team":"checkout","sku":"A1","left":"2","otel.scope.name":"stock"}`,
			}
			if diff := cmp.Diff(want, only(rows[0], want)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetricsOfARealSDK(t *testing.T) {
	for _, temporality := range []metricdata.Temporality{metricdata.CumulativeTemporality, metricdata.DeltaTemporality} {
		t.Run(temporality.String(), func(t *testing.T) {
			w := build(t, nil)
			exporter, err := otlpmetrichttp.New(soon(t), otlpmetrichttp.WithEndpointURL(w.http+"/v1/metrics"), otlpmetrichttp.WithHeaders(pod(shop())),
				otlpmetrichttp.WithTemporalitySelector(func(sdkmetric.InstrumentKind) metricdata.Temporality { return temporality }))
			if err != nil {
				t.Fatal(err)
			}
			provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter, sdkmetric.WithInterval(time.Hour))), sdkmetric.WithResource(service()))
			meter := provider.Meter("shop/cart")
			orders, err := meter.Int64Counter("orders")
			if err != nil {
				t.Fatal(err)
			}
			took, err := meter.Float64Histogram("took")
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				orders.Add(context.Background(), 2)
				took.Record(context.Background(), 7)
				if err := provider.ForceFlush(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			if err := provider.Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
			var sums []int64
			var counts []uint64
			for _, md := range w.metrics[:3] {
				for _, m := range md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
					switch m.Name() {
					case "orders":
						if m.Sum().AggregationTemporality() != pmetric.AggregationTemporalityCumulative {
							t.Error("the temporality is not cumulative")
						}
						sums = append(sums, m.Sum().DataPoints().At(0).IntValue())
					case "took":
						counts = append(counts, m.Histogram().DataPoints().At(0).BucketCounts().At(2))
					}
				}
			}
			if diff := cmp.Diff([]int64{2, 4, 6}, sums); diff != "" {
				t.Errorf("sums (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]uint64{1, 2, 3}, counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			if from := w.from[0]; from.Project != "shop" || from.Pod != "cart-1" {
				t.Errorf("from %+v", from)
			}
		})
	}
}
