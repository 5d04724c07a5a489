package identity_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

var claims = identity.JobClaims{
	Project: "shop", Repo: "shop/web", Run: 2040, Stage: "Build", Job: "Test", Commit: strings.Repeat("a", 40), Ref: "refs/heads/main",
	Environment: "production", Requester: "ada",
}

func issue(t *testing.T, w *world, audience string, ttl time.Duration) string {
	t.Helper()
	token, err := w.IssueJob(t.Context(), claims, audience, []string{"towpath:deploy:shop:production"}, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestJobTokens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		token := issue(t, w, identity.AudienceTowpath, time.Hour)
		for _, c := range []identity.Credentials{bearer(token), basic("run", token), bearer(token)} {
			a := auth(t, w.Service, c, "run:2040")
			if diff := cmp.Diff(claims, a.Job); diff != "" || a.Admin {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
		}
		auth(t, w.restart(t), bearer(token), "run:2040")
		auth(t, w.Service, basic("ada", token), "unauthentic")
		auth(t, w.Service, basic("run", "x"), "unauthentic")
		auth(t, w.Service, bearer(issue(t, w, identity.AudienceCluster, time.Hour)), "unauthentic")
		auth(t, w.Service, bearer(issue(t, w, "other", time.Hour)), "unauthentic")
		early := issue(t, w, identity.AudienceTowpath, time.Hour)
		w.clock.forward(-time.Minute)
		auth(t, w.Service, bearer(early), "unauthentic") // Not valid yet.
		w.clock.forward(2 * time.Hour)
		auth(t, w.Service, bearer(token), "unauthentic") // Remembered, but expired.
		auth(t, w.restart(t), bearer(token), "unauthentic")
	})
}

func TestAJobTokenDiesWithItsJob(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	token := issue(t, w, identity.AudienceTowpath, time.Hour)
	auth(t, w.Service, bearer(token), "run:2040")
	alive := true
	w.JobAlive(func(_ context.Context, run int64, stage, job string) bool {
		if run != 2040 || stage != "Build" || job != "Test" {
			t.Errorf("asked about %d %s.%s", run, stage, job)
		}
		return alive
	})
	auth(t, w.Service, bearer(token), "run:2040")
	alive = false
	auth(t, w.Service, bearer(token), "unauthentic")
}

func TestForgedJobTokensAreRefused(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	token := issue(t, w, identity.AudienceTowpath, time.Hour)
	parts := strings.Split(token, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"JWT"}`))
	hs, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: keys(t, w)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(payload, &body); err != nil {
		t.Fatal(err)
	}
	confused, err := jwt.Signed(hs).Claims(body).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := build(t, storetest.SQLite(t))
	forged := map[string]string{
		"another installation's key": issue(t, elsewhere, identity.AudienceTowpath, time.Hour),
		"no algorithm":               none + "." + parts[1] + ".",
		"HMAC with the public key":   confused,
		"changed claims":             parts[0] + "." + base64.RawURLEncoding.EncodeToString(bytes.Replace(payload, []byte("2040"), []byte("2041"), -1)) + "." + parts[2],
		"cut signature":              token[:len(token)-8],
		"no signature":               parts[0] + "." + parts[1] + ".",
	}
	for name, f := range forged {
		t.Run(name, func(t *testing.T) {
			auth(t, w.Service, bearer(f), "unauthentic")
			auth(t, w.Service, basic("run", f), "unauthentic")
		})
	}
}

func TestIssueJobRefuses(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	noRun := claims
	noRun.Run = 0
	for _, tt := range []struct {
		c        identity.JobClaims
		audience string
		ttl      time.Duration
	}{{noRun, "towpath", time.Hour}, {identity.JobClaims{Run: 1}, "towpath", time.Hour}, {claims, "", time.Hour}, {claims, "towpath", 0}, {claims, "towpath", 25 * time.Hour}} {
		if token, err := w.IssueJob(t.Context(), tt.c, tt.audience, nil, tt.ttl); err == nil {
			t.Errorf("issued %s for %+v", token, tt)
		}
	}
}

func TestNodeToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		secret, err := w.NodeToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		other := w.restart(t)
		again, err := other.NodeToken(t.Context())
		if err != nil || again != secret {
			t.Errorf("after a restart: %v, another token: %t", err, again != secret)
		}
		auth(t, other, basic("node", secret), "node:embedded")
		auth(t, other, bearer(secret), "node:embedded")
		auth(t, other, basic("node", secret+"x"), "unauthentic")
		auth(t, other, basic("ada", secret), "unauthentic")
	})
}

// keys reads the published key set.
func keys(t *testing.T, w *world) []byte {
	t.Helper()
	rec := httptest.NewRecorder()
	w.WellKnown().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/.well-known/jwks.json", nil))
	return rec.Body.Bytes()
}

func TestOthersCanVerifyByWellKnown(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(keys(t, w), &set); err != nil || len(set.Keys) != 1 || !set.Keys[0].IsPublic() {
		t.Fatalf("%d keys, %v", len(set.Keys), err)
	}
	parsed, err := jwt.ParseSigned(issue(t, w, identity.AudienceCluster, time.Hour), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := parsed.Claims(set, &got); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"exp", "iat", "nbf", "jti"} {
		if got[k] == nil {
			t.Errorf("the claim %s is missing", k)
		}
		delete(got, k)
	}
	want := map[string]any{
		"iss": "https://towpath.local", "sub": "run:2040", "aud": "towpath-cluster", "groups": []any{"towpath:deploy:shop:production"},
		"project": "shop", "repo": "shop/web", "run": 2040.0, "stage": "Build", "job": "Test", "commit": strings.Repeat("a", 40),
		"ref": "refs/heads/main", "environment": "production", "requester": "ada",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	for _, url := range []string{"http://localhost:7080", "https://127.0.0.1:7443"} {
		rec := httptest.NewRecorder()
		w.WellKnown().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, url+"/.well-known/openid-configuration", nil))
		var doc map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &doc); err != nil || doc["issuer"] != "https://towpath.local" || doc["jwks_uri"] != url+"/.well-known/jwks.json" {
			t.Errorf("at %s: %v, %v", url, doc, err)
		}
	}
}

func TestFromRequest(t *testing.T) {
	const remote = "192.0.2.1"
	tests := []struct {
		name, header, cookie string
		want                 identity.Credentials
	}{
		{"nothing", "", "", identity.Credentials{Remote: remote}},
		{"bearer", "Bearer abc", "", identity.Credentials{Bearer: "abc", Remote: remote}},
		{"bearer in other case", "bearer  abc ", "", identity.Credentials{Bearer: "abc", Remote: remote}},
		{"basic", "Basic " + base64.StdEncoding.EncodeToString([]byte("ada:a:b")), "", identity.Credentials{User: "ada", Password: "a:b", Remote: remote}},
		{"broken basic", "Basic !", "", identity.Credentials{Remote: remote}},
		{"unknown scheme", "Digest abc", "", identity.Credentials{Remote: remote}},
		{"cookie", "", "s", identity.Credentials{Session: "s", Remote: remote}},
	}
	for _, tt := range tests {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = remote + ":4242"
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		if tt.header != "" {
			r.Header.Set("Authorization", tt.header)
		}
		if tt.cookie != "" {
			r.AddCookie(&http.Cookie{Name: "towpath_session", Value: tt.cookie})
		}
		if diff := cmp.Diff(tt.want, identity.FromRequest(r)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// BenchmarkAuthenticate shows what each Git and registry request pays.
func BenchmarkAuthenticate(b *testing.B) {
	w := build(b, storetest.SQLite(b))
	personal, _, err := w.CreateToken(b.Context(), bob(), "bench", "read", 0)
	if err != nil {
		b.Fatal(err)
	}
	job, err := w.IssueJob(b.Context(), claims, identity.AudienceTowpath, nil, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]identity.Credentials{"personal": bearer(personal), "job": bearer(job), "password": basic("ada", adaPassword)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := w.Authenticate(b.Context(), c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestATokenThatPullsDoesNothingElse wants that it opens no door but the registry's, is told from
// the tokens of jobs both ways, and ends.
func TestATokenThatPullsDoesNothingElse(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	token, err := w.IssuePull("towpath/agent", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	a := auth(t, w.Service, basic(identity.KindPull, token), "pull:towpath/agent")
	if a.Cap != identity.Read || a.Admin {
		t.Errorf("it is %+v", a)
	}
	if list, err := w.Visible(t.Context(), a); err != nil || len(list) != 0 {
		t.Errorf("it sees the projects %v, %v", list, err)
	}
	for _, c := range []identity.Credentials{
		bearer(token), basic(identity.KindRun, token), basic(identity.KindNode, token), basic("ada", token), basic(identity.KindPull, issue(t, w, identity.AudienceTowpath, time.Hour)),
		basic(identity.KindPull, issue(t, w, "towpath-pull", time.Hour)), basic(identity.KindPull, token[:len(token)-8]+"AAAAAAAA"), basic(identity.KindPull, "x"), basic(identity.KindPull, ""),
	} {
		auth(t, w.Service, c, "unauthentic")
	}
	w.clock.forward(time.Hour + time.Minute)
	auth(t, w.Service, basic(identity.KindPull, token), "unauthentic")
	for _, ttl := range []time.Duration{0, -1, identity.MaxJobTTL + 1} {
		if _, err := w.IssuePull("towpath/agent", ttl); err == nil {
			t.Errorf("a token for %s", ttl)
		}
	}
}
