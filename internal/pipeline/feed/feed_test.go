package feed

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha1" //nolint:gosec // As registries have it.
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
)

// shelf is a server with documents by path and query; "auth" in seen says which requests came
// with what opens the server.
type shelf struct {
	*httptest.Server
	t     *testing.T
	files map[string][]byte
	to    map[string]string // redirects
	code  map[string]int
	auth  []string // paths that came with an Authorization
	bare  []string // and without
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{t: t, files: map[string][]byte{}, to: map[string]string{}, code: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := r.URL.EscapedPath()
		if r.Header.Get("Authorization") != "" {
			s.auth = append(s.auth, at)
		} else {
			s.bare = append(s.bare, at)
		}
		if to := s.to[at]; to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		if code := s.code[at]; code != 0 {
			w.WriteHeader(code)
			return
		}
		b, ok := s.files[at]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(b)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *shelf) json(at string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	s.files[at] = b
}

func tarball(entries ...tar.Header) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	tw := tar.NewWriter(zw)
	for _, h := range entries {
		content := []byte("content of " + h.Name)
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
		}
		h.Mode = 0o644
		_ = tw.WriteHeader(&h)
		if h.Typeflag == tar.TypeReg {
			_, _ = tw.Write(content)
		}
	}
	_ = tw.Close()
	_ = zw.Close()
	return b.Bytes()
}

func nupkg(names ...string) []byte {
	var b bytes.Buffer
	zw := zip.NewWriter(&b)
	for _, n := range names {
		w, _ := zw.Create(n)
		_, _ = io.WriteString(w, "content of "+n)
	}
	_ = zw.Close()
	return b.Bytes()
}

func sri(b []byte) string {
	sum := sha512.Sum512(b)
	return "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// put is a Write into a map.
func put(into map[string]string) Write {
	return func(name string, r io.Reader) error {
		b, err := io.ReadAll(r)
		into[name] = string(b)
		return err
	}
}

type dist map[string]string

func npmDoc(url string, archive []byte) map[string]any {
	version := func(d dist) any { return map[string]any{"dist": d} }
	return map[string]any{
		"dist-tags": map[string]string{"latest": "1.10.0", "next": "2.0.0-rc.1"},
		"versions": map[string]any{
			"1.2.0": version(dist{"tarball": url, "integrity": sri(archive)}), "1.10.0": version(dist{"tarball": url, "integrity": "sha1-x " + sri(archive)}),
			"2.0.0-rc.1": version(dist{"tarball": url, "shasum": hexSum(archive)}), "0.9.0": version(dist{"tarball": url, "integrity": sri([]byte("other"))}),
			"0.8.0": version(dist{"tarball": url}), "0.7.0": version(dist{"tarball": "file:///etc/passwd", "integrity": sri(archive)}),
		},
	}
}

func hexSum(b []byte) string {
	sum := sha1.Sum(b) //nolint:gosec // As registries have it.
	return hex.EncodeToString(sum[:])
}

var secret = map[string]string{"Authorization": "Bearer secret"}

func TestNPM(t *testing.T) {
	s := newShelf(t)
	archive := tarball(tar.Header{Name: "package/package.json"}, tar.Header{Name: "package/lib", Typeflag: tar.TypeDir}, tar.Header{Name: "package/lib/index.js"})
	s.files["/files/web.tgz"] = archive
	s.json("/npm/%40octo%2Fweb", npmDoc(s.URL+"/files/web.tgz", archive))
	at := func(name, version, tag string) Source {
		return Source{Type: "NPM", URL: s.URL + "/npm/", Header: secret, Name: name, Version: version, Tag: tag}
	}
	for _, c := range []struct {
		name    string
		source  Source
		want    string
		kind    fault.Kind
		fetched fault.Kind
	}{
		{"Y098 the newest", at("@octo/web", "", ""), "1.10.0", "", ""},
		{"Y101 latest", at("@octo/web", "latest", ""), "1.10.0", "", ""},
		{"Y101 a version", at("@octo/web", "1.2.0", ""), "1.2.0", "", ""},
		{"Y102 a tag, by its old checksum", at("@octo/web", "", "next"), "2.0.0-rc.1", "", ""},
		{"a wrong checksum", at("@octo/web", "0.9.0", ""), "0.9.0", "", fault.Invalid},
		{"no checksum", at("@octo/web", "0.8.0", ""), "0.8.0", "", fault.Invalid},
		{"no address of the web", at("@octo/web", "0.7.0", ""), "0.7.0", "", fault.Invalid},
		{"no such version", at("@octo/web", "9.9.9", ""), "", fault.NotFound, ""},
		{"no such tag", at("@octo/web", "", "beta"), "", fault.NotFound, ""},
		{"no such package", at("@octo/gone", "", ""), "", fault.NotFound, ""},
		{"no name", at("../../etc", "", ""), "", fault.Invalid, ""},
		{"a query for a name", at("web?x=1", "", ""), "", fault.Invalid, ""},
	} {
		got, err := New(nil).Resolve(t.Context(), c.source)
		if fault.KindOf(err) != c.kind || got != c.want {
			t.Errorf("%s: %q, %v; want %q, kind %q", c.name, got, err, c.want, c.kind)
		}
		if err != nil {
			continue
		}
		files := map[string]string{}
		err = New(nil).Fetch(t.Context(), c.source, got, nil, put(files))
		if fault.KindOf(err) != c.fetched || err != nil && len(files) > 0 {
			t.Errorf("%s: fetching: %v with %d files, want kind %q", c.name, err, len(files), c.fetched)
		}
		if names := slices.Sorted(maps.Keys(files)); err == nil && !slices.Equal(names, []string{"lib/index.js", "package.json"}) {
			t.Errorf("%s: the files %q", c.name, names)
		}
	}
}

func TestNuGet(t *testing.T) {
	s := newShelf(t)
	s.json("/nuget/index.json", map[string]any{"resources": []map[string]string{{"@type": "SearchQueryService", "@id": "x"}, {"@type": "PackageBaseAddress/3.0.0", "@id": s.URL + "/flat/"}}})
	s.json("/other/v3.json", map[string]any{"resources": []map[string]string{}})
	s.json("/flat/octo.web/index.json", map[string]any{"versions": []string{"1.0.0", "1.2.0", "1.10.0-beta.2", "1.9.0.1", "1.10.0-beta.11"}})
	s.json("/flat/octo.pre/index.json", map[string]any{"versions": []string{"1.0.0-a", "1.0.0-b"}})
	s.json("/flat/octo.none/index.json", map[string]any{"versions": []string{}})
	for _, v := range []string{"1.9.0.1", "1.2.0"} {
		s.files["/flat/octo.web/"+v+"/octo.web."+v+".nupkg"] = nupkg("[Content_Types].xml", "_rels/.rels", "package/services/metadata/x.psmdcp", "Octo.Web.nuspec", "lib/net8.0/Octo%20Web.dll")
	}
	at := func(url, name, version string) Source {
		return Source{Type: "NuGet", URL: s.URL + url, Header: secret, Name: name, Version: version}
	}
	for _, c := range []struct {
		name   string
		source Source
		want   string
		kind   fault.Kind
	}{
		{"Y098 the newest that is no prerelease", at("/nuget", "Octo.Web", ""), "1.9.0.1", ""},
		{"by its index", at("/nuget/index.json", "Octo.Web", "latest"), "1.9.0.1", ""},
		{"Y101 a version, normalised", at("/nuget/", "octo.web", "1.02"), "1.2.0", ""},
		{"only prereleases", at("/nuget", "Octo.Pre", ""), "1.0.0-b", ""},
		{"no version at all", at("/nuget", "Octo.None", ""), "", fault.NotFound},
		{"no such version", at("/nuget", "Octo.Web", "3.0.0"), "", fault.NotFound},
		{"no such package", at("/nuget", "Octo.Gone", ""), "", fault.NotFound},
		{"no feed of version 3", at("/other/v3.json", "Octo.Web", ""), "", fault.Invalid},
		{"no name", at("/nuget", "octo/web", ""), "", fault.Invalid},
		{"no version", at("/nuget", "octo.web", "1/../2"), "", fault.Invalid},
		{"Y102 no tags", Source{Type: "nuget", URL: s.URL, Name: "Octo.Web", Tag: "next"}, "", fault.Invalid},
	} {
		got, err := New(nil).Resolve(t.Context(), c.source)
		if fault.KindOf(err) != c.kind || got != c.want {
			t.Errorf("%s: %q, %v; want %q, kind %q", c.name, got, err, c.want, c.kind)
		}
	}
	files := map[string]string{}
	if err := New(nil).Fetch(t.Context(), at("/nuget", "Octo.Web", ""), "1.9.0.1", nil, put(files)); err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(files)); !slices.Equal(names, []string{"Octo.Web.nuspec", "lib/net8.0/Octo Web.dll"}) {
		t.Errorf("the files %q", names)
	}
}

func TestJenkins(t *testing.T) {
	s := newShelf(t)
	artifacts := []map[string]string{{"relativePath": "dist/a b.txt"}, {"relativePath": "dist/b.bin"}, {"relativePath": "log.txt"}}
	s.json("/ci/job/shop/job/web/lastSuccessfulBuild/api/json", map[string]any{"number": 48, "result": "SUCCESS", "artifacts": artifacts})
	s.json("/ci/job/shop/job/web/48/api/json", map[string]any{"number": 48, "result": "SUCCESS", "artifacts": artifacts})
	s.json("/ci/job/shop/job/web/47/api/json", map[string]any{"number": 47, "artifacts": []map[string]string{{"relativePath": "../../etc/cron.d/x"}}})
	s.json("/ci/job/shop/job/web/49/api/json", map[string]any{"number": 49, "building": true})
	s.json("/ci/job/multi/job/feature%252Fx/lastSuccessfulBuild/api/json", map[string]any{"number": 3})
	for _, f := range []string{"dist/a%20b.txt", "dist/b.bin", "log.txt"} {
		s.files["/ci/job/shop/job/web/48/artifact/"+f] = []byte("content of " + f)
	}
	at := func(name, version, branch string) Source {
		return Source{Type: "Jenkins", URL: s.URL + "/ci", Header: secret, Name: name, Version: version, Branch: branch}
	}
	for _, c := range []struct {
		name   string
		source Source
		want   string
		kind   fault.Kind
	}{
		{"Y093 the newest", at("shop/web", "", ""), "48", ""},
		{"Y094 a number", at("shop/web", "48", ""), "48", ""},
		{"Y095 a branch", at("multi", "latest", "refs/heads/feature/x"), "3", ""},
		{"no such build", at("shop/web", "7", ""), "", fault.NotFound},
		{"no number", at("shop/web", "last", ""), "", fault.Invalid},
		{"no job", at("shop//web", "", ""), "", fault.Invalid},
		{"a way out", at("shop/..", "", ""), "", fault.Invalid},
	} {
		got, err := New(nil).Resolve(t.Context(), c.source)
		if fault.KindOf(err) != c.kind || got != c.want {
			t.Errorf("%s: %q, %v; want %q, kind %q", c.name, got, err, c.want, c.kind)
		}
	}
	files := map[string]string{}
	keep := func(path string) bool { return strings.HasPrefix(path, "dist/") }
	if err := New(nil).Fetch(t.Context(), at("shop/web", "", ""), "48", keep, put(files)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"dist/a b.txt": "content of dist/a%20b.txt", "dist/b.bin": "content of dist/b.bin"}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for version, kind := range map[string]fault.Kind{"47": fault.Invalid, "49": fault.Conflict, "x": fault.Invalid} {
		if err := New(nil).Fetch(t.Context(), at("shop/web", "", ""), version, nil, put(files)); fault.KindOf(err) != kind {
			t.Errorf("build %s: %v, want kind %q", version, err, kind)
		}
	}
}

// TestSecretsStayAtHome wants that what opens a server is never sent to another, whether a
// document names it or a redirect leads there.
func TestSecretsStayAtHome(t *testing.T) {
	home, other := newShelf(t), newShelf(t)
	archive := tarball(tar.Header{Name: "package/x"})
	other.files["/a.tgz"], other.files["/b.tgz"] = archive, archive
	home.json("/named", npmDoc(other.URL+"/a.tgz", archive))
	home.json("/sent", npmDoc(home.URL+"/go.tgz", archive))
	home.to["/go.tgz"] = other.URL + "/b.tgz"
	home.json("/round", npmDoc(home.URL+"/round.tgz", archive))
	home.to["/round.tgz"] = "/round.tgz"
	for name, kind := range map[string]fault.Kind{"named": "", "sent": "", "round": fault.Invalid} {
		err := New(nil).Fetch(t.Context(), Source{Type: "npm", URL: home.URL, Header: secret, Name: name}, "1.2.0", nil, put(map[string]string{}))
		if fault.KindOf(err) != kind {
			t.Errorf("%s: %v, want kind %q", name, err, kind)
		}
	}
	if len(other.auth) != 0 || len(other.bare) != 2 || !slices.Contains(home.auth, "/named") || len(home.bare) != 0 {
		t.Errorf("home saw %q with and %q without what opens it, the other server %q and %q", home.auth, home.bare, other.auth, other.bare)
	}
}

func TestWhatServersAnswer(t *testing.T) {
	s := newShelf(t)
	s.code["/web"] = http.StatusUnauthorized
	s.code["/closed"] = http.StatusForbidden
	s.code["/down"] = http.StatusBadGateway
	s.files["/page"] = []byte("<html>")
	s.files["/large"] = bytes.Repeat([]byte(" "), 200)
	c := New(nil)
	c.limits.document = 100
	for name, kind := range map[string]fault.Kind{"web": fault.Denied, "closed": fault.Denied, "down": fault.Unavailable, "page": fault.Invalid, "large": fault.TooLarge} {
		_, err := c.Resolve(t.Context(), Source{Type: "npm", URL: s.URL, Header: secret, Name: name})
		if fault.KindOf(err) != kind || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%s: %v, want kind %q", name, err, kind)
		}
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, source := range map[string]Source{
		"nobody": {Type: "npm", URL: gone.URL + "?token=secret", Name: "web"}, "no address": {Type: "npm", URL: "web", Name: "web"}, "no scheme of the web": {Type: "npm", URL: "file:///x", Name: "web"},
		"no type": {Type: "maven", URL: s.URL, Name: "web"},
	} {
		if _, err := c.Resolve(t.Context(), source); err == nil || strings.Contains(fmt.Sprint(fault.Public(err)), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Resolve(ended, Source{Type: "npm", URL: s.URL, Name: "web"}); err == nil {
		t.Error("an answer after the end")
	}
}

func TestHostileArchives(t *testing.T) {
	s := newShelf(t)
	c := New(nil)
	c.limits.entries, c.limits.unpacked, c.limits.archive = 3, 64, 4096
	many := []tar.Header{{Name: "p/1"}, {Name: "p/2"}, {Name: "p/3"}, {Name: "p/4"}}
	for _, tt := range []struct {
		name    string
		archive []byte
		kind    fault.Kind
	}{
		{"a way out", tarball(tar.Header{Name: "package/../../x"}), fault.Invalid},
		{"from the root", tarball(tar.Header{Name: "package//etc/passwd"}), fault.Invalid},
		{"with backslashes", tarball(tar.Header{Name: `package/..\x`}), fault.Invalid},
		{"a drive", tarball(tar.Header{Name: "package/c:x"}), fault.Invalid},
		{"a symbolic link", tarball(tar.Header{Name: "package/x", Typeflag: tar.TypeSymlink, Linkname: "/etc"}), fault.Invalid},
		{"a hard link", tarball(tar.Header{Name: "package/x", Typeflag: tar.TypeLink, Linkname: "y"}), fault.Invalid},
		{"a device", tarball(tar.Header{Name: "package/x", Typeflag: tar.TypeBlock}), fault.Invalid},
		{"too many", tarball(many...), fault.TooLarge},
		{"too large", tarball(tar.Header{Name: "package/" + strings.Repeat("long", 20)}), fault.TooLarge},
		{"no archive", []byte("hello"), fault.Invalid},
		{"too long to come", bytes.Repeat([]byte("x"), 5000), fault.TooLarge},
		{"cut off", tarball(many...)[:40], fault.Invalid},
	} {
		s.files["/t.tgz"] = tt.archive
		s.json("/web", npmDoc(s.URL+"/t.tgz", tt.archive))
		if err := c.Fetch(t.Context(), Source{Type: "npm", URL: s.URL, Name: "web"}, "1.2.0", nil, put(map[string]string{})); fault.KindOf(err) != tt.kind {
			t.Errorf("%s: %v, want kind %q", tt.name, err, tt.kind)
		}
	}
	s.json("/index.json", map[string]any{"resources": []map[string]string{{"@type": "PackageBaseAddress/3.0.0", "@id": s.URL}}})
	for name, archive := range map[string][]byte{"a way out": nupkg("../x"), "an escaped way out": nupkg("%2e%2e/x"), "no archive": []byte("PK"), "from the root": nupkg("/etc/x")} {
		s.files["/web/1.0.0/web.1.0.0.nupkg"] = archive
		if err := c.Fetch(t.Context(), Source{Type: "nuget", URL: s.URL, Name: "web"}, "1.0.0", nil, put(map[string]string{})); !fault.Is(err, fault.Invalid) {
			t.Errorf("NuGet, %s: %v", name, err)
		}
	}
}

func TestVersionsInOrder(t *testing.T) {
	// Semantic Versioning 2.0.0, item 11, and the fourth number of NuGet.
	want := []string{"2.0.0", "1.10.0.1", "1.10.0", "1.9.0", "1.0.0", "1.0.0-rc.1", "1.0.0-beta.11", "1.0.0-beta.2", "1.0.0-beta", "1.0.0-alpha.beta", "1.0.0-alpha.1", "1.0.0-alpha"}
	got := slices.Clone(want)
	slices.Reverse(got)
	if got = newestFirst(got); !slices.Equal(got, want) {
		t.Errorf("in order %q", got)
	}
	for version, want := range map[string]string{"1.0": "1.0.0", "01.2.03": "1.2.3", "1.2.3.0": "1.2.3", "1.2.3.4": "1.2.3.4", "1.0.0-RC+build": "1.0.0-rc", "1": "1.0.0"} {
		if got := normal(version); got != want {
			t.Errorf("%s is %s, want %s", version, got, want)
		}
	}
}

// TestWhatNPMPacks reads a package that the real npm has packed.
func TestWhatNPMPacks(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("there is no npm on this machine")
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"package.json": `{"name":"@octo/tool","version":"1.2.0","files":["lib"]}`, "lib/a.js": "a", "left-out.txt": "x"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "pack", "--offline", "--silent")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "npm_config_cache="+t.TempDir(), "npm_config_update_notifier=false")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(filepath.Join(dir, strings.TrimSpace(string(out))))
	if err != nil {
		t.Fatal(err)
	}
	s := newShelf(t)
	s.files["/t.tgz"] = archive
	s.json("/%40octo%2Ftool", npmDoc(s.URL+"/t.tgz", archive))
	files := map[string]string{}
	if err := New(nil).Fetch(t.Context(), Source{Type: "npm", URL: s.URL, Name: "@octo/tool"}, "1.2.0", nil, put(files)); err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(files)); !slices.Equal(names, []string{"lib/a.js", "package.json"}) {
		t.Errorf("the files %q", names)
	}
}

func FuzzTarball(f *testing.F) {
	f.Add(tarball(tar.Header{Name: "package/a"}))
	f.Add(tarball(tar.Header{Name: "../a"}, tar.Header{Name: "package/x", Typeflag: tar.TypeSymlink}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := New(nil)
		c.limits.entries, c.limits.unpacked = 100, 1<<20
		_ = c.untar(bytes.NewReader(raw), "it", func(name string, r io.Reader) error {
			if !filepath.IsLocal(name) {
				t.Fatalf("the file %q leaves its folder", name)
			}
			_, err := io.Copy(io.Discard, r)
			return err
		})
	})
}

func FuzzNupkg(f *testing.F) {
	f.Add(nupkg("lib/a.dll", "%2e%2e/x"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		archive, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			return
		}
		c := New(nil)
		c.limits.entries, c.limits.unpacked = 100, 1<<20
		_ = c.unzip(archive, "it", func(name string, r io.Reader) error {
			if !filepath.IsLocal(name) {
				t.Fatalf("the file %q leaves its folder", name)
			}
			_, err := io.Copy(io.Discard, r)
			return err
		})
	})
}

func FuzzCompare(f *testing.F) {
	f.Add("1.0.0-alpha.1", "1.0.0+x")
	f.Fuzz(func(t *testing.T, a, b string) {
		if compare(a, b) != -compare(b, a) {
			t.Fatalf("%q and %q", a, b)
		}
	})
}
