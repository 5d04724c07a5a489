//go:build prove

package e2e_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/internal/dev"
)

// TestSessionsOutliveTheServer halts the server while its cluster goes on, ends it, and
// kills it. Meanwhile requests with a key are told so, others notice nothing as long as there
// is a cluster, and the sessions go on without their developers' doing.
func TestSessionsOutliveTheServer(t *testing.T) {
	p := newProject(t, shared, "resume")
	p.chained()
	run := p.deployed("First", p.imageStage(), p.toDevelopment())
	ada, bob := p.person("ada-resume", "maintain"), p.person("bob-resume", "write")
	a := p.attach(ada, "cart", newLocal(t, ada.name))
	b := p.develop(bob, 0, p.workspace(), "cart", "--sync", "go build -o cart .", "--binary", "cart")
	b.await("live")
	b.open()
	ids := []string{a.session.ID, b.session.ID}
	goOn := func(after string) {
		t.Helper()
		start := time.Now()
		a.answers(throughApp, "program of "+ada.name)
		t.Logf("%s: %.1f s later ada's program answers", after, time.Since(start).Seconds())
		b.answers(throughApp, "first")
		t.Logf("%s: %.1f s later bob's program answers", after, time.Since(start).Seconds())
		p.stillLive(ids)
		p.serves(run.Commit)
	}
	goOn("at first")
	p.podValues(b)

	over := p.baseline(run.Commit)
	if err := p.running.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	halted := time.Now()
	p.told(a, "502 Bad Gateway\n\nthe ")
	t.Logf("%.0f s after the server was halted a keyed request is told", time.Since(halted).Seconds())
	if got, err := b.get(throughApp); err != nil || !strings.HasPrefix(got, "first") {
		t.Errorf("the program in the cluster needs the server: %q, %v", got, err)
	}
	if err := p.running.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	goOn("halted and let go")
	if answered, failed := over(); failed != 0 || answered == 0 {
		t.Errorf("while the server was halted cart answered %d requests, and not %d", answered, failed)
	}

	for what, sig := range map[string]syscall.Signal{"ended": syscall.SIGTERM, "killed": syscall.SIGKILL} {
		if err := p.stop(sig); err != nil {
			t.Fatal(err)
		}
		if err := p.start(); err != nil {
			t.Fatal(err)
		}
		goOn(what + " and started")
	}
	a.end()
	b.end()
	p.gone(a)
	p.gone(b)
}

// stillLive wants that the sessions, and no others, are live.
func (p *project) stillLive(ids []string) {
	p.t.Helper()
	var list []dev.Session
	if err := p.read(&list, "dev", "list", "--all", "--project", p.name); err != nil || len(list) != len(ids) {
		p.t.Errorf("there are %+v, %v", list, err)
	}
	for _, s := range list {
		if s.State != dev.Live {
			p.t.Errorf("the session of %s is %s: %s", s.User, s.State, s.Why)
		}
	}
}
