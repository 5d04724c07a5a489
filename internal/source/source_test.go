package source_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/hook"
	"towpath.dev/towpath/internal/store"
)

// TestMain lets the test program be the hook program, as the product's is.
func TestMain(m *testing.M) {
	if name, ok := hook.Invoked(os.Args[0]); ok {
		os.Exit(hook.Main(name, os.Stdin, os.Stderr, os.Getenv))
	}
	if data := os.Getenv(envServe); data != "" {
		serve(data)
	}
	os.Exit(m.Run())
}

// guard is an Authoriser over a fixed table: project → user → role. An administrator
// may make projects.
type guard struct {
	mu       sync.Mutex
	projects map[string]map[string]identity.Role
}

func (g *guard) Require(_ context.Context, a identity.Actor, project string, r identity.Role) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	members, ok := g.projects[project]
	role := members[a.Name]
	if a.Admin {
		role = identity.Admin
	}
	switch {
	case !a.Known():
		return fault.New(fault.Unauthentic, "Sign in first.")
	case !ok || role < identity.Read:
		return fault.New(fault.NotFound, "There is no project %s.", project)
	case role < r:
		return fault.New(fault.Denied, "You may %s in %s, and this needs %s.", role, project, r)
	}
	return nil
}

func (g *guard) EnsureProject(ctx context.Context, a identity.Actor, name string) error {
	g.mu.Lock()
	_, ok := g.projects[name]
	if !ok && a.Admin {
		g.projects[name] = map[string]identity.Role{}
	}
	g.mu.Unlock()
	return g.Require(ctx, a, name, identity.Write)
}

// authenticate takes the user's name as password; "expired" is what it says.
func authenticate(r *http.Request) (identity.Actor, error) {
	user, password, ok := r.BasicAuth()
	switch {
	case !ok:
		return identity.Actor{}, nil
	case password == "expired":
		return identity.Actor{}, fault.New(fault.Unauthentic, "This token expired on 1 March.").WithNext("make a new one with towpath token create")
	case password != "secret-of-"+user:
		return identity.Actor{}, fault.New(fault.Unauthentic, "The token is wrong.")
	}
	return identity.Actor{Kind: identity.KindUser, Name: user, Admin: user == "admin", Cap: identity.Admin}, nil
}

func actor(name string) identity.Actor {
	return identity.Actor{Kind: identity.KindUser, Name: name, Admin: name == "admin", Cap: identity.Admin}
}

// world is a server with a data folder.
type world struct {
	t     testing.TB
	data  string
	db    *store.DB
	log   *event.Log
	guard *guard
	svc   *source.Service
	http  *httptest.Server
	said  *lockedBuffer
}

func newWorld(t testing.TB, change ...func(*source.Options)) *world {
	t.Helper()
	w := &world{t: t, data: t.TempDir(), said: &lockedBuffer{}, guard: &guard{projects: map[string]map[string]identity.Role{
		"shop": {"wanda": identity.Write, "rita": identity.Read, "max": identity.Maintain},
	}}}
	db, err := store.Open(t.Context(), filepath.Join(w.data, "towpath.db"))
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	w.db = db
	w.log = event.New(db, clock.System())
	w.start(change...)
	t.Cleanup(func() {
		w.stop()
		if t.Failed() {
			t.Logf("the server said:\n%s", w.said)
		}
	})
	return w
}

func (w *world) start(change ...func(*source.Options)) {
	w.t.Helper()
	program, err := os.Executable()
	check(w.t, err)
	o := source.Options{Data: w.data, HookProgram: program, PublicURL: "http://towpath.test", Logger: slog.New(slog.NewTextHandler(w.said, nil))}
	for _, f := range change {
		f(&o)
	}
	w.svc, err = source.New(w.db, w.log, w.guard, clock.System(), o)
	check(w.t, err)
	check(w.t, w.svc.Recover(w.t.Context()))
	w.http = httptest.NewServer(w.svc.Handler(authenticate))
}

func (w *world) stop() {
	w.http.Close()
	check(w.t, w.svc.Close())
}

// url of a repository as a user with the right password.
func (w *world) url(user, repo string) string {
	return strings.Replace(w.http.URL, "http://", "http://"+user+":secret-of-"+user+"@", 1) + "/" + repo
}

// events returns the facts of one type.
func (w *world) events(kind string) []event.Event {
	w.t.Helper()
	list, err := w.log.Read(context.Background(), event.Query{Type: kind, Limit: 5000})
	check(w.t, err)
	return list
}

func (w *world) pushed() []event.CommitPushed {
	w.t.Helper()
	var out []event.CommitPushed
	for _, e := range w.events(event.TypeCommitPushed) {
		var p event.CommitPushed
		check(w.t, e.Into(&p))
		out = append(out, p)
	}
	return out
}

// lockedBuffer takes the log of several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// clone is a working copy of the real git client.
type clone struct {
	t     testing.TB
	dir   string
	env   []string
	stdin string
}

func newClone(t testing.TB) *clone {
	t.Helper()
	c := &clone{t: t, dir: filepath.Join(t.TempDir(), "work")}
	check(t, os.MkdirAll(c.dir, 0o755))
	c.git("init", "-q", "-b", "main")
	return c
}

func (c *clone) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = c.dir
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Wanda", "GIT_AUTHOR_EMAIL=w@example.org", "GIT_COMMITTER_NAME=Wanda", "GIT_COMMITTER_EMAIL=w@example.org",
		"GIT_AUTHOR_DATE=2026-03-01T10:00:00+01:00", "GIT_COMMITTER_DATE=2026-03-01T10:00:00+01:00",
	}, c.env...)
	cmd.Stdin = strings.NewReader(c.stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// raw returns everything that git printed, line ends included.
func (c *clone) raw(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (c *clone) git(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

// refused runs git and wants it to fail with the words.
func (c *clone) refused(words []string, args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err == nil {
		c.t.Fatalf("git %s succeeded:\n%s", strings.Join(args, " "), out)
	}
	for _, want := range words {
		if !strings.Contains(out, want) {
			c.t.Errorf("git %s did not say %q but:\n%s", strings.Join(args, " "), want, out)
		}
	}
	return out
}

// commit writes files (name, content, name, content, …) and commits them.
func (c *clone) commit(message string, files ...string) string {
	c.t.Helper()
	for i := 0; i < len(files); i += 2 {
		p := filepath.Join(c.dir, files[i])
		check(c.t, os.MkdirAll(filepath.Dir(p), 0o755))
		check(c.t, os.WriteFile(p, []byte(files[i+1]), 0o644))
	}
	c.git("add", "-A")
	c.git("commit", "-q", "--allow-empty", "-m", message)
	return c.git("rev-parse", "HEAD")
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t testing.TB, err error, k fault.Kind) {
	t.Helper()
	if fault.KindOf(err) != k {
		t.Errorf("got %v, want the kind %s", err, k)
	}
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
