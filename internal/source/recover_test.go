package source_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/event"
)

// folder returns the only repository's folder.
func (w *world) folder(t testing.TB) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(w.data, "repos", "*.git"))
	if err != nil || len(list) != 1 {
		t.Fatalf("repositories %v, %v", list, err)
	}
	return list[0]
}

// inRepo runs git in the only repository, beside the server.
func (w *world) inRepo(t testing.TB, args ...string) string {
	t.Helper()
	c := &clone{t: t, dir: w.folder(t)}
	return c.git(args...)
}

func (w *world) socket(t testing.TB) string {
	t.Helper()
	return filepath.Join(w.data, "run", "hook.sock")
}

// The server is killed after git moved the ref and before the event was written: the
// next start writes it, in the pusher's name, once.
func TestRecoverAnnouncesWhatMoved(t *testing.T) {
	w, c, first := seeded(t)
	second := c.commit("Second", "b", "b")
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main:carrier") // brings the objects
	w.stop()
	ctx := t.Context()
	var id string
	check(t, w.db.QueryRow(ctx, `SELECT id FROM source_repo`).Scan(&id))
	_, err := w.db.Exec(ctx, `INSERT INTO source_push (id, repo, actor, begun, moves) VALUES ('p1', ?, 'user:wanda', 0, ?)`, id,
		`[{"old":"`+first+`","new":"`+second+`","ref":"refs/heads/main"},{"old":"`+strings.Repeat("0", 40)+`","new":"`+second+`","ref":"refs/heads/never"}]`)
	check(t, err)
	w.inRepo(t, "update-ref", "refs/heads/main", second)   // of the push
	w.inRepo(t, "update-ref", "refs/heads/by-hand", first) // by somebody on the machine
	w.inRepo(t, "update-ref", "-d", "refs/heads/carrier")
	w.start()
	events := w.events(event.TypeCommitPushed)[2:]
	var got []string
	for _, e := range events {
		var p event.CommitPushed
		check(t, e.Into(&p))
		got = append(got, e.Actor+" "+p.Ref+" "+p.Before[:4]+" "+p.Commit[:4])
	}
	want := "system:source refs/heads/by-hand 0000 " + first[:4] + "; user:wanda refs/heads/main " + first[:4] + " " + second[:4]
	if strings.Join(got, "; ") != want {
		t.Errorf("announced %q, want %q", got, want)
	}
	if gone := w.events(event.TypeRefDeleted); len(gone) != 1 || gone[0].Actor != "system:source" {
		t.Errorf("deleted %+v", gone)
	}
	check(t, w.svc.Recover(ctx))
	if n := len(w.events(event.TypeCommitPushed)); n != 4 {
		t.Errorf("a second recovery made %d pushes of 4", n)
	}
	var left int
	check(t, w.db.QueryRow(ctx, `SELECT COUNT(*) FROM source_push`).Scan(&left))
	if left != 0 {
		t.Errorf("%d intents are left", left)
	}
}

// Lock files and quarantines of a killed git do not stop later pushes.
func TestRecoverRemovesLocks(t *testing.T) {
	w, c, _ := seeded(t)
	w.stop()
	dir := w.folder(t)
	for _, name := range []string{"refs/heads/main.lock", "packed-refs.lock", "HEAD.lock"} {
		check(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
	}
	quarantine := filepath.Join(dir, "objects", "tmp_objdir-incoming-abc", "pack")
	check(t, os.MkdirAll(quarantine, 0o755))
	check(t, os.WriteFile(filepath.Join(quarantine, "tmp_pack_x"), []byte("x"), 0o644))
	unfinished := filepath.Join(w.data, "repos", "new-123")
	check(t, os.MkdirAll(filepath.Join(unfinished, "objects"), 0o755))
	full := filepath.Join(w.data, "repos", "unknown.git")
	check(t, os.MkdirAll(filepath.Join(full, "objects", "pack"), 0o755))
	check(t, os.WriteFile(filepath.Join(full, "objects", "pack", "p"), []byte("x"), 0o644))
	w.start()
	for path, stays := range map[string]bool{filepath.Dir(quarantine): false, unfinished: false, full: true} {
		if _, err := os.Stat(path); (err == nil) != stays {
			t.Errorf("%s: %v", path, err)
		}
	}
	c.commit("Second", "b", "b")
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main")
}

// A push that could not be settled is announced before the next one moves on.
func TestNextPushCatchesUp(t *testing.T) {
	w, c, first := seeded(t)
	second := c.commit("Second", "b", "b")
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main:carrier")
	ctx := t.Context()
	var id string
	check(t, w.db.QueryRow(ctx, `SELECT id FROM source_repo`).Scan(&id))
	_, err := w.db.Exec(ctx, `INSERT INTO source_push (id, repo, actor, begun, moves) VALUES ('p1', ?, 'user:wanda', 0, ?)`, id,
		`[{"old":"`+first+`","new":"`+second+`","ref":"refs/heads/main"}]`)
	check(t, err)
	w.inRepo(t, "update-ref", "refs/heads/main", second)
	third := c.commit("Third", "c", "c")
	c.git("push", "-q", w.url("max", "shop/web.git"), "main")
	got := w.events(event.TypeCommitPushed)[2:]
	if len(got) != 2 || got[0].Actor != "user:wanda" || got[0].Subject != event.Of(event.KindCommit, second) || got[1].Actor != "user:max" || got[1].Subject != event.Of(event.KindCommit, third) {
		t.Errorf("announced %+v", got)
	}
}
