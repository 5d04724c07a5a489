package ssh_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/hook"
	"towpath.dev/towpath/internal/source/ruleset"
	"towpath.dev/towpath/internal/source/ssh"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/vault"
)

// TestMain lets the test program be the hook program, as the product's is.
func TestMain(m *testing.M) {
	if name, ok := hook.Invoked(os.Args[0]); ok {
		os.Exit(hook.Main(name, os.Stdin, os.Stderr, os.Getenv))
	}
	os.Exit(m.Run())
}

const repo = "shop/web"

// world is an installation with both transports: ada is its administrator, max maintains
// the project shop, wanda writes to it, rita reads it, and eve has an account only.
type world struct {
	t       testing.TB
	db      *store.DB
	log     *event.Log
	ids     *identity.Service
	source  *source.Service
	rules   *ruleset.Service
	http    *httptest.Server
	host    xssh.Signer
	address string
	said    *lockedBuffer
}

func newWorld(t testing.TB, limits ssh.Limits) *world {
	t.Helper()
	data := t.TempDir()
	w := &world{t: t, db: storetest.SQLite(t), said: &lockedBuffer{}}
	w.log = event.New(w.db, clock.System())
	logger := slog.New(slog.NewTextHandler(w.said, nil))
	v, err := vault.Open(data)
	check(t, err)
	w.ids, err = identity.New(w.db, w.log, v, clock.System(), identity.Options{})
	check(t, err)
	w.people()
	program, err := os.Executable()
	check(t, err)
	w.source, err = source.New(w.db, w.log, w.ids, clock.System(), source.Options{Data: data, HookProgram: program, PublicURL: "http://towpath.test", Logger: logger})
	check(t, err)
	w.rules = ruleset.New(ruleset.Parts{DB: w.db, Log: w.log, Auth: w.ids, Repos: w.source, Clock: clock.System(), PublicURL: "http://towpath.test"})
	w.source.UseGuards(w.rules)
	w.http = httptest.NewServer(w.source.Handler(func(r *http.Request) (identity.Actor, error) {
		name, _, _ := r.BasicAuth()
		return actor(name), nil
	}))
	w.host, err = ssh.HostKey(data)
	check(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	w.address = l.Addr().String()
	server := ssh.New(ssh.Parts{Git: w.source, Keys: w.ids, HostKey: w.host, Address: w.address, Limits: limits, Logger: logger})
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		check(t, <-served)
		w.http.Close()
		check(t, w.source.Close())
		if t.Failed() {
			t.Logf("the server said:\n%s", w.said)
		}
	})
	return w
}

func (w *world) people() {
	w.t.Helper()
	root, ctx := identity.SystemActor("test"), w.t.Context()
	_, err := w.ids.CreateProject(ctx, root, "shop")
	check(w.t, err)
	roles := map[string]identity.Role{"max": identity.Maintain, "wanda": identity.Write, "rita": identity.Read}
	for _, name := range []string{"ada", "max", "wanda", "rita", "eve"} {
		_, err := w.ids.CreateUser(ctx, root, name, "", name == "ada")
		check(w.t, err)
		if r := roles[name]; r != identity.None {
			check(w.t, w.ids.Grant(ctx, root, "shop", name, r))
		}
	}
}

func actor(name string) identity.Actor {
	if name == "" {
		return identity.Actor{}
	}
	return identity.Actor{Kind: identity.KindUser, Name: name, Admin: name == "ada", Cap: identity.Admin}
}

// httpURL and sshURL are the addresses of a repository.
func (w *world) httpURL(user, repo string) string {
	return strings.Replace(w.http.URL, "http://", "http://"+user+":x@", 1) + "/" + repo + ".git"
}

func (w *world) sshURL(repo string) string { return ssh.URL(w.address, repo) }

func (w *world) events(kind string) []event.Event {
	w.t.Helper()
	list, err := w.log.Read(context.Background(), event.Query{Type: kind, Limit: 5000})
	check(w.t, err)
	return list
}

// key makes a key pair with the real ssh-keygen and returns the private key's file and the
// public key.
func newKey(t testing.TB, args ...string) (file, public string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "id")
	if len(args) == 0 {
		args = []string{"-t", "ed25519"}
	}
	out, err := exec.CommandContext(t.Context(), "ssh-keygen", append(args, "-q", "-N", "", "-C", "a laptop", "-f", file)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	text, err := os.ReadFile(file + ".pub")
	check(t, err)
	return file, string(text)
}

// userKey gives a user a key and returns its file.
func (w *world) userKey(user string) string {
	w.t.Helper()
	file, public := newKey(w.t)
	_, err := w.ids.AddKey(w.t.Context(), actor(user), "", public)
	check(w.t, err)
	return file
}

func (w *world) deployKey(repo string, write bool) (string, identity.Key) {
	w.t.Helper()
	file, public := newKey(w.t)
	k, err := w.ids.AddDeployKey(w.t.Context(), actor("max"), repo, "robot", public, write)
	check(w.t, err)
	return file, k
}

// client is a working copy of the real git with the real OpenSSH.
type client struct {
	t   testing.TB
	w   *world
	dir string
	key string // file; "" is none
}

func (w *world) client(key string) *client {
	w.t.Helper()
	c := &client{t: w.t, w: w, dir: w.t.TempDir(), key: key}
	c.git("init", "-q", "-b", "main")
	return c
}

// sshArgs trust this server only, and offer this key only.
func (c *client) sshArgs() []string {
	known := filepath.Join(c.dir, ".known")
	check(c.t, os.WriteFile(known, []byte(ssh.KnownHost(c.w.address, c.w.host.PublicKey())+"\n"), 0o600))
	args := []string{"-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=" + known, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"}
	if c.key == "" {
		return append(args, "-i", "/dev/null")
	}
	return append(args, "-i", c.key)
}

func (c *client) run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Wanda", "GIT_AUTHOR_EMAIL=w@example.org", "GIT_COMMITTER_NAME=Wanda", "GIT_COMMITTER_EMAIL=w@example.org",
		"GIT_SSH_COMMAND=ssh " + strings.Join(c.sshArgs(), " "), "GIT_SSH_VARIANT=ssh",
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (c *client) git(args ...string) string {
	c.t.Helper()
	out, err := c.run("git", args...)
	if err != nil {
		c.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (c *client) refused(words string, args ...string) {
	c.t.Helper()
	out, err := c.run("git", args...)
	if err == nil {
		c.t.Errorf("git %s succeeded:\n%s", strings.Join(args, " "), out)
	} else if !strings.Contains(out, words) {
		c.t.Errorf("git %s did not say %q but:\n%s", strings.Join(args, " "), words, out)
	}
}

func (c *client) commit(file, content string) string {
	c.t.Helper()
	check(c.t, os.WriteFile(filepath.Join(c.dir, file), []byte(content), 0o644))
	c.git("add", file)
	c.git("commit", "-q", "--allow-empty", "-m", "Change "+file)
	return c.git("rev-parse", "HEAD")
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
