//go:build prove

package e2e_test

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"towpath.dev/towpath/internal/pipeline/plan"
)

// sessionsFlag is how many services there are, each with a session.
var sessionsFlag = flag.Int("sessions", 4, "services, each with a session")

// TestManySessions has a session on each service of a namespace.
func TestManySessions(t *testing.T) {
	t.Parallel()
	n := *sessionsFlag
	p := newProject(t, shared, "crowd")
	p.routable()
	p.crowd(n)
	run := p.push("First", p.imageStage(), within("15m", p.toDevelopment()))
	p.crowded(n)
	p.deploymentEnded(run.Number)
	idle := len(p.pods(p.name))
	all := p.everyones(n)
	start := time.Now()
	p.inTurn(len(all), func(i int) {
		v := all[i]
		v.developer = p.attach(v.who, v.service, v.local)
	})
	t.Logf("%d sessions on %d services after %.0f s", n, n, time.Since(start).Seconds())
	busy := len(p.pods(p.name))
	t.Logf("%d pods without sessions, %d with %d", idle, busy, n)
	if added := busy - idle; added > n+2 {
		t.Errorf("%d sessions added %d pods, want at most %d", n, added, n+2)
	}
	p.inTurn(len(all), func(i int) {
		v := all[i]
		for other := range all {
			path := "/via?to=http://" + all[other].service
			want := run.Commit
			if other == i {
				want = v.local.says()
			}
			if got, err := v.get(path); err != nil || !strings.HasPrefix(got, want) {
				t.Errorf("with the key of %s on %s, %s answers %q, %v; want %q", v.who.name, v.service, all[other].service, got, err, want)
			}
		}
	})
	start = time.Now()
	p.inTurn(len(all), func(i int) { all[i].end() })
	p.eventually("all sessions are gone", func() error {
		out, err := p.kubectl("-n", p.name, "get", "pods,services,secrets,networkpolicies", "-l", "towpath.dev/session", "-o", "name")
		if err == nil && strings.TrimSpace(out) != "" {
			err = errors.New("there is " + out)
		}
		return err
	})
	t.Logf("all stopped and gone after %.0f s", time.Since(start).Seconds())
	if left := len(p.pods(p.name)) - idle; left > 2 {
		t.Errorf("%d pods more than before the sessions", left)
	}
}

// crowded waits until a pod of each service is ready. So many pods take their time on a small
// machine: each that comes is waited for anew.
func (p *project) crowded(n int) {
	p.t.Helper()
	for want := 1; want <= n; want++ {
		p.eventually(fmt.Sprintf("%d pods are ready", want), func() error {
			out, err := p.kubectl("-n", p.name, "get", "deployments", "-o", `jsonpath={range .items[*]}{.status.readyReplicas}{"\n"}{end}`)
			if got := len(strings.Fields(out)); err == nil && got < want {
				err = fmt.Errorf("%d are", got)
			}
			return err
		})
	}
}

// deploymentEnded wants that a run succeeds.
func (p *project) deploymentEnded(run int64) {
	p.t.Helper()
	if got := p.ended(run); got.Result != plan.Succeeded {
		p.t.Fatalf("the run ended %s: %s\n%s", got.Result, got.Why, p.log(run))
	}
}

// everyone is a developer to be, with a service and a program.
type everyone struct {
	*developer
	who     person
	service string
	local   *local
}

// everyones are so many; a person has at most five sessions.
func (p *project) everyones(n int) []*everyone {
	var out []*everyone
	var who person
	for i := range n {
		if i%5 == 0 {
			who = p.person(fmt.Sprintf("crowd-%d", i/5), "maintain")
		}
		service := fmt.Sprintf("svc-%d", i)
		out = append(out, &everyone{who: who, service: service, local: newLocal(p.t, who.name+" on "+service)})
	}
	return out
}

// inTurn calls do for each number below n, a few at a time, on goroutines of their own.
func (p *project) inTurn(n int, do func(int)) {
	p.t.Helper()
	free := make(chan struct{}, 4)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			do(i)
		})
	}
	if wg.Wait(); p.t.Failed() {
		p.t.FailNow()
	}
}
