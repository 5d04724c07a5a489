package oci_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/registrytest"
)

// client sends requests with Basic credentials and reads whole answers.
type client struct {
	t      *testing.T
	s      *registrytest.Server
	user   string // "" for nobody
	secret string
}

type answer struct {
	*http.Response
	body []byte
}

func (a answer) text() string { return string(a.body) }

func as(t *testing.T, s *registrytest.Server, user string) client {
	return client{t: t, s: s, user: user, secret: registrytest.Password}
}

// do sends a request; headers come in pairs.
func (c client) do(method, path string, body []byte, headers ...string) answer {
	c.t.Helper()
	url := path
	if !strings.HasPrefix(path, "http") {
		url = c.s.HTTP.URL + path
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if c.user != "" {
		r.SetBasicAuth(c.user, c.secret)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer{resp, b}
}

// want fails the test when the answer has another status.
func (c client) want(status int, method, path string, body []byte, headers ...string) answer {
	c.t.Helper()
	a := c.do(method, path, body, headers...)
	if a.StatusCode != status {
		c.t.Fatalf("%s %s as %q: %s, want %d: %s", method, path, c.user, a.Status, status, a.body)
	}
	return a
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (c client) blob(repository string, b []byte) string {
	c.t.Helper()
	c.want(http.StatusCreated, "POST", "/v2/"+repository+"/blobs/uploads/?digest="+digest(b), b)
	return digest(b)
}

// image pushes an image of one layer and returns its digest and document.
func (c client) image(repository, reference, layer string) (string, []byte) {
	c.t.Helper()
	config := c.blob(repository, []byte(`{"os":"linux","architecture":"amd64"}`))
	m := manifest(config, 37, c.blob(repository, []byte(layer)), len(layer), "")
	if reference == "" {
		reference = digest(m)
	}
	c.want(http.StatusCreated, "PUT", "/v2/"+repository+"/manifests/"+reference, m, "Content-Type", registry.TypeImage)
	return digest(m), m
}
