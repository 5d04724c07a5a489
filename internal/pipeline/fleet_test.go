package pipeline_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// pods is a cluster as far as the scheduler sees one: pods are there when they are made.
type pods struct {
	mu     sync.Mutex
	made   []pool.PodSpec
	states map[string]pool.PodState
	refuse error
}

func (p *pods) Create(_ context.Context, s pool.PodSpec) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse != nil {
		return p.refuse
	}
	if p.states == nil {
		p.states = map[string]pool.PodState{}
	}
	p.made, p.states[s.Name] = append(p.made, s), pool.PodState{Name: s.Name, Namespace: s.Settings.In(), Shape: s.Settings.Shape()}
	return nil
}

func (p *pods) List(context.Context) ([]pool.PodState, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []pool.PodState
	for _, s := range p.states {
		out = append(out, s)
	}
	return out, nil
}

func (p *pods) Delete(_ context.Context, namespace, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.states[name].Namespace == namespace {
		delete(p.states, name)
	}
	return nil
}

func (p *pods) is(name string, change func(*pool.PodState)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.states[name]
	change(&s)
	p.states[name] = s
}

// wait returns the pods that were made and are there, once ok says yes to them.
func (p *pods) wait(t *testing.T, what string, ok func([]pool.PodSpec) bool) []pool.PodSpec {
	t.Helper()
	for range 600 {
		p.mu.Lock()
		var there []pool.PodSpec
		for _, s := range p.made {
			if _, is := p.states[s.Name]; is {
				there = append(there, s)
			}
		}
		p.mu.Unlock()
		if ok(there) {
			return there
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the pods never were: " + what)
	return nil
}

// waits waits until the pods are as they are meant to be.
func (p *pods) waits(t *testing.T, what string, ok func(map[string]pool.PodState) bool) {
	t.Helper()
	for range 600 {
		p.mu.Lock()
		is := ok(p.states)
		p.mu.Unlock()
		if is {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("never so: " + what)
}

func number(n int) func([]pool.PodSpec) bool {
	return func(l []pool.PodSpec) bool { return len(l) == n }
}

func podWorld(t *testing.T) (*world, *pods) {
	t.Helper()
	p := &pods{}
	return newWorld(t, func(w *world) { w.pods = p }), p
}

// comes plays the agent of a pod that asks for its job.
func (w *world) comes(s pool.PodSpec) *protocol.Job {
	w.t.Helper()
	if status, body := w.joins(s.Token, s.Name, "", nil); status != http.StatusOK {
		w.t.Fatalf("registering %s: %d %s", s.Name, status, body)
	}
	status, body := w.ask(s.Token, "claim", "", protocol.Claim{Agent: s.Name, Ticket: rand.Text(), WaitSeconds: 20})
	var job protocol.Job
	if err := json.Unmarshal([]byte(body), &job); err != nil || status != http.StatusOK {
		w.t.Fatalf("claiming for %s: %d %s %v", s.Name, status, body, err)
	}
	return &job
}

const inPods = "pool: Kubernetes\njobs:\n- {job: one, container: tools:1, steps: [{bash: 'true'}]}\n- {job: two, container: tools:2, steps: [{bash: 'true'}]}\n"

func TestAPodRunsItsOwnJobAlone(t *testing.T) {
	w, p := podWorld(t)
	w.queuedRun(inPods)
	made := p.wait(t, "one for each job", number(2))
	first, other := made[0], made[1]
	if first.Containers[0].Image == other.Containers[0].Image || first.Token == other.Token {
		t.Errorf("the pods are the same: %+v", made)
	}
	mine := w.comes(first)
	if mine.Stage+"."+mine.Name != first.Job {
		t.Errorf("the pod for %s got %s", first.Job, mine.Name)
	}
	theirs := w.comes(other)
	for what, c := range map[string]struct {
		path, lease string
		in          any
		status      int
	}{
		"another job with the same token":  {"claim", "", protocol.Claim{Agent: first.Name, Ticket: rand.Text()}, http.StatusForbidden},
		"a job without a ticket":           {"claim", "", protocol.Claim{Agent: first.Name}, http.StatusForbidden},
		"a claim by the other pod's name":  {"claim", "", protocol.Claim{Agent: other.Name, Ticket: "t"}, http.StatusForbidden},
		"the other job, even by its lease": {"jobs/" + theirs.ID + "/heartbeat", theirs.Lease, protocol.Heartbeat{}, http.StatusNotFound},
		"an agent of another name":         {"register", "", protocol.Register{Name: "host", OS: "linux", Arch: "amd64"}, http.StatusForbidden},
		"its own job":                      {"jobs/" + mine.ID + "/heartbeat", mine.Lease, protocol.Heartbeat{}, http.StatusOK},
	} {
		if status, body := w.ask(first.Token, c.path, c.lease, c.in); status != c.status {
			t.Errorf("%s: %d %s, want %d", what, status, body, c.status)
		}
	}
	// The server's own agents get nothing of a pool of pods.
	if got := w.takes(agentToken, "host"); got != "" {
		t.Errorf("a host got %s", got)
	}
	for _, x := range []struct {
		s   pool.PodSpec
		job *protocol.Job
	}{{first, mine}, {other, theirs}} {
		if status, body := w.ask(x.s.Token, "jobs/"+x.job.ID+"/complete", x.job.Lease, protocol.Complete{Result: plan.Succeeded}); status != http.StatusOK {
			t.Fatal(status, body)
		}
		// Until it is gone nobody may take it for one that waits.
		list, err := w.svc.AgentsOf(t.Context(), ada, "Kubernetes")
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			if a.Name == x.s.Name && a.State != pool.Ending {
				t.Errorf("a pod whose job has ended is %s", a.State)
			}
		}
	}
	p.wait(t, "gone after their jobs", number(0))
	if status, _ := w.joins(first.Token, first.Name, "", nil); status != http.StatusUnauthorized {
		t.Errorf("the token of a pod whose job is over was answered with %d", status)
	}
}

func TestAPodThatEndsEndsItsJob(t *testing.T) {
	w, p := podWorld(t)
	d := w.queuedRun(inPods)
	made := p.wait(t, "one for each job", number(2))
	w.comes(made[0])
	p.is(made[0].Name, func(s *pool.PodState) { s.Over, s.Why = true, "container agent ended with exit code 137 OOMKilled" })
	p.is(made[1].Name, func(s *pool.PodState) {
		s.Stuck, s.Why, s.Next = true, "container job: ImagePullBackOff: not found.", "; check the name"
	})
	d = w.wait(d.Commit, over)
	for i, want := range []string{pipeline.LostPod + "ended: container agent ended with exit code 137 OOMKilled", "The pod of the job cannot start: container job: ImagePullBackOff: not found; check the name"} {
		if got := find(d, made[i].Job); got.Result != plan.Failed || got.Why != want {
			t.Errorf("%s: %s: %s", made[i].Job, got.Result, got.Why)
		}
	}
	p.wait(t, "gone", number(0))
	p.mu.Lock()
	p.refuse = fault.New(fault.Denied, "The cluster refuses the pod of the job: images must be signed")
	p.mu.Unlock()
	d = w.finish(inPods)
	if got := find(d, made[0].Job); got.Why != "The cluster refuses the pod of the job: images must be signed" {
		t.Error("a refused pod:", got.Why)
	}
}

func TestFreePodsWait(t *testing.T) {
	w, p := podWorld(t)
	if _, err := w.svc.Pools().Edit(t.Context(), root, "Kubernetes", func(s *pool.Settings) { s.Image, s.Warm, s.Max = "tools:1", 2, 4 }); err != nil {
		t.Fatal(err)
	}
	made := p.wait(t, "two that wait", number(2))
	if made[0].Job != "" || len(made[0].Containers) != 1 || made[0].Containers[0].Image != "tools:1" {
		t.Errorf("a pod that waits: %+v", made[0])
	}
	w.queuedRun("pool: Kubernetes\nsteps: [{bash: 'true'}]\n")
	// The job takes one of them, and another waits in its place: two are free again.
	now := p.wait(t, "two that wait beside one that works", number(3))
	var got *protocol.Job
	for _, s := range made {
		if status, body := w.joins(s.Token, s.Name, "", nil); status != http.StatusOK {
			t.Fatal(status, body)
		}
		if status, body := w.ask(s.Token, "claim", "", protocol.Claim{Agent: s.Name, Ticket: rand.Text()}); status == http.StatusOK {
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got == nil || now[2].Job != "" {
		t.Errorf("the job did not go to a pod that waited: %+v", now)
	}
}
