package identity_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

func containsText(b []byte, s string) bool { return strings.Contains(string(b), s) }

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
		auth(t, w.Service, basic("ada\x00\xff", adaPassword), "unauthentic")
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
