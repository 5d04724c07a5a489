package source_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/hook"
)

func TestPushMakesProjectAndRepository(t *testing.T) {
	w := newWorld(t)
	c := newClone(t)
	first := c.commit("First\n\nbody", "README.md", "hello\n")
	second := c.commit("Second", "README.md", "hello again\n")
	out := c.git("push", w.url("admin", "fresh/web.git"), "main")
	for _, want := range []string{"Towpath made the repository fresh/web", "main is now " + second[:10] + " (2 new commits)", "http://towpath.test/projects/fresh"} {
		if !strings.Contains(out, want) {
			t.Errorf("push did not say %q but:\n%s", want, out)
		}
	}
	made := w.events(event.TypeRepoCreated)
	if len(made) != 1 || made[0].Subject != "repo:fresh/web" || made[0].Actor != "user:admin" {
		t.Errorf("repo.created: %+v", made)
	}
	got := w.pushed()
	if len(got) != 1 {
		t.Fatalf("got %d pushes", len(got))
	}
	want := event.CommitPushed{
		V: 1, Repo: "fresh/web", Ref: "refs/heads/main", Before: strings.Repeat("0", 40), Commit: second, Title: "Second", Author: "Wanda",
		Authored: got[0].Authored, Commits: 2, Default: true,
	}
	if d := cmp.Diff(want, got[0]); d != "" {
		t.Error(d)
	}
	e := w.events(event.TypeCommitPushed)[0]
	if d := cmp.Diff([]event.Link{{Rel: event.RelInto, To: "repo:fresh/web"}}, e.Links); d != "" || e.Actor != "user:admin" || e.Project != "fresh" {
		t.Errorf("event %+v: %s", e, d)
	}

	other := newClone(t)
	other.git("fetch", "-q", w.url("admin", "fresh/web"), "main")
	if head := other.git("rev-parse", "FETCH_HEAD"); head != second {
		t.Errorf("fetched %s, want %s (after %s)", head, second, first)
	}
}

func TestDefaultBranchIsTheFirstPushed(t *testing.T) {
	w := newWorld(t)
	c := newClone(t)
	c.commit("First", "a", "a")
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main:trunk")
	r, err := w.svc.Repo(t.Context(), actor("rita"), "shop/web")
	check(t, err)
	if r.DefaultBranch != "trunk" || !w.pushed()[0].Default {
		t.Errorf("repository %+v, push %+v", r, w.pushed()[0])
	}
	// A later main does not take over.
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main")
	if w.pushed()[1].Default {
		t.Error("main became the default branch")
	}
}

func TestBranchRules(t *testing.T) {
	w, c, first := seeded(t)
	url := w.url("wanda", "shop/web.git")
	second := c.commit("Second", "b", "b")
	c.git("push", "-q", url, "main", "main:side")
	c.git("reset", "-q", "--hard", first)
	rewritten := c.commit("Other second", "c", "c")
	c.refused([]string{"only a maintainer may drop commits", "pre-receive hook declined"}, "push", "--force", url, "main")
	c.refused([]string{"default branch and cannot be deleted"}, "push", w.url("max", "shop/web.git"), ":main")
	// Every ref is judged by itself: one that is allowed does not carry the other.
	c.refused([]string{"only a maintainer"}, "push", "--force", url, "main:free", "main")
	before := len(w.pushed())
	c.git("push", "-q", "--force", url, "main:side")
	c.git("push", "-q", url, ":side")
	c.git("push", "-q", "--force", w.url("max", "shop/web.git"), "main")
	all := w.pushed()[before:]
	if len(all) != 2 || all[0].Before != second || all[0].Commit != rewritten || all[1].Ref != "refs/heads/main" || all[1].Before != second {
		t.Errorf("announced %+v", all)
	}
	gone := w.events(event.TypeRefDeleted)
	if len(gone) != 1 || gone[0].Subject != "repo:shop/web" || !strings.Contains(string(gone[0].Payload), `"ref":"refs/heads/side","before":"`+rewritten) {
		t.Errorf("deleted: %+v", gone)
	}
	if branches, err := w.svc.Branches(t.Context(), actor("rita"), "shop/web"); err != nil || len(branches) != 1 {
		t.Errorf("branches: %+v, %v", branches, err)
	}
}

func TestAtomicPush(t *testing.T) {
	w, c, first := seeded(t)
	c.commit("Second", "b", "b")
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main")
	c.git("branch", "behind", first)
	c.git("branch", "new")
	// "behind" is no fast-forward of main, so git refuses it and, atomically, both.
	c.refused([]string{"rejected"}, "push", "--atomic", w.url("wanda", "shop/web.git"), "new", "behind:main")
	if got := len(w.pushed()); got != 2 {
		t.Errorf("%d pushes are in the log, want 2", got)
	}
	c.git("push", "-q", "--atomic", w.url("wanda", "shop/web.git"), "new", "behind")
	if got := len(w.pushed()); got != 4 {
		t.Errorf("%d pushes are in the log, want 4", got)
	}
}

func TestManyRefs(t *testing.T) {
	w, c, head := seeded(t)
	var in strings.Builder
	for i := range 300 {
		fmt.Fprintf(&in, "create refs/tags/t%d %s\n", i, head)
	}
	c.stdin = in.String()
	c.git("update-ref", "--stdin")
	out := c.git("push", w.url("wanda", "shop/web.git"), "--tags")
	if got := len(w.pushed()); got != 301 || !strings.Contains(out, "and 295 more refs") {
		t.Errorf("%d pushes are in the log; git said:\n%.500s", got, out)
	}
}

// Two people push to one branch at once, again and again: exactly one wins each round,
// and the log is the history of the branch.
func TestConcurrentPushes(t *testing.T) {
	w, c, base := seeded(t)
	const people = 4
	var clones []*clone
	for i := range people {
		p := newClone(t)
		p.git("fetch", "-q", w.url("wanda", "shop/web.git"), "main")
		p.git("reset", "-q", "--hard", base)
		p.commit(fmt.Sprint("By ", i), fmt.Sprint("f", i), "x")
		clones = append(clones, p)
	}
	var won atomic.Int64
	var wait sync.WaitGroup
	for i, p := range clones {
		wait.Go(func() {
			if _, err := p.try("push", w.url("wanda", "shop/web.git"), "HEAD:main"); err == nil {
				won.Add(1)
			}
			if out, err := p.try("push", w.url("wanda", "shop/web.git"), fmt.Sprint("HEAD:own", i)); err != nil {
				t.Errorf("pushing an own branch: %v\n%s", err, out)
			}
		})
	}
	wait.Wait()
	if won.Load() != 1 {
		t.Errorf("%d pushes to main succeeded, want 1", won.Load())
	}
	at := map[string]string{}
	for _, p := range w.pushed() {
		if want := at[p.Ref]; want != "" && p.Before != want {
			t.Errorf("%s went from %s, but was at %s", p.Ref, p.Before, want)
		}
		at[p.Ref] = p.Commit
	}
	refs := c.git("ls-remote", w.url("rita", "shop/web.git"), "refs/*")
	for line := range strings.Lines(refs) {
		hash, ref, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if at[ref] != hash {
			t.Errorf("%s is at %s, the log says %s", ref, hash, at[ref])
		}
		delete(at, ref)
	}
	if len(at) != 0 {
		t.Errorf("the log knows refs that do not exist: %v", at)
	}
}

func TestCorruptPack(t *testing.T) {
	w, c, head := seeded(t)
	c.commit("Second", "b", strings.Repeat("text ", 1000))
	next := c.git("rev-parse", "HEAD")
	c.stdin = next + "\n^" + head + "\n"
	pack := c.raw("pack-objects", "--revs", "--stdout", "-q")
	c.stdin = ""
	command := head + " " + next + " refs/heads/main\x00 report-status"
	line := fmt.Sprintf("%04x%s0000", len(command)+4, command)
	post := func(body string) string {
		_, text := w.send("POST", "/shop/web.git/git-receive-pack", "wanda", "application/x-git-receive-pack-request", strings.NewReader(body))
		return text
	}
	flipped := []byte(pack)
	flipped[len(flipped)/2] ^= 0x40
	for name, body := range map[string]string{
		"flipped bit": line + string(flipped),
		"cut off":     line + pack[:len(pack)/2],
		"no pack":     line,
		"rubbish":     line + strings.Repeat("rubbish", 100),
		"empty":       "",
		"half a line": line[:20],
		"huge length": "fff0" + line,
	} {
		if text := post(body); strings.Contains(text, "unpack ok") || strings.Contains(text, "ok refs/heads/main") {
			t.Errorf("%s was accepted: %q", name, text)
		}
	}
	if got := len(w.pushed()); got != 1 {
		t.Errorf("%d pushes are in the log, want 1", got)
	}
	if out := w.inRepo(t, "fsck", "--full", "--strict"); strings.Contains(out, "error") {
		t.Errorf("the repository is broken: %s", out)
	}
	// The same push, whole, is taken: nothing is left locked.
	if text := post(line + pack); !strings.Contains(text, "unpack ok") || !strings.Contains(text, "ok refs/heads/main") {
		t.Errorf("the whole pack was refused: %q", text)
	}
}

// Trees that attack whoever checks them out are refused by fsck, before anything else.
func TestHostileObjects(t *testing.T) {
	w, c, head := seeded(t)
	blob := c.git("hash-object", "-w", "README.md")
	c.stdin = "[submodule \"x\"]\n\tpath = x\n\turl = --upload-pack=touch /tmp/owned\n"
	modules := c.git("hash-object", "-w", "--stdin")
	for name, tree := range map[string]string{
		"folder .git":        fmt.Sprintf("100644 blob %s\t.git", blob),
		"folder .GIT":        fmt.Sprintf("100644 blob %s\t.GIT", blob),
		"folder ..":          fmt.Sprintf("100644 blob %s\t..", blob),
		"symlink gitmodules": fmt.Sprintf("120000 blob %s\t.gitmodules", blob),
		"option as URL":      fmt.Sprintf("100644 blob %s\t.gitmodules", modules),
	} {
		c.stdin = tree + "\n"
		c.env = []string{"GIT_LITERAL_PATHSPECS=1"}
		hash := c.git("-c", "core.protectHFS=false", "-c", "core.protectNTFS=false", "mktree")
		commit := c.git("commit-tree", "-p", head, "-m", "hostile", hash)
		c.refused([]string{"unpack"}, "push", w.url("wanda", "shop/web.git"), commit+":refs/heads/hostile")
		if t.Failed() {
			t.Fatalf("%s was not refused", name)
		}
	}
	if got := len(w.pushed()); got != 1 {
		t.Errorf("%d pushes are in the log, want 1", got)
	}
}

func TestPushOverTheLimit(t *testing.T) {
	w, c, _ := seeded(t, func(o *source.Options) { o.MaxPush = 64 << 10 })
	noise := make([]byte, 1<<20)
	_, err := rand.Read(noise)
	check(t, err)
	c.commit("Big", "noise", string(noise))
	c.refused([]string{"pack exceeds maximum allowed size"}, "push", w.url("wanda", "shop/web.git"), "main")
	if got := len(w.pushed()); got != 1 {
		t.Errorf("%d pushes are in the log, want 1", got)
	}
}

// Hooks that lie in a repository's folder are never run.
func TestHooksOfTheRepositoryAreNotRun(t *testing.T) {
	w, c, _ := seeded(t)
	mark := filepath.Join(t.TempDir(), "ran")
	for _, name := range []string{"pre-receive", "update", "post-receive", "post-update", "reference-transaction"} {
		file := filepath.Join(w.folder(t), "hooks", name)
		check(t, os.MkdirAll(filepath.Dir(file), 0o755))
		check(t, os.WriteFile(file, []byte("#!/bin/sh\necho ran > "+mark+"\n"), 0o755))
	}
	c.commit("Second", "hooks/pre-receive", "#!/bin/sh\nexit 1\n")
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main")
	if _, err := os.Stat(mark); err == nil {
		t.Error("a hook of the repository was run")
	}
}

// A hook speaks for its own push only, once, and only while that push runs.
func TestStrangersAtTheHookSocket(t *testing.T) {
	w, _, head := seeded(t)
	moves := fmt.Sprintf("%s %s refs/heads/x\n", strings.Repeat("0", 40), head)
	for _, secret := range []string{"", "0000", strings.Repeat("a", 64)} {
		var said bytes.Buffer
		env := map[string]string{hook.EnvSocket: w.socket(t), hook.EnvSecret: secret}
		for _, name := range hook.Names() {
			if code := hook.Main(name, strings.NewReader(moves), &said, func(k string) string { return env[k] }); code == 0 {
				t.Errorf("%s with the secret %q was accepted", name, secret)
			}
		}
		if !strings.Contains(said.String(), "knows nothing of this push") {
			t.Errorf("the hook said %q", said.String())
		}
	}
	info, err := os.Stat(w.socket(t))
	check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v", info.Mode())
	}
}

// Without a server that answers, a push is refused.
func TestHookFailsClosed(t *testing.T) {
	w, c, _ := seeded(t)
	check(t, os.Remove(w.socket(t)))
	c.commit("Second", "b", "b")
	c.refused([]string{"Towpath could not check this push", "Nothing was changed"}, "push", w.url("wanda", "shop/web.git"), "main")
	if got := len(w.pushed()); got != 1 {
		t.Errorf("%d pushes are in the log, want 1", got)
	}
}

// A push that cannot be noted because the disk is full moves nothing, and says so.
func TestDiskFull(t *testing.T) {
	w, c, head := seeded(t)
	var in strings.Builder
	for i := range 200 {
		fmt.Fprintf(&in, "create refs/tags/t%d %s\n", i, head)
	}
	c.stdin = in.String()
	c.git("update-ref", "--stdin")
	c.stdin = ""
	// SQLite then answers as it does when the file cannot grow.
	_, err := w.db.Exec(t.Context(), `PRAGMA max_page_count = 1`)
	check(t, err)
	c.refused([]string{"The disk of the server is full", "Nothing was changed"}, "push", w.url("wanda", "shop/web.git"), "--tags")
	if refs := w.inRepo(t, "for-each-ref", "refs/tags"); refs != "" {
		t.Errorf("refs moved: %s", refs)
	}
	_, err = w.db.Exec(t.Context(), `PRAGMA max_page_count = 1000000`)
	check(t, err)
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "--tags")
	if got := len(w.pushed()); got != 201 {
		t.Errorf("%d pushes are in the log, want 201", got)
	}
}
