package scenario_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/blob/s3test"
)

// TestTelemetryInABucket keeps logs in a bucket: they are found with an empty cache, taken
// while the bucket is away, and removed from it when they are old.
func TestTelemetryInABucket(t *testing.T) {
	bucket := s3test.New(t)
	parameters := []string{"rootdirectory=here"}
	for name, value := range bucket.Parameters() {
		parameters = append(parameters, fmt.Sprint(name, "=", value))
	}
	// Little memory makes segments of few rows.
	s := newServed(t, "--blobs", "s3", "--s3", strings.Join(parameters, ","), "--lake-memory", "96")
	s.start(t)
	s.project(t)
	l := &load{served: s}
	l.until(t, func() bool { return len(segmentsOf(bucket)) >= 4 }) // Two files are one segment.
	l.stored(t)

	// The cache is lost.
	s.stop(t)
	cache := filepath.Join(s.data, "lake", "segments")
	for _, err := range []error{os.RemoveAll(cache), os.Mkdir(cache, 0o700)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.start(t)
	l.stored(t)

	// The bucket is away, and so is the cache: what only the bucket has is not answered with
	// less, everything else goes on.
	s.stop(t)
	if err := os.RemoveAll(cache); err != nil {
		t.Fatal(err)
	}
	bucket.Away(true)
	s.start(t)
	n := 0
	l.until(t, func() bool { n++; return n > 20 })
	all := `{"query":"AppTraces | count"}`
	if status, answer := s.call(t, http.MethodPost, "/api/v1/monitor/query?project=shop", all); status != http.StatusServiceUnavailable || !strings.Contains(answer, "bucket") {
		t.Errorf("while the bucket is away: %d: %s", status, answer)
	}
	if status, answer := s.call(t, http.MethodGet, "/api/v1/projects", ""); status != http.StatusOK {
		t.Errorf("while the bucket is away, the projects: %d: %s", status, answer)
	}
	bucket.Away(false)
	l.stored(t)

	// What is old goes, from the bucket as well.
	s.stop(t)
	s.flags = append(s.flags, "--retention", "1s")
	s.start(t)
	s.wait(t, "an empty bucket", func() (bool, string) {
		left := segmentsOf(bucket)
		return len(left) == 0, strings.Join(left, "\n")
	})
	s.stop(t)
}

// segmentsOf returns what the bucket has of segments.
func segmentsOf(bucket *s3test.Server) []string {
	var out []string
	for _, key := range bucket.Keys() {
		if strings.HasPrefix(key, "here/lake/sha256/") {
			out = append(out, key)
		}
	}
	return out
}

// until sends without a pause until done says that it is enough.
func (l *load) until(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * patience); !done(); l.done.Add(1) {
		path, kind, body, err := l.request(l.done.Load() * perRequest)
		if err != nil {
			t.Fatal(err)
		}
		for {
			pause, err := l.export(path, kind, body)
			if err != nil {
				t.Fatal(err)
			}
			if time.Now().After(deadline) {
				t.Fatalf("after %d requests it is not enough", l.done.Load())
			}
			if pause == 0 {
				break
			}
			time.Sleep(pause)
		}
	}
}

// stored compares the number of rows with what was acknowledged.
func (l *load) stored(t *testing.T) {
	t.Helper()
	if got, want := l.served.query(t, "AppTraces | count")[0], l.done.Load()*perRequest; got != want {
		t.Errorf("%d rows are stored, %d were acknowledged", got, want)
	}
}
