package otlp

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pmetric"
)

// maxWidth is how many buckets one side of a sum has at most: with more, the scale becomes
// coarser by as much as is needed (OpenTelemetry, "Exponential Histogram": the SDKs keep 160).
const maxWidth = 320

// side are the buckets of one sign: counts[i] is that of the index offset+i.
type side struct {
	offset int32
	counts []uint64
}

// sideOf trims buckets that are empty at both ends, so that the width is what is used.
func sideOf(b pmetric.ExponentialHistogramDataPointBuckets) side {
	s := side{b.Offset(), b.BucketCounts().AsRaw()}
	for len(s.counts) > 0 && s.counts[0] == 0 {
		s.offset, s.counts = s.offset+1, s.counts[1:]
	}
	for len(s.counts) > 0 && s.counts[len(s.counts)-1] == 0 {
		s.counts = s.counts[:len(s.counts)-1]
	}
	return s
}

// span is the range of indexes of two sides at a scale that is coarser by a number of steps.
func span(a, b side, aBy, bBy int32) (low, high int64) {
	first := true
	for _, x := range []struct {
		side
		by int32
	}{{a, aBy}, {b, bBy}} {
		if len(x.counts) == 0 {
			continue
		}
		from, to := int64(x.offset)>>x.by, (int64(x.offset)+int64(len(x.counts))-1)>>x.by
		if first {
			low, high, first = from, to, false
		}
		low, high = min(low, from), max(high, to)
	}
	if first {
		return 0, -1
	}
	return low, high
}

// merge adds two sides up at coarser scales.
func merge(a, b side, aBy, bBy int32) side {
	low, high := span(a, b, aBy, bBy)
	if high < low {
		return side{}
	}
	out := side{int32(low), make([]uint64, high-low+1)}
	for i, n := range a.counts {
		out.counts[(int64(a.offset)+int64(i))>>aBy-low] += n
	}
	for i, n := range b.counts {
		out.counts[(int64(b.offset)+int64(i))>>bBy-low] += n
	}
	return out
}

// exponential is the sum of exponential histograms.
type exponential struct {
	scale              int32
	zeros              uint64
	positive, negative side
}

// add adds a point to the sum, at a scale that both fit in.
func (e *exponential) add(p pmetric.ExponentialHistogramDataPoint) {
	positive, negative := sideOf(p.Positive()), sideOf(p.Negative())
	scale := min(e.scale, p.Scale())
	for {
		mine, theirs := min(e.scale-scale, 62), min(p.Scale()-scale, 62)
		pl, ph := span(e.positive, positive, mine, theirs)
		nl, nh := span(e.negative, negative, mine, theirs)
		if max(ph-pl, nh-nl) < maxWidth {
			e.positive, e.negative = merge(e.positive, positive, mine, theirs), merge(e.negative, negative, mine, theirs)
			e.scale = scale
			e.zeros += p.ZeroCount()
			return
		}
		scale--
	}
}

// The scales that the data model allows.
const (
	minScale = -10
	maxScale = 20
)

// exponential makes a point of delta temporality cumulative.
func (a *accumulator) exponential(now time.Time, base string, p pmetric.ExponentialHistogramDataPoint) string {
	if p.Scale() < minScale || p.Scale() > maxScale {
		return "invalid"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	t, reason := a.find(now, base+"\x00"+key(p.Attributes()), p.StartTimestamp(), p.Timestamp())
	if reason != "" {
		return reason
	}
	if t.exponential == nil {
		t.exponential = &exponential{scale: p.Scale()}
	}
	t.exponential.add(p)
	t.count += p.Count()
	t.sum += p.Sum()
	p.SetStartTimestamp(t.start)
	p.SetCount(t.count)
	if p.HasSum() {
		p.SetSum(t.sum)
	}
	p.RemoveMin()
	p.RemoveMax()
	p.SetScale(t.exponential.scale)
	p.SetZeroCount(t.exponential.zeros)
	write := func(b pmetric.ExponentialHistogramDataPointBuckets, s side) {
		b.SetOffset(s.offset)
		b.BucketCounts().FromRaw(s.counts)
	}
	write(p.Positive(), t.exponential.positive)
	write(p.Negative(), t.exponential.negative)
	return ""
}
