package source_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/hook"
)

// judge is a guard that a test writes.
type judge func(context.Context, source.Push) ([]source.Refusal, error)

func (j judge) Check(ctx context.Context, p source.Push) ([]source.Refusal, error) { return j(ctx, p) }

func refuse(rule, text string) []source.Refusal {
	return []source.Refusal{{Refusal: event.Refusal{Guard: "test", Rule: rule}, Text: text}}
}

func TestGuardsSeeTheWholePush(t *testing.T) {
	w, c, head := seeded(t)
	var seen []source.Push
	var listed string
	w.svc.UseGuards(judge(func(ctx context.Context, p source.Push) ([]source.Refusal, error) {
		seen = append(seen, p)
		out, err := w.svc.Git().RunEnv(ctx, p.Dir, []string{"GIT_OBJECT_DIRECTORY=" + p.Objects}, nil, 1<<20, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)", "--unordered")
		listed = string(out)
		return nil, err
	}))
	next := c.commit("Second", "b", "b")
	c.git("push", "-q", "-o", "first", "-o", "second=2", w.url("wanda", "shop/web.git"), "main", "main:side")
	if len(seen) != 1 {
		t.Fatalf("the guard was asked %d times", len(seen))
	}
	p := seen[0]
	zero := strings.Repeat("0", 40)
	moves := []hook.Move{{Old: head, New: next, Ref: "refs/heads/main"}, {Old: zero, New: next, Ref: "refs/heads/side"}}
	if d := cmp.Diff(moves, p.Moves); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"first", "second=2"}, p.Options); d != "" {
		t.Error(d)
	}
	if p.Repo.FullName() != "shop/web" || p.Actor.Name != "wanda" || p.Door != source.DoorHTTP || p.Dir != w.folder(t) || !filepath.IsAbs(p.Objects) {
		t.Errorf("the guard saw %+v", p)
	}
	// The quarantine holds exactly what the push brings.
	if got := strings.Count(listed, "\n"); got != 3 || !strings.Contains(listed, "blob") {
		t.Errorf("the quarantine holds %q", listed)
	}
}

func TestRefusalsAreToldTogether(t *testing.T) {
	var w *world
	asked := 0
	first := judge(func(context.Context, source.Push) ([]source.Refusal, error) {
		asked++
		return refuse("one", "the first reason\n  goes on here"), nil
	})
	w, c, head := seeded(t, func(o *source.Options) { o.Guards = nil })
	w.svc.UseGuards(first, judge(func(context.Context, source.Push) ([]source.Refusal, error) {
		return refuse("two", "the second reason"), nil
	}))
	c.git("reset", "-q", "--hard", head)
	c.git("commit", "-q", "--amend", "-m", "other")
	out := c.refused([]string{"the first reason", "goes on here", "the second reason", "only a maintainer", "Nothing was changed"}, "push", "--force", w.url("wanda", "shop/web.git"), "main")
	if strings.Count(out, "Towpath refused this push") != 1 || asked != 1 {
		t.Errorf("asked %d times; git said %s", asked, out)
	}
	refused := w.events(event.TypePushRefused)
	if len(refused) != 1 || refused[0].Actor != "user:wanda" || refused[0].Subject != "repo:shop/web" || refused[0].Project != "shop" {
		t.Fatalf("the logbook says %+v", refused)
	}
	var p event.PushRefused
	check(t, refused[0].Into(&p))
	want := event.PushRefused{V: 1, Repo: "shop/web", Refs: []string{"refs/heads/main"}, Refusals: []event.Refusal{
		{Guard: "refs", Rule: "default-branch", Ref: "refs/heads/main"}, {Guard: "test", Rule: "one"}, {Guard: "test", Rule: "two"},
	}}
	if d := cmp.Diff(want, p); d != "" {
		t.Error(d)
	}
	if got := w.inRepo(t, "rev-parse", "main"); got != head {
		t.Errorf("main moved to %s", got)
	}
	if left, _ := filepath.Glob(filepath.Join(w.folder(t), "objects", "tmp_objdir-*")); len(left) != 0 {
		t.Errorf("quarantines stay: %v", left)
	}
}

// A guard that cannot judge refuses, at every door, and says nothing of its trouble.
func TestGuardFailsClosed(t *testing.T) {
	w, c, head := seeded(t)
	w.svc.UseGuards(judge(func(context.Context, source.Push) ([]source.Refusal, error) {
		return nil, errors.New("the inner trouble")
	}))
	c.commit("Second", "b", "b")
	out := c.refused([]string{"could not check this push", "Nothing was changed"}, "push", w.url("wanda", "shop/web.git"), "main")
	if strings.Contains(out, "inner trouble") {
		t.Errorf("git said %s", out)
	}
	_, err := w.svc.Edit(t.Context(), actor("wanda"), source.Edit{Repo: "shop/web", Branch: "main", Path: "b", Content: []byte("b")})
	if err == nil {
		t.Error("an edit passed")
	}
	if got := w.inRepo(t, "rev-parse", "main"); got != head {
		t.Errorf("main moved to %s", got)
	}
}

func TestPullRefsAreThePlatforms(t *testing.T) {
	w, c, head := seeded(t)
	r, err := w.svc.Repo(t.Context(), actor("rita"), "shop/web")
	check(t, err)
	check(t, w.svc.SetRef(t.Context(), r, "refs/pull/7/head", head))
	check(t, w.svc.SetRef(t.Context(), r, "refs/pull/7/head", head)) // again
	next := c.commit("Second", "b", "b")
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main") // settles
	for _, refs := range [][]string{{next + ":refs/pull/7/head"}, {":refs/pull/7/head"}, {"main:refs/pull/8/merge"}} {
		c.refused([]string{"refs/pull/"}, append([]string{"push", "--force", w.url("admin", "shop/web.git")}, refs...)...)
	}
	c.git("fetch", "-q", w.url("rita", "shop/web.git"), "refs/pull/7/head")
	if got := c.git("rev-parse", "FETCH_HEAD"); got != head {
		t.Errorf("fetched %s, want %s", got, head)
	}
	// Not by a mirror, which would delete what it does not have.
	c.git("push", "-q", "--mirror", w.url("max", "shop/web.git"))
	if got := w.inRepo(t, "rev-parse", "refs/pull/7/head"); got != head {
		t.Errorf("refs/pull/7/head is at %s", got)
	}
	check(t, w.svc.Recover(t.Context()))
	for _, p := range w.pushed() {
		if strings.HasPrefix(p.Ref, "refs/pull/") {
			t.Errorf("announced %+v", p)
		}
	}
	for _, ref := range []string{"refs/heads/main", "refs/pull/0/head", "refs/pull/7/other", "refs/pull/../heads/main", "refs/pull/7/head\x00delete refs/heads/main"} {
		if err := w.svc.SetRef(t.Context(), r, ref, head); err == nil {
			t.Errorf("%q was set", ref)
		}
	}
	check(t, w.svc.SetRef(t.Context(), r, "refs/pull/7/head", strings.Repeat("0", 40)))
	if out := w.inRepo(t, "for-each-ref", "refs/pull"); out != "" {
		t.Errorf("refs stay: %s", out)
	}
}

// made builds a commit in a quarantine and returns it.
func made(t *testing.T, w *world, q *source.Scratch, parent, text string) string {
	t.Helper()
	run := func(in string, args ...string) string {
		env := append([]string{"GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x@x", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x@x"}, q.Env...)
		out, err := w.svc.Git().RunEnv(t.Context(), q.Dir, env, strings.NewReader(in), 1<<20, args...)
		check(t, err)
		return strings.TrimSpace(string(out))
	}
	blob := run(text, "hash-object", "-w", "--stdin")
	tree := run("100644 blob "+blob+"\tfile\n", "mktree")
	return run("", "commit-tree", tree, "-p", parent, "-m", text)
}

func TestUpdateRaces(t *testing.T) {
	w, c, head := seeded(t)
	const people = 6
	var won, lost atomic.Int64
	var wait sync.WaitGroup
	for i := range people {
		q, err := w.svc.Scratch(t.Context(), actor("wanda"), "shop/web")
		check(t, err)
		next := made(t, w, q, head, fmt.Sprint("by ", i))
		wait.Go(func() {
			err := w.svc.Update(context.Background(), actor("wanda"), source.Update{
				Repo: "shop/web", Door: source.DoorMerge, Pull: int64(i + 1), Scratch: q,
				Moves: []hook.Move{{Old: head, New: next, Ref: "refs/heads/main"}, {Old: strings.Repeat("0", 40), New: next, Ref: fmt.Sprint("refs/heads/m", i)}},
			})
			switch {
			case err == nil:
				won.Add(1)
			case fault.Is(err, fault.Conflict):
				lost.Add(1)
			default:
				t.Errorf("updating: %v", err)
			}
			if err := q.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	p := newClone(t)
	p.git("fetch", "-q", w.url("wanda", "shop/web.git"), "main")
	p.git("reset", "-q", "--hard", head)
	p.commit("By a push", "p", "p")
	wait.Go(func() {
		if _, err := p.try("push", w.url("wanda", "shop/web.git"), "HEAD:main"); err == nil {
			won.Add(1)
		}
	})
	wait.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of them moved main, %d conflicts", won.Load(), lost.Load())
	}
	// Nothing of those that lost came in, and all that is there is whole.
	if out := w.inRepo(t, "fsck", "--full", "--strict", "--unreachable"); strings.Contains(out, "unreachable") || strings.Contains(out, "missing") {
		t.Errorf("fsck said %s", out)
	}
	if left, _ := filepath.Glob(filepath.Join(w.folder(t), "objects", "tmp_objdir-*")); len(left) != 0 {
		t.Errorf("quarantines stay: %v", left)
	}
	if n := len(w.pushed()); n != 3 && n != 2 {
		t.Errorf("%d pushes are in the log", n)
	}
	_ = c
}

func TestUpdateIsRefusedAsAPushIs(t *testing.T) {
	w, _, head := seeded(t)
	zero := strings.Repeat("0", 40)
	q, err := w.svc.Scratch(t.Context(), actor("wanda"), "shop/web")
	check(t, err)
	defer func() { check(t, q.Close()) }()
	next := made(t, w, q, head, "text")
	update := func(user string, moves ...hook.Move) error {
		return w.svc.Update(t.Context(), actor(user), source.Update{Repo: "shop/web", Door: source.DoorMerge, Pull: 1, Moves: moves, Scratch: q})
	}
	main := hook.Move{Old: head, New: next, Ref: "refs/heads/main"}
	for name, tt := range map[string]struct {
		err  error
		kind fault.Kind
	}{
		"reader":          {update("rita", main), fault.Denied},
		"stranger":        {update("stranger", main), fault.NotFound},
		"stale":           {update("wanda", hook.Move{Old: next, New: head, Ref: "refs/heads/main"}), fault.Conflict},
		"exists":          {update("wanda", hook.Move{Old: zero, New: next, Ref: "refs/heads/main"}), fault.Conflict},
		"pull ref":        {update("wanda", hook.Move{Old: zero, New: next, Ref: "refs/pull/1/head"}), fault.Denied},
		"internal ref":    {update("wanda", hook.Move{Old: zero, New: next, Ref: "refs/internal/x"}), fault.Denied},
		"option":          {update("wanda", hook.Move{Old: zero, New: next, Ref: "refs/heads/--exec"}), fault.Denied},
		"line break":      {update("wanda", hook.Move{Old: zero, New: next, Ref: "refs/heads/a\nb"}), fault.Denied},
		"NUL":             {update("wanda", hook.Move{Old: zero, New: next, Ref: "refs/heads/a\x00b"}), fault.Denied},
		"delete default":  {update("max", hook.Move{Old: head, New: zero, Ref: "refs/heads/main"}), fault.Denied},
		"nothing":         {update("wanda"), fault.Invalid},
		"twice":           {update("wanda", main, main), fault.Invalid},
		"one of two":      {update("wanda", main, hook.Move{Old: zero, New: next, Ref: "refs/pull/1/head"}), fault.Denied},
		"beside a branch": {update("wanda", hook.Move{Old: zero, New: next, Ref: "refs/heads/main/x"}), fault.Conflict},
		"nobody":          {w.svc.Update(t.Context(), identity.Actor{Kind: identity.KindNobody}, source.Update{Repo: "shop/web", Door: source.DoorMerge, Moves: []hook.Move{main}}), fault.Unauthentic},
	} {
		wantKind(t, tt.err, tt.kind)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	if got := w.inRepo(t, "rev-parse", "main"); got != head || len(w.pushed()) != 1 {
		t.Errorf("main moved to %s", got)
	}
	var left int
	check(t, w.db.QueryRow(t.Context(), `SELECT COUNT(*) FROM source_push`).Scan(&left))
	if left != 0 {
		t.Errorf("%d intents are left", left)
	}
	check(t, update("wanda", main))
	if got := w.inRepo(t, "rev-parse", "main"); got != next {
		t.Errorf("main is at %s, want %s", got, next)
	}
	if p := w.pushed(); len(p) != 2 || p[1].Commit != next || p[1].Before != head || w.events(event.TypeCommitPushed)[1].Actor != "user:wanda" {
		t.Errorf("announced %+v", p)
	}
}

// What lies in the repository without a branch, as the test merge of a pull request does,
// is shown to the guards when a branch gains it, and what nothing gains stays out.
func TestGuardsSeeWhatBranchesGain(t *testing.T) {
	w, _, head := seeded(t)
	ctx := t.Context()
	q, err := w.svc.Scratch(ctx, actor("wanda"), "shop/web")
	check(t, err)
	defer func() { check(t, q.Close()) }()
	// As a test merge: written beside the quarantine.
	beside := *q
	beside.Env = nil
	next := made(t, w, &beside, head, "hidden words")
	scaffold := made(t, w, q, head, "scaffold")
	var shown string
	w.svc.UseGuards(judge(func(ctx context.Context, p source.Push) ([]source.Refusal, error) {
		if p.Objects == "" { // A deletion.
			return nil, nil
		}
		out, err := w.svc.Git().RunEnv(ctx, p.Dir, []string{"GIT_OBJECT_DIRECTORY=" + p.Objects}, nil, 1<<20, "cat-file", "--batch-all-objects", "--batch", "--unordered")
		shown = string(out)
		return nil, err
	}))
	for _, scratch := range []*source.Scratch{q, nil} {
		shown = ""
		ref := fmt.Sprint("refs/heads/side", scratch != nil)
		check(t, w.svc.Update(ctx, actor("wanda"), source.Update{Repo: "shop/web", Door: source.DoorMerge, Pull: 1, Scratch: scratch, Moves: []hook.Move{{Old: strings.Repeat("0", 40), New: next, Ref: ref}}}))
		if !strings.Contains(shown, "hidden words") {
			t.Errorf("the guards saw %q", shown)
		}
		check(t, w.svc.Update(ctx, actor("wanda"), source.Update{Repo: "shop/web", Door: source.DoorMerge, Pull: 1, Moves: []hook.Move{{Old: next, New: strings.Repeat("0", 40), Ref: ref}}}))
	}
	if _, err := w.svc.Git().Run(ctx, q.Dir, nil, 1<<10, "cat-file", "-e", scaffold); err == nil {
		t.Error("what no ref gains came in")
	}
}

// Refs cannot be moved from within a quarantine: its objects may never be taken in.
func TestNoRefMovesWithinAScratch(t *testing.T) {
	w, _, head := seeded(t)
	q, err := w.svc.Scratch(t.Context(), actor("rita"), "shop/web")
	check(t, err)
	defer func() { check(t, q.Close()) }()
	next := made(t, w, q, head, "text")
	if _, err := w.svc.Git().RunEnv(t.Context(), q.Dir, q.Env, nil, 1<<10, "update-ref", "refs/heads/x", next); err == nil {
		t.Error("a ref was moved within a quarantine")
	}
}

// A server that dies between taking in objects and moving refs, or between moving and
// announcing, leaves nothing that the next start does not make good.
func TestRecoverAfterAnUpdate(t *testing.T) {
	w, c, head := seeded(t)
	q, err := w.svc.Scratch(t.Context(), actor("wanda"), "shop/web")
	check(t, err)
	next := made(t, w, q, head, "text")
	check(t, w.svc.Update(t.Context(), actor("wanda"), source.Update{Repo: "shop/web", Door: source.DoorMerge, Pull: 1, Scratch: q, Moves: []hook.Move{{Old: head, New: next, Ref: "refs/heads/main"}}}))
	// As if the crash came after the move: the intent is there and the table behind.
	ctx := t.Context()
	var id string
	check(t, w.db.QueryRow(ctx, `SELECT id FROM source_repo`).Scan(&id))
	_, err = w.db.Exec(ctx, `UPDATE source_ref SET object_id = ?, commit_id = ? WHERE repo = ?`, head, head, id)
	check(t, err)
	_, err = w.db.Exec(ctx, `INSERT INTO source_push (id, repo, actor, begun, moves) VALUES ('p', ?, 'user:max', 0, ?)`, id,
		`[{"old":"`+head+`","new":"`+next+`","ref":"refs/heads/main"}]`)
	check(t, err)
	left, err := os.MkdirTemp(filepath.Join(w.folder(t), "objects"), "tmp_objdir-scratch-")
	check(t, err)
	w.stop()
	w.start()
	events := w.events(event.TypeCommitPushed)
	if n := len(events); n != 3 || events[2].Actor != "user:max" {
		t.Errorf("announced %+v", events)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("a quarantine stays")
	}
	c.git("fetch", "-q", w.url("rita", "shop/web.git"), "main")
}
