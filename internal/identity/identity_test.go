package identity_test

import (
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/vault"
)

// jump is a clock that a test moves.
type jump struct {
	clock.Clock
	add atomic.Int64
}

func (j *jump) Now() time.Time          { return j.Clock.Now().Add(time.Duration(j.add.Load())) }
func (j *jump) forward(d time.Duration) { j.add.Add(int64(d)) }

// world is a service with the users ada (administrator) and bob, and the project shop.
type world struct {
	*identity.Service
	db    *store.DB
	log   *event.Log
	vault *vault.Vault
	clock *jump
}

const (
	adaPassword = "correct horse"
	bobPassword = "battery staple"
)

var root = identity.SystemActor("test")

func build(t testing.TB, db *store.DB) *world {
	t.Helper()
	c := &jump{Clock: clock.System()}
	v, err := vault.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{db: db, log: event.New(db, c), vault: v, clock: c}
	w.Service = w.restart(t)
	for name, password := range map[string]string{"ada": adaPassword, "bob": bobPassword} {
		if _, err := w.CreateUser(t.Context(), root, name, password, name == "ada"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.CreateProject(t.Context(), ada(), "shop"); err != nil {
		t.Fatal(err)
	}
	return w
}

// restart returns another process's view of the same data.
func (w *world) restart(t testing.TB) *identity.Service {
	t.Helper()
	s, err := identity.New(w.db, w.log, w.vault, w.clock, identity.Options{PublicURL: "http://localhost:7080"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ada() identity.Actor {
	return identity.Actor{Kind: identity.KindUser, Name: "ada", Admin: true, Cap: identity.Admin}
}

func bob() identity.Actor {
	return identity.Actor{Kind: identity.KindUser, Name: "bob", Cap: identity.Admin}
}

func capped(a identity.Actor, r identity.Role) identity.Actor { a.Cap = r; return a }

func run(project string) identity.Actor {
	return identity.Actor{Kind: identity.KindRun, Name: "1", Cap: identity.Admin, Job: identity.JobClaims{Project: project, Run: 1}}
}

func TestRequire(t *testing.T) {
	node := identity.Actor{Kind: identity.KindNode, Name: "embedded", Cap: identity.Read}
	tests := []struct {
		name    string
		actor   identity.Actor
		member  identity.Role // of bob in shop
		project string
		need    identity.Role
		want    fault.Kind
	}{
		{"nobody", identity.Actor{}, 0, "shop", identity.Read, fault.Unauthentic},
		{"who pulls one image", identity.Actor{Kind: identity.KindPull, Name: "shop/web", Cap: identity.Read}, 0, "shop", identity.Read, fault.NotFound},
		{"nobody by name", identity.Actor{Kind: identity.KindNobody}, 0, "shop", identity.Read, fault.Unauthentic},
		{"administrator", ada(), 0, "shop", identity.Admin, ""},
		{"administrator, no such project", ada(), 0, "blog", identity.Read, fault.NotFound},
		{"administrator, no name", ada(), 0, "", identity.Read, fault.NotFound},
		{"a name that no database takes", ada(), 0, "shop\x00\xff", identity.Read, fault.NotFound},
		{"system", root, 0, "shop", identity.Admin, ""},
		{"stranger", bob(), identity.None, "shop", identity.Read, fault.NotFound},
		{"stranger may not learn by writing", bob(), identity.None, "shop", identity.Admin, fault.NotFound},
		{"reader reads", bob(), identity.Read, "shop", identity.Read, ""},
		{"reader writes", bob(), identity.Read, "shop", identity.Write, fault.Denied},
		{"writer maintains", bob(), identity.Write, "shop", identity.Maintain, fault.Denied},
		{"maintainer writes", bob(), identity.Maintain, "shop", identity.Write, ""},
		{"maintainer administers", bob(), identity.Maintain, "shop", identity.Admin, fault.Denied},
		{"token cut down to read", capped(ada(), identity.Read), 0, "shop", identity.Write, fault.Denied},
		{"token cut down to write", capped(bob(), identity.Write), identity.Admin, "shop", identity.Write, ""},
		{"job writes its project", run("shop"), 0, "shop", identity.Write, ""},
		{"job maintains its project", run("shop"), 0, "shop", identity.Maintain, fault.Denied},
		{"job of another project", run("blog"), 0, "shop", identity.Read, fault.NotFound},
		{"job of a project that is gone", run("blog"), 0, "blog", identity.Read, fault.NotFound},
		{"node reads no project", node, 0, "shop", identity.Read, fault.NotFound},
		{"node writes no project", node, 0, "shop", identity.Write, fault.NotFound},
		{"a member's name in another kind", identity.Actor{Kind: "robot", Name: "bob", Cap: identity.Admin}, identity.Admin, "shop", identity.Read, fault.NotFound},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if err := w.Grant(t.Context(), ada(), "shop", "bob", tt.member); err != nil {
					t.Fatal(err)
				}
				if err := w.Require(t.Context(), tt.actor, tt.project, tt.need); fault.KindOf(err) != tt.want {
					t.Errorf("Require() = %v, want %q", err, tt.want)
				}
			})
		}
	})
}

func TestRequireAdmin(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	tests := map[string]struct {
		actor identity.Actor
		want  fault.Kind
	}{
		"nobody":        {identity.Actor{}, fault.Unauthentic},
		"user":          {bob(), fault.Denied},
		"job":           {run("shop"), fault.Denied},
		"administrator": {ada(), ""},
		"cut down":      {capped(ada(), identity.Maintain), fault.Denied},
		"system":        {root, ""},
	}
	for name, tt := range tests {
		if err := w.RequireAdmin(t.Context(), tt.actor); fault.KindOf(err) != tt.want {
			t.Errorf("%s: RequireAdmin() = %v, want %q", name, err, tt.want)
		}
	}
}

func TestVisible(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		for _, name := range []string{"blog", "attic"} {
			if _, err := w.CreateProject(t.Context(), ada(), name); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Grant(t.Context(), ada(), "blog", "bob", identity.Read); err != nil {
			t.Fatal(err)
		}
		tests := map[string]struct {
			actor identity.Actor
			want  []string
		}{
			"nobody":        {identity.Actor{}, nil},
			"administrator": {ada(), []string{"attic", "blog", "shop"}},
			"member":        {bob(), []string{"blog"}},
			"job":           {run("shop"), []string{"shop"}},
		}
		for name, tt := range tests {
			projects, err := w.Visible(t.Context(), tt.actor)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range projects {
				got = append(got, p.Name)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	})
}

func TestNames(t *testing.T) {
	long := "a234567890123456789012345678901234567890123456789012345678901234"
	tests := []struct {
		name          string
		project, user bool
	}{
		{"shop", true, true}, {"a", true, true}, {"7", true, true}, {"a-b", true, true}, {long[:63], true, true},
		{"a.b", false, true}, {"a_b", false, true}, {"run", true, false}, {"node", true, false}, {"system", false, false},
		{"", false, false}, {long, false, false}, {"-a", false, false}, {"a-", false, false}, {"Shop", false, false}, {"a/b", false, false},
		{"..", false, false}, {"a b", false, false}, {"shop\n", false, false}, {"sh\u00f6p", false, false},
		{"api", false, true}, {"v2", false, true}, {"assets", false, true}, {"projects", false, true}, {"login", false, true},
		{"agent", false, true}, {"well-known", false, true},
	}
	for _, tt := range tests {
		if err := identity.CheckProjectName(tt.name); (err == nil) != tt.project || (err != nil && !fault.Is(err, fault.Invalid)) {
			t.Errorf("CheckProjectName(%q) = %v", tt.name, err)
		}
		if err := identity.CheckUserName(tt.name); (err == nil) != tt.user || (err != nil && !fault.Is(err, fault.Invalid)) {
			t.Errorf("CheckUserName(%q) = %v", tt.name, err)
		}
	}
}

func TestCreateAndEnsureProject(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		ctx := t.Context()
		if _, err := w.CreateProject(ctx, ada(), "shop"); !fault.Is(err, fault.Conflict) {
			t.Errorf("created twice: %v", err)
		}
		if _, err := w.CreateProject(ctx, bob(), "blog"); !fault.Is(err, fault.Denied) {
			t.Errorf("by a user: %v", err)
		}
		members, err := w.Members(ctx, ada(), "shop")
		if diff := cmp.Diff([]identity.Member{{User: "ada", Role: identity.Admin, Word: "admin"}}, members); diff != "" || err != nil {
			t.Errorf("the creator is not admin: %v\n%s", err, diff)
		}
		tests := []struct {
			name, project string
			actor         identity.Actor
			want          fault.Kind
		}{
			{"administrator makes by pushing", "fresh", capped(ada(), identity.Write), ""},
			{"again", "fresh", ada(), ""},
			{"read-only token", "newer", capped(ada(), identity.Read), fault.NotFound},
			{"bad name", "api", ada(), fault.Invalid},
			{"user, missing project", "newer", bob(), fault.NotFound},
			{"user, hidden project", "shop", bob(), fault.NotFound},
			{"job", "shop", run("shop"), ""},
			{"nobody", "shop", identity.Actor{}, fault.Unauthentic},
		}
		for _, tt := range tests {
			if err := w.EnsureProject(ctx, tt.actor, tt.project); fault.KindOf(err) != tt.want {
				t.Errorf("%s: EnsureProject() = %v, want %q", tt.name, err, tt.want)
			}
		}
	})
}

func TestUsersAreManagedByAdministratorsOnly(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := build(t, db)
		ctx := t.Context()
		want := map[string]fault.Kind{}
		check := func(what string, err error, kind fault.Kind) {
			t.Helper()
			want[what] = kind
			if fault.KindOf(err) != kind {
				t.Errorf("%s: %v, want %q", what, err, kind)
			}
		}
		_, err := w.CreateUser(ctx, bob(), "eve", "long enough", false)
		check("a user creates a user", err, fault.Denied)
		_, err = w.CreateUser(ctx, ada(), "bob", "long enough", false)
		check("a name is taken", err, fault.Conflict)
		_, err = w.CreateUser(ctx, ada(), "eve", "short", false)
		check("a short password", err, fault.Invalid)
		_, err = w.CreateUser(ctx, ada(), "robot", "", false)
		check("without a password", err, "")
		_, err = w.Users(ctx, bob())
		check("a user lists users", err, fault.Denied)
		check("bob changes ada's password", w.SetPassword(ctx, bob(), "ada", "long enough"), fault.Denied)
		check("bob changes his with a cut-down token", w.SetPassword(ctx, capped(bob(), identity.Write), "bob", "long enough"), fault.Denied)
		check("bob changes his", w.SetPassword(ctx, bob(), "bob", "long enough"), "")
		check("nobody of that name", w.SetPassword(ctx, ada(), "carol", "long enough"), fault.NotFound)
		check("grant to nobody of that name", w.Grant(ctx, ada(), "shop", "carol", identity.Read), fault.NotFound)
		check("bob grants himself", w.Grant(ctx, bob(), "shop", "bob", identity.Admin), fault.NotFound)
		users, err := w.Users(ctx, ada())
		if err != nil || len(users) != 3 || users[0].Name != "ada" || !users[0].Admin || users[1].Admin {
			t.Errorf("Users() = %+v, %v", users, err)
		}
	})
}

func TestWhatHappenedStandsInTheLogbookWithoutSecrets(t *testing.T) {
	w := build(t, storetest.SQLite(t))
	secret, _, err := w.CreateToken(t.Context(), bob(), "laptop", "read", 0)
	if err != nil {
		t.Fatal(err)
	}
	events, err := w.log.Read(t.Context(), event.Query{})
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]int{}
	for _, e := range events {
		types[e.Type]++
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{secret, adaPassword, bobPassword, "argon2"} {
			if containsText(text, s) {
				t.Errorf("event %d (%s) holds a secret", e.Seq, e.Type)
			}
		}
	}
	want := map[string]int{event.TypeUserCreated: 2, event.TypeProjectCreated: 1, event.TypeRoleGranted: 1, event.TypeTokenCreated: 1}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
