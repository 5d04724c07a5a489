package bench_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"towpath.dev/towpath/internal/registry"
)

// target is a registry under measurement. Ours checks who asks; distribution does not.
type target struct {
	url          string
	user, secret string
	client       *http.Client
}

func targets(b *testing.B) map[string]target {
	b.Helper()
	url, token := ours(b)
	theirs := distribution(b)
	client := func() *http.Client { return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}} }
	return map[string]target{
		"towpath":      {url, "run", token, client()},
		"distribution": {theirs, "", "", client()},
	}
}

// distribution builds and starts the registry that is pinned by the module in
// distribution/, and returns its address.
func distribution(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	bin, config := filepath.Join(dir, "registry"), filepath.Join(dir, "config.yml")
	build := exec.Command("go", "build", "-o", bin, "github.com/distribution/distribution/v3/cmd/registry")
	build.Dir = "distribution"
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("building distribution: %v\n%s", err, out)
	}
	addr := freeAddress(b)
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q, secret: bench}\n", filepath.Join(dir, "data"), addr)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	child := exec.Command(bin, "serve", config)
	child.Env = []string{"OTEL_TRACES_EXPORTER=none"}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait() // It was killed.
	})
	for range 200 {
		if resp, err := http.Get("http://" + addr + "/v2/"); err == nil {
			drain(b, resp)
			return "http://" + addr
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.Fatal("distribution did not start")
	return ""
}

func freeAddress(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (t target) do(b *testing.B, want int, method, path string, body []byte, mediaType string) *http.Response {
	u := path
	if p, err := url.Parse(path); err == nil && !p.IsAbs() {
		u = t.url + path
	}
	r, err := http.NewRequest(method, u, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	if t.user != "" {
		r.SetBasicAuth(t.user, t.secret)
	}
	r.Header.Set("Accept", registry.TypeImage) // distribution hides a manifest without it
	if mediaType != "" {
		r.Header.Set("Content-Type", mediaType)
	}
	resp, err := t.client.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	if resp.StatusCode != want {
		text, _ := io.ReadAll(resp.Body)
		b.Fatalf("%s %s: %s %s", method, u, resp.Status, text)
	}
	return resp
}

func drain(b *testing.B, resp *http.Response) int64 {
	n, err := io.Copy(io.Discard, resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	_ = resp.Body.Close()
	return n
}

func digest(p []byte) string {
	sum := sha256.Sum256(p)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// blob uploads as Docker, containerd and BuildKit do: POST, then PUT with the bytes.
func (t target) blob(b *testing.B, p []byte) string {
	resp := t.do(b, http.StatusAccepted, "POST", "/v2/shop/web/blobs/uploads/", nil, "")
	drain(b, resp)
	u, err := resp.Location()
	if err != nil {
		b.Fatal(err)
	}
	d := digest(p)
	q := u.Query()
	q.Set("digest", d)
	u.RawQuery = q.Encode()
	drain(b, t.do(b, http.StatusCreated, "PUT", u.String(), p, "application/octet-stream"))
	return d
}

func (t target) image(b *testing.B, tag string, config, layer []byte) {
	m := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		registry.TypeImage, registry.TypeImageConfig, t.blob(b, config), len(config), t.blob(b, layer), len(layer))
	drain(b, t.do(b, http.StatusCreated, "PUT", "/v2/shop/web/manifests/"+tag, m, registry.TypeImage))
}

var serial atomic.Int64

func random(size int) []byte {
	p := make([]byte, size)
	_, _ = rand.Read(p) // crypto/rand.Read never fails.
	return p
}

// BenchmarkPushSmall pushes images of a config and one layer of 64 KiB, one after the
// other and four at a time.
func BenchmarkPushSmall(b *testing.B) {
	for name, t := range targets(b) {
		push := func(b *testing.B) {
			n := serial.Add(1)
			t.image(b, fmt.Sprintf("t%d", n), fmt.Appendf(nil, `{"os":"linux","n":%d}`, n), random(64<<10))
		}
		b.Run(name+"/1", func(b *testing.B) {
			for b.Loop() {
				push(b)
			}
		})
		b.Run(name+"/4", func(b *testing.B) {
			b.SetParallelism(2) // times GOMAXPROCS
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					push(b)
				}
			})
		})
	}
}

// BenchmarkPullLarge reads a layer of 100 MB.
func BenchmarkPullLarge(b *testing.B) {
	layer := random(100_000_000)
	for name, t := range targets(b) {
		t.image(b, "large", []byte("{}"), layer)
		path := "/v2/shop/web/blobs/" + digest(layer)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(layer)))
			for b.Loop() {
				if n := drain(b, t.do(b, http.StatusOK, "GET", path, nil, "")); n != int64(len(layer)) {
					b.Fatalf("%d bytes came", n)
				}
			}
		})
	}
}

// BenchmarkPullSmall resolves a tag and reads the manifest, as a node does that has the
// layers.
func BenchmarkPullSmall(b *testing.B) {
	for name, t := range targets(b) {
		t.image(b, "small", []byte("{}"), random(1000))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				drain(b, t.do(b, http.StatusOK, "GET", "/v2/shop/web/manifests/small", nil, ""))
			}
		})
	}
}

// BenchmarkPushLarge pushes a layer of 100 MB.
func BenchmarkPushLarge(b *testing.B) {
	for name, t := range targets(b) {
		layer := random(100_000_000)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(layer)))
			for i := 0; b.Loop(); i++ {
				copy(layer, fmt.Sprint(i, serial.Add(1)))
				t.blob(b, layer)
			}
		})
	}
}
