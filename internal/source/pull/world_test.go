package pull_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/source/ruleset"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/vault"
)

const repo = "shop/web"

// roles are the people of the tests; the real identity service knows them.
func roles() map[string]identity.Role {
	return map[string]identity.Role{
		"ada": identity.Write, "wanda": identity.Write, "will": identity.Write, "rita": identity.Read, "max": identity.Maintain, "stranger": identity.None,
	}
}

func actor(name string) identity.Actor {
	return identity.Actor{Kind: identity.KindUser, Name: name, Cap: identity.Admin}
}

// world is everything that pull requests are made of, on the real parts: git, SQL, the
// rulesets and the door of the source service.
type world struct {
	*pull.Service
	t     *testing.T
	db    *store.DB
	log   *event.Log
	ids   *identity.Service
	src   *source.Service
	rules *ruleset.Service
	dir   string
}

func newWorld(t *testing.T) *world { t.Helper(); return build(t, storetest.SQLite(t)) }

func build(t *testing.T, db *store.DB) *world {
	t.Helper()
	w := &world{t: t, db: db, log: event.New(db, clock.System())}
	data := t.TempDir()
	v, err := vault.Open(filepath.Join(data, "vault"))
	check(t, err)
	w.ids, err = identity.New(db, w.log, v, clock.System(), identity.Options{})
	check(t, err)
	root := identity.SystemActor("test")
	_, err = w.ids.CreateProject(t.Context(), root, "shop")
	check(t, err)
	for name, role := range roles() {
		_, err := w.ids.CreateUser(t.Context(), root, name, "", false)
		check(t, err)
		check(t, w.ids.Grant(t.Context(), root, "shop", name, role))
	}
	program, err := os.Executable()
	check(t, err)
	quiet := slog.New(slog.DiscardHandler)
	w.src, err = source.New(db, w.log, w.ids, clock.System(), source.Options{Data: data, HookProgram: program, PublicURL: "http://towpath.test", Logger: quiet})
	check(t, err)
	t.Cleanup(func() { check(t, w.src.Close()) })
	w.rules = ruleset.New(ruleset.Parts{DB: db, Log: w.log, Auth: w.ids, Repos: w.src, Clock: clock.System(), PublicURL: "http://towpath.test"})
	w.src.UseGuards(w.rules)
	w.restart()
	_, err = w.src.CreateRepo(t.Context(), actor("max"), repo)
	check(t, err)
	_, w.dir, err = w.src.Locate(t.Context(), actor("max"), repo)
	check(t, err)
	w.push("max", "main", "", map[string]string{"README.md": "hello\n", "a.txt": lines("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")})
	return w
}

// restart makes a new service over the same data, as after a crash.
func (w *world) restart() {
	w.Service = pull.New(w.db, w.log, clock.System(), pull.Needs{Auth: w.ids, Repos: w.src, Rules: w.rules, Items: twelve{}},
		pull.Options{Host: "towpath.test:7080", Logger: slog.New(slog.DiscardHandler)})
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wants(t *testing.T, err error, kind fault.Kind) {
	t.Helper()
	if fault.KindOf(err) != kind {
		t.Helper()
		t.Fatalf("%v, want %s", err, kind)
	}
}

func lines(l ...string) string { return strings.Join(l, "\n") + "\n" }

// tip returns where a branch is, "" when there is none.
func (w *world) tip(ref string) string {
	w.t.Helper()
	found, err := w.src.Git().Info(w.t.Context(), w.dir, ref)
	check(w.t, err)
	return found[0].Hash
}

// commit makes a commit in a quarantine; "-" as content removes a file.
func (w *world) commit(s *source.Scratch, parents []string, author string, when time.Time, message string, files map[string]string) string {
	w.t.Helper()
	g := w.src.Git()
	env := append(slices.Clone(s.Env), "GIT_INDEX_FILE="+filepath.Join(w.t.TempDir(), "index"))
	run := func(in string, args ...string) string {
		w.t.Helper()
		out, err := g.RunEnv(w.t.Context(), s.Dir, env, strings.NewReader(in), 1<<20, args...)
		check(w.t, err)
		return strings.TrimSpace(string(out))
	}
	if len(parents) > 0 {
		run("", "read-tree", parents[0])
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if files[path] == "-" {
			run("0 "+git.Zero+"\t"+path+"\n", "update-index", "--index-info")
			continue
		}
		run("", "update-index", "--add", "--cacheinfo", "100644,"+run(files[path], "hash-object", "-w", "--stdin")+","+path)
	}
	who := git.Person{Name: author, Email: author + "@example.org", When: when}
	hash, err := g.CommitTree(w.t.Context(), s.Dir, env, git.NewCommit{Tree: run("", "write-tree"), Parents: parents, Author: who, Committer: who, Message: message})
	check(w.t, err)
	return hash
}

// push adds a commit to a branch as somebody; from is where a new branch begins.
func (w *world) push(who, branch, from string, files map[string]string) string {
	w.t.Helper()
	ref := "refs/heads/" + branch
	old := w.tip(ref)
	parent := old
	if parent == "" {
		parent = w.tip("refs/heads/" + from)
	}
	var parents []string
	if parent != "" {
		parents = []string{parent}
	}
	return w.move(who, ref, old, func(s *source.Scratch) string {
		return w.commit(s, parents, who, time.Unix(1700000000, 0).UTC(), "change "+branch, files)
	})
}

func (w *world) move(who, ref, old string, make func(*source.Scratch) string) string {
	w.t.Helper()
	s, err := w.src.Scratch(w.t.Context(), actor(who), repo)
	check(w.t, err)
	defer s.Close()
	to := make(s)
	if old == "" {
		old = git.Zero
	}
	check(w.t, w.src.Update(w.t.Context(), actor(who), source.Update{Repo: repo, Door: source.DoorEdit, Scratch: s, Moves: []hook.Move{{Old: old, New: to, Ref: ref}}}))
	return to
}

// set points a branch somewhere, git.Zero removes it.
func (w *world) set(who, branch, to string) {
	w.t.Helper()
	ref := "refs/heads/" + branch
	w.move(who, ref, w.tip(ref), func(*source.Scratch) string { return to })
}

// protect sets the one ruleset of the default branch.
func (w *world) protect(r ruleset.Rules, bypass ...string) {
	w.t.Helper()
	w.protectRefs("main is protected", []string{"main"}, r, bypass...)
}

func (w *world) protectRefs(name string, refs []string, r ruleset.Rules, bypass ...string) {
	w.t.Helper()
	_, err := w.rules.Put(w.t.Context(), actor("max"), ruleset.Ruleset{Repo: repo, Name: name, Enforcement: ruleset.Active, Refs: refs, Rules: r, Bypass: bypass})
	check(w.t, err)
}

// propose pushes a branch of ada's and opens a pull request into main.
func (w *world) propose(branch string, files map[string]string) pull.Pull {
	w.t.Helper()
	w.push("ada", branch, "main", files)
	return w.open(branch, "main")
}

func (w *world) open(branch, target string) pull.Pull {
	w.t.Helper()
	p, err := w.Open(w.t.Context(), actor("ada"), repo, pull.Proposal{Title: "Change " + branch, Source: branch, Target: target})
	check(w.t, err)
	return p
}

func (w *world) approve(who string, n int64) pull.Review {
	w.t.Helper()
	r, err := w.Review(w.t.Context(), actor(who), repo, n, pull.Judgement{Verdict: pull.Approved})
	check(w.t, err)
	return r
}

func (w *world) report(a identity.Actor, commit, name, state string) {
	w.t.Helper()
	_, err := w.Report(w.t.Context(), a, repo, commit, pull.Check{Name: name, State: state})
	check(w.t, err)
}

func (w *world) get(n int64) pull.Pull {
	w.t.Helper()
	p, err := w.Get(w.t.Context(), actor("rita"), repo, n)
	check(w.t, err)
	return p
}

// blocks returns "kind: what" of everything that stands in the way of somebody.
func (w *world) blocks(who string, n int64) []string {
	w.t.Helper()
	g, err := w.State(w.t.Context(), actor(who), repo, n)
	check(w.t, err)
	return say(g.Blocks)
}

func say(blocks []pull.Block) []string {
	out := []string{}
	for _, b := range blocks {
		out = append(out, b.Kind+": "+b.What)
	}
	return out
}

// hear delivers the events of pushes and does the work that they ask for, until there is
// nothing left.
func (w *world) hear() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	head, _, err := w.log.Head(w.t.Context())
	check(w.t, err)
	for {
		var seq, dirty int64
		err := w.db.QueryRow(w.t.Context(), `SELECT COALESCE(MAX(seq), 0), (SELECT COUNT(*) FROM source_pull WHERE dirty > 0) FROM event_cursor WHERE consumer = 'pull'`).Scan(&seq, &dirty)
		check(w.t, err)
		if seq >= head && dirty == 0 {
			break
		}
		time.Sleep(time.Millisecond) // the test ends by its own timeout
	}
	cancel()
	check(w.t, <-done)
}

// events returns the payloads of one type about a pull request, the oldest first.
func events[T any](w *world, kind string, n int64) []T {
	w.t.Helper()
	list, err := w.log.Read(w.t.Context(), event.Query{Type: kind, Project: "shop"})
	check(w.t, err)
	var out []T
	for _, e := range list {
		if e.Subject == event.Of(event.KindPull, repo+"/"+string(rune('0'+n))) {
			var v T
			check(w.t, e.Into(&v))
			out = append(out, v)
		}
	}
	return out
}

func blocked(t *testing.T, err error) []string {
	t.Helper()
	wants(t, err, fault.Denied)
	var b *pull.Blocked
	if !errors.As(err, &b) {
		t.Fatalf("%v names no blocks", err)
	}
	return say(b.Blocks)
}

// text returns a file at a commit.
func (w *world) text(commit, path string) string {
	w.t.Helper()
	data, err := w.src.File(w.t.Context(), actor("rita"), repo, commit, path)
	check(w.t, err)
	return string(data)
}

// twelve knows one item, the number 12 of shop.
type twelve struct{}

func (twelve) Referenced(_ context.Context, project, branch string, texts []string) ([]int64, error) {
	if project == "shop" && strings.Contains(branch+"\n"+strings.Join(texts, "\n"), "#12") {
		return []int64{12}, nil
	}
	return nil, nil
}
