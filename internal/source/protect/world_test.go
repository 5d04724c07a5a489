package protect_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/hook"
	"towpath.dev/towpath/internal/source/protect"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/vault"
)

// roles is an Authoriser: project shop with a reader and two writers.
type roles map[string]identity.Role

func (r roles) Require(_ context.Context, a identity.Actor, project string, need identity.Role) error {
	switch has := r[a.Name]; {
	case !a.Known():
		return fault.New(fault.Unauthentic, "Sign in first.")
	case project != "shop" || has < identity.Read:
		return fault.New(fault.NotFound, "There is no project %s.", project)
	case has < need:
		return fault.New(fault.Denied, "You may not.")
	}
	return nil
}

func (r roles) EnsureProject(ctx context.Context, a identity.Actor, name string) error {
	return r.Require(ctx, a, name, identity.Write)
}

func user(name string) identity.Actor {
	return identity.Actor{Kind: identity.KindUser, Name: name, Cap: identity.Admin}
}

// hands is a clock that a test moves.
type hands struct {
	clock.Clock
	ahead time.Duration
}

func (h *hands) Now() time.Time { return h.Clock.Now().Add(h.ahead) }

// world is a bare repository, a clone to work in, and the guard.
type world struct {
	t     testing.TB
	bare  string
	work  string
	db    *store.DB
	log   *event.Log
	clock *hands
	said  *bytes.Buffer
	*protect.Service
}

func newWorld(t testing.TB, change ...func(*protect.Options)) *world {
	t.Helper()
	return newWorldOn(t, storetest.SQLite(t), change...)
}

func newWorldOn(t testing.TB, db *store.DB, change ...func(*protect.Options)) *world {
	t.Helper()
	data := t.TempDir()
	w := &world{
		t: t, bare: filepath.Join(data, "repo.git"), work: filepath.Join(data, "work"), db: db,
		clock: &hands{Clock: clock.System()}, said: &bytes.Buffer{},
	}
	w.log = event.New(w.db, w.clock)
	v, err := vault.Open(filepath.Join(data, "vault"))
	check(t, err)
	g, err := git.Open(t.Context(), git.Options{HooksDir: data, MaxInput: 1 << 30})
	check(t, err)
	t.Cleanup(g.Close)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server said: %s", w.said)
		}
	})
	o := protect.Options{PublicURL: "http://towpath.example", Logger: slog.New(slog.NewTextHandler(w.said, nil))}
	for _, c := range change {
		c(&o)
	}
	auth := roles{"ada": identity.Write, "bob": identity.Write, "rita": identity.Read}
	w.Service, err = protect.New(t.Context(), protect.Parts{DB: w.db, Log: w.log, Vault: v, Git: g, Auth: auth, Clock: w.clock}, o)
	check(t, err)
	w.run(data, nil, "init", "-q", "--bare", "-b", "main", w.bare)
	w.run(data, nil, "init", "-q", "-b", "main", w.work)
	return w
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run runs git with nothing of the machine's settings.
func (w *world) run(dir string, in io.Reader, args ...string) string {
	w.t.Helper()
	return w.runEnv(dir, nil, in, args...)
}

func (w *world) runEnv(dir string, env []string, in io.Reader, args ...string) string {
	w.t.Helper()
	var out bytes.Buffer
	w.runTo(&out, dir, env, in, args...)
	return strings.TrimSpace(out.String())
}

func (w *world) runTo(out io.Writer, dir string, env []string, in io.Reader, args ...string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "git", args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout = dir, in, out
	cmd.Env = append([]string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=" + dir,
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com",
	}, env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, said.String())
	}
}

// commit writes files (a nil content removes one) and returns the commit.
func (w *world) commit(files map[string]string) string {
	w.t.Helper()
	for name, text := range files {
		path := filepath.Join(w.work, name)
		check(w.t, os.MkdirAll(filepath.Dir(path), 0o700))
		check(w.t, os.WriteFile(path, []byte(text), 0o600))
	}
	w.run(w.work, nil, "add", "-A")
	w.run(w.work, nil, "commit", "-q", "--allow-empty", "-m", "change")
	return w.head()
}

func (w *world) head() string { return w.run(w.work, nil, "rev-parse", "HEAD") }

// quarantine does what receive-pack does: it packs what the repository lacks, thin, and
// completes that in a folder of its own.
func (w *world) quarantine(tips ...string) string {
	w.t.Helper()
	dir, err := os.MkdirTemp(filepath.Join(w.bare, "objects"), "tmp_objdir-incoming-")
	check(w.t, err)
	want := strings.Join(tips, "\n") + "\n"
	for _, ref := range strings.Fields(w.run(w.bare, nil, "for-each-ref", "--format=%(objectname)")) {
		want += "^" + ref + "\n"
	}
	pack := filepath.Join(w.t.TempDir(), "pack")
	out, err := os.Create(pack)
	check(w.t, err)
	w.runTo(out, w.work, nil, strings.NewReader(want), "pack-objects", "--revs", "--thin", "--stdout", "-q", "--delta-base-offset")
	_, err = out.Seek(0, io.SeekStart)
	check(w.t, err)
	w.runEnv(w.bare, []string{"GIT_OBJECT_DIRECTORY=" + dir, "GIT_ALTERNATE_OBJECT_DIRECTORIES=" + filepath.Join(w.bare, "objects")},
		out, "index-pack", "--stdin", "--fix-thin")
	check(w.t, out.Close())
	return dir
}

// incoming is a push of refs: name → new object.
func (w *world) incoming(refs map[string]string) source.Push {
	w.t.Helper()
	p := source.Push{
		Repo: source.Repo{Project: "shop", Name: "web", DefaultBranch: "main"}, Actor: user("ada"), Door: source.DoorHTTP, Dir: w.bare,
	}
	var tips []string
	for name, tip := range refs {
		old := git.Zero
		if have := w.run(w.bare, nil, "for-each-ref", "--format=%(objectname)", name); have != "" {
			old = have
		}
		p.Moves = append(p.Moves, hook.Move{Old: old, New: tip, Ref: name})
		tips = append(tips, tip)
	}
	p.Objects = w.quarantine(tips...)
	p.Env = []string{"GIT_OBJECT_DIRECTORY=" + p.Objects, "GIT_ALTERNATE_OBJECT_DIRECTORIES=" + filepath.Join(w.bare, "objects")}
	return p
}

// judge asks the guard about a push and, when it is allowed, takes it in.
func (w *world) judge(p source.Push) []source.Refusal {
	w.t.Helper()
	refusals, err := w.Check(w.t.Context(), p)
	check(w.t, err)
	if len(refusals) == 0 && p.Objects != "" {
		packs, err := filepath.Glob(filepath.Join(p.Objects, "pack", "*"))
		check(w.t, err)
		check(w.t, os.MkdirAll(filepath.Join(w.bare, "objects", "pack"), 0o700))
		for _, name := range packs {
			check(w.t, os.Rename(name, filepath.Join(w.bare, "objects", "pack", filepath.Base(name))))
		}
		for _, m := range p.Moves {
			w.run(w.bare, nil, "update-ref", m.Ref, m.New)
		}
	}
	if p.Objects != "" {
		check(w.t, os.RemoveAll(p.Objects))
	}
	return refusals
}

// push pushes HEAD to main.
func (w *world) push() []source.Refusal {
	w.t.Helper()
	return w.judge(w.incoming(map[string]string{"refs/heads/main": w.head()}))
}

// accepted fails the test when the push is refused.
func (w *world) accepted() {
	w.t.Helper()
	if r := w.push(); len(r) > 0 {
		w.t.Fatalf("refused: %s", r[0].Text)
	}
}

// privateKey makes a key as openssl writes it.
func privateKey(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// token makes a token in GitHub's form.
func token() string {
	return "ghp" + "_" + (strings.ToLower(rand.Text()) + rand.Text())[:36]
}

// events returns the facts of a type.
func (w *world) events(kind string) []event.Event {
	w.t.Helper()
	all, err := w.log.Read(w.t.Context(), event.Query{Type: kind})
	check(w.t, err)
	return all
}

// nowhere fails the test when a secret is in the database's files or in what was logged.
func (w *world) nowhere(values ...string) {
	w.t.Helper()
	var dump strings.Builder
	for _, table := range []string{"source_secret", "source_secret_bypass", "event"} {
		rows, err := w.db.Query(w.t.Context(), "SELECT * FROM "+table)
		check(w.t, err)
		columns, err := rows.Columns()
		check(w.t, err)
		for rows.Next() {
			cells := make([]any, len(columns))
			for i := range cells {
				cells[i] = new(any)
			}
			check(w.t, rows.Scan(cells...))
			for _, c := range cells {
				fmt.Fprintf(&dump, "%s\n", *c.(*any))
			}
		}
		check(w.t, rows.Err())
		rows.Close()
	}
	for _, v := range values {
		for line := range strings.Lines(strings.TrimSpace(v)) {
			line = strings.TrimSpace(line)
			if len(line) > 20 && !strings.HasPrefix(line, "-----") && (strings.Contains(dump.String(), line) || strings.Contains(w.said.String(), line)) {
				w.t.Errorf("the secret's line %q is stored or logged", line)
			}
		}
	}
}
