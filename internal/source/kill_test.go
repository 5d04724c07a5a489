package source_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/store"
)

// envServe makes the test program a server over the data folder that it names.
const envServe = "TOWPATH_TEST_SERVE"

// serve prints the server's address and serves until it is killed.
func serve(data string) {
	err := func() error {
		db, err := store.Open(context.Background(), filepath.Join(data, "towpath.db"))
		if err != nil {
			return err
		}
		program, err := os.Executable()
		if err != nil {
			return err
		}
		g := &guard{projects: map[string]map[string]identity.Role{"shop": {"wanda": identity.Write}}}
		svc, err := source.New(db, event.New(db, clock.System()), g, clock.System(), source.Options{Data: data, HookProgram: program})
		if err != nil {
			return err
		}
		if err := svc.Recover(context.Background()); err != nil {
			return err
		}
		fmt.Println(httptest.NewServer(svc.Handler(authenticate)).URL)
		select {}
	}()
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// child starts a server of its own process and returns its address.
func child(t *testing.T, data string) (url string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envServe+"="+data)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // It may have ended by itself, which the next read shows.
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		kill()
		t.Fatalf("the server did not start: %v", err)
	}
	return strings.TrimSpace(line), kill
}

// The server is killed again and again while people push. Whatever was acknowledged is
// there and announced, and the log never speaks of a ref that did not move.
func TestKilledWhilePeoplePush(t *testing.T) {
	data := t.TempDir()
	c := newClone(t)
	c.commit("First", "a", "a")
	type done struct{ ref, commit string }
	var mu sync.Mutex
	var acknowledged []done
	var n atomic.Int64
	tree := c.git("write-tree")
	// until pushes commits, each to a branch of its own, until a push fails.
	until := func(url string) {
		for range 200 {
			i := n.Add(1)
			ref := fmt.Sprintf("refs/heads/b%d", i)
			commit := c.git("commit-tree", "-p", "main", "-m", fmt.Sprint("Push ", i), tree)
			if _, err := c.try("push", url, commit+":"+ref); err != nil {
				return
			}
			mu.Lock()
			acknowledged = append(acknowledged, done{ref, commit})
			mu.Unlock()
		}
	}
	for range 6 {
		url, kill := child(t, data)
		url = strings.Replace(url, "http://", "http://wanda:secret-of-wanda@", 1) + "/shop/web.git"
		c.git("push", "-q", url, "main:refs/heads/base") // At least this one has all the time it needs.
		var wait sync.WaitGroup
		for range 3 {
			wait.Go(func() { until(url) })
		}
		time.Sleep(time.Duration(100+rand.IntN(600)) * time.Millisecond)
		kill()
		wait.Wait()
	}
	_, kill := child(t, data) // recovers
	kill()

	db, err := store.Open(t.Context(), filepath.Join(data, "towpath.db"))
	check(t, err)
	defer db.Close()
	log := event.New(db, clock.System())
	report, err := log.Verify(t.Context(), nil)
	check(t, err)
	if !report.OK {
		t.Errorf("the log is broken: %s", report.Why)
	}
	w := &world{t: t, data: data, db: db, log: log}
	at := map[string]string{}
	for _, e := range w.events(event.TypeCommitPushed) {
		var p event.CommitPushed
		check(t, e.Into(&p))
		if e.Actor != "user:wanda" {
			t.Errorf("%s was announced as by %s", p.Ref, e.Actor)
		}
		if at[p.Ref] != "" {
			t.Errorf("%s was announced twice", p.Ref)
		}
		at[p.Ref] = p.Commit
	}
	refs := map[string]string{}
	for line := range strings.Lines(w.inRepo(t, "for-each-ref", "--format=%(refname) %(objectname)")) {
		ref, hash, _ := strings.Cut(strings.TrimSpace(line), " ")
		refs[ref] = hash
		if at[ref] != hash {
			t.Errorf("%s is at %s, the log says %q", ref, hash, at[ref])
		}
	}
	for ref, commit := range at {
		if refs[ref] != commit {
			t.Errorf("the log says %s went to %s, it is at %q", ref, commit, refs[ref])
		}
	}
	if refs["refs/heads/base"] == "" {
		t.Error("the push that nothing disturbed is not there")
	}
	for _, a := range acknowledged {
		if refs[a.ref] != a.commit {
			t.Errorf("%s was acknowledged at %s, and is at %q", a.ref, a.commit, refs[a.ref])
		}
	}
	t.Logf("%d of %d pushes acknowledged, %d stored", len(acknowledged), n.Load(), len(refs)-1)
}
