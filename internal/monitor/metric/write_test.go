package metric_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/prompb"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"towpath.dev/towpath/internal/monitor/metric"
)

func TestRemoteWriteComesInAndGoesOut(t *testing.T) {
	from, to := live(t, metric.Options{}), live(t, metric.Options{})
	var bearer string
	srv := httptest.NewServer(to.WriteAPI(func(r *http.Request) (metric.Origin, error) {
		bearer = r.Header.Get("Authorization")
		return metric.Origin{Project: "copy"}, nil
	}))
	t.Cleanup(srv.Close)
	background(t, func(ctx context.Context) error {
		return from.Forward(ctx, []metric.Remote{{URL: srv.URL + "/api/v1/write", Bearer: "secret"}})
	})
	// The queue follows the WAL from when it has found its end.
	eventually(t, "samples arrive", func() bool {
		push(t, from, metric.Origin{Project: "shop"}, sample("m", time.Now(), 7, "a", "b"))
		return len(values(t, to, metric.Scope{Project: "copy"}, "m")) > 0
	})
	want := map[string]float64{"map[__name__:m a:b exported_project:shop project:copy]": 7}
	if diff := cmp.Diff(want, values(t, to, metric.Scope{Project: "copy"}, "m")); diff != "" {
		t.Error(diff)
	}
	if bearer != "Bearer secret" {
		t.Errorf("Authorization = %q", bearer)
	}
}

func TestRemoteWriteDropsWhatCanNeverBeStored(t *testing.T) {
	s := live(t, metric.Options{SeriesPerProject: 1})
	now := time.Now().UnixMilli()
	series := func(name string, at int64) prompb.TimeSeries {
		return prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: name}}, Samples: []prompb.Sample{{Timestamp: at, Value: 1}}}
	}
	body, err := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{series("a", now), series("b", now), series("a", now-48*3600_000)}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	post := func(body []byte) int {
		r := httptest.NewRequest("POST", "/api/v1/write", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/x-protobuf")
		r.Header.Set("Content-Encoding", "snappy")
		w := httptest.NewRecorder()
		s.WriteAPI(func(*http.Request) (metric.Origin, error) { return metric.Origin{Project: "shop"}, nil }).ServeHTTP(w, r)
		return w.Code
	}
	if code := post(snappy.Encode(nil, body)); code != http.StatusNoContent {
		t.Errorf("status %d", code)
	}
	if got := values(t, s, metric.Scope{Project: "shop"}, `{__name__=~"a|b"}`); len(got) != 1 {
		t.Errorf("stored: %v", got)
	}
	if code := post([]byte("nonsense")); code/100 != 4 {
		t.Errorf("what is no snappy: status %d", code)
	}
	if code := post(snappy.Encode(nil, []byte("nonsense"))); code/100 != 4 {
		t.Errorf("what is no protobuf: status %d", code)
	}
}

func TestOTLPMetrics(t *testing.T) {
	s := live(t, metric.Options{})
	now := pcommon.NewTimestampFromTime(time.Now())
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "cart")
	rm.Resource().Attributes().PutStr("service.instance.id", "cart-1")
	rm.Resource().Attributes().PutStr("project", "bank")
	ms := rm.ScopeMetrics().AppendEmpty().Metrics()
	sum := ms.AppendEmpty()
	sum.SetName("cart.items")
	sum.SetEmptySum().SetIsMonotonic(true)
	sum.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	p := sum.Sum().DataPoints().AppendEmpty()
	p.SetTimestamp(now)
	p.SetIntValue(3)
	p.Attributes().PutStr("project", "bank")
	hist := ms.AppendEmpty()
	hist.SetName("http.server.request.duration")
	hist.SetUnit("s")
	hist.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	h := hist.Histogram().DataPoints().AppendEmpty()
	h.SetTimestamp(now)
	h.SetCount(2)
	h.SetSum(0.3)
	h.ExplicitBounds().FromRaw([]float64{0.1})
	h.BucketCounts().FromRaw([]uint64{1, 1})
	delta := ms.AppendEmpty()
	delta.SetName("delta")
	delta.SetEmptySum().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	delta.Sum().DataPoints().AppendEmpty().SetTimestamp(now)

	out, err := s.AppendOTLP(context.Background(), metric.Origin{Project: "shop", Environment: "production", Namespace: "shop-production", Pod: "cart-1", Node: "n"}, md)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"delta": 1}, out.Reasons); diff != "" || out.Message == "" {
		t.Errorf("%s %q", diff, out.Message)
	}
	place := " namespace:shop-production node:n pod:cart-1 project:shop service_name:cart]"
	want := map[string]float64{
		"map[__name__:cart_items_total environment:production exported_project:bank job:cart" + place:              3,
		"map[__name__:http_server_request_duration_seconds_count environment:production job:cart" + place:          2,
		"map[__name__:http_server_request_duration_seconds_sum environment:production job:cart" + place:            0.3,
		"map[__name__:http_server_request_duration_seconds_bucket environment:production job:cart le:0.1" + place:  1,
		"map[__name__:http_server_request_duration_seconds_bucket environment:production job:cart le:+Inf" + place: 2,
	}
	if diff := cmp.Diff(want, values(t, s, metric.Scope{Project: "shop"}, `{__name__=~"cart.*|http.*|delta.*"}`)); diff != "" {
		t.Error(diff)
	}
}
