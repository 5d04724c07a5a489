//go:build prove

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/internal/dev"
)

// TestSessionsOfTheLost has three developers go without a word: the command line of one is
// killed, the network of one is cut, the machine of one sleeps. Nobody else notices, nothing
// is left when the leases are over, and those who come back are told.
func TestSessionsOfTheLost(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "lost")
	p.chained()
	run := p.deployed("First", p.imageStage(), p.toDevelopment())
	far, cable := p.plugged()
	killed := p.attach(p.person("killed", "maintain"), "cart", newLocal(t, "killed"))
	cut := far.attach(p.person("cut", "write"), "cart", newLocal(t, "cut"))
	asleep := p.develop(p.person("asleep", "write"), 0, p.prebuilt(), "cart", "--run", "./local :8080", "--isolation", "auto")
	asleep.await("live")
	asleep.open()
	killed.answers(throughApp, "program of killed")
	cut.answers(throughApp, "program of cut")
	asleep.answers(throughApp, "first asleep")

	p.podValues(asleep)

	over := p.baseline(run.Commit)
	if err := killed.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	plug := cable.pull()
	wake := p.suspend(asleep)
	start := time.Now()
	for _, v := range []*developer{killed, cut, asleep} {
		p.told(v, "502 Bad Gateway\n\nthe developer's machine is not connected")
		t.Logf("after %.0f s the requests of %s are told that nobody is there", time.Since(start).Seconds(), v.who.name)
	}
	for _, v := range []*developer{killed, cut, asleep} {
		p.gone(v)
		p.told(v, "the session of this preview has ended")
	}
	t.Logf("nothing was left after %.0f s", time.Since(start).Seconds())
	p.expired(3)

	plug()
	wake()
	for _, v := range []*developer{cut, asleep} {
		p.wokeUp(v)
	}
	if answered, failed := over(); failed != 0 || answered == 0 {
		t.Errorf("without a key %d requests were answered by cart, %d were not", answered, failed)
	}
}

// podValues wants that the local program has what the downward API tells pods, and what is
// made of it.
func (p *project) podValues(v *developer) {
	p.t.Helper()
	node, err := p.kubectl("get", "nodes", "-o", `jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`)
	if err != nil {
		p.t.Fatal(err)
	}
	node = strings.TrimSpace(node)
	for name, want := range map[string]string{
		"HOST_IP": node, "COLLECTOR": "http://" + node + ":4318", "POD": "towpath-session-" + strings.ToLower(v.session.ID),
	} {
		if got, err := v.get("/via?to=http://cart/env?name=" + name); err != nil || got != want {
			p.t.Errorf("the local program has %s=%q, %v; want %q", name, got, err, want)
		}
	}
}

// baseline asks cart without a key until the function returned is called, which says how
// many answers were of the build and how many were not.
func (p *project) baseline(build string) func() (right, wrong int) {
	ctx, stop := context.WithCancel(p.t.Context())
	var wg sync.WaitGroup
	var right, wrong int
	wg.Go(func() {
		for ctx.Err() == nil {
			got, err := p.plain(throughApp)
			if err == nil && strings.HasPrefix(got, build) {
				right++
			} else {
				wrong++
				p.t.Logf("at %s cart answered %q, %v", time.Now().Format(time.TimeOnly), got, err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	return func() (int, int) {
		stop()
		wg.Wait()
		return right, wrong
	}
}

// suspend halts the command of a developer with all that it started, as a machine that is
// suspended halts; the function that it returns lets them go on.
func (p *project) suspend(v *developer) (wake func()) {
	p.t.Helper()
	all := descendants(v.cmd.Process.Pid)
	each := func(sig syscall.Signal) {
		for _, pid := range all {
			if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
				p.t.Errorf("process %d: %v", pid, err)
			}
		}
	}
	each(syscall.SIGSTOP)
	p.t.Cleanup(func() {
		if p.t.Failed() {
			each(syscall.SIGCONT)
		}
	})
	return func() { each(syscall.SIGCONT) }
}

// told waits until the keyed requests of a developer are refused with words. Until then
// nobody but the developer's program may answer them.
func (p *project) told(v *developer, words string) {
	p.t.Helper()
	p.eventually("the requests of "+v.who.name+" are refused: "+words, func() error {
		got, err := v.get(throughApp)
		switch {
		case err == nil && strings.Contains(got, v.who.name):
			return fmt.Errorf("it got %q", got)
		case err == nil:
			p.t.Fatalf("the request of %s got %q", v.who.name, got)
		case strings.Contains(err.Error(), words):
			return nil
		}
		return err
	})
}

// expired wants that so many sessions ended because they were not renewed.
func (p *project) expired(n int) {
	p.t.Helper()
	var list []dev.Session
	if err := p.read(&list, "dev", "list", "--all", "--project", p.name); err != nil || len(list) != n {
		p.t.Errorf("there were %+v, %v", list, err)
	}
	for _, s := range list {
		if s.State != dev.Ended || s.Why != dev.Expired {
			p.t.Errorf("the session of %s is %s: %s", s.User, s.State, s.Why)
		}
	}
}

// wokeUp wants that a command that comes back says that its session is over, and how to go
// on, and ends as one that failed.
func (p *project) wokeUp(v *developer) {
	p.t.Helper()
	select {
	case err := <-v.over:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			p.t.Errorf("the command of %s ended with %v, want exit code 1", v.who.name, err)
		}
	case <-time.After(patience):
		p.t.Errorf("the command of %s goes on", v.who.name)
	}
	words := strings.ToLower(tail(v.log, 2000))
	p.t.Logf("the command of %s said: %s", v.who.name, words)
	for _, want := range []string{"session", "lease", "towpath dev cart"} {
		if !strings.Contains(words, want) {
			p.t.Errorf("the command of %s does not say %q", v.who.name, want)
		}
	}
}
