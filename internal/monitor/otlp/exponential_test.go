package otlp_test

import (
	"bytes"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
)

// exponential makes a request with one point of delta temporality.
func exponential(at time.Time, scale, offset int32, counts ...uint64) pmetricotlp.ExportRequest {
	md := pmetric.NewMetrics()
	m := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("took")
	m.SetEmptyExponentialHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	p := m.ExponentialHistogram().DataPoints().AppendEmpty()
	p.SetTimestamp(pcommon.NewTimestampFromTime(at))
	p.SetScale(scale)
	p.Positive().SetOffset(offset)
	p.Positive().BucketCounts().FromRaw(counts)
	total := uint64(0)
	for _, n := range counts {
		total += n
	}
	p.SetCount(total)
	return pmetricotlp.NewExportRequestFromMetrics(md)
}

func TestExponentialHistogramsAreSummed(t *testing.T) {
	w := build(t, nil)
	now := time.Now()
	for i, r := range []pmetricotlp.ExportRequest{
		exponential(now, 1, 2, 1, 2, 3, 4),                              // indexes 2, 3, 4, 5
		exponential(now.Add(time.Second), 0, 0, 5, 6),                   // coarser: the former become 1, 1, 2, 2
		exponential(now.Add(2*time.Second), 0, math.MaxInt32-10, 1),     // far away
		exponential(now.Add(3*time.Second), 20, math.MinInt32, 1, 0, 1), // and to the other side
		exponential(now.Add(4*time.Second), 99, 0, 1),                   // no such scale
	} {
		body, err := r.MarshalProto()
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(soon(t), http.MethodPost, w.http+"/v1/metrics", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header(with(pod(shop()), "Content-Type", "application/x-protobuf"))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("request %d: status %d", i, res.StatusCode)
		}
	}
	if len(w.metrics) != 4 {
		t.Fatalf("%d points were stored", len(w.metrics))
	}
	type point struct {
		Scale, Offset int32
		Counts        []uint64
		Count         uint64
	}
	var got []point
	for _, md := range w.metrics {
		p := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).ExponentialHistogram().DataPoints().At(0)
		got = append(got, point{p.Scale(), p.Positive().Offset(), p.Positive().BucketCounts().AsRaw(), p.Count()})
	}
	if diff := cmp.Diff([]point{{1, 2, []uint64{1, 2, 3, 4}, 10}, {0, 0, []uint64{5, 9, 7}, 21}}, got[:2]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, p := range got[2:] {
		sum := uint64(0)
		for _, n := range p.Counts {
			sum += n
		}
		if len(p.Counts) > 320 || sum != p.Count {
			t.Errorf("%d buckets with %d of %d", len(p.Counts), sum, p.Count)
		}
	}
}
