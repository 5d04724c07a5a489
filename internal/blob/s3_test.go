package blob_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/fault"
)

// fakeS3 is as much of S3's protocol as the driver uses, in memory. It does not check
// signatures, and knows none of S3's limits.
type fakeS3 struct {
	t       *testing.T
	mu      sync.Mutex
	objects map[string][]byte         // by key
	parts   map[string]map[int][]byte // by upload id
	made    time.Time                 // when every object was changed last
	last    int                       // upload id given last
}

const bucket = "blobs"

type s3Error struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
}

// onS3 opens a store by the s3 driver over a fake.
func onS3(t *testing.T) (*blob.Store, *fakeS3) {
	t.Helper()
	fake := &fakeS3{t: t, objects: map[string][]byte{}, parts: map[string]map[int][]byte{}, made: time.Now()}
	srv := httptest.NewServer(fake)
	t.Cleanup(srv.Close)
	s, err := blob.Open(t.Context(), blob.Config{Driver: "s3", Root: "towpath/data", Parameters: map[string]any{
		"bucket": bucket, "region": "us-east-1", "regionendpoint": srv.URL, "accesskey": "a", "secretkey": "s", "secure": false, "forcepathstyle": true,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s, fake
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/"+bucket), "/")
	q := r.URL.Query()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Errorf("reading a request: %v", err)
	}
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		f.last++
		id := strconv.Itoa(f.last)
		f.parts[id] = map[int][]byte{}
		f.answer(w, struct {
			XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
			UploadId string
		}{UploadId: id})
	case r.Method == http.MethodPost && q.Has("uploadId"):
		f.complete(w, key, q.Get("uploadId"))
	case r.Method == http.MethodPost && q.Has("delete"):
		f.remove(w, data)
	case r.Method == http.MethodPut && q.Has("uploadId"):
		n, err := strconv.Atoi(q.Get("partNumber"))
		if err != nil {
			f.t.Errorf("part number: %v", err)
		}
		if f.parts[q.Get("uploadId")] == nil { // Aborted before.
			w.WriteHeader(http.StatusNotFound)
			f.answer(w, s3Error{Code: "NoSuchUpload"})
			return
		}
		f.parts[q.Get("uploadId")][n] = data
		w.Header().Set("ETag", `"e"`)
	case r.Method == http.MethodPut && r.Header.Get("X-Amz-Copy-Source") != "":
		f.objects[key] = f.objects[strings.TrimPrefix(r.Header.Get("X-Amz-Copy-Source"), bucket+"/")]
		f.answer(w, struct {
			XMLName xml.Name `xml:"CopyObjectResult"`
			ETag    string
		}{ETag: "e"})
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		delete(f.parts, q.Get("uploadId"))
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodGet && q.Has("list-type"):
		f.list(w, q.Get("prefix"), q.Get("delimiter"))
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		object, ok := f.objects[key]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			f.answer(w, s3Error{Code: "NoSuchKey"})
			return
		}
		http.ServeContent(w, r, "", f.made, bytes.NewReader(object))
	default:
		f.t.Errorf("the fake does not know %s %s", r.Method, r.URL)
		w.WriteHeader(http.StatusNotImplemented)
	}
}

func (f *fakeS3) answer(w http.ResponseWriter, v any) {
	if err := xml.NewEncoder(w).Encode(v); err != nil {
		f.t.Errorf("answering: %v", err)
	}
}

func (f *fakeS3) complete(w http.ResponseWriter, key, id string) {
	var all []byte
	for _, n := range slices.Sorted(maps.Keys(f.parts[id])) {
		all = append(all, f.parts[id][n]...)
	}
	delete(f.parts, id)
	f.objects[key] = all
	f.answer(w, struct {
		XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
		Key     string
	}{Key: key})
}

func (f *fakeS3) remove(w http.ResponseWriter, body []byte) {
	var req struct {
		Object []struct{ Key string }
	}
	if err := xml.Unmarshal(body, &req); err != nil {
		f.t.Errorf("reading a deletion: %v", err)
	}
	for _, o := range req.Object {
		delete(f.objects, o.Key)
	}
	f.answer(w, struct {
		XMLName xml.Name `xml:"DeleteResult"`
	}{})
}

func (f *fakeS3) list(w http.ResponseWriter, prefix, delimiter string) {
	type object struct {
		Key          string
		Size         int
		LastModified string
	}
	var out struct {
		XMLName        xml.Name `xml:"ListBucketResult"`
		IsTruncated    bool
		Contents       []object
		CommonPrefixes []struct{ Prefix string }
	}
	seen := map[string]bool{}
	for _, k := range slices.Sorted(maps.Keys(f.objects)) {
		rest, ok := strings.CutPrefix(k, prefix)
		if !ok {
			continue
		}
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			p := prefix + rest[:i+1]
			if !seen[p] {
				seen[p] = true
				out.CommonPrefixes = append(out.CommonPrefixes, struct{ Prefix string }{p})
			}
			continue
		}
		out.Contents = append(out.Contents, object{k, len(f.objects[k]), f.made.UTC().Format(time.RFC3339)})
	}
	f.answer(w, out)
}

func TestS3LeavesOnlyBlobsBehind(t *testing.T) {
	s, fake := onS3(t)
	d, _, err := s.Put(t.Context(), strings.NewReader("hello"), "", big)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.StartUpload(t.Context(), "u"); err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{"one ", "two ", "three"} {
		if _, err := s.AppendUpload(t.Context(), "u", int64(4*i), strings.NewReader(text), big); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.CommitUpload(t.Context(), "u", sum256("one two three")); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, d := range []string{d, sum256("one two three")} {
		hexa := strings.TrimPrefix(d, "sha256:")
		want = append(want, "towpath/data/sha256/"+hexa[:2]+"/"+hexa)
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(fake.objects)); !slices.Equal(got, want) || len(fake.parts) != 0 {
		t.Errorf("the bucket holds %v and %d open uploads, want %v", got, len(fake.parts), want)
	}
}

// full is a storage driver whose disk is full.
type full struct{ storagedriver.StorageDriver }

// fullWriter takes nothing.
type fullWriter struct{ storagedriver.FileWriter }

func (fullWriter) Write([]byte) (int, error) { return 0, fmt.Errorf("write: %w", syscall.ENOSPC) }

func (f full) Writer(ctx context.Context, path string, more bool) (storagedriver.FileWriter, error) {
	w, err := f.StorageDriver.Writer(ctx, path, more)
	return fullWriter{w}, err
}

func TestAFullDiskIsSaidClearly(t *testing.T) {
	s := blob.OverDriver(full{inmemory.New()})
	_, _, err := s.Put(t.Context(), strings.NewReader("hello"), "", big)
	message, next := fault.Public(err)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(message, "full") || next == "" || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Put() = %v", err)
	}
}
