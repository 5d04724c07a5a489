package oci_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/registrytest"
)

// TestManifests pushes manifests that must be refused.
func TestManifests(t *testing.T) {
	s := registrytest.Start(t, "", registry.Options{})
	c := as(t, s, "writer")
	config, layer := c.blob("shop/web", []byte("{}")), c.blob("shop/web", []byte("layer"))
	good := manifest(config, 2, layer, 5, "")
	for _, tc := range []struct {
		name, reference, mediaType, body string
		status                           int
		code                             registry.Code
	}{
		{"good", "v1", registry.TypeImage, string(good), 201, ""},
		{"type from the document", "v1", "", string(good), 201, ""},
		{"type with parameter", "v1", registry.TypeImage + "; charset=utf-8", string(good), 201, ""},
		{"missing layer", "v1", registry.TypeImage, string(manifest(config, 2, digest([]byte("gone")), 5, "")), 404, registry.CodeManifestBlobUnknown},
		{"wrong size", "v1", registry.TypeImage, string(manifest(config, 2, layer, 6, "")), 400, registry.CodeSizeInvalid},
		{"wrong digest", digest([]byte("else")), registry.TypeImage, string(good), 400, registry.CodeDigestInvalid},
		{"no JSON", "v1", registry.TypeImage, "\x00\x01", 400, registry.CodeManifestInvalid},
		{"JSON of another shape", "v1", registry.TypeImage, `[1]`, 400, registry.CodeManifestInvalid},
		{"two types", "v1", registry.TypeIndex, string(good), 400, registry.CodeManifestInvalid},
		{"image and index at once", "v1", registry.TypeImage, string(manifest(config, 2, layer, 5, `,"manifests":[]`)), 400, registry.CodeManifestInvalid},
		{"no config", "v1", registry.TypeImage, `{"schemaVersion":2}`, 400, registry.CodeManifestInvalid},
		{"schema 1", "v1", "application/vnd.docker.distribution.manifest.v1+prettyjws", `{}`, 400, registry.CodeManifestInvalid},
		{"no type", "v1", "", `{}`, 400, registry.CodeManifestInvalid},
		{"bad subject", "v1", registry.TypeImage, string(manifest(config, 2, layer, 5, `,"subject":{"digest":"x","size":1}`)), 400, registry.CodeManifestInvalid},
		{"index of a missing child", "v1", registry.TypeIndex, fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":5}]}`, registry.TypeImage, layer), 404, registry.CodeManifestBlobUnknown},
		{"huge", "v1", registry.TypeImage, `{"schemaVersion":2,"pad":"` + strings.Repeat("x", registry.MaxManifest) + `"}`, 413, registry.CodeManifestInvalid},
		{"unknown type is kept", "v2", "application/vnd.example+json", `{"anything":[1]}`, 201, ""},
		{"bad tag", "+", registry.TypeImage, string(good), 400, registry.CodeTagInvalid},
		{"Docker schema 2", "v3", registry.TypeDockerImage, strings.Replace(string(good), registry.TypeImage, registry.TypeDockerImage, 1), 201, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := c.do("PUT", "/v2/shop/web/manifests/"+tc.reference, []byte(tc.body), "Content-Type", tc.mediaType)
			if a.StatusCode != tc.status || !strings.Contains(a.text(), string(tc.code)) {
				t.Fatalf("%s %s, want %d %s", a.Status, a.body, tc.status, tc.code)
			}
			if tc.status != 201 {
				return
			}
			got := c.want(200, "GET", a.Header.Get("Location"), nil)
			if !bytes.Equal(got.body, []byte(tc.body)) || got.Header.Get("Docker-Content-Digest") != digest([]byte(tc.body)) {
				t.Errorf("it came back as %s %v", got.body, got.Header)
			}
			if tag := c.want(200, "HEAD", "/v2/shop/web/manifests/"+tc.reference, nil); tag.ContentLength != int64(len(tc.body)) {
				t.Errorf("HEAD says %d bytes", tag.ContentLength)
			}
			c.want(304, "GET", a.Header.Get("Location"), nil, "If-None-Match", got.Header.Get("Etag"))
		})
	}
}

// TestSHA512 pushes by sha512 and reads back by the same.
func TestSHA512(t *testing.T) {
	s := registrytest.Start(t, "", registry.Options{})
	c := as(t, s, "writer")
	d512 := func(b []byte) string { sum := sha512.Sum512(b); return "sha512:" + hex.EncodeToString(sum[:]) }
	config, layer := []byte("{}"), []byte("layer")
	for _, b := range [][]byte{config, layer} {
		c.want(201, "POST", "/v2/shop/web/blobs/uploads/?digest="+d512(b), b)
	}
	m := manifest(d512(config), 2, d512(layer), 5, "")
	c.want(201, "PUT", "/v2/shop/web/manifests/"+d512(m), m, "Content-Type", registry.TypeImage)
	if a := c.want(200, "GET", "/v2/shop/web/manifests/"+d512(m), nil); a.Header.Get("Docker-Content-Digest") != d512(m) {
		t.Errorf("the digest came back as %s", a.Header.Get("Docker-Content-Digest"))
	}
	c.want(404, "GET", "/v2/shop/web/manifests/"+digest(m), nil)
	c.want(404, "GET", "/v2/shop/web/blobs/"+digest(layer), nil)
}

// TestRanges reads parts of a blob.
func TestRanges(t *testing.T) {
	s := registrytest.Start(t, "", registry.Options{})
	c := as(t, s, "writer")
	c.blob("shop/web", []byte("0123456789"))
	empty := c.blob("shop/web", nil)
	path := "/v2/shop/web/blobs/" + digest([]byte("0123456789"))
	for header, want := range map[string]string{
		"bytes=0-0": "0", "bytes=2-4": "234", "bytes=7-": "789", "bytes=-3": "789", "bytes=-99": "0123456789", "bytes=8-99": "89", "": "0123456789",
		"bytes=0-1,3-4": "0123456789", "items=0-1": "0123456789", "bytes=x": "0123456789",
		"bytes=10-": "416", "bytes=4-2": "416", "bytes=-0": "416",
	} {
		a := c.do("GET", path, nil, "Range", header)
		switch {
		case want == "416":
			if a.StatusCode != 416 || a.Header.Get("Content-Range") != "bytes */10" {
				t.Errorf("%q: %s %v", header, a.Status, a.Header)
			}
		case a.text() != want || (a.StatusCode == 206) != (a.Header.Get("Content-Range") != ""):
			t.Errorf("%q: %s %q, want %q", header, a.Status, a.body, want)
		}
	}
	if a := c.want(200, "GET", "/v2/shop/web/blobs/"+empty, nil); len(a.body) != 0 {
		t.Errorf("the empty blob has %q", a.body)
	}
	c.want(416, "GET", "/v2/shop/web/blobs/"+empty, nil, "Range", "bytes=0-")
}

// TestLists pages through tags, the catalog and referrers.
func TestLists(t *testing.T) {
	s := registrytest.Start(t, "", registry.Options{})
	c := as(t, s, "writer")
	c.want(404, "GET", "/v2/shop/none/tags/list", nil)
	d, m := c.image("shop/web", "b", "layer")
	for _, tag := range []string{"B", "a", "_", "b.1", "c"} {
		c.want(201, "PUT", "/v2/shop/web/manifests/"+tag, m, "Content-Type", registry.TypeImage)
	}
	var tags []string
	pages := 0
	for next := "/v2/shop/web/tags/list?n=4"; next != ""; pages++ {
		a := c.want(200, "GET", next, nil)
		var body struct{ Tags []string }
		if err := json.Unmarshal(a.body, &body); err != nil {
			t.Fatal(err)
		}
		tags = append(tags, body.Tags...)
		next, _, _ = strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"), ">")
	}
	if want := []string{"B", "_", "a", "b", "b.1", "c"}; !slices.Equal(tags, want) || pages != 2 {
		t.Errorf("tags %q in %d pages, want %q", tags, pages, want)
	}
	if a := c.want(200, "GET", "/v2/shop/web/tags/list?n=0", nil); !strings.Contains(a.text(), `"tags":[]`) || a.Header.Get("Link") != "" {
		t.Errorf("n=0 gives %s %s", a.body, a.Header.Get("Link"))
	}
	c.want(400, "GET", "/v2/shop/web/tags/list?n=-1", nil)

	as(t, s, "admin").image("secret/x", "1", "layer")
	as(t, s, "stranger").image("other/y", "1", "layer")
	for user, want := range map[string]string{"writer": `["shop/web"]`, "stranger": `["other/y"]`, "reader": `["other/y","shop/web"]`, "admin": `["other/y","secret/x","shop/web"]`} {
		if a := as(t, s, user).want(200, "GET", "/v2/_catalog", nil); !strings.Contains(a.text(), want) {
			t.Errorf("the catalog of %s is %s, want %s", user, a.body, want)
		}
	}
	if a := as(t, s, "admin").want(200, "GET", "/v2/_catalog?n=1&last=other/y", nil); !strings.Contains(a.text(), `["secret/x"]`) || a.Header.Get("Link") == "" {
		t.Errorf("the second page is %s", a.body)
	}
	referrers(t, c, d, len(m))
}

func referrers(t *testing.T, c client, subject string, size int) {
	empty := c.blob("shop/web", []byte("{}"))
	for i, kind := range []string{"application/spdx+json", "application/vnd.example.scan"} {
		r := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"artifactType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":%d},"annotations":{"n":"%d"}}`,
			registry.TypeImage, kind, registry.TypeEmpty, empty, registry.TypeImage, subject, size, i)
		a := c.want(201, "PUT", "/v2/shop/web/manifests/"+digest(r), r, "Content-Type", registry.TypeImage)
		if a.Header.Get("OCI-Subject") != subject {
			t.Errorf("OCI-Subject is %q", a.Header.Get("OCI-Subject"))
		}
	}
	var list struct {
		MediaType string
		Manifests []registry.Descriptor
	}
	a := c.want(200, "GET", "/v2/shop/web/referrers/"+subject, nil)
	if err := json.Unmarshal(a.body, &list); err != nil || len(list.Manifests) != 2 || a.Header.Get("Content-Type") != registry.TypeIndex || a.Header.Get("OCI-Filters-Applied") != "" {
		t.Fatalf("referrers: %s %v", a.body, a.Header)
	}
	a = c.want(200, "GET", "/v2/shop/web/referrers/"+subject+"?artifactType=application/spdx%2Bjson", nil)
	if err := json.Unmarshal(a.body, &list); err != nil || len(list.Manifests) != 1 || list.Manifests[0].Annotations["n"] != "0" || a.Header.Get("OCI-Filters-Applied") != "artifactType" {
		t.Errorf("filtered referrers: %s %v", a.body, a.Header)
	}
	c.want(400, "GET", "/v2/shop/web/referrers/nonsense", nil)
}

// TestEvents checks what the logbook says about pushes and deletions.
func TestEvents(t *testing.T) {
	s := registrytest.Start(t, "", registry.Options{})
	c := client{t: t, s: s, user: "run", secret: s.Token(t, "shop", 12)}
	d, m := c.image("shop/web", "v1", "layer")
	c.want(201, "PUT", "/v2/shop/web/manifests/v1", m, "Content-Type", registry.TypeImage) // nothing new
	c.want(201, "PUT", "/v2/shop/web/manifests/v2", m, "Content-Type", registry.TypeImage)
	referrers(t, c, d, len(m))
	as(t, s, "admin").want(202, "DELETE", "/v2/shop/web/manifests/v2", nil)
	as(t, s, "admin").want(202, "DELETE", "/v2/shop/web/manifests/"+d, nil)
	events, err := s.Log.Read(t.Context(), event.Query{Subject: event.Of(event.KindImage, d)})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		var p struct {
			Tag        string
			Run, Bytes int64
			Repository string
		}
		if err := e.Into(&p); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %s %s %d %d %v %s", e.Type, p.Repository, p.Tag, p.Run, p.Bytes, e.Links, e.Actor))
	}
	want := []string{
		"image.pushed shop/web v1 12 42 [{produced-by run:12}] run:12",
		"image.pushed shop/web v2 12 42 [{produced-by run:12}] run:12",
		"image.deleted shop/web v2 0 0 [] user:admin",
		"image.deleted shop/web  0 0 [] user:admin",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the logbook says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestDeleteInUse refuses what would break another image.
func TestDeleteInUse(t *testing.T) {
	s := registrytest.Start(t, "", registry.Options{})
	c := as(t, s, "admin")
	d, m := c.image("shop/web", "", "layer")
	idx := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, registry.TypeIndex, registry.TypeImage, d, len(m))
	c.want(201, "PUT", "/v2/shop/web/manifests/multi", idx, "Content-Type", registry.TypeIndex)
	c.want(405, "DELETE", "/v2/shop/web/manifests/"+d, nil)
	c.want(405, "DELETE", "/v2/shop/web/blobs/"+digest([]byte("layer")), nil)
	c.want(202, "DELETE", "/v2/shop/web/manifests/"+digest(idx), nil)
	c.want(404, "GET", "/v2/shop/web/manifests/multi", nil)
	c.want(202, "DELETE", "/v2/shop/web/manifests/"+d, nil)
	c.want(202, "DELETE", "/v2/shop/web/blobs/"+digest([]byte("layer")), nil)
	c.want(404, "DELETE", "/v2/shop/web/blobs/"+digest([]byte("layer")), nil)
	if a := c.do(http.MethodTrace, "/v2/shop/web/manifests/x", nil); a.StatusCode != 405 {
		t.Errorf("TRACE: %s", a.Status)
	}
}
