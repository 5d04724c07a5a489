package otlp

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"towpath.dev/towpath/internal/monitor/place"
)

// The bounds of a data point's time around now: a metric store takes no others, and the
// series that tells of a resource has a sample for every few minutes between them.
const (
	pointOldest = 2 * time.Hour
	pointNewest = 10 * time.Minute
)

// points returns how many data points a metric has.
func points(m pmetric.Metric) int {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints().Len()
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints().Len()
	case pmetric.MetricTypeHistogram:
		return m.Histogram().DataPoints().Len()
	case pmetric.MetricTypeExponentialHistogram:
		return m.ExponentialHistogram().DataPoints().Len()
	case pmetric.MetricTypeSummary:
		return m.Summary().DataPoints().Len()
	}
	return 0
}

// normalise makes metrics such as a metric store takes: points near now, of cumulative
// temporality, the resource named after its place. It returns how many points are left,
// and how many were taken out for which reason.
func (r *Receiver) normalise(md pmetric.Metrics, p place.Place) (left int, out map[string]int) {
	out = map[string]int{}
	now := r.Clock.Now()
	t := trimmer{low: pcommon.NewTimestampFromTime(now.Add(-pointOldest)), high: pcommon.NewTimestampFromTime(now.Add(pointNewest)), out: out}
	md.ResourceMetrics().RemoveIf(func(rm pmetric.ResourceMetrics) bool {
		identify(rm.Resource(), p)
		base := identityOf(p, rm.Resource())
		rm.ScopeMetrics().RemoveIf(func(sm pmetric.ScopeMetrics) bool {
			flatten(sm.Scope().Attributes())
			sm.Metrics().RemoveIf(func(m pmetric.Metric) bool {
				t.trim(m)
				r.delta.sum(now, base+"\x00"+sm.Scope().Name()+"\x00"+m.Name()+"\x00"+m.Unit(), m, out)
				left += points(m)
				return points(m) == 0
			})
			return sm.Metrics().Len() == 0
		})
		return rm.ScopeMetrics().Len() == 0
	})
	return left, out
}

// identify gives a resource a service name and an instance where it has none, so that the
// series of two pods do not fall together.
func identify(res pcommon.Resource, p place.Place) {
	attrs := res.Attributes()
	flatten(attrs)
	attrs.Remove(ProjectAttribute)
	text := func(name string) string {
		if v, ok := attrs.Get(name); ok {
			return scalar(v)
		}
		return ""
	}
	if text("service.name") == "" {
		attrs.PutStr("service.name", roleOf(p, "", ""))
	}
	if text("service.instance.id") == "" && p.Pod != "" {
		attrs.PutStr("service.instance.id", p.Pod)
	}
}

// trimmer takes out points that lie too far from now.
type trimmer struct {
	low, high pcommon.Timestamp
	out       map[string]int
}

// bad reports whether a point's time is out of bounds, and counts it. Labels are texts:
// what is nested in the attributes becomes one, as deep as we read.
func (t *trimmer) bad(at pcommon.Timestamp, attrs pcommon.Map) bool {
	flatten(attrs)
	switch {
	case at < t.low:
		t.out["too_old"]++
	case at > t.high:
		t.out["too_new"]++
	default:
		return false
	}
	return true
}

func (t *trimmer) trim(m pmetric.Metric) {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		m.Gauge().DataPoints().RemoveIf(func(p pmetric.NumberDataPoint) bool { return t.bad(p.Timestamp(), p.Attributes()) })
	case pmetric.MetricTypeSum:
		m.Sum().DataPoints().RemoveIf(func(p pmetric.NumberDataPoint) bool { return t.bad(p.Timestamp(), p.Attributes()) })
	case pmetric.MetricTypeHistogram:
		m.Histogram().DataPoints().RemoveIf(func(p pmetric.HistogramDataPoint) bool { return t.bad(p.Timestamp(), p.Attributes()) })
	case pmetric.MetricTypeExponentialHistogram:
		m.ExponentialHistogram().DataPoints().RemoveIf(func(p pmetric.ExponentialHistogramDataPoint) bool { return t.bad(p.Timestamp(), p.Attributes()) })
	case pmetric.MetricTypeSummary:
		m.Summary().DataPoints().RemoveIf(func(p pmetric.SummaryDataPoint) bool { return t.bad(p.Timestamp(), p.Attributes()) })
	}
}

// flatten makes texts of lists and maps.
func flatten(attrs pcommon.Map) {
	for _, v := range attrs.All() {
		if k := v.Type(); k == pcommon.ValueTypeMap || k == pcommon.ValueTypeSlice {
			v.SetStr(scalar(v))
		}
	}
}
