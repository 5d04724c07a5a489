package azure_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// Clients ask where a resource is before they ask for it, without signing in.
func TestDiscovery(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ method, path, want string }{
		{"OPTIONS", "/_apis/Location", "e81700f7-3be2-46de-8624-2eb35882fcaa"},
		{"OPTIONS", "/_apis/distributedtask", "adcfd8bc-b184-43ba-bd84-7c8c6a2ff421"},
		{"GET", "/_apis/ResourceAreas", `"count":0`},
	} {
		got := w.send(c.method, c.path, nil)
		if got.status != http.StatusOK || !json.Valid(got.body) || !strings.Contains(string(got.body), c.want) {
			t.Errorf("%s %s: %d %s", c.method, c.path, got.status, got.body)
		}
	}
}

// A secure file is for the job that has its ticket: nobody else learns whether there is one.
func TestSecureFileWithoutATicket(t *testing.T) {
	w := newWorld(t)
	for _, user := range []string{"ada", "rita"} {
		for _, ticket := range []string{"", "?ticket=", "?ticket=" + strings.Repeat("0", 64)} {
			if got := w.do(user, "GET", "distributedtask/securefiles/cert.pem"+ticket, ""); got.status != http.StatusNotFound {
				t.Errorf("%s %s: %d %s", user, ticket, got.status, got.body)
			}
		}
	}
	if got := w.send("GET", "/shop/_apis/distributedtask/securefiles/cert.pem", nil); got.status != http.StatusUnauthorized {
		t.Errorf("nobody: %d", got.status)
	}
}

// Clients of the service send a token as the password of Basic, under a name that means nothing.
func TestTokenAsPassword(t *testing.T) {
	w := newWorld(t)
	for user, want := range map[string]int{"": http.StatusOK, "PAT": http.StatusOK, "bob": http.StatusUnauthorized} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", w.http.URL+"/shop/_apis/build/definitions", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(user, "ada")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil || res.StatusCode != want {
			t.Errorf("%q: %d, want %d", user, res.StatusCode, want)
		}
	}
}
