package metric

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"towpath.dev/towpath/internal/fault"
)

// Raw is the samples of one series as they were stored.
type Raw struct {
	Labels map[string]string
	Times  []int64 // Unix milliseconds, rising
	Values []float64
}

// Samples calls do with each series that a selector matches and its samples as they were
// stored, from and to included; native histograms are left out. It ends with do's error.
// The samples are do's only until it returns.
func (s *Store) Samples(ctx context.Context, in Scope, selector string, from, to time.Time, do func(Raw) error) error {
	if err := errors.Join(in.check(), short(selector)); err != nil {
		return err
	}
	ms, err := s.parser.ParseMetricSelector(selector)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The selector is not valid: %v.", err)
	}
	mint, maxt := from.UnixMilli(), to.UnixMilli()
	q, err := confine(s.db, in).Querier(mint, maxt)
	if err != nil {
		return fmt.Errorf("reading series: %w", err)
	}
	defer q.Close()
	set := q.Select(ctx, false, &storage.SelectHints{Start: mint, End: maxt}, ms...)
	var it chunkenc.Iterator
	var x Raw
	for set.Next() {
		it = set.At().Iterator(it)
		x.Labels, x.Times, x.Values = labelMap(set.At().Labels()), x.Times[:0], x.Values[:0]
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			if kind != chunkenc.ValFloat {
				continue
			}
			if t, v := it.At(); !value.IsStaleNaN(v) {
				x.Times, x.Values = append(x.Times, t), append(x.Values, v)
			}
		}
		if err := it.Err(); err != nil {
			return fmt.Errorf("reading series: %w", err)
		}
		if err := do(x); err != nil {
			return err
		}
	}
	if err := set.Err(); err != nil {
		return fmt.Errorf("reading series: %w", err)
	}
	return nil
}

// labelMap copies labels out of the storage's memory.
func labelMap(ls labels.Labels) map[string]string {
	out := make(map[string]string, ls.Len())
	ls.Range(func(l labels.Label) { out[string([]byte(l.Name))] = string([]byte(l.Value)) })
	return out
}
