//go:build cgo

package engine_test

import (
	"fmt"
	"testing"

	"log/slog"
	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/engine"
)

func BenchmarkAppendAndSeal(b *testing.B) {
	e, err := engine.Open(b.Context(), lake.Options{Dir: b.TempDir()}, clock.System(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	rows := make([]row, 2000)
	n := uint64(0)
	for b.Loop() {
		for range 50 {
			for i := range rows {
				n++
				rows[i] = row{int64(n), "shop", levels[n%3], fmt.Sprintf(`"GET /items/%d took %d ms, request id%08x of the user %d with the agent Mozilla"`, n%977, n%311, n*2654435761, n%10007)}
			}
			if err := e.Append(b.Context(), sent(batchOf(n, rows))); err != nil {
				b.Fatal(err)
			}
		}
		if err := e.Seal(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}
