package pipeline_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// outside is a registry of npm and a Jenkins, which both want the token.
type outside struct {
	*httptest.Server
	mu      sync.Mutex
	version string // newest of the package
	build   int    // newest build
	down    bool
	refused int // requests without the token
}

const outsideToken = "token-of-the-outside-world"

func newOutside(t *testing.T) *outside {
	o := &outside{version: "1.2.0", build: 48}
	o.Server = httptest.NewServer(http.HandlerFunc(o.serve))
	t.Cleanup(o.Close)
	return o
}

func (o *outside) set(version string, build int, down bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.version, o.build, o.down = version, build, down
}

func (o *outside) serve(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	version, build, down := o.version, o.build, o.down
	if r.Header.Get("Authorization") != "Bearer "+outsideToken {
		o.refused++
		o.mu.Unlock()
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	o.mu.Unlock()
	if down {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	tw := tar.NewWriter(zw)
	text := "the package\n"
	_ = tw.WriteHeader(&tar.Header{Name: "package/lib/note.txt", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))})
	_, _ = tw.Write([]byte(text))
	_ = tw.Close()
	_ = zw.Close()
	sum := sha512.Sum512(packed.Bytes())
	switch at := r.URL.EscapedPath(); at {
	case "/%40octo%2Fweb":
		dist := fmt.Sprintf(`{"dist": {"tarball": "%s/web.tgz", "integrity": "sha512-%s"}}`, o.URL, base64.StdEncoding.EncodeToString(sum[:]))
		fmt.Fprintf(w, `{"dist-tags": {"latest": %q}, "versions": {%q: %s, "1.0.0": %s}}`, version, version, dist, dist)
	case "/web.tgz":
		_, _ = w.Write(packed.Bytes())
	case "/job/web/lastSuccessfulBuild/api/json", fmt.Sprintf("/job/web/%d/api/json", build):
		fmt.Fprintf(w, `{"number": %d, "result": "SUCCESS", "artifacts": [{"relativePath": "dist/app.txt"}, {"relativePath": "log.txt"}]}`, build)
	case fmt.Sprintf("/job/web/%d/artifact/dist/app.txt", build):
		fmt.Fprintf(w, "app of build %d\n", build)
	default:
		http.NotFound(w, r)
	}
}

// connect gives the project the service connection registry to it.
func (o *outside) connect(w *world, open bool) {
	w.t.Helper()
	_, err := w.svc.Library().CreateConnection(w.t.Context(), ada, "shop", library.Connection{Name: "registry", Type: library.Generic, URL: o.URL, Parameters: []library.Value{
		{Name: "apitoken", Value: outsideToken, Secret: true},
	}}, open)
	if err != nil {
		w.t.Fatal(err)
	}
}

const fetching = `
trigger: none
resources:
  packages:
  - {package: Web, type: npm, connection: registry, name: '@octo/web', VERSION trigger: TRIGGER}
  builds:
  - {build: ci, type: Jenkins, connection: registry, source: web, trigger: TRIGGER}
jobs:
- job: A
  steps:
  - checkout: none
  - getPackage: web
    name: got
  - downloadBuild: ci
    artifact: dist
  - getPackage: web
    path: again/here
  - bash: |
      cat "$(Pipeline.Workspace)/Web/lib/note.txt" "$(Pipeline.Workspace)/again/here/lib/note.txt" "$(Pipeline.Workspace)/ci/dist/app.txt"
      echo "version=$(got.version) why=$(Build.Reason) $(resources.triggeringAlias) $(resources.triggeringCategory)"
      ls "$(Pipeline.Workspace)/ci"
`

func fetchingFile(version, trigger string) string {
	return strings.NewReplacer("VERSION", version, "TRIGGER", trigger).Replace(fetching)
}

func TestY265_Y270PackagesAndBuildsComeIntoTheWorkspace(t *testing.T) {
	for _, tt := range []struct {
		name, version, want string
		asked               bool // by the server, before the run
	}{
		{"Y101 the newest", "", "version=1.2.0 why=Manual", true},
		{"Y101 a version", "version: 1.0.0,", "version=1.0.0 why=Manual", true},
		{"nobody asks before the run", "", "version=1.2.0 why=Manual", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOutside(t)
			w := newWorld(t, func(w *world) {
				if tt.asked {
					w.outbound = http.DefaultTransport
				}
			})
			w.agent()
			o.connect(w, true)
			commit := w.push("azure-pipelines.yml", fetchingFile(tt.version, "none"))
			if _, err := w.svc.Start(t.Context(), ada, repoName, "refs/heads/main", nil); err != nil {
				t.Fatal(err)
			}
			d := w.wait(commit, over)
			log := w.everything(d)
			for _, want := range []string{"the package\nthe package\napp of build 48\n", tt.want} {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %q:\n%s", want, log)
				}
			}
			if d.Result != plan.Succeeded || strings.Contains(log, "log.txt") {
				t.Errorf("the run ended %s: %s\n%s", d.Result, d.Why, log)
			}
			w.nowhere(outsideToken)
			if o.refused != 0 {
				t.Errorf("%d requests came without the token", o.refused)
			}
		})
	}
}

// TestPackagesWantTheirConnection wants that a closed connection holds the stage, and that the run of a
// pull request is given nothing that opens a server.
func TestPackagesWantTheirConnection(t *testing.T) {
	o := newOutside(t)
	w := newWorld(t, func(w *world) { w.outbound = http.DefaultTransport })
	w.agent()
	o.connect(w, false)
	commit := w.push("azure-pipelines.yml", fetchingFile("", "none"))
	if _, err := w.svc.Start(t.Context(), ada, repoName, "refs/heads/main", nil); err != nil {
		t.Fatal(err)
	}
	_, hold := w.held(commit)
	if hold.Resource.Kind != check.Connection || hold.Resource.Name != "registry" {
		t.Fatalf("the run is held by %+v", hold)
	}
	if err := w.svc.Checks().Permit(t.Context(), ada, hold.Resource, repoName, true); err != nil {
		t.Fatal(err)
	}
	if d := w.wait(commit, over); d.Result != plan.Succeeded {
		t.Fatalf("the run ended %s: %s\n%s", d.Result, d.Why, w.everything(d))
	}
	merge := w.push("azure-pipelines.yml", fetchingFile("", "none"), "more.txt", "x")
	if _, err := w.svc.StartPull(t.Context(), pull(merge)); err != nil {
		t.Fatal(err)
	}
	d := w.wait(merge, over)
	if log := w.everything(d); d.Result != plan.Failed || !strings.Contains(log, "not lent the service connection registry") || strings.Contains(log, "the package\n") {
		t.Errorf("the run of a pull request ended %s:\n%s", d.Result, log)
	}
}

func TestY096_Y103NewVersionsStartRuns(t *testing.T) {
	o := newOutside(t)
	w := newWorld(t, func(w *world) { w.outbound = http.DefaultTransport })
	w.agent()
	o.connect(w, true)
	w.pipeline(fetchingFile("", "true"))
	w.settled()
	look := func(fails bool, runs int) {
		t.Helper()
		if err := w.svc.LookForVersions(t.Context()); (err != nil) != fails {
			t.Fatalf("looking for versions: %v", err)
		}
		w.until(fmt.Sprintf("run %d", runs), func() bool { return len(w.runs("ResourceTrigger")) >= runs })
		w.settled()
		if n := len(w.runs("ResourceTrigger")); n != runs {
			t.Fatalf("%d runs, want %d", n, runs)
		}
	}
	look(false, 0) // What is there already starts nothing.
	look(false, 0)
	o.set("1.3.0", 48, true)
	look(true, 0) // A server that is down starts nothing, and loses nothing.
	o.set("1.3.0", 48, false)
	look(false, 1)
	look(false, 1)
	d := w.ends(w.runs("ResourceTrigger")[0].Number)
	if log := w.everything(d); !strings.Contains(log, "version=1.3.0 why=ResourceTrigger Web package") {
		t.Errorf("the run for the package:\n%s", log)
	}
	o.set("1.3.0", 49, false)
	look(false, 2)
	d = w.ends(w.runs("ResourceTrigger")[1].Number)
	if log := w.everything(d); !strings.Contains(log, "app of build 49") || !strings.Contains(log, "why=ResourceTrigger ci build") {
		t.Errorf("the run for the build:\n%s", log)
	}
	// A repetition takes the version of the first run, whatever is newest now.
	o.set("2.0.0", 49, false)
	again, err := w.svc.Rerun(t.Context(), ada, w.runs("ResourceTrigger")[0].Number)
	if err != nil {
		t.Fatal(err)
	}
	if log := w.everything(w.ends(again.Number)); !strings.Contains(log, "version=1.3.0") && !strings.Contains(log, "There is no version 1.3.0") {
		t.Errorf("the repetition took another version:\n%s", log)
	}
}
