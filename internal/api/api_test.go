package api_test

import (
	"context"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert"
)

var update = flag.Bool("update", false, "write the golden file anew")

// handler is the API without services: enough for everything that is decided before
// one is called.
func handler(t *testing.T) http.Handler {
	t.Helper()
	nobody := func(*http.Request) (identity.Actor, error) { return identity.Actor{}, nil }
	return api.New(api.Services{PublicURL: "http://localhost:7080"}, nobody, "test", slog.New(slog.DiscardHandler))
}

func get(t *testing.T, h http.Handler, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// TestOpenAPI pins the document that clients are made from: a change of it is a
// decision, taken with -update.
func TestOpenAPI(t *testing.T) {
	w := get(t, handler(t), http.MethodGet, "/api/openapi.json")
	if w.Code != http.StatusOK {
		t.Fatalf("status %d", w.Code)
	}
	const golden = "testdata/openapi.json"
	got := pretty(t, w.Body.Bytes())
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the document changed; go test ./internal/api -update writes it anew (-want +got):\n%s", diff)
	}
}

func TestUnknownPathIsAProblem(t *testing.T) {
	w := get(t, handler(t), http.MethodGet, "/api/v1/nothing")
	if w.Code != http.StatusNotFound || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %d %s", w.Code, w.Header().Get("Content-Type"))
	}
}

func TestNobodyIsAskedToSignIn(t *testing.T) {
	for _, path := range []string{"/api/v1/me", "/api/v1/status"} {
		if w := get(t, handler(t), http.MethodGet, path); w.Code != http.StatusUnauthorized {
			t.Errorf("%s answers %d to nobody", path, w.Code)
		}
	}
}

func TestCrossSiteIsRefused(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/projects", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	handler(t).ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("a request from another site is answered %d", w.Code)
	}
}

// busy is an authoriser that cannot answer now.
type busy struct{ alert.Authoriser }

func (busy) Require(context.Context, identity.Actor, string, identity.Role) error {
	return fault.New(fault.Unavailable, "The database is away.").WithAfter(7 * time.Second)
}

// TestErrorsSayWhenToComeBack has both ways on which an error leaves say how long a pause is.
func TestErrorsSayWhenToComeBack(t *testing.T) {
	somebody := func(r *http.Request) (identity.Actor, error) {
		if r.Header.Get("Authorization") != "" {
			return identity.Actor{}, fault.New(fault.Throttled, "Too many wrong tokens.")
		}
		return identity.SystemActor("test"), nil
	}
	h := api.New(api.Services{PublicURL: "http://localhost:7080", Alerts: &alert.Service{Parts: alert.Parts{Auth: busy{}}}}, somebody, "test", slog.New(slog.DiscardHandler))
	for _, tt := range []struct {
		path, token, after string
		status             int
	}{
		{"/api/v1/monitor/alerts?project=shop", "", "7", http.StatusServiceUnavailable},
		{"/api/v1/monitor/alerts?project=shop", "Bearer wrong", "1", http.StatusTooManyRequests},
		{"/api/v1/nothing", "", "", http.StatusNotFound},
	} {
		r := httptest.NewRequest(http.MethodGet, tt.path, nil)
		if tt.token != "" {
			r.Header.Set("Authorization", tt.token)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.status || w.Header().Get("Retry-After") != tt.after {
			t.Errorf("%s %s answers %d with Retry-After %q, want %d with %q", tt.path, tt.token, w.Code, w.Header().Get("Retry-After"), tt.status, tt.after)
		}
	}
}
