package build_test

import (
	"archive/tar"
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/build"
	"towpath.dev/towpath/internal/registry/foreign"
	"towpath.dev/towpath/internal/registry/registrytest"
)

// TestBuild needs root and the programs of the embedded cluster: buildkitd and runc. It
// belongs to the slow suite, and fails where they are missing.
func TestBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("the slow suite runs real builds")
	}
	s := registrytest.Start(t, "", registry.Options{})
	b := start(t, s)
	auth := build.Auth{User: identity.KindRun, Secret: s.Token(t, "shop", 7)}

	t.Run("scratch", func(t *testing.T) { scratch(t, s, b, auth) })
	t.Run("failures", func(t *testing.T) { failures(t, b, auth) })
	t.Run("layout", func(t *testing.T) { kept(t, s, b, auth) })
	t.Run("from our registry", func(t *testing.T) { derived(t, s, b, auth) })
}

func start(t *testing.T, s *registrytest.Server) *build.Builder {
	t.Helper()
	programs := build.FindPrograms(os.Getenv, os.Args[0])
	if programs == "" {
		t.Fatal("set TOWPATH_KUBE_BIN to the folder with buildkitd and runc, or run with -short")
	}
	dir, err := os.MkdirTemp("", "bk") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	cfg := build.Config{
		Programs: programs, Root: filepath.Join(dir, "buildkit"), Socket: filepath.Join(dir, "run", "buildkit.sock"), LogFile: filepath.Join(dir, "logs", "buildkit.log"),
		Host: s.Host, Insecure: true,
	}
	b := build.New(cfg, s.Service, clock.System(), slog.New(slog.NewTextHandler(t.Output(), nil)))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			log, _ := os.ReadFile(cfg.LogFile)
			t.Logf("the daemon's log:\n%s", log)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return b
}

// A server without the builder's programs goes on: Run waits for its end, and only who
// wants to build hears why it is impossible.
func TestNoPrograms(t *testing.T) {
	dir := t.TempDir()
	b := build.New(build.Config{Root: dir, Socket: filepath.Join(dir, "s"), LogFile: filepath.Join(dir, "log")}, nil, clock.System(), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	_, err := b.Build(ctx, build.Request{ContextDir: dir, Repository: "shop/web", Tags: []string{"1"}}, nil)
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("Build = %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	if _, err = b.Build(t.Context(), build.Request{ContextDir: dir, Repository: "shop/web", Tags: []string{"1"}}, nil); err == nil || !strings.Contains(err.Error(), "buildkitd is missing") {
		t.Errorf("Build = %v", err)
	}
}

// archive makes a tar stream; a name that ends in "@" is a symbolic link to the content.
func archive(t *testing.T, files map[string]string) *bytes.Buffer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for k := range files {
			if !yield(k) {
				return
			}
		}
	}) {
		h := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name])), Typeflag: tar.TypeReg, ModTime: time.Unix(1_700_000_000, 0)}
		if link, ok := strings.CutSuffix(name, "@"); ok {
			h.Name, h.Typeflag, h.Linkname, h.Size = link, tar.TypeSymlink, files[name], 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(files[name])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
}

// kept builds into a folder, where the image has its names, and nothing is pushed; then it is
// pushed from there to a registry that wants to know who asks.
func kept(t *testing.T, s *registrytest.Server, b *build.Builder, auth build.Auth) {
	dir := filepath.Join(t.TempDir(), "images")
	names := []string{s.Host + "/shop/kept:1", "docker.io/me/kept:latest"}
	for range 2 { // The second is the same image, and takes the place of the first.
		r, err := b.Build(t.Context(), build.Request{
			Context: archive(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY a /a\n", "a": "a"}), Layout: dir, Names: names, Auth: auth, Labels: map[string]string{"l": "1"},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if got, err := foreign.Kept(dir, n); err != nil || got != r.Digest {
				t.Errorf("%s is %q, %v, want %s", n, got, err, r.Digest)
			}
		}
	}
	if _, err := s.ManifestRecord(t.Context(), s.Admin, "shop/kept", "1"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the image is in the registry already: %v", err)
	}
	digest, err := foreign.Kept(dir, names[0])
	if err != nil {
		t.Fatal(err)
	}
	c := foreign.New((&net.Dialer{}).DialContext)
	if _, err := c.Push(t.Context(), foreign.Login{Server: s.HTTP.URL, User: auth.User, Secret: auth.Secret}, dir, digest, names[0]); err != nil {
		t.Fatal(err)
	}
	if m, err := s.ManifestRecord(t.Context(), s.Admin, "shop/kept", "1"); err != nil || m.Digest != digest {
		t.Errorf("the registry has %s, %v, want %s", m.Digest, err, digest)
	}
}

func scratch(t *testing.T, s *registrytest.Server, b *build.Builder, auth build.Auth) {
	files := map[string]string{
		// The first line must not make the daemon fetch a program.
		"Dockerfile":    "# syntax=docker/dockerfile:1\nFROM scratch\nARG VERSION=none\nCOPY app/ /app/\nENV VERSION=$VERSION\nENTRYPOINT [\"/app/run\"]\n",
		"app/run":       "binary",
		"app/secret":    "not for the image",
		"app/shadow@":   "/etc/shadow",
		".dockerignore": "**/secret\n",
	}
	var lines []string
	request := func() build.Request {
		return build.Request{
			Context: archive(t, files), Args: map[string]string{"VERSION": "1.2"}, Labels: map[string]string{"org.example.team": "shop"},
			Repository: "shop/web", Tags: []string{"7", "latest"}, Auth: auth,
		}
	}
	r, err := b.Build(t.Context(), request(), func(l string) { lines = append(lines, l) })
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(lines, "\n"))
	}
	text := strings.Join(lines, "\n")
	if !strings.Contains(text, "COPY app/ /app/") || !strings.Contains(text, "DONE") {
		t.Errorf("the progress does not show the steps:\n%s", text)
	}
	img, err := s.Image(t.Context(), s.Admin, "shop/web", "latest")
	if err != nil {
		t.Fatal(err)
	}
	if img.Digest != r.Digest || img.Kind != registry.KindImage || img.MediaType != registry.TypeImage || img.Run != 7 || r.Size == 0 {
		t.Errorf("the registry has %+v for %+v", img, r)
	}
	if img.Config.Labels["org.example.team"] != "shop" || !slices.Contains(img.Config.Env, "VERSION=1.2") {
		t.Errorf("the image's config is %+v", img.Config)
	}
	began := time.Now()
	again, err := b.Build(t.Context(), request(), nil)
	t.Logf("second build took %v", time.Since(began))
	if err != nil || again.Digest != r.Digest {
		t.Errorf("building the same again: %v, %v; want %s", again, err, r.Digest)
	}
	var pushed int
	events, err := s.Log.Read(t.Context(), event.Query{Type: event.TypeImagePushed})
	for _, e := range events {
		if e.Subject.ID() == r.Digest && len(e.Links) == 1 && e.Links[0].To == event.OfRun(7) {
			pushed++
		}
	}
	if err != nil || pushed != 2 {
		t.Errorf("%d events announce the image's two tags with their run (%v)", pushed, err)
	}
}

func failures(t *testing.T, b *build.Builder, auth build.Auth) {
	ok := map[string]string{"Dockerfile": "FROM scratch\nCOPY a /a\n", "a": "x"}
	for _, c := range []struct {
		name    string
		request build.Request
		kind    fault.Kind
		want    string
	}{
		{"missing file", build.Request{Context: archive(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY nothing /\n"}), Repository: "shop/web", Tags: []string{"x"}, Auth: auth}, fault.Invalid, "nothing"},
		{"bad instruction", build.Request{Context: archive(t, map[string]string{"Dockerfile": "FROM scratch\nCOPPY a /\n"}), Repository: "shop/web", Tags: []string{"x"}, Auth: auth}, fault.Invalid, "unknown instruction"},
		{"foreign project", build.Request{Context: archive(t, ok), Repository: "other/web", Tags: []string{"x"}, Auth: auth}, fault.Denied, ""},
		{"no credentials", build.Request{Context: archive(t, ok), Repository: "shop/web", Tags: []string{"x"}}, fault.Denied, ""},
		{"path leaves context", build.Request{Context: archive(t, map[string]string{"../../evil": "x"}), Repository: "shop/web", Tags: []string{"x"}, Auth: auth}, fault.Invalid, "outside"},
		{"write through a link", build.Request{Context: archive(t, map[string]string{"d@": "/tmp", "d/evil": "x"}), Repository: "shop/web", Tags: []string{"x"}, Auth: auth}, fault.Invalid, "cannot be unpacked"},
		{"Dockerfile outside", build.Request{Context: archive(t, ok), Dockerfile: "../Dockerfile", Repository: "shop/web", Tags: []string{"x"}, Auth: auth}, fault.Invalid, "not inside"},
		{"tag with a comma", build.Request{Context: archive(t, ok), Repository: "shop/web", Tags: []string{"x,push=false"}, Auth: auth}, fault.Invalid, "not a tag"},
		{"cut stream", build.Request{Context: bytes.NewReader(archive(t, ok).Bytes()[:700]), Repository: "shop/web", Tags: []string{"x"}, Auth: auth}, fault.Invalid, "did not arrive whole"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := b.Build(t.Context(), c.request, func(l string) { t.Log(l) })
			if fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Build = %v, want %s with %q", err, c.kind, c.want)
			}
		})
	}
}

// derived builds on an image of our own registry, which only the job's token opens, and
// runs a program in it.
func derived(t *testing.T, s *registrytest.Server, b *build.Builder, auth build.Auth) {
	// This test's own program is static, as everything of this module that is built without cgo.
	tool, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"Dockerfile": []byte("FROM scratch\nCOPY tool /bin/tool\n"), "tool": tool} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Build(t.Context(), build.Request{ContextDir: dir, Repository: "shop/base", Tags: []string{"1"}, Auth: auth}, nil); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.HTTP.URL)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	r, err := b.Build(t.Context(), build.Request{
		ContextDir: t.TempDir(), DockerfileText: []byte("FROM " + u.Host + "/shop/base:1\nRUN [\"/bin/tool\", \"-test.run=^$\"]\n"),
		Repository: "shop/derived", Tags: []string{"1"}, Auth: auth,
	}, func(l string) { lines = append(lines, l) })
	if err != nil || r.Size < int64(len(tool)/10) {
		t.Fatalf("Build = %+v, %v\n%s", r, err, strings.Join(lines, "\n"))
	}
}
