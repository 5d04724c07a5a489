package metric_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/monitor/metric"
)

// BenchmarkAppend stores batches of 1,000 samples of as many series, each batch fsynced.
func BenchmarkAppend(b *testing.B) {
	s, err := metric.Open(b.TempDir(), metric.Options{}, clock.System(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	at := time.Now().Add(-time.Hour)
	batch := make([]metric.Sample, 1000)
	for i := range batch {
		batch[i] = sample("m", at, 1, "pod", fmt.Sprint(i))
	}
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(time.Millisecond)
		for i := range batch {
			batch[i].At = at
		}
		if _, err := s.Append(context.Background(), metric.Origin{Project: "shop"}, batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds(), "samples/s")
}

// BenchmarkMemory tells what living series cost: 20,000 with two hours of samples each.
func BenchmarkMemory(b *testing.B) {
	s, err := metric.Open(b.TempDir(), metric.Options{}, clock.System(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var before, after runtime.MemStats
	const series, samples = 20_000, 480
	runtime.GC()
	runtime.ReadMemStats(&before)
	batch := make([]metric.Sample, series)
	for i := range batch {
		batch[i] = sample("container_memory_working_set_bytes", time.Time{}, 1, "pod", fmt.Sprintf("web-%d", i), "container", "web", "node", "node-1")
	}
	for b.Loop() {
		at := time.Now().Add(-2 * time.Hour)
		for k := range samples / 8 {
			for i := range batch {
				batch[i].At, batch[i].Value = at.Add(time.Duration(8*k)*15*time.Second), float64(k*i%977)
			}
			if _, err := s.Append(context.Background(), metric.Origin{Project: "shop"}, batch); err != nil {
				b.Fatal(err)
			}
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/series, "bytes/series")
	runtime.KeepAlive(s)
}
