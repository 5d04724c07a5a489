package metric

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"towpath.dev/towpath/internal/fault"
)

// queryable is what a question reads from.
type queryable = storage.SampleAndChunkQueryable

// maxPoints is how many points a range may have, as in Prometheus.
const maxPoints = 11_000

// The library takes time that grows with the square of an expression's length to read it,
// and with the cube of its depth to format it; both cannot be interrupted.
const (
	maxExpr   = 16 << 10 // of any expression in bytes
	maxFormat = 4 << 10
	maxPretty = 100
)

// short refuses an expression that is too long.
func short(expr string) error {
	if len(expr) > maxExpr {
		return fault.New(fault.TooLarge, "The expression has %d bytes; at most %d are allowed.", len(expr), maxExpr).WithNext("ask in several questions")
	}
	return nil
}

// maxSeries is how many series one answer to /series may name.
const maxSeries = 20_000

// result is the data of /query and /query_range.
type result struct {
	ResultType parser.ValueType `json:"resultType"`
	Result     parser.Value     `json:"result"`
}

func (s *Store) apiQuery(a *asked) (any, error) {
	at, err := a.moment("time", a.now)
	if err != nil {
		return nil, err
	}
	return s.evaluate(a, func(ctx context.Context, o promql.QueryOpts) (promql.Query, error) {
		return s.engine.NewInstantQuery(ctx, a.see, o, a.Form.Get("query"), at)
	})
}

func (s *Store) apiQueryRange(a *asked) (any, error) {
	for _, name := range [...]string{"start", "end", "step"} {
		if a.Form.Get(name) == "" {
			return nil, bad("invalid parameter %q: it is missing", name)
		}
	}
	start, err := a.moment("start", a.now)
	if err != nil {
		return nil, err
	}
	end, err := a.moment("end", a.now)
	if err != nil {
		return nil, err
	}
	step, err := a.duration("step")
	switch {
	case err != nil:
		return nil, err
	case end.Before(start):
		return nil, bad("invalid parameter \"end\": end timestamp must not be before start time")
	case step <= 0:
		return nil, bad("invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try a positive integer")
	case end.Sub(start)/step > maxPoints:
		return nil, bad("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")
	}
	return s.evaluate(a, func(ctx context.Context, o promql.QueryOpts) (promql.Query, error) {
		return s.engine.NewRangeQuery(ctx, a.see, o, a.Form.Get("query"), start, end, step)
	})
}

// evaluate runs a question within its limits.
func (s *Store) evaluate(a *asked, make func(context.Context, promql.QueryOpts) (promql.Query, error)) (any, error) {
	ctx := a.Context()
	timeout, err := a.duration("timeout")
	if err != nil {
		return nil, err
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, min(timeout, s.o.QueryTimeout))
		defer cancel()
	}
	back, err := a.duration("lookback_delta")
	if err != nil {
		return nil, err
	}
	limit, err := a.limit()
	if err != nil {
		return nil, err
	}
	if err := short(a.Form.Get("query")); err != nil {
		return nil, err
	}
	leave, err := s.enter(ctx, a.in)
	if err != nil {
		return nil, err
	}
	defer leave()
	q, err := make(ctx, promql.NewPrometheusQueryOpts(false, min(max(back, 0), time.Hour)))
	if err != nil {
		return nil, bad("invalid parameter \"query\": %v", err)
	}
	r := q.Exec(ctx)
	a.warnings.Merge(r.Warnings)
	if r.Err != nil {
		q.Close()
		return nil, r.Err
	}
	// The points go back to the engine's pool at Close, so the answer keeps copies.
	v := detach(a, r.Value, limit)
	q.Close()
	return result{v.Type(), v}, nil
}

// detach copies a value out of the engine's memory, shortened to a limit of series.
func detach(a *asked, v parser.Value, limit int) parser.Value {
	switch v := v.(type) {
	case promql.Vector:
		return promql.Vector(slices.Clone(cut(a, v, limit)))
	case promql.Matrix:
		out := make(promql.Matrix, 0, len(v))
		for _, s := range cut(a, v, limit) {
			s.Floats, s.Histograms = slices.Clone(s.Floats), slices.Clone(s.Histograms)
			for i, h := range s.Histograms {
				s.Histograms[i].H = h.H.Copy()
			}
			out = append(out, s)
		}
		return out
	}
	return v
}

func (s *Store) apiFormat(a *asked) (any, error) {
	text := a.Form.Get("query")
	if len(text) > maxFormat {
		return nil, bad("invalid parameter \"query\": an expression to format has at most %d bytes", maxFormat)
	}
	e, err := s.parser.ParseExpr(text)
	if err != nil {
		return nil, bad("invalid parameter \"query\": %v", err)
	}
	depth := 0
	parser.Inspect(e, func(_ parser.Node, path []parser.Node) error {
		depth = max(depth, len(path))
		return nil
	})
	if depth > maxPretty {
		return nil, bad("invalid parameter \"query\": the expression nests deeper than %d", maxPretty)
	}
	return e.Pretty(0), nil
}

func (s *Store) apiSeries(a *asked) (any, error) {
	sets, limit, q, err := s.over(a)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	if len(sets) == 0 {
		return nil, bad("no match[] parameter provided")
	}
	mint, maxt, err := a.span()
	if err != nil {
		return nil, err
	}
	var all []storage.SeriesSet
	for _, ms := range sets {
		all = append(all, q.Select(a.Context(), true, &storage.SelectHints{Start: mint, End: maxt, Func: "series"}, ms...))
	}
	set := storage.NewMergeSeriesSet(all, 0, storage.ChainedSeriesMerge)
	out := []labels.Labels{}
	for set.Next() {
		if limit > 0 && len(out) >= limit || len(out) >= maxSeries {
			a.warnings.Add(errTruncated)
			break
		}
		out = append(out, set.At().Labels())
	}
	a.warnings.Merge(set.Warnings())
	return out, set.Err()
}

// over opens a querier over the span of a request about labels.
func (s *Store) over(a *asked) (sets [][]*labels.Matcher, limit int, q storage.Querier, err error) {
	if limit, err = a.limit(); err != nil {
		return nil, 0, nil, err
	}
	if sets, err = s.matchers(a); err != nil {
		return nil, 0, nil, err
	}
	mint, maxt, err := a.span()
	if err != nil {
		return nil, 0, nil, err
	}
	q, err = a.see.Querier(mint, maxt)
	return sets, limit, q, err
}

func (s *Store) apiLabels(a *asked) (any, error) {
	return s.words(a, func(q storage.Querier, h *storage.LabelHints, ms []*labels.Matcher) ([]string, error) {
		names, notes, err := q.LabelNames(a.Context(), h, ms...)
		a.warnings.Merge(notes)
		return names, err
	})
}

func (s *Store) apiLabelValues(a *asked) (any, error) {
	name := model.UnescapeName(a.PathValue("name"), model.ValueEncodingEscaping)
	if !model.UTF8Validation.IsValidLabelName(name) {
		return nil, bad("invalid label name: %q", name)
	}
	return s.words(a, func(q storage.Querier, h *storage.LabelHints, ms []*labels.Matcher) ([]string, error) {
		values, notes, err := q.LabelValues(a.Context(), name, h, ms...)
		a.warnings.Merge(notes)
		return values, err
	})
}

// words collects label names or values over all sets of matchers, sorted, each once.
func (s *Store) words(a *asked, read func(storage.Querier, *storage.LabelHints, []*labels.Matcher) ([]string, error)) (any, error) {
	sets, limit, q, err := s.over(a)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	if len(sets) == 0 {
		sets = append(sets, nil)
	}
	var all []string
	for _, ms := range sets {
		words, err := read(q, &storage.LabelHints{}, ms)
		if err != nil {
			return nil, err
		}
		// They point into memory that is not ours once the querier is closed.
		for _, w := range words {
			all = append(all, string([]byte(w)))
		}
	}
	slices.Sort(all)
	return cut(a, slices.Compact(all), limit), nil
}
