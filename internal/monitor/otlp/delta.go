package otlp

import (
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"towpath.dev/towpath/internal/monitor/place"
)

// The bounds of the series of delta temporality that are summed up, and how long one is
// remembered that gets no points. A series that is forgotten begins at nothing again,
// which PromQL takes for a restart.
const (
	maxDeltas  = 200_000
	deltaStale = 10 * time.Minute
)

// accumulator sums points of delta temporality up to cumulative ones: series of a metric
// store only have these.
type accumulator struct {
	mu     sync.Mutex
	series map[string]*total
	swept  time.Time
}

// total is the sum of a series so far.
type total struct {
	seen        time.Time
	start, last pcommon.Timestamp
	integer     int64
	double      float64
	count       uint64
	sum         float64
	bounds      []float64
	buckets     []uint64
	exponential *exponential
}

func newAccumulator() *accumulator { return &accumulator{series: map[string]*total{}} }

// identityOf names a resource.
func identityOf(p place.Place, res pcommon.Resource) string {
	return p.Project + "\x00" + p.UID + "\x00" + key(res.Attributes())
}

// key names attributes, whatever their order.
func key(attrs pcommon.Map) string {
	parts := make([]string, 0, attrs.Len())
	for name, v := range attrs.All() {
		parts = append(parts, name+"\x01"+scalar(v))
	}
	slices.Sort(parts)
	return strings.Join(parts, "\x02")
}

// sum turns the points of a metric of delta temporality into cumulative ones. Points that
// cannot be summed are taken out and counted.
func (a *accumulator) sum(now time.Time, base string, m pmetric.Metric, out map[string]int) {
	const delta = pmetric.AggregationTemporalityDelta
	switch m.Type() {
	case pmetric.MetricTypeSum:
		if m.Sum().AggregationTemporality() == delta {
			m.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
			m.Sum().DataPoints().RemoveIf(func(p pmetric.NumberDataPoint) bool { return a.refuse(a.number(now, base, p), out) })
		}
	case pmetric.MetricTypeHistogram:
		if m.Histogram().AggregationTemporality() == delta {
			m.Histogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
			m.Histogram().DataPoints().RemoveIf(func(p pmetric.HistogramDataPoint) bool { return a.refuse(a.histogram(now, base, p), out) })
		}
	case pmetric.MetricTypeExponentialHistogram:
		if m.ExponentialHistogram().AggregationTemporality() == delta {
			m.ExponentialHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
			m.ExponentialHistogram().DataPoints().RemoveIf(func(p pmetric.ExponentialHistogramDataPoint) bool {
				return a.refuse(a.exponential(now, base, p), out)
			})
		}
	}
}

func (a *accumulator) refuse(reason string, out map[string]int) bool {
	if reason != "" {
		out[reason]++
	}
	return reason != ""
}

// find returns the total of a series for a point of this time, or why there is none.
func (a *accumulator) find(now time.Time, name string, start, at pcommon.Timestamp) (t *total, reason string) {
	if now.Sub(a.swept) > deltaStale/2 {
		a.swept = now
		for k, t := range a.series {
			if now.Sub(t.seen) > deltaStale {
				delete(a.series, k)
			}
		}
	}
	t, ok := a.series[name]
	switch {
	case !ok && len(a.series) >= maxDeltas:
		return nil, "series_limit"
	case !ok:
		if start == 0 || start > at {
			start = at
		}
		t = &total{start: start}
		a.series[name] = t
	case at <= t.last:
		// It came before, or out of order: summing it up would count it twice.
		return nil, "duplicate"
	}
	t.seen, t.last = now, at
	return t, ""
}

func (a *accumulator) number(now time.Time, base string, p pmetric.NumberDataPoint) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, reason := a.find(now, base+"\x00"+key(p.Attributes()), p.StartTimestamp(), p.Timestamp())
	if reason != "" {
		return reason
	}
	p.SetStartTimestamp(t.start)
	if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
		t.integer += p.IntValue()
		p.SetIntValue(t.integer)
		return ""
	}
	t.double += p.DoubleValue()
	p.SetDoubleValue(t.double)
	return ""
}

func (a *accumulator) histogram(now time.Time, base string, p pmetric.HistogramDataPoint) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	bounds, counts := p.ExplicitBounds().AsRaw(), p.BucketCounts().AsRaw()
	if len(counts) > 0 && len(counts) != len(bounds)+1 {
		return "invalid"
	}
	t, reason := a.find(now, base+"\x00"+key(p.Attributes()), p.StartTimestamp(), p.Timestamp())
	if reason != "" {
		return reason
	}
	if !slices.Equal(bounds, t.bounds) || len(counts) != len(t.buckets) {
		// The program chose other bounds: a new beginning.
		*t = total{seen: t.seen, last: t.last, start: p.StartTimestamp(), bounds: bounds, buckets: make([]uint64, len(counts))}
	}
	for i, n := range counts {
		t.buckets[i] += n
	}
	t.count += p.Count()
	t.sum += p.Sum()
	p.SetStartTimestamp(t.start)
	p.SetCount(t.count)
	if p.HasSum() {
		p.SetSum(t.sum)
	}
	p.RemoveMin()
	p.RemoveMax()
	p.BucketCounts().FromRaw(t.buckets)
	return ""
}
