package pipeline_test

import (
	"net/http"
	"testing"

	"towpath.dev/towpath/internal/pipeline/pool"
)

// warm has pods wait, and says that their agents have come.
func warm(t *testing.T, w *world, p *pods, n int) []pool.PodSpec {
	t.Helper()
	if _, err := w.svc.Pools().Edit(t.Context(), root, "Kubernetes", func(s *pool.Settings) { s.Image, s.Warm = "tools:1", n }); err != nil {
		t.Fatal(err)
	}
	made := p.wait(t, "as many as are to wait", number(n))
	for _, s := range made {
		if status, body := w.joins(s.Token, s.Name, "", nil); status != http.StatusOK {
			t.Fatal(status, body)
		}
	}
	return made
}

// A pod without a row is one that a restored database knows nothing of, or whose server was
// killed between the end of the row and that of the pod.
func TestPodsThatNobodyKnowsOfAreSwept(t *testing.T) {
	p := &pods{states: map[string]pool.PodState{
		"towpath-agent-orphan": {Name: "towpath-agent-orphan", Namespace: "elsewhere"},
		"towpath-agent-going":  {Name: "towpath-agent-going", Namespace: "elsewhere", Leaving: true, Over: true},
	}}
	w := newWorld(t, func(w *world) { w.pods = p })
	p.waits(t, "the orphan is gone, and what is going is left alone", func(states map[string]pool.PodState) bool {
		_, orphan := states["towpath-agent-orphan"]
		_, going := states["towpath-agent-going"]
		return !orphan && going
	})
	made := warm(t, w, p, 1)
	w.down()
	p.is("towpath-agent-late", func(s *pool.PodState) { s.Name, s.Namespace = "towpath-agent-late", "towpath-agents" })
	w.up()
	p.waits(t, "the late one is gone, and the one that waits is not", func(states map[string]pool.PodState) bool {
		_, late := states["towpath-agent-late"]
		_, waits := states[made[0].Name]
		return !late && waits
	})
}

// A server that ends between making a pod and its secret leaves one that cannot start.
func TestAPodThatWasBeingMadeIsMadeAnew(t *testing.T) {
	w, p := podWorld(t)
	w.queuedRun("pool: Kubernetes\njobs:\n- {job: one, container: tools:1, steps: [{bash: 'true'}]}\n")
	first := p.wait(t, "one for the job", number(1))[0]
	w.down()
	w.up()
	second := p.wait(t, "another in its place", func(l []pool.PodSpec) bool { return len(l) == 1 && l[0].Name != first.Name })[0]
	if second.Job != first.Job {
		t.Errorf("the pod is for %q, and the job is %q", second.Job, first.Job)
	}
	if status, _ := w.joins(first.Token, first.Name, "", nil); status != http.StatusUnauthorized {
		t.Errorf("the first one's token is answered with %d", status)
	}
	w.comes(second)
}

func TestFreePodsFollowTheirPool(t *testing.T) {
	w, p := podWorld(t)
	before := warm(t, w, p, 1)[0]
	edit := func(change func(*pool.Settings)) {
		t.Helper()
		if _, err := w.svc.Pools().Edit(t.Context(), root, "Kubernetes", change); err != nil {
			t.Fatal(err)
		}
	}
	edit(func(s *pool.Settings) { s.Image = "tools:2" })
	after := p.wait(t, "one with the other image alone", func(l []pool.PodSpec) bool { return len(l) == 1 && l[0].Name != before.Name })[0]
	if after.Containers[0].Image != "tools:2" {
		t.Errorf("the pod has the image %s", after.Containers[0].Image)
	}
	w.queuedRun("pool: Kubernetes\nsteps: [{bash: 'true'}]\n")
	w.comes(after)
	// What runs stays where it is when the pool goes to another namespace.
	edit(func(s *pool.Settings) { s.Namespace = "elsewhere" })
	now := p.wait(t, "a free one there beside that which works", func(l []pool.PodSpec) bool {
		return len(l) == 2 && l[1].Settings.Namespace == "elsewhere"
	})
	if now[0].Name != after.Name {
		t.Errorf("the pods are %s and %s, and %s has a job", now[0].Name, now[1].Name, after.Name)
	}
}

func TestPoolsListTheirPods(t *testing.T) {
	w, p := podWorld(t)
	free := warm(t, w, p, 2)
	d := w.queuedRun("pool: Kubernetes\njobs:\n- {job: one, container: other:1, steps: [{bash: 'true'}]}\n- {job: two, container: other:2, steps: [{bash: 'true'}]}\n")
	made := p.wait(t, "two that wait and two for jobs", number(4))
	byJob := map[string]pool.PodSpec{made[2].Job: made[2], made[3].Job: made[3]}
	w.comes(byJob["__default.one"])
	p.is(byJob["__default.two"].Name, func(s *pool.PodState) { s.Why = "0/1 nodes are available" })
	want := map[string]string{free[0].Name: "free", free[1].Name: "free", byJob["__default.one"].Name: "working", byJob["__default.two"].Name: "starting: 0/1 nodes are available"}
	p.waits(t, "each pod is listed with its state", func(map[string]pool.PodState) bool {
		list, err := w.svc.AgentsOf(t.Context(), root, "kubernetes")
		if err != nil {
			t.Error(err)
		}
		same := len(list) == len(want)
		for _, a := range list {
			same = same && want[a.Name] == a.State
		}
		return same || t.Failed()
	})
	got, err := w.svc.Pools().Pool(t.Context(), root, "Kubernetes")
	if err != nil || got.Agents != 4 || got.Online != 3 || got.Running != 1 || got.Queued != 1 {
		t.Errorf("%v: %+v", err, got)
	}
	d, err = w.svc.Show(t.Context(), root, d.Number)
	if err != nil || find(d, "__default.two").Waits != "its pod cannot start yet: 0/1 nodes are available" {
		t.Errorf("%v: the job waits %q", err, find(d, "__default.two").Waits)
	}
}

func TestARemovedPoolLeavesNoPods(t *testing.T) {
	w, p := podWorld(t)
	if _, err := w.svc.Pools().Create(t.Context(), root, "short", pool.Kubernetes, pool.Settings{Image: "tools:1", Warm: 2}); err != nil {
		t.Fatal(err)
	}
	p.wait(t, "two that wait", number(2))
	if err := w.svc.Pools().Remove(t.Context(), root, "short"); err != nil {
		t.Fatal(err)
	}
	p.wait(t, "gone with their pool", number(0))
}
