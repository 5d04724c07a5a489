package sbom_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/registry/supply/sbom"
)

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

func read(t testing.TB, files map[string]string) sbom.Content {
	t.Helper()
	c, err := sbom.NewReader(t.TempDir(), sbom.DefaultLimits()).Layer(t.Context(), bytes.NewReader(tarOf(t, files)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func list(packages []sbom.Package) []string {
	var out []string
	for _, p := range packages {
		out = append(out, p.Ecosystem+" "+p.MatchName+" "+p.MatchVersion+" "+p.PURL)
	}
	return out
}

var distro = map[string]string{
	"etc/os-release": "NAME=Debian\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n",
	"var/lib/dpkg/status": "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl (3.0.9-1+b1)\nVersion: 3.0.9-1\n\n" +
		"Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n",
}

func TestPackagesOfEachKind(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"dpkg": {distro, []string{"Debian:12 openssl 3.0.9-1+b1 pkg:deb/debian/libssl3@3.0.9-1?arch=amd64&distro=bookworm&source=openssl&sourceversion=3.0.9-1%2Bb1"}},
		"apk": {
			map[string]string{"etc/os-release": "ID=alpine\nVERSION_ID=3.20.1\n", "lib/apk/db/installed": "P:libcrypto3\nV:3.3.0-r2\nA:x86_64\no:openssl\n\n"},
			[]string{"Alpine:v3.20 openssl 3.3.0-r2 pkg:apk/alpine/libcrypto3@3.3.0-r2?arch=x86_64&distro=3.20.1&origin=openssl"},
		},
		"npm": {
			map[string]string{
				"app/node_modules/@a/b/package.json": `{"name":"@a/b","version":"1.2.3"}`, "app/node_modules/x/test/package.json": `{"name":"nope","version":"1"}`,
				"app/package.json": `{"name":"app","version":"9"}`, "app/node_modules/y/package.json": `{"type":"module"}`,
			},
			[]string{"npm @a/b 1.2.3 pkg:npm/%40a/b@1.2.3"},
		},
		"none": {map[string]string{"run.sh": "#!/bin/sh\n", "data": "x"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := list(sbom.Merge([]sbom.Layer{{Digest: "sha256:1", Content: read(t, c.files)}}))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The test's own program is a Go program.
func TestGoProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]sbom.Package{}
	for _, p := range sbom.Merge([]sbom.Layer{{Digest: "sha256:1", Content: read(t, map[string]string{"bin/self": string(b)})}}) {
		got[p.Name] = p
	}
	if p := got["stdlib"]; p.Ecosystem != "Go" || p.Version == "" || p.Path != "bin/self" {
		t.Errorf("standard library: %+v", p)
	}
	if p := got["towpath.dev/towpath"]; p.MatchVersion == "(devel)" {
		t.Errorf("a program without version has one: %+v", p)
	}
}

func TestLayersLieOnEachOther(t *testing.T) {
	npm := func(v string) string { return `{"name":"x","version":"` + v + `"}` }
	base := sbom.Layer{Digest: "sha256:1", Content: read(t, map[string]string{"a/node_modules/x/package.json": npm("1.0.0"), "b/node_modules/x/package.json": npm("2.0.0")})}
	for name, c := range map[string]struct {
		upper map[string]string
		want  []string
	}{
		"replaced":       {map[string]string{"a/node_modules/x/package.json": npm("3.0.0")}, []string{"2.0.0", "3.0.0"}},
		"removed file":   {map[string]string{"a/node_modules/x/.wh.package.json": ""}, []string{"2.0.0"}},
		"removed parent": {map[string]string{".wh.b": ""}, []string{"1.0.0"}},
		"emptied parent": {map[string]string{"a/.wh..wh..opq": "", "a/node_modules/x/package.json": npm("4.0.0")}, []string{"2.0.0", "4.0.0"}},
		"emptied root":   {map[string]string{".wh..wh..opq": ""}, nil},
		"like-named":     {map[string]string{".wh.a1": "", ".wh.nod": ""}, []string{"1.0.0", "2.0.0"}},
	} {
		var got []string
		for _, p := range sbom.Merge([]sbom.Layer{base, {Digest: "sha256:2", Content: read(t, c.upper)}}) {
			got = append(got, p.Version)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// pack packs a layer in each of the ways in which it may come.
func pack(t *testing.T, plain []byte) map[string][]byte {
	t.Helper()
	var g, z bytes.Buffer
	gw := gzip.NewWriter(&g)
	zw, err := zstd.NewWriter(&z)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []io.WriteCloser{gw, zw} {
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return map[string][]byte{"plain": plain, "gzip": g.Bytes(), "zstd": z.Bytes()}
}

func TestCompressionAndLimits(t *testing.T) {
	plain := tarOf(t, map[string]string{"etc/os-release": distro["etc/os-release"], "var/lib/dpkg/status": distro["var/lib/dpkg/status"], "zero": strings.Repeat("\x00", 1<<20)})
	for name, b := range pack(t, plain) {
		c, err := sbom.NewReader("", sbom.DefaultLimits()).Layer(t.Context(), bytes.NewReader(b))
		if err != nil || len(c.Files) != 2 {
			t.Errorf("%s: %+v, %v", name, c.Files, err)
		}
		for what, l := range map[string]sbom.Limits{
			"bytes":    {Unpacked: 1 << 19, Entries: 100, File: 1 << 30, Found: 100},
			"entries":  {Unpacked: 1 << 30, Entries: 2, File: 1 << 30, Found: 100},
			"packages": {Unpacked: 1 << 30, Entries: 100, File: 1 << 30, Found: 0},
		} {
			if _, err := sbom.NewReader("", l).Layer(t.Context(), bytes.NewReader(b)); !fault.Is(err, fault.TooLarge) {
				t.Errorf("%s over the limit of %s: %v", name, what, err)
			}
		}
	}
	if _, err := sbom.NewReader("", sbom.DefaultLimits()).Layer(t.Context(), strings.NewReader(strings.Repeat("x", 2000))); !fault.Is(err, fault.Invalid) {
		t.Errorf("no tar: %v", err)
	}
}

func TestDocuments(t *testing.T) {
	img := sbom.Image{Repository: "shop/web", Digest: "sha256:" + strings.Repeat("ab", 32), Created: time.Date(2026, 11, 20, 9, 0, 0, 5, time.UTC)}
	packages := sbom.Merge([]sbom.Layer{{Digest: "sha256:1", Content: read(t, distro)}})
	for name, write := range map[string]func(sbom.Image, []sbom.Package) ([]byte, error){"spdx": sbom.SPDX, "cyclonedx": sbom.CycloneDX} {
		one, err := write(img, packages)
		if err != nil {
			t.Fatal(err)
		}
		two, err := write(img, packages)
		if err != nil || !bytes.Equal(one, two) {
			t.Errorf("%s differs from itself: %v", name, err)
		}
		want, err := os.ReadFile("testdata/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(one)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if !json.Valid(one) {
			t.Errorf("%s is no JSON", name)
		}
	}
}

func FuzzLayer(f *testing.F) {
	f.Add(tarOf(f, distro))
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0})
	r := sbom.NewReader(f.TempDir(), sbom.Limits{Unpacked: 1 << 20, Entries: 100, File: 1 << 16, Found: 100})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := r.Layer(t.Context(), bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, p := range sbom.Merge([]sbom.Layer{{Digest: "sha256:1", Content: c}}) {
			if strings.HasPrefix(p.Path, "/") || strings.Contains("/"+p.Path+"/", "/../") {
				t.Errorf("path %q leaves the image", p.Path)
			}
		}
	})
}
