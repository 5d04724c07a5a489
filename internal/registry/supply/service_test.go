package supply_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/job"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/registrytest"
	"towpath.dev/towpath/internal/registry/supply"
	"towpath.dev/towpath/internal/registry/supply/front"
	"towpath.dev/towpath/internal/registry/supply/provenance"
	"towpath.dev/towpath/internal/registry/supply/scan"
	"towpath.dev/towpath/internal/registry/supply/sign"
)

const (
	run    = 2040
	commit = "5f1d2b7c9a0e4d3b8c6f7a1e2d3c4b5a69788796"
)

// records answers for one run.
type records struct{}

func (records) Provenance(_ context.Context, n int64) (provenance.Facts, error) {
	if n != run {
		return provenance.Facts{}, fault.New(fault.NotFound, "There is no run %d.", n)
	}
	return provenance.Facts{
		Run: n, Project: "shop", Repo: "shop/web", Ref: "refs/heads/main", Commit: commit, Pipeline: "azure-pipelines.yml",
		Source: "http://localhost:7080/shop/web.git", Started: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC),
	}, nil
}

// counted counts how often a blob is read through it.
type counted struct {
	*front.Images
	opened *atomic.Int64
}

func (c counted) OpenBlob(ctx context.Context, repository, digest string) (io.ReadCloser, error) {
	c.opened.Add(1)
	return c.Images.OpenBlob(ctx, repository, digest)
}

type fixture struct {
	*registrytest.Server
	supply *supply.Service
	opened atomic.Int64
}

// start runs the real registry with the service working beside it.
func start(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Server: registrytest.Start(t, "", registry.Options{})}
	c := clock.System()
	var err error
	f.supply, err = supply.New(t.Context(), supply.Parts{
		DB: f.DB, Log: f.Log, Clock: c, Queue: job.New(f.DB, c), Keys: f.Vault, Auth: f.Identity,
		Images: counted{front.New(f.Service), &f.opened}, Runs: records{},
	}, supply.Options{Builder: "http://localhost:7080", Temp: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.supply.Run(ctx, slog.New(slog.NewTextHandler(t.Output(), nil))) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f
}

// push pushes an image of one layer and returns its digest. The password is a job
// token or registrytest.Password.
func (f *fixture) push(t *testing.T, repository, user, password string, files map[string]string) string {
	t.Helper()
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(tarOf(t, files))), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	return f.pushImage(t, repository, user, password, img)
}

func (f *fixture) pushImage(t *testing.T, repository, user, password string, img v1.Image) string {
	t.Helper()
	ref, err := name.NewTag(f.Host+"/"+repository+":1", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, remote.WithAuth(&authn.Basic{Username: user, Password: password})); err != nil {
		t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

func tarOf(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, p := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: p, Mode: 0o755, Size: int64(len(files[p])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[p]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// program builds a Go program that has golang.org/x/text v0.3.7 linked in by its module
// list. The module's code is ours and vendored, so that the build needs no network.
func program(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for p, text := range map[string]string{
		"go.mod":                                 "module example.test/old\n\ngo 1.26\n\nrequire golang.org/x/text v0.3.7\n",
		"main.go":                                "package main\n\nimport \"golang.org/x/text/language\"\n\nfunc main() { println(language.Und) }\n",
		"vendor/modules.txt":                     "# golang.org/x/text v0.3.7\n## explicit\ngolang.org/x/text/language\n",
		"vendor/golang.org/x/text/language/l.go": "// Package language stands in for the real one.\npackage language\n\n// Und is a tag.\nconst Und = \"und\"\n",
	} {
		p = filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-mod=vendor", "-ldflags=-s -w", "-o", "old", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "old"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// until waits for the background work to make ok true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s did not happen", what)
}

func (f *fixture) report(t *testing.T, repository, image string) supply.Report {
	t.Helper()
	r, err := f.supply.Report(t.Context(), f.Admin, repository, image)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// settled waits until the image has n documents and returns the report.
func (f *fixture) settled(t *testing.T, repository, image string, n int) supply.Report {
	t.Helper()
	until(t, "the work on "+image, func() bool {
		r, err := f.supply.Report(t.Context(), f.Admin, repository, image)
		return err == nil && len(r.Documents) >= n
	})
	return f.report(t, repository, image)
}

func TestImagePushedByARun(t *testing.T) {
	f := start(t)
	image := f.push(t, "shop/web", "run", f.Token(t, "shop", run), map[string]string{"app": program(t)})
	r := f.settled(t, "shop/web", image, 5)

	var kinds []string
	for _, d := range r.Documents {
		kinds = append(kinds, d.Kind)
	}
	slices.Sort(kinds)
	if diff := cmp.Diff([]string{"cyclonedx", "provenance", "scan", "signature", "spdx"}, kinds); diff != "" {
		t.Error(diff)
	}
	names := map[string]string{}
	for _, p := range r.Packages {
		names[p.Name] = p.Version
	}
	if names["golang.org/x/text"] != "0.3.7" || names["stdlib"] == "" {
		t.Errorf("packages: %v", names)
	}
	if r.Verdict.Status != scan.StatusFindings || len(r.Verdict.Missing) != 0 || r.Verdict.Advisories.IsZero() {
		t.Errorf("verdict: %+v", r.Verdict)
	}
	i := slices.IndexFunc(r.Findings, func(x scan.Finding) bool { return x.Advisory == "GO-2022-1059" })
	if i < 0 || r.Findings[i].Fixed != "0.3.8" || r.Findings[i].Path != "app" || r.Findings[i].First.IsZero() {
		t.Errorf("findings: %+v", r.Findings)
	}
	if slices.ContainsFunc(r.Findings, func(x scan.Finding) bool { return x.Advisory == "GO-2021-0113" }) {
		t.Error("found an advisory that 0.3.7 fixes")
	}
	if len(r.Signatures) != 1 || !r.Signatures[0].Verified || r.Signatures[0].Identity != "run/2040 of shop/web" {
		t.Errorf("signatures: %+v", r.Signatures)
	}
	if r.Provenance == nil || !r.Provenance.Verified {
		t.Fatalf("provenance: %+v", r.Provenance)
	}
	if got := r.Provenance.Statement.Predicate.BuildDefinition.ResolvedDependencies[0].Digest["gitCommit"]; got != commit {
		t.Errorf("commit %q", got)
	}
	if signed, scanned, err := f.supply.Ready(t.Context(), "shop/web", image); !signed || !scanned || err != nil {
		t.Errorf("ready: %v %v %v", signed, scanned, err)
	}
	f.chain(t, image, event.TypeSBOMCreated, event.TypeScanFinished, event.TypeImageSigned, event.TypeProvenanceCreated)

	// Doing it again does nothing.
	if err := f.supply.Process(t.Context(), "shop/web", image); err != nil {
		t.Fatal(err)
	}
	if again := f.report(t, "shop/web", image); len(again.Documents) != 5 || len(again.Signatures) != 1 {
		t.Errorf("the work was repeated: %+v", again.Documents)
	}
	f.chain(t, image, event.TypeSBOMCreated, event.TypeScanFinished, event.TypeImageSigned, event.TypeProvenanceCreated)

	// Signatures of others neither count nor hide ours.
	f.forge(t, "shop/web", image, 30)
	if signed, _, err := f.supply.Ready(t.Context(), "shop/web", image); !signed || err != nil {
		t.Errorf("forged signatures hide the real one: %v %v", signed, err)
	}

	// Deleted, it is forgotten.
	if err := f.Delete(t.Context(), f.Admin, "shop/web", image); err != nil {
		t.Fatal(err)
	}
	until(t, "the forgetting", func() bool {
		_, err := f.supply.Report(t.Context(), f.Admin, "shop/web", image)
		return fault.Is(err, fault.NotFound)
	})
}

// forge attaches n things to an image that claim to be signatures.
func (f *fixture) forge(t *testing.T, repository, image string, n int) {
	t.Helper()
	images := front.New(f.Service)
	raw, mediaType, err := images.Manifest(t.Context(), repository, image)
	if err != nil {
		t.Fatal(err)
	}
	subject := ociv1.Descriptor{MediaType: mediaType, Digest: digest.Digest(image), Size: int64(len(raw))}
	for i := range n {
		_, err := images.PutReferrer(t.Context(), repository, supply.Referrer{
			Subject: subject, ArtifactType: sign.ArtifactType, Layers: []supply.Layer{{MediaType: sign.MediaType, Data: fmt.Appendf(nil, `{"payload":"%d"}`, i)}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// chain checks that each type of event describes the image in the logbook, once, and
// twice for the two SBOM formats.
func (f *fixture) chain(t *testing.T, image string, types ...string) {
	t.Helper()
	for _, typ := range types {
		events, err := f.Log.Read(t.Context(), event.Query{Type: typ})
		if err != nil {
			t.Fatal(err)
		}
		want := 1
		if typ == event.TypeSBOMCreated {
			want = 2
		}
		if len(events) != want {
			t.Errorf("%d events %s, want %d", len(events), typ, want)
		}
		for _, e := range events {
			link := []event.Link{{Rel: event.RelDescribes, To: event.Of(event.KindImage, image)}}
			if diff := cmp.Diff(link, e.Links); diff != "" || e.Project != "shop" {
				t.Errorf("%s in %q: %s", typ, e.Project, diff)
			}
		}
	}
}

const status = `Package: libssl3
Status: install ok installed
Architecture: amd64
Source: openssl
Version: 3.0.9-1

`

const debian = `{"id":"DSA-0000-1","modified":"2026-10-01T00:00:00Z","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
 "affected":[{"package":{"ecosystem":"Debian:12","name":"openssl"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"3.0.11-1~deb12u2"}]}]}]}`

func TestNoDataThenData(t *testing.T) {
	f := start(t)
	image := f.push(t, "shop/base", "writer", registrytest.Password, map[string]string{
		"etc/os-release": "ID=debian\nVERSION_ID=\"12\"\n", "var/lib/dpkg/status": status,
	})
	r := f.settled(t, "shop/base", image, 3)
	if diff := cmp.Diff([]string{"Debian:12"}, r.Verdict.Missing); diff != "" || r.Verdict.Status != scan.StatusNoData {
		t.Errorf("verdict %+v: %s", r.Verdict, diff)
	}
	if len(r.Signatures) != 0 || r.Provenance != nil {
		t.Error("vouched for an image that a person pushed")
	}
	if signed, scanned, err := f.supply.Ready(t.Context(), "shop/base", image); signed || !scanned || err != nil {
		t.Errorf("ready: %v %v %v", signed, scanned, err)
	}

	read := f.opened.Load()
	got, err := f.importText(t, debian)
	if err != nil || got.Changed != 1 || got.Images != 1 {
		t.Fatalf("import: %+v, %v", got, err)
	}
	until(t, "the new verdict", func() bool { return f.report(t, "shop/base", image).Verdict.Status == scan.StatusFindings })
	r = f.settled(t, "shop/base", image, 4)
	if r.Verdict.Critical != 1 || r.Findings[0].Package != "libssl3" || r.Findings[0].Fixed != "3.0.11-1~deb12u2" {
		t.Errorf("findings: %+v", r.Findings)
	}
	if n := f.opened.Load(); n != read {
		t.Errorf("%d blobs were read for new advisories", n-read)
	}
	// Withdrawn, the finding ends and the image is clean.
	if _, err := f.importText(t, strings.Replace(debian, `"2026-10-01T00:00:00Z"`, `"2026-10-02T00:00:00Z","withdrawn":"2026-10-02T00:00:00Z"`, 1)); err != nil {
		t.Fatal(err)
	}
	until(t, "the clean verdict", func() bool { return f.report(t, "shop/base", image).Verdict.Status == scan.StatusClean })
	if r = f.report(t, "shop/base", image); len(r.Ended) != 1 || r.Ended[0].Gone.IsZero() {
		t.Errorf("ended: %+v", r.Ended)
	}
	f.forge(t, "shop/base", image, 1)
	if _, err := f.supply.Verify(t.Context(), f.Admin, "shop/base", image); !fault.Is(err, fault.Denied) {
		t.Errorf("a forged signature: %v", err)
	}
}

func (f *fixture) importText(t *testing.T, text string) (supply.Imported, error) {
	t.Helper()
	p := filepath.Join(t.TempDir(), "one.json")
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f.supply.Import(t.Context(), f.Admin, p)
}

func TestUnreadableLayerIsAProblem(t *testing.T) {
	f := start(t)
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(strings.Repeat("no tar ", 500))), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	image := f.pushImage(t, "shop/broken", "writer", registrytest.Password, img)
	r := f.settled(t, "shop/broken", image, 3)
	if r.Verdict.Problem == "" || r.Verdict.Status != scan.StatusNoData {
		t.Errorf("verdict: %+v", r.Verdict)
	}
}

func TestWhoMayAsk(t *testing.T) {
	f := start(t)
	image := f.push(t, "shop/base", "writer", registrytest.Password, map[string]string{"a": "b"})
	f.settled(t, "shop/base", image, 3)
	stranger := f.Admin
	stranger.Name, stranger.Admin = "stranger", false
	if _, err := f.supply.Report(t.Context(), stranger, "shop/base", image); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger's report: %v", err)
	}
	if _, err := f.supply.Verify(t.Context(), stranger, "shop/base", image); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger's verify: %v", err)
	}
	if _, err := f.supply.Import(t.Context(), stranger, "/etc/passwd"); !fault.Is(err, fault.Denied) {
		t.Errorf("a stranger's import: %v", err)
	}
}
