package otlp_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/monitor/ingest"
	"towpath.dev/towpath/internal/monitor/otlp"
	"towpath.dev/towpath/internal/monitor/place"
)

// spans makes n spans such as a web service sends, with an exception in every tenth.
func spans(n int) ptraceotlp.ExportRequest {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "cart")
	ss := rs.ScopeSpans().AppendEmpty()
	ss.Scope().SetName("shop/cart")
	for i := range n {
		s := ss.Spans().AppendEmpty()
		s.SetTraceID(pcommon.TraceID{1, byte(i >> 8), byte(i)})
		s.SetSpanID(pcommon.SpanID{2, byte(i >> 8), byte(i)})
		s.SetName("GET")
		s.SetKind(ptrace.SpanKindServer)
		s.SetStartTimestamp(pcommon.NewTimestampFromTime(time.Now().Add(-time.Second)))
		s.SetEndTimestamp(pcommon.NewTimestampFromTime(time.Now()))
		a := s.Attributes()
		a.PutStr("http.request.method", "GET")
		a.PutStr("http.route", "/cart/{id}")
		a.PutStr("url.path", "/cart/17")
		a.PutStr("url.scheme", "https")
		a.PutStr("server.address", "shop.example")
		a.PutInt("http.response.status_code", 200)
		a.PutStr("user_agent.original", "Mozilla/5.0")
		a.PutStr("tenant", "acme")
		if i%10 == 0 {
			e := s.Events().AppendEmpty()
			e.SetName("exception")
			e.Attributes().PutStr("exception.type", "KeyError")
			e.Attributes().PutStr("exception.message", "'c7'")
			e.Attributes().PutStr("exception.stacktrace", "Traceback:\n  File \"/app/shop/cart.py\", line 22, in get\nKeyError: 'c7'")
		}
	}
	return ptraceotlp.NewExportRequestFromTraces(td)
}

func measured() pmetricotlp.ExportRequest {
	md := pmetric.NewMetrics()
	ms := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics()
	now := pcommon.NewTimestampFromTime(time.Now())
	sum := ms.AppendEmpty()
	sum.SetName("orders")
	sum.SetEmptySum().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	p := sum.Sum().DataPoints().AppendEmpty()
	p.SetTimestamp(now)
	p.SetIntValue(1)
	h := ms.AppendEmpty()
	h.SetName("took")
	h.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	d := h.Histogram().DataPoints().AppendEmpty()
	d.SetTimestamp(now)
	d.ExplicitBounds().FromRaw([]float64{1, 2})
	d.BucketCounts().FromRaw([]uint64{1, 0, 2})
	return pmetricotlp.NewExportRequestFromMetrics(md)
}

// quiet takes rows and keeps nothing.
func quiet(t testing.TB) http.Handler {
	places := known{shop()}
	c := clock.System()
	in := ingest.New(ingest.Parts{Sink: nothing{}, Metrics: &store{}, Places: places, Clock: c, Quota: func(string) ingest.Quota { return ingest.Quota{Rows: 1e12, Bytes: 1e15} }})
	r, err := otlp.New(otlp.Parts{Rows: in, Clock: c, Resolver: &otlp.Gate{Agent: func(string) bool { return true }, Authority: people{}, Places: places}})
	if err != nil {
		t.Fatal(err)
	}
	return r.HTTP()
}

// FuzzBodies: whatever the body, the answer is one that the protocol knows, and what is
// handed on is a batch that the store takes.
func FuzzBodies(f *testing.F) {
	add := func(signal byte, asProto, asJSON func() ([]byte, error)) {
		for kind, marshal := range []func() ([]byte, error){asProto, asJSON} {
			b, err := marshal()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(signal, kind == 1, b)
		}
	}
	t, l, m := spans(3), said("", "blog"), measured()
	add(0, t.MarshalProto, t.MarshalJSON)
	add(1, l.MarshalProto, l.MarshalJSON)
	add(2, m.MarshalProto, m.MarshalJSON)
	h := quiet(f)
	f.Fuzz(func(t *testing.T, signal byte, asJSON bool, body []byte) {
		path := []string{"/v1/traces", "/v1/logs", "/v1/metrics"}[signal%3]
		r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
		r.Header.Set("Content-Type", map[bool]string{true: "application/json", false: "application/x-protobuf"}[asJSON])
		for k, v := range pod(shop()) {
			r.Header.Set(k, v)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != http.StatusOK && rec.Code != http.StatusBadRequest && rec.Code != http.StatusRequestEntityTooLarge {
			t.Fatalf("status %d: %s", rec.Code, rec.Body)
		}
	})
}

// send sends a body once.
func send(b *testing.B, h http.Handler, path string, body []byte) {
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/x-protobuf")
	for k, v := range pod(place.Place{Address: netip.MustParseAddr("10.88.0.5")}) {
		r.Header.Set(k, v)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		b.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
}

const perRequest = 512

func BenchmarkSpans(b *testing.B) {
	body, err := spans(perRequest).MarshalProto()
	if err != nil {
		b.Fatal(err)
	}
	h := quiet(b)
	b.ReportAllocs()
	for b.Loop() {
		send(b, h, "/v1/traces", body)
	}
	b.ReportMetric(float64(b.N*perRequest)/b.Elapsed().Seconds(), "spans/s")
}

func BenchmarkLogRecords(b *testing.B) {
	req := said("")
	records := req.Logs().ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	for range perRequest - 1 {
		records.At(0).CopyTo(records.AppendEmpty())
	}
	h := quiet(b)
	body := proto(b, req)
	b.ReportAllocs()
	for b.Loop() {
		send(b, h, "/v1/logs", body)
	}
	b.ReportMetric(float64(b.N*perRequest)/b.Elapsed().Seconds(), "records/s")
}
