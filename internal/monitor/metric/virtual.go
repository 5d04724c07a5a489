package metric

import (
	"context"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
)

// Rows answers the virtual tables Perf, InsightsMetrics and AppMetrics; see query.Virtual.
func (s *Store) Rows(ctx context.Context, v query.VirtualScan) (*table.Batch, error) {
	return nil, fault.New(fault.Unavailable, "soon")
}
