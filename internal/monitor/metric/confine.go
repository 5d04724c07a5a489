package metric

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"towpath.dev/towpath/internal/fault"
)

// labelProject and labelEnvironment say whose a series is.
const (
	labelProject     = "project"
	labelEnvironment = "environment"
)

// confine returns what a scope may see of a storage. It stands below PromQL: each read of
// series, label names and label values gets one matcher more, however the text came to it.
func confine(s storage.SampleAndChunkQueryable, in Scope) storage.SampleAndChunkQueryable {
	if in.All {
		return s
	}
	return confined{s, labels.MustNewMatcher(labels.MatchEqual, labelProject, in.Project)}
}

type confined struct {
	storage.SampleAndChunkQueryable
	only *labels.Matcher
}

// Querier returns a querier that sees the scope only.
func (c confined) Querier(mint, maxt int64) (storage.Querier, error) {
	q, err := c.SampleAndChunkQueryable.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	return confinedQuerier{q, confinedLabels{q, c.only}}, nil
}

// ChunkQuerier returns a chunk querier that sees the scope only.
func (c confined) ChunkQuerier(mint, maxt int64) (storage.ChunkQuerier, error) {
	q, err := c.SampleAndChunkQueryable.ChunkQuerier(mint, maxt)
	if err != nil {
		return nil, err
	}
	return confinedChunks{q, confinedLabels{q, c.only}}, nil
}

type confinedQuerier struct {
	all storage.Querier
	confinedLabels
}

// Select returns the series of the scope that match.
func (q confinedQuerier) Select(ctx context.Context, sorted bool, h *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	return q.all.Select(ctx, sorted, h, q.with(ms)...)
}

type confinedChunks struct {
	all storage.ChunkQuerier
	confinedLabels
}

// Select returns the chunks of the scope that match.
func (q confinedChunks) Select(ctx context.Context, sorted bool, h *storage.SelectHints, ms ...*labels.Matcher) storage.ChunkSeriesSet {
	return q.all.Select(ctx, sorted, h, q.with(ms)...)
}

type confinedLabels struct {
	labels storage.LabelQuerier
	only   *labels.Matcher
}

// with returns the matchers and the scope's; the given slice may be shared.
func (q confinedLabels) with(ms []*labels.Matcher) []*labels.Matcher {
	return append(append(make([]*labels.Matcher, 0, len(ms)+1), ms...), q.only)
}

// LabelValues returns the values that the scope's series have.
func (q confinedLabels) LabelValues(ctx context.Context, name string, h *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.labels.LabelValues(ctx, name, h, q.with(ms)...)
}

// LabelNames returns the names that the scope's series have.
func (q confinedLabels) LabelNames(ctx context.Context, h *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.labels.LabelNames(ctx, h, q.with(ms)...)
}

// Close ends the querier.
func (q confinedLabels) Close() error { return q.labels.Close() }

// asFault says what became of a question in the platform's words.
func asFault(err error) error {
	var (
		tooMany  promql.ErrTooManySamples
		timeout  promql.ErrQueryTimeout
		canceled promql.ErrQueryCanceled
		store    promql.ErrStorage
		known    *fault.Error
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &tooMany):
		return fault.Wrap(fault.TooLarge, err, "The question would load more samples than one may.").WithNext("ask for a shorter time, a larger step, or fewer series")
	case errors.As(err, &timeout):
		return fault.Wrap(fault.Unavailable, err, "The question took longer than one may.").WithNext("ask for a shorter time, a larger step, or fewer series")
	case errors.As(err, &canceled):
		return fault.Wrap(fault.Unavailable, err, "The question was cancelled.")
	case errors.As(err, &store):
		return fmt.Errorf("reading series: %w", err)
	}
	return fault.Wrap(fault.Invalid, err, "The PromQL expression cannot be evaluated: %v.", err)
}
