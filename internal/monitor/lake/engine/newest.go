//go:build cgo

package engine

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/engine/duck"
)

// The bounds of looking for the newest rows.
const (
	newestFirst = 2       // row groups that are looked at first, at least
	newestEach  = 8       // and so many for each that is asked for
	newestMore  = 8       // times as many when that was not enough
	newestMost  = 1 << 17 // rows asked for beyond which looking twice saves nothing
)

// newest narrows the scan of a query that wants the newest rows to their times, which are
// found from the newest segments backwards and without the columns that are only shown. It
// looks at the same view as the query, so that the answer is the same. What it has read is
// what the query costs.
func (e *Engine) newest(ctx context.Context, v *view, q lake.Query, st *lake.Stats) (lake.Scan, error) {
	s := q.Scans[0]
	n := q.Newest.Rows
	windows, err := e.windows(v, s, n)
	if err != nil || len(windows) == 0 {
		return s, err
	}
	c, err := e.db.Connect()
	if err != nil {
		return s, err
	}
	defer c.Close()
	for _, from := range windows {
		look := q
		look.Scans = []lake.Scan{s}
		look.Scans[0].From = from
		look.SQL = fmt.Sprintf("SELECT min(t)::BIGINT, max(t)::BIGINT, count(t)::BIGINT FROM (SELECT t FROM (%s\n) AS x(t) ORDER BY t DESC LIMIT %d)", q.Newest.SQL, n)
		*st = lake.Stats{}
		sql, err := e.plan(ctx, v, look, st)
		if err != nil {
			return s, err
		}
		var first, last, count int64
		if err := c.Query(ctx, sql, func(k *duck.Chunk) error {
			first, last, count = k.Longs(0)[0], k.Longs(1)[0], k.Longs(2)[0]
			return nil
		}); err != nil {
			return s, err
		}
		if count < n && from != s.From {
			continue
		}
		if count == 0 {
			first, last = math.MaxInt64, math.MaxInt64
		}
		s.From = first
		if last < math.MaxInt64 && (s.To == 0 || last+1 < s.To) {
			s.To = last + 1
		}
		return s, nil
	}
	return s, nil
}

// windows returns the times from which on to look for the newest rows, one after the other
// while there are too few; the last is that of the scan. None when there is so little to
// read, or so much is asked for, that it is read at once.
func (e *Engine) windows(v *view, s lake.Scan, n int64) ([]int64, error) {
	if n <= 0 || n > newestMost {
		return nil, nil
	}
	p := &scanPlan{Scan: s, table: e.tables[s.Table], files: e.files}
	if err := p.prepare(); err != nil {
		return nil, err
	}
	rows := int64(0)
	for _, hot := range v.rows {
		rows += hot[s.Table]
	}
	var segments []*sealed
	total := rows
	for _, x := range v.segments {
		if x.info.Table == s.Table && p.overlaps(x) {
			segments = append(segments, x)
			total += x.info.Rows
		}
	}
	if total <= 2*n {
		return nil, nil
	}
	slices.SortFunc(segments, func(a, b *sealed) int { return cmp.Compare(b.info.Max, a.info.Max) })
	var out []int64
	enough := max(newestFirst*int64(e.options.Seal.Group), newestEach*n)
	for _, x := range segments {
		// From is behind all that this segment and those after it have.
		if from := x.info.Max + 1; rows >= enough && from > s.From {
			out = append(out, from)
			enough = max(enough, rows) * newestMore
		}
		rows += x.info.Rows
	}
	return append(out, s.From), nil
}
