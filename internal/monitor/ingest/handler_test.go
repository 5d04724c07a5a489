package ingest_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/ingest"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/monitor/tail"
)

// line is a line of a container as an agent sends it.
type line struct{ namespace, pod, uid, container, text string }

func parcel(t *testing.T, at time.Time, lines ...line) []byte {
	t.Helper()
	b := table.NewBuilder(table.ByName(table.ContainerLogV2))
	for _, l := range lines {
		b.Next()
		b.Time(b.Place(table.TimeGenerated), at)
		for name, value := range map[string]string{
			"PodNamespace": l.namespace, "PodName": l.pod, "ContainerName": l.container, "LogMessage": `"` + l.text + `"`, "KubernetesMetadata": `{"podUid":"` + l.uid + `"}`,
		} {
			b.Text(b.Place(name), value)
		}
	}
	return table.Encode(nil, b.Batch([16]byte{}))
}

func pack(t *testing.T, plain []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(plain, nil)
}

// post sends a body as an agent does.
func post(t *testing.T, w *world, body []byte, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	h, err := w.Handler(func(r *http.Request) error {
		if r.Header.Get("Authorization") != "Bearer agent" {
			return fault.New(fault.Unauthentic, "The agent token is wrong.")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, tail.Path, bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer agent")
	r.Header.Set("Content-Encoding", "zstd")
	r.Header.Set(tail.HeaderNode, "node-1")
	r.Header.Set(tail.HeaderTail, `{"lines":1}`)
	r.Header.Set(tail.HeaderBatch, hex.EncodeToString(bytes.Repeat([]byte{7}, 16)))
	if change != nil {
		change(r)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func TestLinesFindTheirPods(t *testing.T) {
	w := build(nil)
	body := pack(t, parcel(t, now(),
		line{"shop", "web-1", "uid-web", "web", "one"}, line{"blog", "api-1", "uid-api", "api", "two"}, line{"shop", "web-1", "uid-web", "web", "three"}))
	for range 2 { // The second is the same parcel again.
		if rec := post(t, w, body, nil); rec.Code != http.StatusNoContent {
			t.Fatalf("answer %d: %s", rec.Code, rec.Body)
		}
	}
	for column, want := range map[string][]string{
		"LogMessage":      {`"one"`, `"two"`, `"three"`},
		table.Project:     {"shop", "blog", "shop"},
		table.Environment: {"production", "test", "production"},
		table.Release:     {"shop/production/48", "", "shop/production/48"},
		table.ImageDigest: {"sha256:aa", "", "sha256:aa"},
		"Computer":        {"node-1", "node-1", "node-1"},
		"SourceSystem":    {"Containers", "Containers", "Containers"},
	} {
		if diff := cmp.Diff(want, w.sink.texts(column)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", column, diff)
		}
	}
	want := `{"podLabels":{"app":"web"},"podUid":"uid-web","image":"web","imageID":"sha256:aa","imageRepo":"localhost:7080/shop","imageTag":"1.2","workload":"Deployment/web"}`
	if got := w.sink.texts("KubernetesMetadata")[0]; got != want {
		t.Errorf("KubernetesMetadata = %s, want %s", got, want)
	}
	if tails := w.Tails(); len(tails) != 1 || tails[0].Node != "node-1" || string(tails[0].Stats) != `{"lines":1}` {
		t.Errorf("tails = %+v", tails)
	}
}

// TestLastLinesOfAPodThatIsGone reads what was left in the files of pods that were deleted
// while the server was down.
func TestLastLinesOfAPodThatIsGone(t *testing.T) {
	w := build(nil)
	w.clock.Add(time.Minute)
	rec := post(t, w, pack(t, parcel(t, now(), line{"shop", "web-0", "uid-gone", "web", "last words"}, line{"shop", "web-9", "uid-odd", "web", "odd"}, line{"shop", "web-9", "uid-new", "web", "new"})), nil)
	if rec.Code != http.StatusNoContent {
		t.Fatalf("answer %d: %s", rec.Code, rec.Body)
	}
	if diff := cmp.Diff([]string{"shop/production/47", "", ""}, w.sink.texts(table.Release)); diff != "" {
		t.Errorf("releases (-want +got):\n%s", diff)
	}
}

func TestLinesOfAnUnknownPodWaitForIt(t *testing.T) {
	w := build(nil)
	body := pack(t, parcel(t, now(), line{"shop", "web-2", "uid-new", "web", "first"}))
	rec := post(t, w, body, nil)
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") != "1" {
		t.Fatalf("answer %d, Retry-After %q", rec.Code, rec.Header().Get("Retry-After"))
	}
	// A pod that never becomes known is one of a namespace whose owner is.
	w.clock.Add(6 * time.Second)
	if rec := post(t, w, body, nil); rec.Code != http.StatusNoContent {
		t.Fatalf("answer %d: %s", rec.Code, rec.Body)
	}
	if got := w.sink.texts(table.Project); got[0] != "shop" {
		t.Errorf("project = %q", got)
	}
	// Of a namespace that nobody knows the rows are the platform's.
	stray := pack(t, parcel(t, now(), line{"stray", "x", "uid-x", "c", "y"}))
	rec = post(t, w, stray, func(r *http.Request) { r.Header.Set(tail.HeaderBatch, hex.EncodeToString(bytes.Repeat([]byte{8}, 16))) })
	if got := w.sink.texts(table.Project); rec.Code != http.StatusNoContent || got[1] != "" {
		t.Errorf("answer %d, project = %q", rec.Code, got)
	}
}

// After a restart lines come that were written before it. They are not taken before the
// cluster has told whose they are, however long that lasts.
func TestOldLinesWaitForTheCluster(t *testing.T) {
	w := build(func(p *ingest.Parts) { p.Places, p.Owners = known{}, starting{} })
	body := pack(t, parcel(t, now(), line{"shop", "web-1", "uid-web", "web", "before the restart"}))
	for _, later := range []time.Duration{time.Second, time.Minute, time.Hour} {
		w.clock.Add(later)
		if rec := post(t, w, body, nil); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") != "1" {
			t.Errorf("after another %s: answer %d, Retry-After %q", later, rec.Code, rec.Header().Get("Retry-After"))
		}
	}
	if len(w.sink.batches) != 0 {
		t.Errorf("%d batches are stored without their place", len(w.sink.batches))
	}
}

func TestParcelsThatAreRefused(t *testing.T) {
	good := parcel(t, now(), line{"shop", "web-1", "uid-web", "web", "one"})
	bomb := pack(t, make([]byte, 65<<20))
	tests := map[string]struct {
		body   []byte
		change func(*http.Request)
		want   int
	}{
		"a stranger": {pack(t, good), func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, http.StatusUnauthorized},
		"no id":      {pack(t, good), func(r *http.Request) { r.Header.Del(tail.HeaderBatch) }, http.StatusBadRequest},
		"an id too long": {pack(t, good), func(r *http.Request) {
			r.Header.Add(tail.HeaderBatch, "")
			r.Header.Set(tail.HeaderBatch, r.Header.Get(tail.HeaderBatch)+"00")
		}, http.StatusBadRequest},
		"not compressed":     {good, func(r *http.Request) { r.Header.Del("Content-Encoding") }, http.StatusBadRequest},
		"not what zstd made": {good, nil, http.StatusBadRequest},
		"no batch":           {pack(t, []byte("hello")), nil, http.StatusBadRequest},
		"cut off":            {pack(t, good[:len(good)-3]), nil, http.StatusBadRequest},
		"a bomb":             {bomb, nil, http.StatusRequestEntityTooLarge},
		"another table":      {pack(t, table.Encode(nil, traces("x", now()))), nil, http.StatusBadRequest},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := build(nil)
			rec := post(t, w, tt.body, tt.change)
			if rec.Code != tt.want {
				t.Errorf("answer %d, want %d: %s", rec.Code, tt.want, rec.Body)
			}
			if len(w.sink.batches) != 0 {
				t.Error("something was stored")
			}
			if rec.Header().Get("Retry-After") != "" {
				t.Error("the agent is told to send the same again")
			}
		})
	}
}

func TestAParcelOverTheQuotaNamesItsNamespaces(t *testing.T) {
	w := build(func(p *ingest.Parts) {
		p.Quota = func(project string) ingest.Quota {
			if project == "shop" {
				return ingest.Quota{Rows: 1}
			}
			return ingest.Quota{}
		}
	})
	lines := pack(t, parcel(t, now(), line{"shop", "web-1", "uid-web", "web", "one"}, line{"blog", "api-1", "uid-api", "api", "two"}))
	if rec := post(t, w, lines, nil); rec.Code != http.StatusNoContent {
		t.Fatalf("answer %d", rec.Code)
	}
	rec := post(t, w, lines, nil)
	var body struct {
		Kind       string
		Namespaces []string
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	if rec.Code != http.StatusTooManyRequests || rec.Header().Get("Retry-After") != "1" || body.Kind != "throttled" || !cmp.Equal(body.Namespaces, []string{"shop"}) {
		t.Errorf("answer %d, Retry-After %q, %+v", rec.Code, rec.Header().Get("Retry-After"), body)
	}
}
