package s3test

import (
	"bytes"
	"encoding/xml"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Bucket is the name of the bucket.
const Bucket = "blobs"

// Server is a fake of S3 with one bucket. It is safe for concurrent use.
type Server struct {
	URL string

	t        testing.TB
	mu       sync.Mutex
	objects  map[string][]byte         // by key
	parts    map[string]map[int][]byte // by upload id
	made     time.Time                 // when every object was changed last
	last     int                       // upload id given last
	away     bool
	requests int
}

// New starts a server, which ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, objects: map[string][]byte{}, parts: map[string]map[int][]byte{}, made: time.Now()}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.URL = srv.URL
	return s
}

// Parameters are those of the s3 driver for the bucket.
func (s *Server) Parameters() map[string]any {
	return map[string]any{
		"bucket": Bucket, "region": "us-east-1", "regionendpoint": s.URL, "accesskey": "a", "secretkey": "s", "secure": "false", "forcepathstyle": "true",
	}
}

// Away makes every request fail as long as it is set.
func (s *Server) Away(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// Keys returns the names of all objects, sorted.
func (s *Server) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// Unfinished returns how many uploads were begun and neither completed nor given up.
func (s *Server) Unfinished() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.parts)
}

// Requests returns how many requests were answered.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

type s3Error struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
}

// ServeHTTP answers one request of the driver.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		w.WriteHeader(http.StatusInternalServerError)
		s.answer(w, s3Error{Code: "InternalError"})
		return
	}
	s.requests++
	key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/"+Bucket), "/")
	q := r.URL.Query()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Errorf("reading a request: %v", err)
	}
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		s.last++
		id := strconv.Itoa(s.last)
		s.parts[id] = map[int][]byte{}
		s.answer(w, struct {
			XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
			UploadId string
		}{UploadId: id})
	case r.Method == http.MethodPost && q.Has("uploadId"):
		s.complete(w, key, q.Get("uploadId"))
	case r.Method == http.MethodPost && q.Has("delete"):
		s.remove(w, data)
	case r.Method == http.MethodPut && q.Has("uploadId"):
		n, err := strconv.Atoi(q.Get("partNumber"))
		if err != nil {
			s.t.Errorf("part number: %v", err)
		}
		if s.parts[q.Get("uploadId")] == nil { // Aborted before.
			w.WriteHeader(http.StatusNotFound)
			s.answer(w, s3Error{Code: "NoSuchUpload"})
			return
		}
		s.parts[q.Get("uploadId")][n] = data
		w.Header().Set("ETag", `"e"`)
	case r.Method == http.MethodPut && r.Header.Get("X-Amz-Copy-Source") != "":
		s.objects[key] = s.objects[strings.TrimPrefix(r.Header.Get("X-Amz-Copy-Source"), Bucket+"/")]
		s.answer(w, struct {
			XMLName xml.Name `xml:"CopyObjectResult"`
			ETag    string
		}{ETag: "e"})
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		delete(s.parts, q.Get("uploadId"))
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodGet && q.Has("list-type"):
		s.list(w, q.Get("prefix"), q.Get("delimiter"))
	case r.Method == http.MethodGet, r.Method == http.MethodHead:
		object, ok := s.objects[key]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			s.answer(w, s3Error{Code: "NoSuchKey"})
			return
		}
		http.ServeContent(w, r, "", s.made, bytes.NewReader(object))
	default:
		s.t.Errorf("the fake does not know %s %s", r.Method, r.URL)
		w.WriteHeader(http.StatusNotImplemented)
	}
}

func (s *Server) answer(w http.ResponseWriter, v any) {
	if err := xml.NewEncoder(w).Encode(v); err != nil {
		s.t.Errorf("answering: %v", err)
	}
}

func (s *Server) complete(w http.ResponseWriter, key, id string) {
	var all []byte
	for _, n := range slices.Sorted(maps.Keys(s.parts[id])) {
		all = append(all, s.parts[id][n]...)
	}
	delete(s.parts, id)
	s.objects[key] = all
	s.answer(w, struct {
		XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
		Key     string
	}{Key: key})
}

func (s *Server) remove(w http.ResponseWriter, body []byte) {
	var req struct {
		Object []struct{ Key string }
	}
	if err := xml.Unmarshal(body, &req); err != nil {
		s.t.Errorf("reading a deletion: %v", err)
	}
	for _, o := range req.Object {
		delete(s.objects, o.Key)
	}
	s.answer(w, struct {
		XMLName xml.Name `xml:"DeleteResult"`
	}{})
}

func (s *Server) list(w http.ResponseWriter, prefix, delimiter string) {
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
	for _, k := range slices.Sorted(maps.Keys(s.objects)) {
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
		out.Contents = append(out.Contents, object{k, len(s.objects[k]), s.made.UTC().Format(time.RFC3339)})
	}
	s.answer(w, out)
}
