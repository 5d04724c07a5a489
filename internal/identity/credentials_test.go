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

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

func containsText(b []byte, s string) bool { return bytes.Contains(b, []byte(s)) }

// auth asks who the credentials belong to and compares "kind:name" or the kind of fault.
func auth(t *testing.T, s *identity.Service, c identity.Credentials, want string) identity.Actor {
	t.Helper()
	a, err := s.Authenticate(t.Context(), c)
	got := a.String()
	if err != nil {
		got = string(fault.KindOf(err))
	}
	if got != want {
		t.Errorf("Authenticate() = %s (%v), want %s", got, err, want)
	}
	return a
}

func basic(user, password string) identity.Credentials {
	return identity.Credentials{User: user, Password: password, Remote: "192.0.2.1"}
}

func bearer(secret string) identity.Credentials { return identity.Credentials{Bearer: secret} }

func TestPasswords(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		auth(t, w.Service, identity.Credentials{}, "nobody")
		if a := auth(t, w.Service, basic("ada", adaPassword), "user:ada"); !a.Admin || a.Cap != identity.Admin {
			t.Errorf("%+v", a)
		}
		auth(t, w.Service, basic("ada", adaPassword), "user:ada")
		auth(t, w.Service, basic("ada", bobPassword), "unauthentic")
		auth(t, w.Service, basic("ada", ""), "unauthentic")
		auth(t, w.Service, basic("carol", adaPassword), "unauthentic")
		auth(t, w.Service, basic("ada", strings.Repeat("x", 300)), "unauthentic")
		auth(t, w.Service, basic("ada", strings.Repeat("x", 1<<20)), "unauthentic")
		if err := w.SetPassword(t.Context(), bob(), "bob", "another one"); err != nil {
			t.Fatal(err)
		}
		auth(t, w.Service, basic("bob", bobPassword), "unauthentic")
		auth(t, w.Service, basic("bob", "another one"), "user:bob")
		if _, err := w.CreateUser(t.Context(), root, "robot", "", false); err != nil {
			t.Fatal(err)
		}
		auth(t, w.Service, basic("robot", ""), "unauthentic")
	})
}

func TestAVerifiedPasswordIsNotBelievedAfterItsChange(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	auth(t, w.Service, basic("bob", bobPassword), "user:bob")
	if err := w.SetPassword(t.Context(), ada(), "bob", "another one"); err != nil {
		t.Fatal(err)
	}
	auth(t, w.Service, basic("bob", bobPassword), "unauthentic")
}

func TestPasswordHashParameters(t *testing.T) {
	h := identity.HashCost(t, "some password")
	if !strings.HasPrefix(h, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("stored as %q", h)
	}
	if h == identity.HashCost(t, "some password") {
		t.Error("two hashes of one password are the same: no salt")
	}
}

func TestGuessingIsThrottledForTheUserAtThatAddressOnly(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	for range 5 {
		auth(t, w.Service, basic("ada", "a guess of mine"), "unauthentic")
	}
	auth(t, w.Service, basic("ada", "a guess of mine"), "throttled")
	auth(t, w.Service, basic("ada", adaPassword), "throttled")
	auth(t, w.Service, basic("bob", bobPassword), "user:bob")
	elsewhere := basic("ada", adaPassword)
	elsewhere.Remote = "192.0.2.2"
	auth(t, w.Service, elsewhere, "user:ada")

	w.clock.forward(2 * time.Second)
	auth(t, w.Service, basic("ada", "a guess of mine"), "unauthentic")
	w.clock.forward(time.Second)
	auth(t, w.Service, basic("ada", "a guess of mine"), "throttled") // The pause has doubled.
	w.clock.forward(10 * time.Minute)
	auth(t, w.Service, basic("ada", adaPassword), "user:ada")

	events, err := w.log.Read(t.Context(), event.Query{Type: event.TypeLoginFailed})
	if err != nil || len(events) != 6 {
		t.Fatalf("%d failures in the logbook, %v; want 6", len(events), err)
	}
	var p event.LoginFailed
	if err := events[0].Into(&p); err != nil || p != (event.LoginFailed{V: 1, Method: "password", Remote: "192.0.2.1"}) {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAPasswordTypedAsTheNameIsNotRecorded(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	auth(t, w.Service, basic("My Secret!", "x"), "unauthentic")
	events, err := w.log.Read(t.Context(), event.Query{Type: event.TypeLoginFailed})
	if err != nil || len(events) != 1 || events[0].Subject != "user:?" {
		t.Errorf("%+v, %v", events, err)
	}
}

func TestSessions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		ctx := t.Context()
		login := func() identity.Credentials {
			t.Helper()
			s, err := w.Login(ctx, "ada", adaPassword, "192.0.2.1")
			if err != nil {
				t.Fatal(err)
			}
			return identity.Credentials{Session: s}
		}
		if _, err := w.Login(ctx, "ada", "wrong one", "192.0.2.1"); !fault.Is(err, fault.Unauthentic) {
			t.Errorf("wrong password: %v", err)
		}
		out, idle, absolute, changed := login(), login(), login(), login()
		auth(t, w.restart(t), out, "user:ada")
		if err := w.Logout(ctx, out.Session); err != nil {
			t.Fatal(err)
		}
		auth(t, w.Service, out, "unauthentic")
		auth(t, w.Service, identity.Credentials{Session: "x"}, "unauthentic")
		var stored int
		if err := db.QueryRow(ctx, `SELECT COUNT(*) FROM identity_session WHERE hash = ? OR id = ?`, idle.Session, idle.Session).Scan(&stored); err != nil || stored != 0 {
			t.Errorf("the session's secret is stored: %d, %v", stored, err)
		}
		// Used every 20 hours a session lives on, until its absolute end.
		for range 8 {
			w.clock.forward(20 * time.Hour)
			auth(t, w.Service, absolute, "user:ada")
		}
		auth(t, w.Service, idle, "unauthentic")
		w.clock.forward(10 * time.Hour)
		auth(t, w.Service, absolute, "unauthentic")

		changed = login()
		if err := w.SetPassword(ctx, ada(), "ada", adaPassword); err != nil {
			t.Fatal(err)
		}
		auth(t, w.Service, changed, "unauthentic")
	})
}

func TestSessionCookie(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	c := w.SessionCookie("s")
	if c.Name != "towpath_session" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure || c.Path != "/" || c.MaxAge <= 0 {
		t.Errorf("%+v", c)
	}
	if w.SessionCookie("").MaxAge >= 0 {
		t.Error("the empty session does not remove the cookie")
	}
	tls, err := identity.New(w.db, w.log, w.vault, w.clock, identity.Options{PublicURL: "https://towpath.example"})
	if err != nil || !tls.SessionCookie("s").Secure {
		t.Errorf("over https the cookie is not Secure: %v", err)
	}
}

func TestPersonalTokens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		ctx := t.Context()
		secret, tok, err := w.CreateToken(ctx, bob(), "laptop", "write", time.Hour)
		if err != nil || !strings.HasPrefix(secret, "twp_") || len(secret) != 36 {
			t.Fatalf("CreateToken() = %q, %+v, %v", secret, tok, err)
		}
		for range 2 { // The second time from the cache.
			if a := auth(t, w.Service, bearer(secret), "user:bob"); a.Cap != identity.Write || a.TokenID != tok.ID || a.Admin {
				t.Errorf("%+v", a)
			}
		}
		auth(t, w.Service, basic("bob", secret), "user:bob")
		auth(t, w.Service, basic("ada", secret), "unauthentic")
		auth(t, w.Service, basic("", secret), "unauthentic")
		auth(t, w.Service, bearer(secret+"x"), "unauthentic")
		auth(t, w.Service, bearer("twp_"), "unauthentic")

		other := w.restart(t)
		auth(t, other, bearer(secret), "user:bob")
		if err := w.RevokeToken(ctx, bob(), tok.ID); err != nil {
			t.Fatal(err)
		}
		auth(t, w.Service, bearer(secret), "unauthentic")
		w.clock.forward(11 * time.Second) // Another process learns of it this late.
		auth(t, other, bearer(secret), "unauthentic")
		if err := w.RevokeToken(ctx, bob(), tok.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("revoked twice: %v", err)
		}

		secret, tok, err = w.CreateToken(ctx, bob(), "short", "read", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		auth(t, w.Service, bearer(secret), "user:bob")
		w.clock.forward(time.Minute)
		auth(t, w.Service, bearer(secret), "unauthentic")
		list, err := w.Tokens(ctx, bob())
		if err != nil || len(list) != 2 || list[0].ID != tok.ID || !list[1].Revoked {
			t.Errorf("Tokens() = %+v, %v", list, err)
		}
	})
}

func TestCreateTokenRefuses(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	tests := []struct {
		what        string
		actor       identity.Actor
		name, scope string
		ttl         time.Duration
		want        fault.Kind
	}{
		{"nobody", identity.Actor{}, "n", "read", 0, fault.Denied},
		{"a job", run("shop"), "n", "read", 0, fault.Denied},
		{"no name", bob(), "", "read", 0, fault.Invalid},
		{"unknown scope", bob(), "n", "everything", 0, fault.Invalid},
		{"more than the own scope", capped(bob(), identity.Read), "n", "write", 0, fault.Denied},
		{"too long", bob(), "n", "read", 1000 * 24 * time.Hour, fault.Invalid},
		{"in the past", bob(), "n", "read", -1, fault.Invalid},
		{"fine", capped(bob(), identity.Write), "n", "write", 0, ""},
	}
	for _, tt := range tests {
		if _, _, err := w.CreateToken(t.Context(), tt.actor, tt.name, tt.scope, tt.ttl); fault.KindOf(err) != tt.want {
			t.Errorf("%s: CreateToken() = %v, want %q", tt.what, err, tt.want)
		}
	}
	_, tok, err := w.CreateToken(t.Context(), ada(), "n", "read", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.RevokeToken(t.Context(), bob(), tok.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another's token: %v", err)
	}
}

func TestAdoptToken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		ctx := t.Context()
		first, second := "an-operators-own-secret-1", "an-operators-own-secret-2"
		for range 2 {
			if err := w.AdoptToken(ctx, "ada", first); err != nil {
				t.Fatal(err)
			}
		}
		w.clock.forward(10 * 365 * 24 * time.Hour)
		if a := auth(t, w.Service, bearer(first), "user:ada"); a.Cap != identity.Admin || !a.Admin {
			t.Errorf("%+v", a)
		}
		auth(t, w.Service, basic("ada", first), "user:ada")
		if err := w.AdoptToken(ctx, "ada", second); err != nil {
			t.Fatal(err)
		}
		auth(t, w.Service, bearer(first), "unauthentic")
		auth(t, w.Service, bearer(second), "user:ada")
		for secret, want := range map[string]fault.Kind{
			first: fault.Conflict, "short": fault.Invalid, "": fault.Invalid, "with a space in the middle": fault.Invalid,
		} {
			if err := w.AdoptToken(ctx, "ada", secret); fault.KindOf(err) != want {
				t.Errorf("AdoptToken(%q) = %v, want %q", secret, err, want)
			}
		}
		if err := w.AdoptToken(ctx, "carol", "yet-another-long-secret"); !fault.Is(err, fault.NotFound) {
			t.Errorf("for nobody: %v", err)
		}
	})
}

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
