package audit_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/store/storetest"
)

// BenchmarkPods measures what the audit of pods takes: heap that stays, seconds until all
// are judged from nothing, again for another set, and of a sweep. The API server's own memory
// is in the process before the measurement begins.
func BenchmarkPods(b *testing.B) {
	for _, pods := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(pods), func(b *testing.B) { benchmarkPods(b, pods) })
	}
}

func benchmarkPods(b *testing.B, pods int) {
	b.Helper()
	w := newBench(b, storetest.SQLite(b))
	for n := range pods {
		w.api.put("pods", pod("shop-production", fmt.Sprintf("pod-%05d", n), false))
	}
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	before := heap()
	start := time.Now()
	w.wait = 5 * time.Minute
	w.start()
	b.ReportMetric(time.Since(start).Seconds(), "first-s")
	b.ReportMetric(heap()-before, "heap-MiB")
	start = time.Now()
	w.assign("restricted", "policySetDefinitions/restricted", "")
	w.synced()
	b.ReportMetric(time.Since(start).Seconds(), "another-set-s")
	start = time.Now()
	w.sweep(0)
	b.ReportMetric(time.Since(start).Seconds(), "sweep-s")
	b.ReportMetric(heap()-before, "heap-after-MiB")
	b.ReportMetric(float64(len(w.policies.Current().Rules())), "rules")
	b.ReportMetric(0, "ns/op")
	if r, err := w.verdict("pod-00007", w.ref(policy.Baseline, noPrivilege)); err != nil {
		b.Errorf("%+v, %v", r, err)
	}
}
