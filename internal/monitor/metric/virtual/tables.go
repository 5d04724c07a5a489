package virtual

import (
	"context"
	"slices"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/metric"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
)

// Store is what the tables are made of; *metric.Store is one.
type Store interface {
	// Range evaluates an expression at each step from start to end, both included.
	Range(ctx context.Context, in metric.Scope, expr string, start, end time.Time, step time.Duration) ([]metric.Series, error)
	// Instant evaluates an expression at a moment.
	Instant(ctx context.Context, in metric.Scope, expr string, at time.Time) ([]metric.Point, error)
	// Samples calls do with each series that a selector matches and its samples.
	Samples(ctx context.Context, in metric.Scope, selector string, from, to time.Time, do func(metric.Raw) error) error
}

// Tables answers the virtual tables.
type Tables struct {
	Store Store
	Clock clock.Clock
	// Installation identifies this installation, and Cluster names its cluster, for the ids
	// of resources.
	Installation, Cluster string
}

var _ query.Virtual = Tables{}

// step is how far rows of one series lie apart.
const step = time.Minute

// maxRows is how many rows a table may have when the question sets no limit.
const maxRows = 500_000

// Rows answers one of the tables; see query.Virtual.
func (t Tables) Rows(ctx context.Context, v query.VirtualScan) (*table.Batch, error) {
	if v.To.IsZero() {
		v.To = t.Clock.Now()
	}
	if v.From.IsZero() {
		v.From = v.To.Add(-time.Hour)
	}
	if v.Limit <= 0 {
		v.Limit = maxRows
	}
	to := table.ByName(v.Table)
	if to == nil {
		return nil, elsewhere(v.Table)
	}
	w := &writer{tables: t, scan: v, in: metric.Scope{Project: v.Project, All: v.All}, rows: table.NewBuilder(to)}
	var err error
	switch v.Table {
	case table.Perf:
		err = w.perf(ctx)
	case table.InsightsMetrics:
		err = w.insights(ctx)
	case table.AppMetrics:
		err = w.app(ctx)
	default:
		return nil, elsewhere(v.Table)
	}
	if err != nil {
		return nil, err
	}
	return w.rows.Batch([16]byte{}), nil
}

func elsewhere(name string) error {
	return fault.New(fault.NotFound, "Table %s does not lie in the metric store.", name)
}

// writer makes the rows of one scan.
type writer struct {
	tables Tables
	scan   query.VirtualScan
	in     metric.Scope
	rows   *table.Builder
}

// wants reports whether rows with such a value in a column are asked for.
func (w *writer) wants(column, value string) bool {
	of, narrowed := w.scan.Equal[column]
	return !narrowed || slices.Contains(of, value)
}

// minutes returns the first and the last full minute of the scan, which includes From and
// excludes To; ok is false when there is none.
func (w *writer) minutes() (first, last time.Time, ok bool) {
	first = w.scan.From.Truncate(step)
	if first.Before(w.scan.From) {
		first = first.Add(step)
	}
	to := w.scan.To
	if now := w.tables.Clock.Now(); to.After(now) {
		to = now.Add(time.Nanosecond) // nothing lies ahead
	}
	last = to.Add(-time.Nanosecond).Truncate(step)
	return first, last, !last.Before(first)
}

// each evaluates an expression at every full minute and calls do per value.
func (w *writer) each(ctx context.Context, expr string, do func(ls map[string]string) (row, bool), column string) error {
	first, last, ok := w.minutes()
	if !ok {
		return nil
	}
	series, err := w.tables.Store.Range(ctx, w.in, expr, first, last, step)
	if err != nil {
		return err
	}
	for _, s := range series {
		r, ok := do(s.Labels)
		if !ok {
			continue
		}
		for i, at := range s.Times {
			r[table.TimeGenerated], r[column] = at, float64(s.Values[i])
			if err := w.add(s.Labels, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// add appends a row with the columns that every table has.
func (w *writer) add(ls map[string]string, r row) error {
	if w.rows.Rows() >= w.scan.Limit {
		return fault.New(fault.TooLarge, "The question needs more than %d rows of %s.", w.scan.Limit, w.scan.Table).
			WithNext("narrow the time, or name a counter or metric: | where Name == \"…\"")
	}
	r[table.Project], r[table.Environment] = ls["project"], ls["environment"]
	r["Type"], r["SourceSystem"], r["_IsBillable"], r["TenantId"], r["_SubscriptionId"] = w.scan.Table, "Insights", "false", w.tables.Installation, w.tables.Installation
	r["_ResourceId"], r["_TimeReceived"] = w.tables.cluster(), r[table.TimeGenerated]
	w.rows.Row(r)
	return nil
}

// cluster returns the id of the cluster in the form of Azure's.
func (t Tables) cluster() string {
	return "/subscriptions/" + t.Installation + "/resourcegroups/towpath/providers/microsoft.containerservice/managedclusters/" + t.Cluster
}
