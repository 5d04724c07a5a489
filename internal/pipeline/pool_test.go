package pipeline_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

var root = identity.Actor{Kind: identity.KindUser, Name: "root", Cap: identity.Admin, Admin: true}

// joins registers an agent with a token and returns how that was answered.
func (w *world) joins(token, name, in string, has map[string]string) (int, string) {
	w.t.Helper()
	return w.ask(token, "register", "", protocol.Register{Name: name, OS: "linux", Arch: "amd64", Version: "1", Slots: 1, Pool: in, Capabilities: has})
}

// joined registers an agent that may.
func (w *world) joined(name, in string, has map[string]string) {
	w.t.Helper()
	if status, body := w.joins(agentToken, name, in, has); status != http.StatusOK {
		w.t.Fatalf("registering %s: %d %s", name, status, body)
	}
}

// takes claims a job for an agent; "" when there is none for it.
func (w *world) takes(token, name string) string {
	w.t.Helper()
	status, body := w.ask(token, "claim", "", protocol.Claim{Agent: name, Ticket: rand.Text(), WaitSeconds: 0})
	if status == http.StatusNoContent {
		return ""
	}
	var job protocol.Job
	if err := json.Unmarshal([]byte(body), &job); err != nil || status != http.StatusOK {
		w.t.Fatalf("claiming for %s: %d %s %v", name, status, body, err)
	}
	return job.Name
}

// queuedRun pushes a pipeline and waits until all its jobs are queued or over.
func (w *world) queuedRun(yaml string) *pipeline.Detail {
	w.t.Helper()
	return w.wait(w.pipeline(yaml), func(d *pipeline.Detail) bool {
		for _, st := range d.Stages {
			for _, j := range st.Jobs {
				if j.Status == plan.Pending {
					return false
				}
			}
		}
		return len(d.Stages) > 0
	})
}

const pooled = `
jobs:
- {job: anywhere, steps: [{bash: "true"}]}
- {job: linux, pool: {name: linux, demands: [docker, Agent.OS -equals linux]}, steps: [{bash: "true"}]}
- {job: gpu, pool: {name: LINUX, demands: gpu -equals a100}, steps: [{bash: "true"}]}
`

func TestPoolsAndDemandsJ011_Y002_Y146_Y171toY173(t *testing.T) {
	each(t, func(t *testing.T, change func(*world)) {
		w := newWorld(t, change)
		if _, err := w.svc.Pools().Create(t.Context(), root, "linux", pool.Host, pool.Settings{}); err != nil {
			t.Fatal(err)
		}
		w.joined("plain", "", nil)
		w.joined("docker", "Linux", map[string]string{"Docker": "/usr/bin/docker", "Agent.OS": "Linux"})
		w.joined("gpu", "linux", map[string]string{"GPU": "A100", "docker": "/bin/docker", "Agent.OS": "Linux"})
		w.queuedRun(pooled)
		for _, c := range [][2]string{{"docker", "linux"}, {"docker", ""}, {"gpu", "gpu"}, {"gpu", ""}, {"plain", "anywhere"}, {"plain", ""}} {
			if got := w.takes(agentToken, c[0]); got != c[1] {
				t.Errorf("%s got the job %q, want %q", c[0], got, c[1])
			}
		}
	})
}

func TestDemandsThatNobodyMeetsSaySoJ011(t *testing.T) {
	w := newWorld(t)
	if _, err := w.svc.Pools().Create(t.Context(), root, "linux", pool.Host, pool.Settings{}); err != nil {
		t.Fatal(err)
	}
	yaml := "pool: {name: linux, demands: [docker, \"java -equals 21\"]}\nsteps:\n- bash: 'true'\n"
	d := w.queuedRun(yaml)
	if got := find(d, "__default.Job"); got.Status != "Queued" || got.Waits != "pool linux has no agents yet" || !slices.Equal(got.Demands, []string{"docker", "java -equals 21"}) {
		t.Errorf("the job of an empty pool: %+v", got)
	}
	w.joined("old", "linux", map[string]string{"docker": "/usr/bin/docker", "java": "17"})
	w.joined("bare", "linux", nil)
	d = w.wait(w.pipeline(yaml), over)
	want := "No agent of pool linux meets the demands of the job (docker, java -equals 21): bare lacks docker, java -equals 21; old lacks java -equals 21"
	if got := find(d, "__default.Job"); got.Result != plan.Failed || got.Why != want {
		t.Errorf("the job ended %s with\n%s\nwant\n%s", got.Result, got.Why, want)
	}
	for yaml, want := range map[string]string{
		"pool: nowhere\nsteps: [{bash: 'true'}]\n":                            `There is no agent pool nowhere; make it with: towpath pool create "nowhere"`,
		"pool: linux\ncontainer: node:22\nsteps: [{bash: 'true'}]\n":          "The agents of pool linux are hosts, which have no containers; name a pool of kind kubernetes, such as Kubernetes",
		"pool: {name: Kubernetes, demands: [gpu]}\nsteps: [{bash: 'true'}]\n": `The agents of pool Kubernetes do not meet the demands of the job: they lack gpu; say that its image has it: towpath pool edit "Kubernetes" --capability NAME=VALUE`,
	} {
		d := w.wait(w.pipeline(yaml), over)
		if got := find(d, "__default.Job"); got.Why != want {
			t.Errorf("%s\ngot  %s\nwant %s", yaml, got.Why, want)
		}
	}
}

func TestHostedImagesGoToAPoolY174(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.finish("pool: {vmImage: ubuntu-latest}\nsteps:\n- checkout: none\n- bash: echo hello\n")
	if log := w.text(d, "__default.Job", 1); d.Result != plan.Succeeded || !strings.Contains(log, "There are no hosted agents here: ubuntu-latest is the pool Default") {
		t.Errorf("%s: the log does not say where the image went:\n%s", d.Result, log)
	}
	if _, err := w.svc.Pools().Create(t.Context(), root, "mac", pool.Host, pool.Settings{VMImages: []string{"macOS-*"}}); err != nil {
		t.Fatal(err)
	}
	w.joined("mini", "mac", nil)
	// A matrix says which image a leg is for.
	w.queuedRun("strategy:\n  matrix:\n    m: {image: macos-14}\npool: {vmImage: $(image)}\nsteps:\n- bash: 'true'\n")
	if got := w.takes(agentToken, "mini"); got != "Job" {
		t.Errorf("the pool that stands for macOS got %q", got)
	}
	// The hosted pool's own name is one of them.
	d = w.finish("pool: {name: Azure Pipelines, vmImage: windows-2022}\nsteps:\n- checkout: none\n- bash: echo hello\n")
	if d.Result != plan.Succeeded {
		t.Error("the hosted pool of the service did not become Default:", d.Why)
	}
}

func TestPoolTokensStayInTheirPoolJ011(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for _, name := range []string{"linux", "secret"} {
		if _, err := w.svc.Pools().Create(ctx, root, name, pool.Host, pool.Settings{}); err != nil {
			t.Fatal(err)
		}
	}
	token, err := w.svc.Pools().Token(ctx, root, "linux")
	if err != nil {
		t.Fatal(err)
	}
	w.joined("vault", "secret", nil)
	w.queuedRun("jobs:\n- {job: own, pool: linux, steps: [{bash: 'true'}]}\n- {job: other, pool: secret, steps: [{bash: 'true'}]}\n")
	for what, c := range map[string]struct {
		name, in string
		status   int
	}{
		"another pool":                   {"build", "secret", http.StatusForbidden},
		"the name of an agent elsewhere": {"vault", "", http.StatusConflict},
		"its own":                        {"build", "", http.StatusOK},
	} {
		if status, body := w.joins(token, c.name, c.in, nil); status != c.status {
			t.Errorf("%s: %d %s, want %d", what, status, body, c.status)
		}
	}
	if status, _ := w.ask(token, "claim", "", protocol.Claim{Agent: "vault"}); status != http.StatusForbidden {
		t.Errorf("a claim by another agent's name was answered with %d", status)
	}
	var other protocol.Job
	_, body := w.ask(agentToken, "claim", "", protocol.Claim{Agent: "vault", Ticket: "t"})
	if err := json.Unmarshal([]byte(body), &other); err != nil || other.Name != "other" {
		t.Fatal(body, err)
	}
	// Even with its lease the job of another pool does not exist.
	if status, _ := w.ask(token, "jobs/"+other.ID+"/heartbeat", other.Lease, protocol.Heartbeat{}); status != http.StatusNotFound {
		t.Errorf("the job of another pool was answered with %d", status)
	}
	if got := w.takes(token, "build"); got != "own" {
		t.Errorf("the agent got %q", got)
	}
	if _, err := w.svc.Pools().Token(ctx, root, "linux"); err != nil {
		t.Fatal(err)
	}
	if status, _ := w.joins(token, "build", "", nil); status != http.StatusUnauthorized {
		t.Errorf("the old token still works: %d", status)
	}
}

func TestAgentsAreManagedJ011(t *testing.T) {
	w := newWorld(t)
	ctx, pools := t.Context(), w.svc.Pools()
	w.joined("a", "", map[string]string{"x": "1"})
	bob := identity.Actor{Kind: identity.KindUser, Name: "bob", Cap: identity.Maintain}
	no := false
	for what, err := range map[string]error{
		"create": second(pools.Create(ctx, bob, "p", pool.Host, pool.Settings{})),
		"edit":   second(pools.Edit(ctx, bob, "Default", func(*pool.Settings) {})),
		"remove": pools.Remove(ctx, bob, "Default"),
		"token":  second(pools.Token(ctx, bob, "Default")),
		"agent":  second(pools.EditAgent(ctx, bob, "a", pool.Edit{Enabled: &no})),
		"forget": pools.RemoveAgent(ctx, bob, "a"),
	} {
		if !fault.Is(err, fault.Denied) {
			t.Errorf("%s by somebody who is no administrator: %v", what, err)
		}
	}
	if _, err := w.svc.Agents(ctx, identity.Actor{}); !fault.Is(err, fault.Unauthentic) {
		t.Error("a stranger lists the agents:", err)
	}
	if _, err := pools.EditAgent(ctx, root, "a", pool.Edit{Enabled: &no, Capabilities: pool.Capabilities{"gpu": "yes"}}); err != nil {
		t.Fatal(err)
	}
	w.queuedRun("pool: {demands: [x]}\nsteps: [{bash: 'true'}]\n")
	if got := w.takes(agentToken, "a"); got != "" {
		t.Errorf("a disabled agent got %q", got)
	}
	// Registering again does not enable it, and keeps what was set.
	w.joined("a", "", map[string]string{"x": "1"})
	list, err := w.svc.AgentsOf(ctx, root, "default")
	if err != nil || len(list) != 1 || list[0].Enabled || list[0].Capabilities["gpu"] != "yes" || !list[0].Online {
		t.Errorf("%+v %v", list, err)
	}
	yes := true
	if _, err := pools.EditAgent(ctx, root, "a", pool.Edit{Enabled: &yes}); err != nil {
		t.Fatal(err)
	}
	w.queuedRun("pool: {demands: [x, gpu]}\nsteps: [{bash: 'true'}]\n")
	if got := w.takes(agentToken, "a"); got != "Job" {
		t.Errorf("the agent got %q", got)
	}
	if list, err = w.svc.AgentsOf(ctx, ada, "Default"); err != nil || list[0].Running != 1 || len(list[0].Jobs) != 1 {
		t.Errorf("%+v %v", list, err)
	}
	if err := pools.RemoveAgent(ctx, root, "a"); !fault.Is(err, fault.Conflict) {
		t.Error("an agent that is there was removed:", err)
	}
}

func TestClosedPoolsJ011(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	if _, err := w.svc.Pools().Create(ctx, root, "closed", pool.Host, pool.Settings{Restricted: true, VMImages: []string{"closed-*"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.svc.Pools().Create(ctx, root, "theirs", pool.Host, pool.Settings{Projects: []string{"other"}}); err != nil {
		t.Fatal(err)
	}
	d := w.wait(w.pipeline("pool: closed\nsteps: [{bash: 'true'}]\n"), func(d *pipeline.Detail) bool { return !d.Stages[0].Held.IsZero() })
	r := check.Resource{Kind: check.Pool, Project: "shop", Name: "closed"}
	// A vmImage that the pool stands for does not get around that.
	by := w.wait(w.pipeline("pool: {vmImage: closed-1}\nsteps: [{bash: 'true'}]\n"), over)
	if want := "The pipeline shop/web is not permitted to use the agent pool closed"; find(by, "__default.Job").Why != want {
		t.Errorf("by an image: %q", find(by, "__default.Job").Why)
	}
	if err := w.svc.Checks().Permit(ctx, ada, r, repoName, true); err != nil {
		t.Fatal(err)
	}
	w.wait(d.Commit, func(d *pipeline.Detail) bool { return find(d, "__default.Job").Status == "Queued" })
	by = w.wait(w.pipeline("pool: theirs\nsteps: [{bash: 'true'}]\n"), over)
	if want := "The agent pool theirs does not serve the project shop"; find(by, "__default.Job").Why != want {
		t.Errorf("another project's: %q", find(by, "__default.Job").Why)
	}
}
