package chart_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"towpath.dev/towpath/internal/deploy/chart"
	"towpath.dev/towpath/internal/fault"
)

func sum(data string) string {
	s := sha256.Sum256([]byte(data))
	return hex.EncodeToString(s[:])
}

// warehouse is a chart repository that wants a name and a password.
func warehouse(t *testing.T) (at string, strangers *[]string) {
	t.Helper()
	var elsewhere []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere = append(elsewhere, r.Header.Get("Authorization"))
		fmt.Fprint(w, "far away")
	}))
	t.Cleanup(other.Close)
	index := fmt.Sprintf(`
apiVersion: v1
entries:
  web:
  - {name: web, version: 1.2.0, urls: [web-1.2.0.tgz], digest: %s}
  - {name: web, version: 1.10.0, urls: [charts/web-1.10.0.tgz]}
  - {name: web, version: 2.0.0-rc.1, urls: [web-2.0.0-rc.1.tgz]}
  bad:
  - {name: bad, version: 1.0.0, urls: [bad-1.0.0.tgz], digest: %s}
  far:
  - {name: far, version: 1.0.0, urls: ["%s/far-1.0.0.tgz"]}
`, sum("/repo/web-1.2.0.tgz"), sum("something else"), other.URL)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ada" || password != "quite-secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch {
		case r.URL.Path == "/repo/index.yaml":
			_, _ = io.WriteString(w, index)
		case strings.HasSuffix(r.URL.Path, ".tgz"):
			_, _ = io.WriteString(w, r.URL.Path)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL + "/repo", &elsewhere
}

// TestRepositoriesK023 finds charts in a repository as helm does: by name and version or range,
// with the credentials for its host alone.
func TestRepositoriesK023(t *testing.T) {
	at, strangers := warehouse(t)
	c := chart.New(http.DefaultTransport, chart.Own{})
	shelf := chart.Repository{Name: "shelf", URL: at, Username: "ada", Password: "quite-secret"}
	list, err := c.Add(t.Context(), nil, shelf, false)
	if err != nil {
		t.Fatal(err)
	}
	text, err := list.Text()
	if err != nil {
		t.Fatal(err)
	}
	if list, err = chart.ReadRepositories(string(text)); err != nil || len(list) != 1 || list[0] != shelf {
		t.Fatalf("%+v, %v", list, err)
	}
	auth := chart.Login{Username: "ada", Password: "quite-secret"}
	for _, tt := range []struct {
		name string
		want chart.Want
		got  string // content, or what the error says
		kind fault.Kind
	}{
		{"K023 the newest release", chart.Want{Ref: "shelf/web"}, "/repo/charts/web-1.10.0.tgz", ""},
		{"K023 a version", chart.Want{Ref: "shelf/web", Version: "1.2.0"}, "/repo/web-1.2.0.tgz", ""},
		{"K023 a range", chart.Want{Ref: "shelf/web", Version: "~1.2"}, "/repo/web-1.2.0.tgz", ""},
		{"K023 pre-releases", chart.Want{Ref: "shelf/web", Devel: true}, "/repo/web-2.0.0-rc.1.tgz", ""},
		{"K023 --repo", chart.Want{Ref: "web", Version: "1.2.0", Repo: at, Auth: auth}, "/repo/web-1.2.0.tgz", ""},
		{"K023 an archive", chart.Want{Ref: at + "/web-1.2.0.tgz", Auth: auth}, "/repo/web-1.2.0.tgz", ""},
		{"K023 on another host", chart.Want{Ref: "shelf/far"}, "far away", ""},
		{"K023 no such version", chart.Want{Ref: "shelf/web", Version: "^3"}, `no version "^3"`, fault.NotFound},
		{"K023 no version at all", chart.Want{Ref: "shelf/web", Version: "one"}, "neither a version nor a range", fault.Invalid},
		{"K023 no such chart", chart.Want{Ref: "shelf/db"}, `no chart "db"`, fault.NotFound},
		{"K023 no such repository", chart.Want{Ref: "stable/web"}, `no chart repository "stable"`, fault.NotFound},
		{"K023 not what was promised", chart.Want{Ref: "shelf/bad"}, "promises", fault.Invalid},
		{"K023 no credentials", chart.Want{Ref: "web", Repo: at}, "status 401", fault.Denied},
		{"K023 no repository", chart.Want{Ref: "web", Repo: strings.TrimSuffix(at, "/repo"), Auth: auth}, "nothing at", fault.NotFound},
		{"K023 a file of the server", chart.Want{Ref: "web", Repo: "file:///etc"}, "no address", fault.Invalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Repositories = list
			got, err := c.Fetch(t.Context(), tt.want)
			if tt.kind != "" {
				if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.got) || strings.Contains(err.Error(), "quite-secret") {
					t.Errorf("%v, want %s with %q", err, tt.kind, tt.got)
				}
				return
			}
			if err != nil || string(got.Archive) != tt.got || got.Digest != "sha256:"+sum(tt.got) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	if len(*strangers) != 1 || (*strangers)[0] != "" {
		t.Errorf("another host got the credentials: %q", *strangers)
	}
	if _, err := c.Add(t.Context(), list, chart.Repository{Name: "shelf", URL: at + "/other"}, false); !fault.Is(err, fault.Conflict) {
		t.Errorf("a name that is taken: %v", err)
	}
	if list, err = list.Remove("shelf"); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// TestRegistriesK023 puts a chart into an OCI registry and fetches it by version, range and
// digest.
func TestRegistriesK023(t *testing.T) {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	c := chart.New(http.DefaultTransport, chart.Own{})
	var digest string
	for _, version := range []string{"0.9.0", "1.0.0", "1.1.0+build.1", "2.0.0-beta"} {
		p, err := c.Push(t.Context(), chart.Push{To: "oci://" + host + "/team", Name: "web", Version: version, Config: []byte(`{"name":"web"}`), Archive: []byte("archive " + version), Plain: true})
		if err != nil {
			t.Fatal(err)
		}
		if version == "1.0.0" {
			digest = p.Digest
		}
		if want := host + "/team/web:" + strings.ReplaceAll(version, "+", "_"); p.Ref != want {
			t.Errorf("it is at %s, want %s", p.Ref, want)
		}
	}
	ref := "oci://" + host + "/team/web"
	for _, tt := range []struct{ name, ref, version, got, refused string }{
		{"K023 oci newest", ref, "", "archive 1.1.0+build.1", ""},
		{"K023 oci version", ref, "1.0.0", "archive 1.0.0", ""},
		{"K023 oci version with a build", ref, "1.1.0+build.1", "archive 1.1.0+build.1", ""},
		{"K023 oci range", ref, "<1", "archive 0.9.0", ""},
		{"K023 oci tag", ref + ":2.0.0-beta", "", "archive 2.0.0-beta", ""},
		{"K023 oci digest", ref + "@" + digest, "", "archive 1.0.0", ""},
		{"K023 oci nothing there", ref + "-x", "1.0.0", "", "nothing at"},
		{"K023 oci no version", ref, "3.0.0", "", "nothing at"},
		{"K023 oci no path", "oci://" + host, "", "", "no chart of a registry"},
		{"K023 oci a path upwards", "oci://" + host + "/../team/web", "", "", "no chart of a registry"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := c.Fetch(t.Context(), chart.Want{Ref: tt.ref, Version: tt.version, Plain: true})
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("%v, want %q", err, tt.refused)
				}
				return
			}
			if err != nil || string(got.Archive) != tt.got {
				t.Errorf("%q, %v", got.Archive, err)
			}
		})
	}
}

// shut is a transport that lets nobody out.
type shut struct{}

func (shut) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, fault.New(fault.Denied, "not a public address")
}

func TestWhereNothingMayBeFetched(t *testing.T) {
	c := chart.New(shut{}, chart.Own{})
	for _, w := range []chart.Want{{Ref: "web", Repo: "http://10.0.0.1/charts"}, {Ref: "oci://10.0.0.1:5000/web", Version: "1.0.0"}, {Ref: "https://10.0.0.1/web.tgz"}} {
		if _, err := c.Fetch(t.Context(), w); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", w.Ref, err)
		}
	}
	if err := c.Check(t.Context(), "10.0.0.1", chart.Login{Username: "ada", Password: "x"}, true); !fault.Is(err, fault.Denied) {
		t.Errorf("signing in: %v", err)
	}
}

func TestLogins(t *testing.T) {
	list, err := chart.Logins(nil).With("localhost:5000", chart.Login{Username: "ada", Password: "a:b"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := list.Text()
	if err != nil {
		t.Fatal(err)
	}
	again, err := chart.ReadLogins(string(text))
	if err != nil || again["localhost:5000"] != list["localhost:5000"] {
		t.Errorf("%v, %v", again, err)
	}
	if again = again.Without("localhost:5000"); len(again) != 0 {
		t.Errorf("%v", again)
	}
	helpers, err := chart.ReadLogins(`{"auths":{"a":{}},"credsStore":"desktop"}`)
	if err != nil || len(helpers) != 0 {
		t.Errorf("%v, %v", helpers, err)
	}
}

func TestDependenciesK023(t *testing.T) {
	at, _ := warehouse(t)
	file := fmt.Sprintf("dependencies:\n- {name: web, version: ^1.0.0, repository: %q}\n- {name: own, version: 1.0.0, repository: 'file://../own'}\n", at)
	list, err := chart.Dependencies([]byte(file), []byte("dependencies:\n- {name: web, version: 1.2.0}\n- {name: own, version: 1.0.0}\n"))
	if err != nil || list[0].Version != "1.2.0" {
		t.Fatalf("%v, %v", list, err)
	}
	c := chart.New(http.DefaultTransport, chart.Own{})
	base := chart.Want{Repositories: chart.Repositories{{Name: "shelf", URL: at + "/", Username: "ada", Password: "quite-secret"}}}
	for _, d := range []chart.Dependency{list[0], {Name: "web", Version: "~1.2", Repository: "@shelf"}, {Name: "web", Version: "1.2.0", Repository: "alias:shelf"}} {
		if got, ok, err := c.Depend(t.Context(), base, d); err != nil || !ok || !bytes.HasSuffix(got.Archive, []byte("web-1.2.0.tgz")) {
			t.Errorf("%v: %q, %v, %v", d, got.Archive, ok, err)
		}
	}
	if _, ok, err := c.Depend(context.Background(), base, list[1]); ok || err != nil {
		t.Errorf("a folder: %v, %v", ok, err)
	}
	if _, err := chart.Dependencies([]byte(file), []byte("dependencies: [{name: other, version: 1.0.0}]")); !fault.Is(err, fault.Conflict) {
		t.Errorf("a lock that is out of step: %v", err)
	}
}

func FuzzReference(f *testing.F) {
	for _, s := range []string{"oci://localhost:7080/shop/web:1.0.0", "oci://h/a@sha256:" + strings.Repeat("a", 64), "oci://h/../a", "oci:///", "oci://h/a:b:c"} {
		f.Add(s)
	}
	c := chart.New(shut{}, chart.Own{})
	f.Fuzz(func(t *testing.T, ref string) {
		if _, err := c.Fetch(t.Context(), chart.Want{Ref: "oci://" + ref, Version: "1.0.0"}); err == nil {
			t.Errorf("%q is fetched from nowhere", ref)
		}
	})
}
