package oci_test

import (
	"net/http"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/oci"
)

func FuzzPath(f *testing.F) {
	for _, p := range []string{
		"/v2/", "/v2/a/manifests/latest", "/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/manifests/x", "/v2/a/../b/blobs/sha256:00", "/v2//manifests/x",
		"/v2/tags/list", "/v2/tags/list/tags/list", "/v2/blobs/uploads/blobs/uploads/x", "/v2/a/referrers/", "/v2x", "/v2/a/manifests/",
	} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, path string) {
		repository, name, ref := oci.SplitPath(path)
		if !repository {
			return
		}
		if !strings.HasPrefix(path, "/v2/"+name+"/") && name != "" {
			t.Errorf("%q gave the name %q, which is not what it begins with", path, name)
		}
		if strings.Contains(ref, "/") {
			t.Errorf("%q gave the reference %q", path, ref)
		}
		if registry.ValidName(name) && (strings.Contains(name, "..") || strings.Contains(name, "//") || strings.ContainsAny(name, "\x00\\%?#")) {
			t.Errorf("%q is taken for a name", name)
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, h := range []string{"bytes=0-0", "bytes=-5", "bytes=5-", "bytes=9-1", "bytes=-0", "bytes=1-2,3-4", "bytes=99999999999999999999-", "bytes=+1-2", "items=0-1", "bytes= 1-2"} {
		f.Add(h, int64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		first, length, status := oci.Window(header, size)
		switch status {
		case http.StatusOK:
			if first != 0 || length != size {
				t.Errorf("%q of %d: everything is %d+%d", header, size, first, length)
			}
		case http.StatusPartialContent:
			if first < 0 || length <= 0 || first+length > size {
				t.Errorf("%q of %d gave %d+%d", header, size, first, length)
			}
		case http.StatusRequestedRangeNotSatisfiable:
			if length != 0 {
				t.Errorf("%q of %d is not satisfiable but has %d bytes", header, size, length)
			}
		default:
			t.Errorf("%q of %d gave status %d", header, size, status)
		}
	})
}

func FuzzContentRange(f *testing.F) {
	for _, h := range []string{"0-9", "bytes 0-9/10", "9-0", "-", "a-b", "0-99999999999999999999"} {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if first, last, ok := oci.ContentRange(header); ok && (first < 0 || last < first) {
			t.Errorf("%q gave %d-%d", header, first, last)
		}
	})
}

func FuzzScope(f *testing.F) {
	for _, s := range []string{"repository:shop/web:pull,push", "registry:catalog:*", "repository:a:b:pull", "repository::pull", ":::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, ok := oci.ParseScope(s)
		if ok && a.Type == "repository" && !registry.ValidName(a.Name) {
			t.Errorf("%q gave %+v", s, a)
		}
	})
}
