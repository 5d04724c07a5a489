package protect_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// text makes n bytes of something between prose and code, of words that the rules look
// for as often as programs have them.
func text(r *rand.Rand, n int) string {
	words := strings.Fields("func return if err nil string key token value config := = == ( ) { } \"name\" api access user password for range " +
		"the of and to in is that it for was on are as with his they at be this from have or by one had not but what all were when")
	var b strings.Builder
	for b.Len() < n {
		for range 4 + r.IntN(9) {
			b.WriteString(words[r.IntN(len(words))])
			fmt.Fprintf(&b, "%x ", r.IntN(1<<12))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// BenchmarkPush measures the guard on a push of 50 MB of text in 1000 files against what
// receiving the same pack costs: git index-pack. The share is published in percent.
func BenchmarkPush(b *testing.B) {
	w := newWorld(b)
	r := rand.New(rand.NewPCG(1, 2))
	files := map[string]string{}
	for i := range 1000 {
		files[fmt.Sprintf("d%d/f%d.txt", i%20, i)] = text(r, 50_000)
	}
	w.commit(files)
	p := w.incoming(map[string]string{"refs/heads/main": w.head()})
	packs, err := filepath.Glob(filepath.Join(p.Objects, "pack", "*.pack"))
	check(b, err)
	var receive, scan time.Duration
	for b.Loop() {
		dir := b.TempDir()
		check(b, os.MkdirAll(filepath.Join(dir, "pack"), 0o700))
		pack, err := os.Open(packs[0])
		check(b, err)
		start := time.Now()
		w.runEnv(w.bare, []string{"GIT_OBJECT_DIRECTORY=" + dir}, pack, "index-pack", "--stdin", "--strict")
		receive += time.Since(start)
		check(b, pack.Close())
		start = time.Now()
		refusals, err := w.Check(b.Context(), p)
		scan += time.Since(start)
		check(b, err)
		if len(refusals) > 0 {
			b.Fatal(refusals[0].Text)
		}
	}
	b.ReportMetric(scan.Seconds()*1000/float64(b.N), "scan-ms")
	b.ReportMetric(receive.Seconds()*1000/float64(b.N), "index-pack-ms")
	b.ReportMetric(100*scan.Seconds()/receive.Seconds(), "%-of-index-pack")
	b.ReportMetric(50*float64(b.N)/scan.Seconds(), "MB/s")
}
