package promrule

import (
	"context"
	"regexp"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// forState is the metric in which the library keeps what `for` has counted. It has no job.
const forState = "ALERTS_FOR_STATE"

// confined is a storage of which only series can be read that a matcher lets through.
type confined struct {
	all  storage.Queryable
	only *labels.Matcher
	but  string // a metric that is not confined, "" for none
}

// oneOf matches a label that has one of some values.
func oneOf(label string, values []string) *labels.Matcher {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = regexp.QuoteMeta(v)
	}
	return labels.MustNewMatcher(labels.MatchRegexp, label, strings.Join(quoted, "|"))
}

// Querier implements storage.Queryable.
func (c confined) Querier(mint, maxt int64) (storage.Querier, error) {
	q, err := c.all.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	return confinedQuerier{q, c.only, c.but}, nil
}

type confinedQuerier struct {
	storage.Querier
	only *labels.Matcher
	but  string
}

func (q confinedQuerier) with(ms []*labels.Matcher) []*labels.Matcher {
	for _, m := range ms {
		if q.but != "" && m.Name == labels.MetricName && m.Type == labels.MatchEqual && m.Value == q.but {
			return ms
		}
	}
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
