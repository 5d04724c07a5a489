package oci_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/registrytest"
)

func manifest(config string, configSize int, layer string, layerSize int, extra string) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":%q,"size":%d}]%s}`,
		registry.TypeImage, registry.TypeImageConfig, config, configSize, layer, layerSize, extra)
}

// TestAccess tries every method on shop/web as each sort of actor.
func TestAccess(t *testing.T) {
	s := registrytest.Start(t, "", registry.Options{})
	d, m := as(t, s, "writer").image("shop/web", "v1", "layer")
	node, err := s.Identity.NodeToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pull, err := s.Identity.IssuePull("shop/web", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := s.Identity.IssuePull("shop/other", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	actors := map[string]client{
		"pull": {t: t, s: s, user: identity.KindPull, secret: pull}, "elsewhere": {t: t, s: s, user: identity.KindPull, secret: elsewhere},
		"forged": {t: t, s: s, user: identity.KindPull, secret: s.Token(t, "shop", 1)},
		"nobody": as(t, s, ""), "reader": as(t, s, "reader"), "writer": as(t, s, "writer"), "stranger": as(t, s, "stranger"), "admin": as(t, s, "admin"),
		"run":   {t: t, s: s, user: identity.KindRun, secret: s.Token(t, "shop", 1)},
		"alien": {t: t, s: s, user: identity.KindRun, secret: s.Token(t, "other", 2)},
		"node":  {t: t, s: s, user: identity.KindNode, secret: node},
		"wrong": {t: t, s: s, user: "writer", secret: "guess"},
	}
	const manifests, blobs = "/v2/shop/web/manifests/", "/v2/shop/web/blobs/"
	layer := digest([]byte("layer"))
	for _, c := range []struct {
		method, path string
		body         []byte
		want         map[string]int
	}{
		{"GET", "/v2/", nil, map[string]int{"nobody": 401, "wrong": 401, "reader": 200, "stranger": 200, "run": 200, "node": 200, "pull": 200, "forged": 401}},
		{"GET", manifests + "v1", nil, map[string]int{"nobody": 401, "wrong": 401, "reader": 200, "writer": 200, "run": 200, "node": 200, "admin": 200, "stranger": 404, "alien": 404, "pull": 200, "elsewhere": 403, "forged": 401}},
		{"HEAD", manifests + d, nil, map[string]int{"nobody": 401, "reader": 200, "node": 200, "stranger": 404, "alien": 404}},
		{"GET", blobs + layer, nil, map[string]int{"pull": 200, "elsewhere": 403, "nobody": 401, "reader": 200, "run": 200, "node": 200, "stranger": 404, "alien": 404}},
		{"GET", "/v2/shop/web/tags/list", nil, map[string]int{"nobody": 401, "reader": 200, "stranger": 404, "alien": 404}},
		{"GET", "/v2/shop/web/referrers/" + d, nil, map[string]int{"nobody": 401, "reader": 200, "stranger": 200}},
		{"POST", blobs + "uploads/", nil, map[string]int{"pull": 403, "elsewhere": 403, "nobody": 401, "reader": 403, "node": 403, "writer": 202, "run": 202, "admin": 202, "stranger": 404, "alien": 404}},
		{"PUT", manifests + "v2", m, map[string]int{"pull": 403, "nobody": 401, "reader": 403, "node": 403, "stranger": 404, "alien": 404, "writer": 201, "run": 201}},
		{"DELETE", manifests + "v2", nil, map[string]int{"pull": 403, "nobody": 401, "reader": 403, "writer": 403, "run": 403, "node": 403, "stranger": 404, "alien": 404, "admin": 202}},
		{"DELETE", blobs + layer, nil, map[string]int{"nobody": 401, "reader": 403, "writer": 403, "run": 403, "stranger": 404, "admin": 405}},
		{"POST", "/v2/brand/web/blobs/uploads/", nil, map[string]int{"pull": 403, "reader": 404, "writer": 404, "run": 404, "node": 403}},
		{"POST", "/v2/brand/web/blobs/uploads/", nil, map[string]int{"admin": 202}}, // which makes the project
	} {
		for who, status := range c.want {
			a := actors[who].do(c.method, c.path, c.body, "Content-Type", registry.TypeImage)
			if a.StatusCode != status {
				t.Errorf("%s %s as %s: %s, want %d: %s", c.method, c.path, who, a.Status, status, a.body)
			}
			if status == 401 && !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer realm=") {
				t.Errorf("%s %s as %s has no challenge: %v", c.method, c.path, who, a.Header)
			}
		}
	}
	if a := as(t, s, "stranger").want(200, "GET", "/v2/shop/web/referrers/"+d, nil); !strings.Contains(a.text(), `"manifests":[]`) {
		t.Errorf("a stranger sees referrers: %s", a.body)
	}
}

// TestMountNeedsTheSource mounts a blob of another project with and without the right to
// read it. Who has not learns nothing and gets nothing.
func TestMountNeedsTheSource(t *testing.T) {
	s := registrytest.Start(t, "", registry.Options{})
	secret := as(t, s, "admin").blob("shop/web", []byte("the secret layer"))
	// The stranger goes first: what the reader copies into project other is his to read.
	for _, user := range []string{"stranger", "reader"} {
		for i, from := range []string{"&from=shop/web", "", "&from=shop/none", "&from=../shop/web"} {
			want := http.StatusAccepted
			if user == "reader" && i < 2 {
				want = http.StatusCreated
			}
			repository := fmt.Sprintf("other/%s%d", user, i)
			a := as(t, s, user).want(want, "POST", "/v2/"+repository+"/blobs/uploads/?mount="+secret+from, nil)
			if want == http.StatusCreated {
				as(t, s, user).want(200, "GET", a.Header.Get("Location"), nil)
			} else {
				as(t, s, user).want(404, "GET", "/v2/"+repository+"/blobs/"+secret, nil)
			}
		}
	}
	// Naming the digest in a manifest is no way in either.
	thief := as(t, s, "stranger")
	secret = as(t, s, "admin").blob("shop/web", []byte("another one, secret"))
	config := thief.blob("other/thief", []byte("{}"))
	a := thief.want(404, "PUT", "/v2/other/thief/manifests/x", manifest(config, 2, secret, 19, ""), "Content-Type", registry.TypeImage)
	if !strings.Contains(a.text(), "MANIFEST_BLOB_UNKNOWN") {
		t.Errorf("the answer is %s", a.body)
	}
}

// TestToken walks the token service as Docker clients do.
func TestToken(t *testing.T) {
	s := registrytest.Start(t, "", registry.Options{})
	as(t, s, "writer").image("shop/web", "v1", "layer")
	secret, _, err := s.Identity.CreateToken(t.Context(), identity.Actor{Kind: identity.KindUser, Name: "writer", Cap: identity.Admin}, "ci", "read", 0)
	if err != nil {
		t.Fatal(err)
	}
	get := func(c client, scopes ...string) (string, string) {
		t.Helper()
		var body struct {
			Token, Scope string
			ExpiresIn    int `json:"expires_in"`
		}
		a := c.want(200, "GET", "/v2/token?"+url.Values{"service": {"towpath"}, "scope": scopes}.Encode(), nil)
		if err := json.Unmarshal(a.body, &body); err != nil || body.ExpiresIn != 300 || a.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s %v", a.body, err)
		}
		return body.Token, body.Scope
	}
	bearer := func(status int, token, method, path string) {
		t.Helper()
		as(t, s, "").want(status, method, path, nil, "Authorization", "Bearer "+token)
	}
	const pull, push = "repository:shop/web:pull", "repository:shop/web:pull,push"

	token, scope := get(as(t, s, "writer"), push)
	if scope != push {
		t.Errorf("a writer got %q", scope)
	}
	bearer(200, token, "GET", "/v2/shop/web/manifests/v1")
	bearer(202, token, "POST", "/v2/shop/web/blobs/uploads/")
	bearer(401, token, "POST", "/v2/shop/api/blobs/uploads/") // another repository
	bearer(401, token, "GET", "/v2/_catalog")
	bearer(401, token+"x", "GET", "/v2/")
	bearer(401, "twr_", "GET", "/v2/")

	token, scope = get(as(t, s, "reader"), push)
	if scope != pull {
		t.Errorf("a reader got %q", scope)
	}
	// No other token would help a reader: he is told why instead of being sent for one.
	if a := as(t, s, "").want(403, "POST", "/v2/shop/web/blobs/uploads/", nil, "Authorization", "Bearer "+token); !strings.Contains(a.text(), "DENIED") || !strings.Contains(a.text(), "write") {
		t.Errorf("a reader who pushes is told %s", a.body)
	}
	if _, scope = get(client{t: t, s: s, user: "writer", secret: secret}, push); scope != pull {
		t.Errorf("a token that may read only got %q", scope)
	}
	if _, scope = get(as(t, s, "stranger"), push, "nonsense", "repository:UPPER:pull"); scope != "" {
		t.Errorf("a stranger got %q", scope)
	}
	if _, scope = get(as(t, s, "admin"), "repository:fresh/new:pull,push"); scope != "repository:fresh/new:pull,push" {
		t.Errorf("an administrator got %q for a project to come", scope)
	}
	as(t, s, "").want(401, "GET", "/v2/token", nil)
	client{t: t, s: s, user: "writer", secret: "guess"}.want(401, "GET", "/v2/token", nil)

	// OAuth 2, as containerd and BuildKit ask.
	const form = "application/x-www-form-urlencoded"
	post := func(status int, v url.Values) answer {
		t.Helper()
		return as(t, s, "").want(status, "POST", "/v2/token", []byte(v.Encode()), "Content-Type", form)
	}
	post(200, url.Values{"grant_type": {"password"}, "username": {"run"}, "password": {s.Token(t, "shop", 3)}, "scope": {push + " " + pull}})
	post(200, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {secret}, "scope": {pull}})
	post(401, url.Values{"grant_type": {"password"}, "username": {"writer"}, "password": {"guess"}})
	post(400, url.Values{"grant_type": {"client_credentials"}})
	a := as(t, s, "").want(401, "GET", "/v2/shop/web/manifests/v1", nil)
	want := fmt.Sprintf(`Bearer realm="%s/v2/token",service="towpath",scope="repository:shop/web:pull"`, s.HTTP.URL)
	if got := a.Header.Get("WWW-Authenticate"); got != want {
		t.Errorf("challenge %s, want %s", got, want)
	}
}

// TestNames sends names and references that are not valid; none may reach storage.
func TestNames(t *testing.T) {
	s := registrytest.Start(t, "", registry.Options{})
	c := as(t, s, "admin")
	for _, name := range []string{"UPPER", "a..b", "a/../b", "..", "a//b", "-a", "a_-b", "%2e%2e/x", "a%00b", strings.Repeat("a", 300), "a/b%5cc", "shop/web%0d%0aX-Evil:1"} {
		a := c.do("POST", "/v2/"+name+"/blobs/uploads/", nil)
		if a.StatusCode != http.StatusBadRequest && a.StatusCode != http.StatusNotFound {
			t.Errorf("the name %q: %s", name, a.Status)
		}
	}
	c.image("shop/web", "ok", "layer")
	_, m := c.image("shop/web", "ok", "layer")
	for _, ref := range []string{"-x", ".x", strings.Repeat("x", 129), "sha256:abc", "sha999:" + strings.Repeat("0", 64), "sha256:" + strings.Repeat("G", 64), "a%2Fb"} {
		a := c.do("PUT", "/v2/shop/web/manifests/"+ref, m, "Content-Type", registry.TypeImage)
		if a.StatusCode != http.StatusBadRequest && a.StatusCode != http.StatusNotFound {
			t.Errorf("the reference %q: %s %s", ref, a.Status, a.body)
		}
	}
	for _, path := range []string{"/v2/x", "/v2/shop/web", "/v2/shop/web/blobs", "/v2/shop/web/manifests/", "/v2/manifests/x", "/v2/shop/web/blobs/sha256:zz", "/v2/shop/web/blobs/uploads/../../../etc/passwd"} {
		if a := c.do("GET", path, nil); a.StatusCode/100 != 4 {
			t.Errorf("%s: %s", path, a.Status)
		}
	}
}
