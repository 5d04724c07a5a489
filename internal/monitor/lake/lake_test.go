//go:build cgo

package lake_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/engine"
	"towpath.dev/towpath/internal/monitor/table"
)

// programName is the name under which this test binary is towpath-lake: the child gets no
// arguments and no environment to know it by.
const programName = "towpath-lake"

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != programName {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := engine.Main(ctx, os.Stdin, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func program(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), programName)
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs a lake as the server does.
func start(t testing.TB, o lake.Options) *lake.Client {
	t.Helper()
	o.Program, o.MaxPause = program(t), time.Millisecond
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	o.Socket = filepath.Join(o.Dir, "s")
	c, err := lake.Start(t.Context(), o, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// lines returns a batch of rows that carry the number of the batch, and their own in it.
func lines(id uint64, rows int) *table.Batch {
	b := table.NewBuilder(table.ByName(table.ContainerLogV2))
	for i := range rows {
		b.Next()
		b.Int(b.Place(table.TimeGenerated), int64(id)*1000+int64(i))
		b.Text(b.Place("PodName"), fmt.Sprint(id))
		b.Text(b.Place("LogMessage"), fmt.Sprintf(`"line %d of batch %d, which took %d ms"`, i, id, i*7919%1000))
		b.Text(b.Place(table.Project), "shop")
	}
	var full [16]byte
	binary.LittleEndian.PutUint64(full[:], id)
	return b.Batch(full)
}

var all = []lake.Scan{{Name: "logs", Table: table.ContainerLogV2, All: true}}

func numbers(t testing.TB, c *lake.Client, sql string, columns int) []int64 {
	t.Helper()
	q := lake.Query{SQL: sql, Scans: all}
	for i := range columns {
		q.Columns = append(q.Columns, table.Column{Name: fmt.Sprint("c", i), Kind: table.Long})
	}
	a, err := c.Query(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var out []int64
	for _, v := range a.Batch.Vectors {
		out = append(out, v.Int...)
	}
	return out
}

var kills = flag.Int("kills", 100, "how many times the lake is killed")

// TestKilledUnderLoad kills the lake with SIGKILL again and again while senders append,
// repeat what was not acknowledged, and go on. In the end every batch is there once.
func TestKilledUnderLoad(t *testing.T) {
	c := start(t, lake.Options{MinFree: 1, Seal: lake.SealOptions{Rows: 1000, Group: 250}})
	ctx, cancel := context.WithCancel(t.Context())
	const senders, perBatch = 4, 20
	var work sync.WaitGroup
	acknowledged := make([]uint64, senders)
	for s := range senders {
		work.Add(1)
		go func() {
			defer work.Done()
			for n := uint64(1); ctx.Err() == nil; n++ {
				b := lines(uint64(s)+senders*n, perBatch)
				for c.Append(context.WithoutCancel(ctx), []*table.Batch{b}) != nil {
					time.Sleep(time.Millisecond)
				}
				acknowledged[s] = n
			}
		}()
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range *kills {
		p, starts := lake.Process(c)
		time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		for again := starts; again == starts; _, again = lake.Process(c) {
			time.Sleep(time.Millisecond)
		}
		if r.IntN(3) > 0 { // Otherwise the next kill meets it while it starts.
			if err := lake.Ready(c, ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := lake.Ready(c, ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	work.Wait()
	want := uint64(0)
	for _, n := range acknowledged {
		want += n * perBatch
	}
	got := numbers(t, c, `SELECT count(*), count(DISTINCT "TimeGenerated"), count(DISTINCT "PodName") FROM logs`, 3)
	if uint64(got[0]) != want || uint64(got[1]) != want || uint64(got[2]) != want/perBatch {
		t.Errorf("%d rows, %d distinct, of %d batches; %d rows were acknowledged", got[0], got[1], got[2], want)
	}
	u, err := c.Stats(t.Context())
	if err != nil || u.Tables[table.ContainerLogV2].Segments == 0 {
		t.Errorf("nothing was sealed meanwhile: %+v, %v", u, err)
	}
	t.Logf("%d rows in %d segments after %d kills", want, u.Tables[table.ContainerLogV2].Segments, *kills)
}

func TestAway(t *testing.T) {
	c := lake.Dial(filepath.Join(t.TempDir(), "nothing"))
	err := c.Append(t.Context(), []*table.Batch{lines(1, 1)})
	if after, again := fault.RetryAfter(err); !again || after <= 0 || !fault.Is(err, fault.Unavailable) {
		t.Errorf("Append() = %v, retry after %s", err, after)
	}
	if _, err := c.Query(t.Context(), lake.Query{}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("Query() = %v", err)
	}
	_, err = lake.Start(t.Context(), lake.Options{Program: filepath.Join(t.TempDir(), "missing"), Socket: filepath.Join(t.TempDir(), "s")}, slog.New(slog.DiscardHandler))
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "make build") {
		t.Errorf("Start() without a program: %v", err)
	}
}

func TestTheSocketIsPrivate(t *testing.T) {
	o := lake.Options{Dir: t.TempDir(), MinFree: 1}
	c := start(t, o)
	info, err := os.Stat(filepath.Join(o.Dir, "s"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	p, _ := lake.Process(c)
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.Pid))
	if err != nil || strings.Contains(string(env), "HOME=") {
		t.Errorf("the child has %q, %v", env, err)
	}
	c.Close()
	if _, err := net.Dial("unix", filepath.Join(o.Dir, "s")); err == nil {
		t.Error("it answers after Close")
	}
}

// TestDiskFull fills a small disk, a real one: appends are refused, nothing acknowledged is
// lost, and when there is room again they are taken again.
func TestDiskFull(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=12m"); err != nil {
		t.Fatalf("mounting a small disk (this test needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for name, free := range map[string]int64{"the write meets it": 1, "the mark comes first": 2 << 20} {
		t.Run(name, func(t *testing.T) {
			o := lake.Options{Dir: filepath.Join(disk, "lake"), MinFree: free, Seal: lake.SealOptions{Rows: 1 << 20}}
			c := start(t, o)
			ballast := filepath.Join(disk, "ballast")
			if err := os.WriteFile(ballast, make([]byte, 6<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			rows, n := int64(0), uint64(1)
			var err error
			for ; err == nil; n++ {
				if err = c.Append(t.Context(), []*table.Batch{lines(n, 500)}); err == nil {
					rows += 500
				}
			}
			if after, _ := fault.RetryAfter(err); !fault.Is(err, fault.Unavailable) || after < time.Second || !strings.Contains(err.Error(), "full") {
				t.Fatalf("on a full disk: %v", err)
			}
			if u, err := c.Stats(t.Context()); err != nil || !u.DiskFull || u.Refused == 0 {
				t.Errorf("statistics: %+v, %v", u, err)
			}
			// The mark leaves room to seal, which then makes more; without it there is none.
			if err := c.Seal(t.Context()); fault.Is(err, fault.Unavailable) != (free == 1) {
				t.Errorf("sealing on a full disk: %v", err)
			}
			if got := numbers(t, c, "SELECT count(*) FROM logs", 1)[0]; got != rows {
				t.Errorf("%d rows, %d were acknowledged", got, rows)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			if err := c.Append(t.Context(), []*table.Batch{lines(n, 500)}); err != nil {
				t.Errorf("with room again: %v", err)
			}
			p, starts := lake.Process(c)
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
			for again := starts; again == starts; _, again = lake.Process(c) {
				time.Sleep(time.Millisecond)
			}
			if err := lake.Ready(c, t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := numbers(t, c, "SELECT count(*) FROM logs", 1)[0]; got != rows+500 {
				t.Errorf("%d rows after a kill, %d were acknowledged", got, rows+500)
			}
			c.Close()
			if err := os.RemoveAll(o.Dir); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestQueryBomb asks for what no memory holds: it is refused, and meanwhile another asker
// gets his answers and a sender stores his rows.
func TestQueryBomb(t *testing.T) {
	c := start(t, lake.Options{MinFree: 1, MemoryLimit: 192 << 20, TempLimit: 64 << 20})
	for n := range uint64(20) {
		if err := c.Append(t.Context(), []*table.Batch{lines(n+1, 1000)}); err != nil {
			t.Fatal(err)
		}
	}
	long := table.Column{Name: "n", Kind: table.Long}
	for name, tt := range map[string]struct {
		sql     string
		timeout time.Duration
	}{
		"memory": {`SELECT count(*) FROM (SELECT a."LogMessage" || b."LogMessage" AS x FROM logs a, logs b GROUP BY x)`, time.Minute},
		"time":   {`SELECT count(*) FROM logs a, logs b, logs c WHERE a."LogMessage" || b."LogMessage" < c."LogMessage"`, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bomb := make(chan error, 1)
			go func() {
				_, err := c.Query(t.Context(), lake.Query{SQL: tt.sql, Scans: all, Columns: []table.Column{long}, Timeout: tt.timeout})
				bomb <- err
			}()
			for answered := 0; ; answered++ {
				select {
				case err := <-bomb:
					if !fault.Is(err, fault.TooLarge) {
						t.Errorf("the bomb: %v", err)
					}
					if answered < 3 {
						t.Errorf("%d other queries were answered", answered)
					}
					return
				default:
				}
				if got := numbers(t, c, `SELECT count(*) FROM logs WHERE "LogMessage" LIKE '%batch 7,%'`, 1)[0]; got != 1000 {
					t.Fatalf("another query: %d rows", got)
				}
				if err := c.Append(t.Context(), []*table.Batch{lines(uint64(1000+answered), 1)}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestLimitsOfAnAnswer(t *testing.T) {
	c := start(t, lake.Options{MinFree: 1})
	for n := range uint64(10) {
		if err := c.Append(t.Context(), []*table.Batch{lines(n+1, 1000)}); err != nil {
			t.Fatal(err)
		}
	}
	q := lake.Query{SQL: `SELECT "LogMessage" FROM logs`, Scans: all, Columns: []table.Column{{Name: "m", Kind: table.Dynamic}}}
	for name, tt := range map[string]struct {
		rows      int
		bytes     int64
		least     int
		most      int
		truncated bool
	}{"none": {0, 0, 10_000, 10_000, false}, "rows": {1234, 0, 1234, 1234, true}, "bytes": {0, 100_000, 1, 4000, true}, "exactly": {10_000, 0, 10_000, 10_000, false}} {
		t.Run(name, func(t *testing.T) {
			q.MaxRows, q.MaxBytes = tt.rows, tt.bytes
			a, err := c.Query(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if n := a.Batch.Rows(); n < tt.least || n > tt.most || a.Truncated != tt.truncated {
				t.Errorf("%d rows, truncated %v", n, a.Truncated)
			}
		})
	}
}
