//go:build cgo

package query_test

import (
	"encoding/binary"
	"log/slog"
	"testing"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/engine"
	"towpath.dev/towpath/internal/monitor/query"
	"towpath.dev/towpath/internal/monitor/table"
)

// lakeOf is a real lake that holds rows: most of them sealed, in several segments, the rest hot.
func lakeOf(t testing.TB, batches []*table.Batch) *engine.Engine {
	t.Helper()
	ctx := t.Context()
	o := lake.Options{Dir: t.TempDir(), MinFree: 1, Seal: lake.SealOptions{Rows: 100_000, Group: 64}}
	e, err := engine.Open(ctx, o, clock.Fixed(now, 0), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	id := uint64(0)
	add := func(b *table.Batch) {
		if b.Rows() == 0 {
			return
		}
		id++
		binary.LittleEndian.PutUint64(b.ID[:], id)
		if err := e.Append(ctx, []lake.Sent{{Batch: b, Raw: table.Encode(nil, b)}}); err != nil {
			t.Fatal(err)
		}
	}
	const parts = 5
	for i := range parts {
		for _, b := range batches {
			add(b.Slice(b.Rows()*i/parts, b.Rows()*(i+1)/parts))
		}
		if i == parts-1 {
			break
		}
		if err := e.Seal(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// TestTheLakeAnswersAsTheExecutor asks every query of the corpus of a lake with sealed and
// hot rows.
func TestTheLakeAnswersAsTheExecutor(t *testing.T) {
	batches, tables := sample(11, 500)
	r := query.New(query.Options{Clock: clock.Fixed(now, 0), Engine: lakeOf(t, batches)})
	wholeCorpus(t, r, tables, func() error { return nil })
}
