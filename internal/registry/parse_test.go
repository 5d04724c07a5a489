package registry_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/registry"
)

func FuzzParse(f *testing.F) {
	d := "sha256:" + strings.Repeat("a", 64)
	for _, b := range []string{
		`{"schemaVersion":2,"config":{"digest":"` + d + `","size":1},"layers":[{"digest":"` + d + `"}]}`,
		`{"schemaVersion":2,"manifests":[{"digest":"` + d + `","size":-1}]}`,
		`{"schemaVersion":2,"subject":{}}`, `{"config":null,"layers":null}`, `[]`, `null`, `{"schemaVersion":2e0}`, "\xff",
	} {
		for _, t := range []string{registry.TypeImage, registry.TypeIndex, registry.TypeDockerList, "application/x", ""} {
			f.Add(t, []byte(b))
		}
	}
	f.Fuzz(func(t *testing.T, mediaType string, body []byte) {
		digests, err := registry.Parse(mediaType, body)
		if err != nil {
			if code := registry.CodeOf(err); code != registry.CodeManifestInvalid {
				t.Errorf("the error has the code %s: %v", code, err)
			}
			return
		}
		for _, d := range digests {
			if !registry.ValidDigest(d) {
				t.Errorf("the digest %q would be stored", d)
			}
		}
	})
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"shop": true, "shop/web": true, "a/b/c": true, "a.b_c__d--e/f": true, "a0": true,
		"": false, "/": false, "a/": false, "/a": false, "A": false, "a..b": false, "a___b": false, ".a": false, "a.": false, "a/../b": false, "a\n": false, "a b": false,
		strings.Repeat("a", 240): true, strings.Repeat("a", 241): false,
	} {
		if got := registry.ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v", name, got)
		}
	}
	for tag, want := range map[string]bool{"latest": true, "_x": true, "1.2-rc.1": true, "": false, "-x": false, ".x": false, "a/b": false, "a\n": false, strings.Repeat("a", 129): false} {
		if got := registry.ValidTag(tag); got != want {
			t.Errorf("ValidTag(%q) = %v", tag, got)
		}
	}
	b := []byte("x")
	for d, want := range map[string]bool{digest(b): true, digest512(b): true, "sha256:" + strings.Repeat("A", 64): false, "md5:" + strings.Repeat("a", 32): false, digest(b) + "\n": false} {
		if got := registry.ValidDigest(d); got != want {
			t.Errorf("ValidDigest(%q) = %v", d, got)
		}
	}
}
