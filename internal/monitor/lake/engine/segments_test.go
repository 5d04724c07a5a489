//go:build cgo

package engine_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/engine"
	"towpath.dev/towpath/internal/monitor/table"
)

// still is a clock that a test sets.
type still struct{ now time.Time }

func (s *still) Now() time.Time { return s.now }
func (s *still) NewID() string  { return "" }

func TestRetention(t *testing.T) {
	dir := t.TempDir()
	o := small(dir)
	o.Retention = map[string]time.Duration{"": 24 * time.Hour, table.AppTraces: time.Hour}
	c := &still{time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	e, err := engine.Open(t.Context(), o, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	traces := &table.Batch{Table: table.AppTraces, Columns: []table.Column{{Name: "Message", Kind: table.String}}, Vectors: []table.Vector{{Kind: table.String, Text: []string{"x"}}}}
	// The times of the rows are wrong by years; what counts is when they came.
	add(t, e, batchOf(1, []row{{1, "", "", ""}, {table.TicksOf(c.now.AddDate(50, 0, 0)), "", "", ""}}))
	add(t, e, traces)
	if err := e.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		after        time.Duration
		logs, traces int64
	}{{time.Minute, 2, 1}, {2 * time.Hour, 2, 0}, {25 * time.Hour, 0, 0}} {
		if err := engine.Expire(e, c.now.Add(tt.after)); err != nil {
			t.Fatal(err)
		}
		u, err := e.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if u.Tables[table.ContainerLogV2].SealedRows != tt.logs || u.Tables[table.AppTraces].SealedRows != tt.traces {
			t.Errorf("after %s: %+v", tt.after, u.Tables)
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, "segments"))
	if err != nil || len(left) != 0 {
		t.Errorf("files left: %v, %v", left, err)
	}
}

func TestRetentionByBytes(t *testing.T) {
	o := small(t.TempDir())
	o.MaxBytes = 1
	e := opened(t, o)
	add(t, e, batchOf(1, []row{{1, "", "", ""}}))
	if err := e.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := engine.Expire(e, time.Now()); err != nil {
		t.Fatal(err)
	}
	if n := scalar(t, e, "SELECT count(*) FROM logs", everything); n != 0 {
		t.Errorf("%d rows left", n)
	}
}

func TestAWallClockThatJumpsLetsNothingGo(t *testing.T) {
	wall := time.Now()
	j := engine.NewJumps(wall, wall.Add(-time.Minute))
	if !j(wall.Add(time.Second)) {
		t.Error("a steady clock is not trusted")
	}
	if j(wall.AddDate(10, 0, 0)) || j(wall.AddDate(10, 0, 0)) {
		t.Error("a clock that jumped ahead is trusted")
	}
}

func TestADamagedIndexIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	e := open(t, small(dir))
	for i := range uint64(2) {
		add(t, e, batchOf(i+1, []row{{int64(i + 1), "shop", "INFO", fmt.Sprintf(`"part%d"`, i)}}))
		if err := e.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"000000000001.index": "damaged", "000000000002.parquet": "damaged", "000000000002.index": "damaged"} {
		if err := os.WriteFile(filepath.Join(dir, "segments", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e = opened(t, small(dir))
	rows, st := rowsOf(t, e, logSQL, lake.Scan{All: true, Terms: []string{"part0"}})
	if len(rows) != 1 || st.Segments != 1 {
		t.Errorf("%d rows of %d segments", len(rows), st.Segments)
	}
	if rows, st := rowsOf(t, e, logSQL, lake.Scan{All: true, Terms: []string{"part7"}}); len(rows) != 0 || st.Read != 0 {
		t.Errorf("the new index does not prune: %d rows, %+v", len(rows), st)
	}
}

func TestSegmentsInABlobStore(t *testing.T) {
	o := small(t.TempDir())
	o.CacheBytes = 1
	bucket := t.TempDir()
	blobs, err := blob.Open(t.Context(), blob.Config{Root: bucket})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.OpenOver(t.Context(), o, blobs, clock.System(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for i := range uint64(10) {
		add(t, e, batchOf(i+1, []row{{int64(i + 1), "shop", "INFO", `"x"`}}))
		if err := e.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	local := func() int {
		files, err := filepath.Glob(filepath.Join(o.Dir, "segments", "*.parquet"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	reflect(t, e)
	engine.Evict(e)
	if local() != 0 {
		t.Errorf("%d segments are in a cache of one byte", local())
	}
	if n := scalar(t, e, "SELECT count(*) FROM logs", lake.Scan{Name: "logs", Table: table.ContainerLogV2, All: true, To: 4}); n != 3 || local() != 3 {
		t.Errorf("%d rows of %d fetched segments", n, local())
	}
	if err := engine.Compact(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	reflect(t, e)
	engine.Evict(e)
	if n := scalar(t, e, "SELECT count(*) FROM logs", everything); n != 10 || local() != 1 {
		t.Errorf("after compaction: %d rows of %d fetched segments", n, local())
	}
	files := 0
	if err := filepath.WalkDir(bucket, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files++
		}
		return err
	}); err != nil || files != 3 {
		t.Errorf("%d files for one segment, its index and the list of segments, %v", files, err)
	}
}

func TestManySegmentsBecomeFew(t *testing.T) {
	dir := t.TempDir()
	e := open(t, small(dir))
	total := int64(0)
	want := map[int]int{8: 1, 16: 2, 64: 1, 65: 2} // Of eight small ones comes a middling one, of eight of those a large one.
	for i := 1; i <= 65; i++ {
		rows := make([]row, 60)
		for k := range rows {
			rows[k] = row{r100(i, k), projects[k%3], levels[i%3], fmt.Sprintf(`"part%d"`, i)}
		}
		add(t, e, batchOf(uint64(i), rows))
		total += int64(len(rows))
		if err := e.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := engine.Compact(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		u, err := e.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := want[i]; ok && u.Tables[table.ContainerLogV2].Segments != n {
			t.Errorf("after %d seals: %d segments, want %d", i, u.Tables[table.ContainerLogV2].Segments, n)
		}
		if n := scalar(t, e, "SELECT count(*) FROM logs", everything); n != total {
			t.Fatalf("after %d seals: %d rows, want %d", i, n, total)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = open(t, small(dir))
	for i := 1; i <= 65; i++ {
		rows, _ := rowsOf(t, e, logSQL+fmt.Sprintf(` WHERE contains("LogMessage", 'part%d"')`, i), lake.Scan{All: true, Terms: []string{fmt.Sprintf("part%d", i)}})
		if len(rows) != 60 {
			t.Errorf("%d rows of part %d", len(rows), i)
		}
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func r100(i, k int) int64 { return int64(i*100 + k*37%100 + 1) }

// TestAnAskerIsToldOfItsOwnRowsOnly: what a query says of its cost must not say how much
// others have, whether it lies in memory, in a segment of many projects, or in one of others.
func TestAnAskerIsToldOfItsOwnRowsOnly(t *testing.T) {
	e := opened(t, small(t.TempDir()))
	rowsFor := func(counts map[string]int) (out []row) {
		for project, n := range counts {
			for k := range n {
				out = append(out, row{int64(k + 1), project, "INFO", `"x"`})
			}
		}
		return out
	}
	told := func() (out []lake.Stats) {
		for _, project := range []string{"shop", "bank", "none"} {
			_, st := rowsOf(t, e, logSQL, lake.Scan{Project: project})
			st.Milliseconds = 0
			out = append(out, st)
		}
		_, st := rowsOf(t, e, logSQL, lake.Scan{All: true})
		return append(out, lake.Stats{Rows: st.Rows})
	}
	add(t, e, batchOf(1, rowsFor(map[string]int{"shop": 3, "bank": 50})))
	if diff := cmp.Diff([]lake.Stats{{Rows: 3}, {Rows: 50}, {}, {Rows: 53}}, told()); diff != "" {
		t.Errorf("of hot rows:\n%s", diff)
	}
	if err := e.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	one := lake.Stats{Segments: 1, Read: 1, Groups: 1, GroupsRead: 1}
	shop, bank := one, one
	shop.Rows, bank.Rows = 3, 50
	if diff := cmp.Diff([]lake.Stats{shop, bank, {}, {Rows: 53}}, told()); diff != "" {
		t.Errorf("of a segment of both:\n%s", diff)
	}
	add(t, e, batchOf(2, rowsFor(map[string]int{"bank": 20})))
	if err := e.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	bank = lake.Stats{Segments: 2, Read: 2, Groups: 2, GroupsRead: 2, Rows: 70}
	if diff := cmp.Diff([]lake.Stats{shop, bank, {}, {Rows: 73}}, told()); diff != "" {
		t.Errorf("of a segment of another:\n%s", diff)
	}
}

// TestTheNewestRowsAreReadFromTheNewestSegments finds them without the older ones.
func TestTheNewestRowsAreReadFromTheNewestSegments(t *testing.T) {
	e := opened(t, small(t.TempDir()))
	const each = 1000
	for i := range uint64(7) {
		rows := make([]row, each)
		for k := range rows {
			rows[k] = row{int64(i)*each + int64(k) + 1, "shop", levels[k%3], fmt.Sprintf(`"line %d of %d"`, k, i)}
		}
		add(t, e, batchOf(i+1, rows))
		if err := e.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		where string
		rows  int64
		read  int
		found int
	}{
		{"", 10, 1, 10},
		{` WHERE "LogLevel" = 'ERROR'`, 20, 1, 20},
		{` WHERE contains("LogMessage", ' of 6"')`, 10, 1, 10},
		{` WHERE contains("LogMessage", ' of 0"')`, 10, 7, 10},
		{` WHERE contains("LogMessage", 'line 7 ')`, 10, 7, 7},
		{` WHERE contains("LogMessage", 'nowhere')`, 10, 7, 0},
	} {
		scan := everything
		a, err := e.Query(t.Context(), lake.Query{SQL: logSQL + tt.where + fmt.Sprintf(` ORDER BY "TimeGenerated" DESC LIMIT %d`, tt.rows), Scans: []lake.Scan{scan},
			Newest: &lake.Newest{SQL: `SELECT "TimeGenerated" FROM logs` + tt.where, Rows: tt.rows}, Columns: logColumns})
		if err != nil {
			t.Fatal(err)
		}
		if a.Batch.Rows() != tt.found || a.Stats.Read != tt.read || a.Stats.Segments != 7 {
			t.Errorf("%s: %d rows, want %d; %+v", tt.where, a.Batch.Rows(), tt.found, a.Stats)
		}
	}
	if _, err := e.Query(t.Context(), lake.Query{SQL: logSQL, Scans: []lake.Scan{everything}, Newest: &lake.Newest{SQL: "SELECT 1 FROM duckdb_tables()", Rows: 1}, Columns: logColumns}); !fault.Is(err, fault.Invalid) {
		t.Errorf("SQL that names what is no scan: %v", err)
	}
}
