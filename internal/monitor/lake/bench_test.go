//go:build cgo

package lake_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/engine/duck"
	"towpath.dev/towpath/internal/monitor/table"
)

var (
	benchLines  = flag.Int("lines", 5_000_000, "lines of the benchmark")
	benchMemory = flag.Int64("memory", 0, "memory limit of the lake in MiB")
)

// cpu returns the processor time that the lake has used.
func cpu(b *testing.B, c *lake.Client) time.Duration {
	b.Helper()
	p, _ := lake.Process(c)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] { // utime and stime, a hundred a second
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// access returns a batch of lines of an access log, as the tailer of a node sends them: a
// tenth of a second of a cluster that writes 20,000 lines a second, spread over 40 pods.
func access(n uint64, rows int) *table.Batch {
	r := rand.New(rand.NewPCG(n, 1))
	b := table.NewBuilder(table.ByName(table.ContainerLogV2))
	places := map[string]int{}
	for _, c := range table.ByName(table.ContainerLogV2).Columns {
		places[c.Name] = b.Place(c.Name)
	}
	start := table.TicksOf(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)) + int64(n)*1_000_000
	pod := 0
	for i := range rows {
		if i%50 == 0 {
			pod = r.IntN(40)
		}
		at := start + int64(i)*1_000_000/int64(rows)
		b.Next()
		b.Int(places[table.TimeGenerated], at)
		b.Int(places["_TimeReceived"], start+2_000_000)
		b.Text(places["Computer"], "node-1")
		b.Text(places["ContainerId"], fmt.Sprintf("containerd://%064x", pod*7919))
		b.Text(places["ContainerName"], "web")
		b.Text(places["PodName"], fmt.Sprintf("web-%d-6d4cf56db6-x%d", pod%10, pod))
		b.Text(places["PodNamespace"], fmt.Sprintf("ns%d", pod%5))
		level, status := "INFO", 200
		switch k := r.IntN(100); {
		case k < 2:
			level, status = "ERROR", 500
		case k < 8:
			level, status = "WARNING", 404
		}
		b.Text(places["LogLevel"], level)
		b.Text(places["LogSource"], "stdout")
		b.Text(places["LogMessage"], fmt.Sprintf(`"10.0.%d.%d - - [01/Mar/2026:%02d:%02d:%02d +0000] \"GET /api/v1/items/%d?page=%d HTTP/1.1\" %d %d \"-\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\" rt=0.%03d id=%08x"`,
			pod, r.IntN(256), n/36000%24, n/600%60, n/10%60, r.IntN(5000), r.IntN(20), status, r.IntN(5000), r.IntN(300), r.Uint32()))
		b.Text(places["Type"], table.ContainerLogV2)
		b.Real(places["_BilledSize"], 200)
		b.Text(places[table.Project], []string{"shop", "bank"}[pod%2])
		b.Text(places[table.Environment], "production")
		b.Text(places[table.Release], "shop/production/48")
		b.Text(places[table.ImageDigest], "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
	}
	var id [16]byte
	binary.LittleEndian.PutUint64(id[:], n+1)
	return b.Batch(id)
}

// BenchmarkLake stores lines by four senders, each batch acknowledged after fsync, seals
// them, and asks for a rare term and for a timechart; beside it plain DuckDB over the same
// Parquet files, with no index. Run it with
//
//	CGO_ENABLED=1 go test ./internal/monitor/lake -run '^$' -bench Lake -benchtime 1x -timeout 20m
func BenchmarkLake(b *testing.B) {
	o := lake.Options{Dir: b.TempDir(), MemoryLimit: *benchMemory << 20}
	c := start(b, o)
	const perBatch = 2000
	rest := stats(b, c).RSS
	began := time.Now()
	fill(b, c, *benchLines/perBatch, perBatch)
	took := time.Since(began)
	u := stats(b, c)
	fmt.Printf("stored   %d lines in %.1f s: %.0f lines/s, each acknowledged after fsync; the lake used %.1f s of processor: %.0f lines/s of one; %d times refused\n",
		*benchLines, took.Seconds(), float64(*benchLines)/took.Seconds(), cpu(b, c).Seconds(), float64(*benchLines)/cpu(b, c).Seconds(), u.Refused)
	fmt.Printf("memory   %d MB at rest, %d MB after storing\n", rest>>20, u.RSS>>20)
	if err := c.Seal(b.Context()); err != nil {
		b.Fatal(err)
	}
	u = stats(b, c)
	t := u.Tables[table.ContainerLogV2]
	fmt.Printf("segments %d, %d MB of %d MB raw: %.1f %%\n", t.Segments, t.Stored>>20, t.Raw>>20, 100*float64(t.Stored)/float64(t.Raw))
	plain := plainDuck(b, filepath.Join(o.Dir, "segments"))
	needle := "deadbeef" // In none, or one, of them; its filter is what is measured.
	for _, q := range []struct {
		name, sql string
		scan      lake.Scan
	}{
		{"has, a term that is nowhere", `SELECT count(*)::BIGINT, 0::BIGINT FROM logs WHERE regexp_matches("LogMessage", '(?i)(^|[^a-z0-9])zzzyyyxxx([^a-z0-9]|$)')`, lake.Scan{All: true, Terms: []string{"zzzyyyxxx"}}},
		{"has, a rare term", `SELECT count(*)::BIGINT, 0::BIGINT FROM logs WHERE contains(lower("LogMessage"), '` + needle + `')`, lake.Scan{All: true, Terms: []string{needle}}},
		{"has, a term of one line", `SELECT count(*)::BIGINT, 0::BIGINT FROM logs WHERE contains(lower("LogMessage"), '` + known() + `')`, lake.Scan{All: true, Terms: []string{known()}}},
		{"has, in one project", `SELECT count(*)::BIGINT, 0::BIGINT FROM logs WHERE contains(lower("LogMessage"), '` + known() + `')`, lake.Scan{Project: "shop", Terms: []string{known()}}},
		{"timechart by level", `SELECT "TimeGenerated" // 10000000 * 10000000, count(*)::BIGINT FROM logs GROUP BY 1, "LogLevel"`, lake.Scan{All: true, Columns: []string{"TimeGenerated", "LogLevel"}}},
		{"timechart of a project", `SELECT "TimeGenerated" // 10000000 * 10000000, count(*)::BIGINT FROM logs GROUP BY 1, "LogLevel"`, lake.Scan{Project: "shop", Columns: []string{"TimeGenerated", "LogLevel"}}},
		{"count by level", `SELECT count(*)::BIGINT, 0::BIGINT FROM logs GROUP BY "LogLevel"`, lake.Scan{All: true}},
		{"newest 100", `SELECT "TimeGenerated", 0::BIGINT FROM logs ORDER BY "TimeGenerated" DESC LIMIT 100`, lake.Scan{All: true}},
	} {
		q.scan.Name, q.scan.Table = "logs", table.ContainerLogV2
		ask := lake.Query{SQL: q.sql, Scans: []lake.Scan{q.scan}, Columns: []table.Column{{Name: "a", Kind: table.Long}, {Name: "b", Kind: table.Long}}}
		var st lake.Stats
		ours := median(func() {
			a, err := c.Query(b.Context(), ask)
			if err != nil {
				b.Fatal(err)
			}
			st = a.Stats
		})
		fmt.Printf("query    %-28s %7.0f ms, plain DuckDB %7.0f ms, %d of %d groups\n", q.name, ours, median(func() { plain(q.sql, q.scan) }), st.GroupsRead, st.Groups)
	}
	fmt.Printf("memory   %d MB after the queries\n", stats(b, c).RSS>>20)
	var fresh []float64
	for n := range uint64(100) {
		began := time.Now()
		if err := c.Append(b.Context(), []*table.Batch{access(1<<40+n, 50)}); err != nil {
			b.Fatal(err)
		}
		a, err := c.Query(b.Context(), lake.Query{SQL: "SELECT count(*) FROM logs", Scans: []lake.Scan{{Name: "logs", Table: table.ContainerLogV2, All: true, From: access(1<<40+n, 1).Vectors[0].Int[0]}},
			Columns: []table.Column{{Name: "n", Kind: table.Long}}})
		if err != nil || a.Batch.Vectors[0].Int[0] != 50 {
			b.Fatalf("the rows just stored: %v, %v", a, err)
		}
		fresh = append(fresh, float64(time.Since(began).Microseconds())/1000)
	}
	slices.Sort(fresh)
	fmt.Printf("fresh    sent to found: p50 %.0f ms, p99 %.0f ms\n", fresh[50], fresh[99])
}

// known returns a term that stands in one line of the benchmark.
func known() string {
	m := access(7, 2000)
	s := m.Vectors[m.Index("LogMessage")].Text[1234]
	return s[len(s)-9 : len(s)-1]
}

func fill(b *testing.B, c *lake.Client, batches, rows int) {
	work := make(chan uint64)
	var wait sync.WaitGroup
	for range 4 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for n := range work {
				batch := access(n, rows)
				for {
					err := c.Append(b.Context(), []*table.Batch{batch})
					if err == nil {
						break
					}
					after, again := fault.RetryAfter(err)
					if !again {
						b.Error(err)
						return
					}
					time.Sleep(after / 4)
				}
			}
		}()
	}
	for n := range batches {
		work <- uint64(n)
	}
	close(work)
	wait.Wait()
}

func stats(b *testing.B, c *lake.Client) *lake.Usage {
	b.Helper()
	u, err := c.Stats(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return u
}

func median(f func()) float64 {
	var all []float64
	for range 5 {
		began := time.Now()
		f()
		all = append(all, float64(time.Since(began).Microseconds())/1000)
	}
	slices.Sort(all)
	return all[2]
}

// plainDuck returns what runs a query over all segments of a folder without the lake.
func plainDuck(b *testing.B, dir string) func(sql string, s lake.Scan) {
	db, err := duck.Open(duck.Settings{Memory: 384 << 20, Temp: b.TempDir(), Spill: 1 << 30, Threads: 2, Folders: []string{dir}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(db.Close)
	return func(sql string, s lake.Scan) {
		conn, err := db.Connect()
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		where := ""
		if !s.All {
			where = ` WHERE "Project" = ` + duck.Quote(s.Project)
		}
		with := "WITH logs AS NOT MATERIALIZED (SELECT * FROM read_parquet(" + duck.Quote(dir+"/*.parquet") + ")" + where + ") "
		for err = errors.New("once"); err != nil; { // A segment that was just put together with others is gone.
			if err = conn.Query(b.Context(), with+sql, func(*duck.Chunk) error { return nil }); err != nil && !strings.Contains(err.Error(), "No such file") {
				b.Fatal(err)
			}
		}
	}
}
