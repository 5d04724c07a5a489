package tail_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/internal/monitor/tail"
)

// sink takes every parcel.
type sink struct{ rows, bytes atomic.Int64 }

func (s *sink) Send(_ context.Context, p tail.Parcel) error {
	s.rows.Add(int64(p.Rows))
	s.bytes.Add(int64(len(p.Body)))
	return nil
}

// sample is what services write: three lines of JSON to one of text.
func sample(i int) string {
	if i%4 == 3 {
		return fmt.Sprintf("2026-03-05 12:00:00,%03d INFO  [http-%d] c.s.Cart - line %d of the cart was priced in %d ms", i%1000, i%8, i, i%37)
	}
	return fmt.Sprintf(`{"time":"2026-03-05T12:00:00.%09dZ","level":"INFO","msg":"GET /api/shop","status":200,"took":%d,"trace_id":"%032x","span_id":"%016x"}`, i, i*977, i*31, i*17)
}

const pods = 20

func fill(b *testing.B, root string, lines int) {
	b.Helper()
	for p := range pods {
		dir := filepath.Join(root, fmt.Sprintf("shop_pod-%d_u%d", p, p), "app")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		var text strings.Builder
		for i := range lines / pods {
			text.WriteString(cri("stdout", sample(i)))
		}
		if err := os.WriteFile(filepath.Join(dir, "0.log"), []byte(text.String()), 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

func cpu(b *testing.B, who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBacklog reads what lies there, as fast as it can.
func BenchmarkBacklog(b *testing.B) {
	const lines = 400_000
	root := b.TempDir()
	fill(b, root, lines)
	for b.Loop() {
		s := &sink{}
		tl, err := tail.New(tail.Config{Root: root, State: b.TempDir(), Node: "n", Sender: s, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		before, began, ended := cpu(b, syscall.RUSAGE_SELF), time.Now(), make(chan error, 1)
		go func() { ended <- tl.Run(ctx) }()
		for s.rows.Load() < lines {
			time.Sleep(time.Millisecond)
		}
		b.ReportMetric(lines/time.Since(began).Seconds(), "lines/s")
		b.ReportMetric(float64(cpu(b, syscall.RUSAGE_SELF)-before)/lines/1000, "cpu-µs/line")
		b.ReportMetric(float64(s.bytes.Load())/lines, "sent-B/line")
		cancel()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSteady runs a tailer as a process of its own beside containers that write 20,000
// lines a second, and reports what part of a core it takes and how much memory.
func BenchmarkSteady(b *testing.B) {
	const rate, seconds, step = 20_000, 5, 20 * time.Millisecond
	for b.Loop() {
		root, s := b.TempDir(), newServer(b)
		s.forget = true
		cmd := exec.Command("/proc/self/exe", "-test.run=^$")
		cmd.Env = append(os.Environ(), child+"="+strings.Join([]string{s.URL, root, b.TempDir(), "default"}, "|"))
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		files := make([]*os.File, pods)
		for p := range files {
			f, err := os.Create(container(b, root, fmt.Sprintf("shop_pod-%d_u%d", p, p), "app"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			files[p] = f
		}
		wrote := 0
		for began := time.Now(); wrote < rate*seconds; time.Sleep(step) {
			for due := min(rate*seconds, int(time.Since(began).Seconds()*rate)); wrote < due; wrote++ {
				if _, err := files[wrote%pods].WriteString(cri("stdout", sample(wrote))); err != nil {
					b.Fatal(err)
				}
			}
		}
		for s.taken.Load() < int64(wrote) {
			time.Sleep(time.Millisecond)
		}
		if err := cmd.Process.Kill(); err != nil {
			b.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		b.ReportMetric(used.Seconds()/seconds, "cores")
		if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			b.ReportMetric(float64(u.Maxrss)/1024, "MiB")
		}
	}
}
