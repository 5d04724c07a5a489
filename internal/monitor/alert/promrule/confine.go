package promrule

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// confined is a storage of which only the series of one project can be read.
type confined struct {
	all     storage.Queryable
	project string
}

// Querier implements storage.Queryable.
func (c confined) Querier(mint, maxt int64) (storage.Querier, error) {
	q, err := c.all.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	m, err := labels.NewMatcher(labels.MatchEqual, labelProject, c.project)
	if err != nil {
		return nil, err
	}
	return confinedQuerier{q, m}, nil
}

type confinedQuerier struct {
	storage.Querier
	only *labels.Matcher
}

func (q confinedQuerier) with(ms []*labels.Matcher) []*labels.Matcher {
	return append(append(make([]*labels.Matcher, 0, len(ms)+1), ms...), q.only)
}

// Select implements storage.Querier.
func (q confinedQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	return q.Querier.Select(ctx, sorted, hints, q.with(ms)...)
}

// LabelValues implements storage.LabelQuerier.
func (q confinedQuerier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.Querier.LabelValues(ctx, name, hints, q.with(ms)...)
}

// LabelNames implements storage.LabelQuerier.
func (q confinedQuerier) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.Querier.LabelNames(ctx, hints, q.with(ms)...)
}
