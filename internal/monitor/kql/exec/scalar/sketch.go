package scalar

import (
	"towpath.dev/towpath/internal/monitor/kql/exec/sketch"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

func sketches() map[string]Func {
	return map[string]Func{
		"dcount_hll": strict(dcountHLL), "hll_merge": row(mergeHLL), "percentile_tdigest": strict(percentileDigest),
		"percentiles_array_tdigest": strict(percentilesDigest), "percentile_array_tdigest": strict(percentilesDigest), "tdigest_merge": row(mergeDigest),
		"rank_tdigest": strict(rankDigest), "percentrank_tdigest": strict(percentRankDigest),
	}
}

func dcountHLL(_ *Call, a []any) any {
	d, ok := sketch.OfDistinct(a[0])
	if !ok {
		return nil
	}
	return d.Count()
}

func mergeHLL(_ *Call, a []any) any {
	all := &sketch.Distinct{}
	for _, v := range a {
		if d, ok := sketch.OfDistinct(v); ok {
			all.Merge(d)
		}
	}
	return all.Cells()
}

func mergeDigest(_ *Call, a []any) any {
	all, kind, any1 := &sketch.Digest{}, "real", false
	for _, v := range a {
		if d, k, ok := sketch.OfDigest(v); ok {
			all.Merge(d)
			kind, any1 = k, true
		}
	}
	if !any1 {
		return nil
	}
	return all.Cells(kind)
}

// digestCell gives an estimate the type that the values had.
func digestCell(f float64, kind string) any {
	switch k := table.KindOf(kind); k {
	case table.DateTime:
		return value.DateTime(f)
	case table.TimeSpan:
		return value.TimeSpan(f)
	case table.Int, table.Long:
		return int64(f)
	}
	return f
}

// percentileDigest(digest, percent[, type]).
func percentileDigest(_ *Call, a []any) any {
	d, kind, ok := sketch.OfDigest(a[0])
	p, ok2 := number(a[1])
	if !ok || !ok2 {
		return nil
	}
	f, ok := d.Percentile(p)
	if !ok {
		return nil
	}
	return digestCell(f, kind)
}

func percentilesDigest(c *Call, a []any) any {
	percents := a[1:]
	if list, ok := a[1].([]any); ok {
		percents = list
	}
	out := []any{}
	for _, p := range percents {
		out = append(out, percentileDigest(c, []any{a[0], p}))
	}
	return out
}

func rankDigest(_ *Call, a []any) any {
	d, _, ok := sketch.OfDigest(a[0])
	x, ok2 := number(a[1])
	if !ok || !ok2 {
		return nil
	}
	return d.Rank(x) / 100 * d.Weight()
}

func percentRankDigest(_ *Call, a []any) any {
	d, _, ok := sketch.OfDigest(a[0])
	x, ok2 := number(a[1])
	if !ok || !ok2 {
		return nil
	}
	return d.Rank(x)
}
