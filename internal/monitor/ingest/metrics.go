package ingest

import (
	"context"

	"go.opentelemetry.io/collector/pdata/pmetric"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/place"
)

// SignalMetrics is the signal of pushed metrics.
const SignalMetrics = "metrics"

// PutMetrics stores metrics of cumulative temporality under a place; points is how many
// data points they hold. What is refused for good stands in the outcome and is counted.
func (s *Service) PutMetrics(ctx context.Context, p place.Place, md pmetric.Metrics, points int) (Outcome, error) {
	if s.Metrics == nil {
		return Outcome{}, fault.New(fault.Unavailable, "This server keeps no metrics.")
	}
	t := newTally(SignalMetrics)
	// A point is about as large as a row of three numbers and a few labels.
	size := int64(points) * 128
	own := t.of(p.Project)
	own.rows, own.bytes, t.bytes = int64(points), size, size
	if err := s.admit(s.Clock.Now(), t); err != nil {
		return Outcome{}, err
	}
	defer s.inflight.Add(-t.bytes)
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	out, err := s.Metrics.AppendOTLP(ctx, p, md)
	if err != nil {
		return out, s.notStored(ctx, err, t)
	}
	s.counts.add(p.Project, SignalMetrics, "accepted", "", out.Taken, size)
	for reason, n := range out.Reasons {
		s.counts.add(p.Project, SignalMetrics, "dropped", reason, n, 0)
	}
	return out, nil
}
