package protect_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// goSource returns about size bytes of text: the source of Go's tools and libraries.
func goSource(t testing.TB, size int) map[string]string {
	t.Helper()
	root := filepath.Join(runtime.GOROOT(), "src")
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Ext(path) != ".go" || size <= 0 {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		size -= len(data)
		rel, err := filepath.Rel(root, path)
		files[rel] = string(data)
		return err
	})
	check(t, err)
	if size > 0 {
		t.Fatalf("%d bytes are missing", size)
	}
	return files
}

// BenchmarkPush measures the guard on a push of 50 MB of Go source against what
// receiving the same pack costs: git index-pack. The share is published in percent.
func BenchmarkPush(b *testing.B) {
	w := newWorld(b)
	w.commit(goSource(b, 50_000_000))
	p := w.incoming(map[string]string{"refs/heads/main": w.head()})
	packs, err := filepath.Glob(filepath.Join(p.Objects, "pack", "*.pack"))
	check(b, err)
	var receive, scan, receiveCPU, scanCPU time.Duration
	for b.Loop() {
		dir := b.TempDir()
		check(b, os.MkdirAll(filepath.Join(dir, "pack"), 0o700))
		pack, err := os.Open(packs[0])
		check(b, err)
		start, used := time.Now(), cpu(b)
		w.runEnv(w.bare, []string{"GIT_OBJECT_DIRECTORY=" + dir}, pack, "-c", "core.fsync=objects", "index-pack", "--stdin", "--strict")
		receive, receiveCPU = receive+time.Since(start), receiveCPU+cpu(b)-used
		check(b, pack.Close())
		start, used = time.Now(), cpu(b)
		refusals, err := w.Check(b.Context(), p)
		scan, scanCPU = scan+time.Since(start), scanCPU+cpu(b)-used
		check(b, err)
		if len(refusals) > 0 {
			b.Fatal(refusals[0].Text)
		}
	}
	n := float64(b.N)
	b.ReportMetric(scan.Seconds()*1000/n, "scan-ms")
	b.ReportMetric(receive.Seconds()*1000/n, "index-pack-ms")
	b.ReportMetric(scanCPU.Seconds()*1000/n, "scan-cpu-ms")
	b.ReportMetric(receiveCPU.Seconds()*1000/n, "index-pack-cpu-ms")
	b.ReportMetric(100*scan.Seconds()/receive.Seconds(), "%-of-index-pack")
	b.ReportMetric(50*n/scan.Seconds(), "MB/s")
}

// cpu is the processor time of this process and of its children that have ended.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		check(b, syscall.Getrusage(who, &u))
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}
