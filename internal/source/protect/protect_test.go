package protect_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/hook"
	"towpath.dev/towpath/internal/source/protect"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

func TestPrivateKeyIsRefusedWithPlaceAndWayOn(t *testing.T) {
	w := newWorld(t)
	w.commit(map[string]string{"README.md": "hello\n"})
	w.accepted()
	key := privateKey(t)
	commit := w.commit(map[string]string{"deploy/tls.txt": "# for the server\n" + key})
	refusals := w.push()
	if len(refusals) != 1 {
		t.Fatalf("%d refusals", len(refusals))
	}
	want := event.Refusal{Guard: "secrets", Rule: "private-key", Ref: "refs/heads/main", Commit: commit, Path: "deploy/tls.txt", Line: 2}
	if diff := cmp.Diff(want, refusals[0].Refusal); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	found, err := w.Blocked(t.Context(), user("rita"), "shop/web")
	check(t, err)
	if len(found) != 1 || found[0].Times != 1 || found[0].Actor != "user:ada" || found[0].Path != "deploy/tls.txt" || found[0].Line != 2 {
		t.Fatalf("recorded: %+v", found)
	}
	text := refusals[0].Text
	for _, part := range []string{
		"private-key", commit[:10], "deploy/tls.txt:2", "-----BEGIN PRIVATE KEY-----…", "git commit --all --amend",
		"towpath secret bypass " + found[0].ID + " --reason", "http://towpath.example/projects/shop/code/web/secrets/" + found[0].ID,
	} {
		if !strings.Contains(text, part) {
			t.Errorf("the message lacks %q:\n%s", part, text)
		}
	}
	if strings.Contains(text, strings.Split(key, "\n")[1]) {
		t.Error("the message holds the key")
	}
	w.nowhere(key)

	// The same secret at another place is the same finding.
	w.run(w.work, nil, "mv", "deploy/tls.txt", "moved.txt")
	w.run(w.work, nil, "commit", "-q", "--amend", "-m", "moved")
	w.push()
	again, err := w.Blocked(t.Context(), user("rita"), "shop/web")
	check(t, err)
	if len(again) != 1 || again[0].ID != found[0].ID || again[0].Times != 2 || again[0].Path != "moved.txt" {
		t.Errorf("after the second push: %+v", again)
	}
}

// TestMergesAreScannedThroughEveryParent is the known hole of others: a secret that comes
// in by the second parent, or by the merge commit itself.
func TestMergesAreScannedThroughEveryParent(t *testing.T) {
	tests := []struct {
		name  string
		build func(w *world, secret string) (commit string)
	}{
		{"second parent", func(w *world, secret string) string {
			w.run(w.work, nil, "checkout", "-q", "-b", "side")
			commit := w.commit(map[string]string{"side.txt": "token " + secret + "\n"})
			w.run(w.work, nil, "checkout", "-q", "main")
			w.commit(map[string]string{"main.txt": "main\n"})
			w.run(w.work, nil, "merge", "-q", "--no-ff", "-m", "merge", "side")
			return commit
		}},
		{"second parent, removed later", func(w *world, secret string) string {
			w.run(w.work, nil, "checkout", "-q", "-b", "side")
			commit := w.commit(map[string]string{"side.txt": "token " + secret + "\n"})
			w.commit(map[string]string{"side.txt": "gone\n"})
			w.run(w.work, nil, "checkout", "-q", "main")
			w.run(w.work, nil, "merge", "-q", "--no-ff", "-m", "merge", "side")
			return commit
		}},
		{"the merge itself", func(w *world, secret string) string {
			w.run(w.work, nil, "checkout", "-q", "-b", "side")
			w.commit(map[string]string{"side.txt": "side\n"})
			w.run(w.work, nil, "checkout", "-q", "main")
			w.commit(map[string]string{"main.txt": "main\n"})
			w.run(w.work, nil, "merge", "-q", "--no-ff", "--no-commit", "side")
			return w.commit(map[string]string{"evil.txt": "token " + secret + "\n"})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.commit(map[string]string{"README.md": "hello\n"})
			w.accepted()
			commit := tt.build(w, token())
			refusals := w.push()
			if len(refusals) != 1 || refusals[0].Rule != "github-pat" || refusals[0].Commit != commit {
				t.Fatalf("refusals: %+v, want commit %s", refusals, commit)
			}
		})
	}
}

func TestOldSecretDoesNotBlock(t *testing.T) {
	w := newWorld(t)
	old, fresh := token(), token()
	w.commit(map[string]string{"config.env": "A=" + old + "\n" + strings.Repeat("line\n", 40)})
	// It came in before there was a guard.
	w.run(w.work, nil, "push", "-q", w.bare, "main")

	w.commit(map[string]string{"config.env": "A=" + old + "\n" + strings.Repeat("line\n", 40) + "B=1\n"})
	w.commit(map[string]string{"config.env": "A=" + old + "\n" + strings.Repeat("line\n", 40) + "B=2\n"})
	w.accepted()

	w.run(w.work, nil, "mv", "config.env", "settings.env")
	w.commit(map[string]string{"settings.env": "A=" + old + "\n" + strings.Repeat("line\n", 40) + "B=3\n"})
	w.accepted()

	w.commit(map[string]string{"settings.env": "A=" + old + "\nC=" + fresh + "\n" + strings.Repeat("line\n", 40)})
	if r := w.push(); len(r) != 1 || r[0].Line != 2 {
		t.Fatalf("the new secret beside the old one: %+v", r)
	}
}

func TestPushesWithoutNewContent(t *testing.T) {
	w := newWorld(t)
	commit := w.commit(map[string]string{"a.txt": token() + "\n"})
	w.run(w.work, nil, "push", "-q", w.bare, "main")
	p := source.Push{Repo: source.Repo{Project: "shop", Name: "web"}, Actor: user("ada"), Dir: w.bare}
	p.Moves = []hook.Move{{Old: commit, New: git.Zero, Ref: "refs/heads/main"}}
	if r := w.judge(p); len(r) != 0 {
		t.Errorf("a deletion: %+v", r)
	}
	// A branch at a commit that is there, with and without a quarantine.
	p.Moves = []hook.Move{{Old: git.Zero, New: commit, Ref: "refs/heads/two"}}
	if r := w.judge(p); len(r) != 0 {
		t.Errorf("a second branch: %+v", r)
	}
	if r := w.judge(w.incoming(map[string]string{"refs/heads/three": commit})); len(r) != 0 {
		t.Errorf("a third branch: %+v", r)
	}
}

func TestEveryRefOfAPushIsScanned(t *testing.T) {
	w := newWorld(t)
	first := w.commit(map[string]string{"a.txt": "a\n"})
	w.run(w.work, nil, "checkout", "-q", "-b", "bad")
	bad := w.commit(map[string]string{"b.txt": token() + "\n"})
	r := w.judge(w.incoming(map[string]string{"refs/heads/main": first, "refs/heads/bad": bad}))
	if len(r) != 1 || r[0].Commit != bad || r[0].Path != "b.txt" {
		t.Errorf("two branches: %+v", r)
	}

	// A tag that points at a blob is reached by no commit.
	blob := w.run(w.work, strings.NewReader(token()+"\n"), "hash-object", "-w", "--stdin")
	r = w.judge(w.incoming(map[string]string{"refs/heads/main": first, "refs/tags/data": blob}))
	if len(r) != 1 || r[0].Commit != "" || !strings.Contains(r[0].Text, blob[:10]) {
		t.Errorf("a tag of a blob: %+v", r)
	}
}

// TestPushAllowsItselfNothing holds whatever the pushed files say about scanners.
func TestPushAllowsItselfNothing(t *testing.T) {
	w := newWorld(t)
	secret := token()
	w.commit(map[string]string{
		".gitleaks.toml":   "[allowlist]\npaths = ['''.*''']\nregexes = ['''.*''']\n",
		".gitleaksignore":  "a.txt:github-pat:1\n",
		".gitattributes":   "* -diff binary\n",
		"a.txt":            secret + " # gitleaks:allow towpath:allow\n",
		"node_modules/b.x": secret + " # gitleaks:allow towpath:allow\n",
	})
	r := w.push()
	if len(r) != 1 || r[0].Path != "a.txt" {
		t.Errorf("refusals: %+v", r)
	}
}

func TestBypassLetsOneSecretIntoOneRepository(t *testing.T) {
	w := newWorld(t)
	secret := token()
	w.commit(map[string]string{"a.txt": "x\n" + secret + "\n"})
	w.push()
	found, err := w.Blocked(t.Context(), user("ada"), "shop/web")
	check(t, err)
	id := found[0].ID

	run := identity.Actor{Kind: identity.KindRun, Name: "ada", Cap: identity.Admin}
	for name, tt := range map[string]struct {
		actor identity.Actor
		id    string
		b     protect.Bypass
		want  fault.Kind
	}{
		"a reader":          {user("rita"), id, protect.Bypass{Reason: protect.TestValue}, fault.Denied},
		"a stranger":        {user("eve"), id, protect.Bypass{Reason: protect.TestValue}, fault.NotFound},
		"nobody":            {identity.Actor{}, id, protect.Bypass{Reason: protect.TestValue}, fault.Unauthentic},
		"a run":             {run, id, protect.Bypass{Reason: protect.TestValue}, fault.Denied},
		"an unknown id":     {user("ada"), "01J", protect.Bypass{Reason: protect.TestValue}, fault.NotFound},
		"no reason":         {user("ada"), id, protect.Bypass{}, fault.Invalid},
		"too long":          {user("ada"), id, protect.Bypass{Reason: protect.FixLater, For: 8 * 24 * time.Hour}, fault.Invalid},
		"much too long":     {user("ada"), id, protect.Bypass{Reason: protect.FalsePositive, For: 91 * 24 * time.Hour}, fault.Invalid},
		"into the past":     {user("ada"), id, protect.Bypass{Reason: protect.FixLater, For: -time.Hour}, fault.Invalid},
		"a wordy commenter": {user("ada"), id, protect.Bypass{Reason: protect.FixLater, Comment: strings.Repeat("x", 1001)}, fault.Invalid},
	} {
		if _, err := w.Bypass(t.Context(), tt.actor, tt.id, tt.b); !fault.Is(err, tt.want) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
	if r := w.push(); len(r) != 1 {
		t.Fatal("a refused bypass let the push through")
	}

	g, err := w.Bypass(t.Context(), user("bob"), id, protect.Bypass{Reason: protect.TestValue, Comment: "a sample"})
	check(t, err)
	if d := g.Expires.Sub(g.Made); d != 3*time.Hour {
		t.Errorf("it holds for %s", d)
	}
	shown, err := w.Show(t.Context(), user("rita"), id)
	check(t, err)
	if shown.Bypass == nil || shown.Bypass.ID != g.ID {
		t.Errorf("shown: %+v", shown)
	}
	var said event.SecretBypassed
	audit := w.events(event.TypeSecretBypassed)
	if len(audit) != 1 || audit[0].Actor != "user:bob" {
		t.Fatalf("audit: %+v", audit)
	}
	check(t, audit[0].Into(&said))
	if said.Fingerprint != found[0].Fingerprint || said.Reason != protect.TestValue || said.Comment != "a sample" || !said.Expires.Equal(g.Expires) {
		t.Errorf("audit: %+v", said)
	}
	w.nowhere(secret)

	other := w.incoming(map[string]string{"refs/heads/main": w.head()})
	other.Repo.Name = "api"
	if r, err := w.Check(t.Context(), other); err != nil || len(r) != 1 {
		t.Errorf("in another repository: %+v, %v", r, err)
	}
	// Another secret is still refused.
	w.commit(map[string]string{"b.txt": token() + "\n"})
	if r := w.push(); len(r) != 1 || r[0].Path != "b.txt" {
		t.Fatalf("another secret: %+v", r)
	}
	w.run(w.work, nil, "reset", "-q", "--hard", "HEAD^")
	w.accepted()
}

func TestBypassEnds(t *testing.T) {
	storetest.Each(t, bypassEnds)
}

func bypassEnds(t *testing.T, db *store.DB) {
	w := newWorldOn(t, db)
	w.commit(map[string]string{"a.txt": token() + "\n"})
	w.push()
	found, err := w.Blocked(t.Context(), user("ada"), "shop/web")
	check(t, err)
	_, err = w.Bypass(t.Context(), user("ada"), found[0].ID, protect.Bypass{Reason: protect.FixLater, For: time.Hour})
	check(t, err)
	w.clock.ahead = time.Hour + time.Minute
	if r := w.push(); len(r) != 1 {
		t.Error("an expired bypass let the push through")
	}

	g, err := w.Bypass(t.Context(), user("ada"), found[0].ID, protect.Bypass{Reason: protect.FixLater})
	check(t, err)
	if err := w.Revoke(t.Context(), user("rita"), g.ID); !fault.Is(err, fault.Denied) {
		t.Errorf("a reader revokes: %v", err)
	}
	check(t, w.Revoke(t.Context(), user("bob"), g.ID))
	if r := w.push(); len(r) != 1 {
		t.Error("a revoked bypass let the push through")
	}
	if err := w.Revoke(t.Context(), user("bob"), g.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("revoked twice: %v", err)
	}
	all, err := w.Bypasses(t.Context(), user("rita"), "shop/web")
	check(t, err)
	if len(all) != 2 || all[0].ID != g.ID || all[0].RevokedBy != "user:bob" {
		t.Errorf("bypasses: %+v", all)
	}
	if n := len(w.events(event.TypeSecretBypassed)); n != 3 {
		t.Errorf("%d events, want two bypasses and a revocation", n)
	}

	// What came in by a bypass stays known after it.
	_, err = w.Bypass(t.Context(), user("ada"), found[0].ID, protect.Bypass{Reason: protect.FixLater})
	check(t, err)
	w.accepted()
	w.clock.ahead += 24 * time.Hour
	w.run(w.work, nil, "mv", "a.txt", "c.txt")
	copied, err := os.ReadFile(filepath.Join(w.work, "c.txt"))
	check(t, err)
	w.commit(map[string]string{"elsewhere.txt": "copy of\n" + string(copied)})
	w.accepted()
}

// TestThinPack: the quarantine then holds objects of the repository, completed by git.
func TestThinPack(t *testing.T) {
	w := newWorld(t)
	body := strings.Repeat("a line of some text that deltas well\n", 200)
	w.commit(map[string]string{"a.txt": body + token() + "\n"})
	w.run(w.work, nil, "push", "-q", w.bare, "main")
	w.commit(map[string]string{"a.txt": body + "clean\n"})
	p := w.incoming(map[string]string{"refs/heads/main": w.head()})
	listed := w.runEnv(w.bare, []string{"GIT_OBJECT_DIRECTORY=" + p.Objects}, nil, "cat-file", "--batch-all-objects", "--batch-check")
	if n := strings.Count(listed, " blob "); n != 2 {
		t.Fatalf("%d blobs in the quarantine, want the new one and its base", n)
	}
	if r := w.judge(p); len(r) != 0 {
		t.Errorf("refused: %+v", r)
	}
}

func TestHugeBlob(t *testing.T) {
	w := newWorld(t)
	filler := strings.Repeat("just some text, line after line\n", 8<<20/32)
	w.commit(map[string]string{"big.txt": "KEY " + token() + "\n" + filler})
	if r := w.push(); len(r) != 1 || r[0].Line != 1 {
		t.Errorf("at the beginning of 8 MiB: %+v", r)
	}
	// The documented limit: what stands behind the first 5 MiB is not seen.
	w.run(w.work, nil, "update-ref", "-d", "HEAD")
	w.commit(map[string]string{"big.txt": filler + "KEY " + token() + "\n"})
	w.accepted()
}

func TestAtMostFiveAreShown(t *testing.T) {
	w := newWorld(t)
	files := map[string]string{}
	for i := range 8 {
		files[fmt.Sprintf("f%d.txt", i)] = token() + "\n"
	}
	w.commit(files)
	r := w.push()
	if len(r) != 5 || !strings.Contains(r[4].Text, "and 3 more") {
		t.Fatalf("%d refusals: %+v", len(r), r)
	}
	found, err := w.Blocked(t.Context(), user("ada"), "shop/web")
	check(t, err)
	if len(found) != 8 {
		t.Errorf("%d recorded, want all", len(found))
	}
}

func TestEarlierCommitIsNamedForRebase(t *testing.T) {
	w := newWorld(t)
	w.commit(map[string]string{"a.txt": "a\n"})
	w.accepted()
	bad := w.commit(map[string]string{"b.txt": token() + "\n"})
	w.commit(map[string]string{"b.txt": "gone\n"})
	r := w.push()
	if len(r) != 1 || !strings.Contains(r[0].Text, "git rebase --interactive "+bad[:10]+"^") {
		t.Errorf("refusals: %+v", r)
	}
}

func TestFailsClosed(t *testing.T) {
	w := newWorld(t, func(o *protect.Options) { o.Limit = time.Nanosecond })
	w.commit(map[string]string{"a.txt": "clean\n"})
	if r := w.push(); len(r) != 1 || r[0].Rule != protect.RuleTimeout || !strings.Contains(r[0].Text, "within 1ns") {
		t.Errorf("no time: %+v", r)
	}

	w = newWorld(t)
	w.commit(map[string]string{"a.txt": "clean\n"})
	p := w.incoming(map[string]string{"refs/heads/main": w.head()})
	whole := p.Objects
	p.Objects = filepath.Join(w.bare, "objects", "tmp_objdir-gone")
	if r, err := w.Check(t.Context(), p); err != nil || len(r) != 1 || r[0].Rule != protect.RuleFailed {
		t.Errorf("no quarantine: %+v, %v", r, err)
	}
	p.Objects = whole
	packs, err := filepath.Glob(filepath.Join(whole, "pack", "*.pack"))
	check(t, err)
	check(t, os.Chmod(packs[0], 0o600))
	check(t, os.Truncate(packs[0], 20))
	if r, err := w.Check(t.Context(), p); err != nil || len(r) != 1 || r[0].Rule != protect.RuleFailed {
		t.Errorf("a damaged pack: %+v, %v", r, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Check(gone, p); err == nil {
		t.Error("a pusher who has gone: no error")
	}

	w = newWorld(t, func(o *protect.Options) { o.Limit, o.FailOpen = time.Nanosecond, true })
	w.commit(map[string]string{"a.txt": "clean\n"})
	if r := w.push(); len(r) != 0 || !strings.Contains(w.said.String(), "could not be scanned") {
		t.Errorf("fail open: %+v, logged %s", r, w.said)
	}
}
