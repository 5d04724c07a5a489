//go:build cgo

package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/blob/s3test"
	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/engine"
	"towpath.dev/towpath/internal/monitor/table"
)

// inBucket are options of a lake whose segments live in a bucket, with a cache for none.
func inBucket(t *testing.T, s *s3test.Server) lake.Options {
	o := small(t.TempDir())
	o.Blob, o.CacheBytes = blob.Config{Driver: "s3", Root: "lake", Parameters: s.Parameters()}, 1
	return o
}

// reflect brings the blob store of a lake up to date.
func reflect(t *testing.T, e *engine.Engine) {
	t.Helper()
	if err := engine.Reflect(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// fill makes segments of one row each, whose times are from first on.
func fill(t *testing.T, e *engine.Engine, first, last int64) {
	t.Helper()
	for i := first; i <= last; i++ {
		add(t, e, batchOf(uint64(i), []row{{i, "shop", "INFO", fmt.Sprintf(`"part%d"`, i)}}))
		if err := e.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

const countSQL = "SELECT count(*) FROM logs"

// counted asks for the number of rows from a time on.
func counted(ctx context.Context, e *engine.Engine, from int64) (int64, error) {
	a, err := e.Query(ctx, lake.Query{SQL: countSQL, Scans: []lake.Scan{{Name: "logs", Table: table.ContainerLogV2, All: true, From: from}}, Columns: []table.Column{{Name: "n", Kind: table.Long}}})
	if err != nil {
		return 0, err
	}
	return a.Batch.Vectors[0].Int[0], nil
}

func wantCount(t *testing.T, e *engine.Engine, from, want int64) {
	t.Helper()
	if n, err := counted(t.Context(), e, from); err != nil || n != want {
		t.Errorf("%d rows from %d on, %v; want %d", n, from, err, want)
	}
}

func wantUnsent(t *testing.T, e *engine.Engine, want int) {
	t.Helper()
	if u, err := e.Stats(t.Context()); err != nil || u.Unsent != want {
		t.Errorf("%d segments are not in the bucket, %v; want %d", u.Unsent, err, want)
	}
}

func segmentFiles(t *testing.T, o lake.Options, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(o.Dir, "segments", pattern))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestSegmentsInABucketWithAnEmptyCache(t *testing.T) {
	s := s3test.New(t)
	o := inBucket(t, s)
	e := open(t, o)
	fill(t, e, 1, 3)
	reflect(t, e)
	wantUnsent(t, e, 0)
	if keys := s.Keys(); len(keys) != 7 || !strings.HasPrefix(keys[0], "lake/") {
		t.Errorf("the bucket has %v, want three segments, their indexes and the list", keys)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	// The cache is lost, the rest of the folder is not.
	if err := os.RemoveAll(filepath.Join(o.Dir, "segments")); err != nil {
		t.Fatal(err)
	}
	e = opened(t, o)
	if n := len(segmentFiles(t, o, "*.parquet")); n != 0 {
		t.Errorf("%d segments were fetched for nobody", n)
	}
	wantCount(t, e, 3, 1)
	if got := segmentFiles(t, o, "*.parquet"); len(got) != 1 {
		t.Errorf("%v was fetched for one segment", got)
	}
	wantCount(t, e, 0, 3)
	if rows, st := rowsOf(t, e, logSQL, lake.Scan{All: true, Terms: []string{"part2"}}); len(rows) != 1 || st.Read != 1 {
		t.Errorf("the fetched indexes do not prune: %v, %+v", rows, st)
	}
}

func TestALakeThatLostItsDiskFindsItsSegments(t *testing.T) {
	s := s3test.New(t)
	lost := inBucket(t, s)
	e := opened(t, lost)
	fill(t, e, 1, 10)
	if err := engine.Compact(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	fill(t, e, 11, 12)
	reflect(t, e)
	o := inBucket(t, s)
	s.Away(true)
	if e, err := engine.Open(t.Context(), o, clock.System(), slog.New(slog.DiscardHandler)); !fault.Is(err, fault.Unavailable) {
		t.Errorf("opened %v without knowing what the bucket has: %v", e, err)
	}
	s.Away(false)
	next := opened(t, o)
	wantCount(t, next, 0, 12)
	fill(t, next, 13, 14)
	reflect(t, next)
	wantCount(t, next, 0, 14)
	// Should the other still run, it takes nothing away any more.
	before := len(s.Keys())
	if err := engine.Expire(e, time.Now()); err != nil {
		t.Fatal(err)
	}
	fill(t, e, 100, 100)
	if err := engine.Reflect(t.Context(), e); !fault.Is(err, fault.Conflict) || len(s.Keys()) != before {
		t.Errorf("the lake whose segments were taken over: %v, %d objects, %d before", err, len(s.Keys()), before)
	}
	engine.Evict(next)
	wantCount(t, next, 0, 14)
}

func TestABucketThatIsAway(t *testing.T) {
	s := s3test.New(t)
	o := inBucket(t, s)
	e := open(t, o)
	fill(t, e, 1, 2)
	reflect(t, e)
	engine.Evict(e)
	s.Away(true)
	// Rows are taken, sealed and found.
	fill(t, e, 3, 6)
	add(t, e, batchOf(7, []row{{7, "shop", "INFO", `"hot"`}}))
	engine.Evict(e)
	wantCount(t, e, 3, 5)
	wantUnsent(t, e, 4)
	// What only the bucket has cannot be asked for, and nobody is told a smaller number.
	if n, err := counted(t.Context(), e, 0); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%d rows, %v", n, err)
	}
	if err := engine.Reflect(t.Context(), e); err == nil {
		t.Error("the bucket is away, and all is well")
	}
	// So it is after a restart, with the indexes lost as well.
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range segmentFiles(t, o, "*.index") {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	e = opened(t, o)
	add(t, e, batchOf(8, []row{{8, "shop", "INFO", `"hot"`}}))
	wantCount(t, e, 3, 6)
	if n, err := counted(t.Context(), e, 0); !fault.Is(err, fault.Unavailable) {
		t.Errorf("after a restart: %d rows, %v", n, err)
	}
	s.Away(false)
	wantCount(t, e, 0, 8)
	reflect(t, e)
	wantUnsent(t, e, 0)
	if n := len(segmentFiles(t, o, "*.index")); n != 6 {
		t.Errorf("%d indexes are back", n)
	}
	if rows, st := rowsOf(t, e, logSQL, lake.Scan{All: true, To: 7, Terms: []string{"part1"}}); len(rows) != 1 || st.Read != 1 {
		t.Errorf("the indexes that came later do not prune: %v, %+v", rows, st)
	}
}

func TestRetentionInABucket(t *testing.T) {
	s := s3test.New(t)
	o := inBucket(t, s)
	o.Retention = map[string]time.Duration{"": time.Hour}
	e := open(t, o)
	fill(t, e, 1, 2)
	reflect(t, e)
	s.Away(true)
	if err := engine.Expire(e, time.Now().Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	wantCount(t, e, 0, 0)
	if err := engine.Reflect(t.Context(), e); err == nil || len(s.Keys()) != 5 {
		t.Errorf("%v, %d objects in a bucket that is away", err, len(s.Keys()))
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	s.Away(false)
	e = opened(t, o) // What was to be removed is not forgotten.
	reflect(t, e)
	if keys := s.Keys(); len(keys) != 1 || !strings.HasSuffix(keys[0], "notes/manifest") {
		t.Errorf("left in the bucket: %v", keys)
	}
}
