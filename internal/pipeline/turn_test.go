package pipeline_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/pool"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// agentIn starts an agent of a pool in this process.
func (w *world) agentIn(name, pool string) {
	w.t.Helper()
	cfg := agentConfig(w, filepath.Join(w.dir, "agent-"+name))
	cfg.Name, cfg.Pool, cfg.Slots = name, pool, 1
	w.startAgent(cfg)
}

// had are the agents that had a job with the rounds of each, and how its steps ended.
func had(j pipeline.Job) (turns, steps []string) {
	for _, t := range j.Turns {
		var rounds []string
		for _, r := range t.Rounds {
			rounds = append(rounds, r.Hook+" "+string(r.Result))
		}
		turns = append(turns, t.Agent+": "+strings.Join(rounds, ", "))
	}
	if j.Agent != "" {
		turns = append(turns, j.Agent)
	}
	for _, st := range j.Steps {
		steps = append(steps, st.Hook+" "+string(st.Result))
	}
	return turns, steps
}

// wantTurns compares what a deployment came to.
func wantTurns(t *testing.T, j pipeline.Job, result plan.Result, turns, steps []string) {
	t.Helper()
	gotTurns, gotSteps := had(j)
	if j.Result != result {
		t.Errorf("%s: %s, want %s", j.Result, j.Why, result)
	}
	if diff := cmp.Diff(turns, gotTurns); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(steps, gotSteps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

const fromHandToHand = `
jobs:
- deployment: ship
  environment: production
  pool: near
  strategy:
    runOnce:
      preDeploy:
        steps:
        - {bash: "echo '##vso[task.setvariable variable=color;isOutput=true]green'", name: first}
      deploy:
        pool: server
        steps:
        - {task: Delay@1, inputs: {delayForMinutes: 0}}
        - {task: ManualValidation@1, inputs: {notifyUsers: ada, instructions: Color $(first.color)}}
      routeTraffic:
        pool: {name: Far}
        steps:
        - {bash: "echo ran $(Agent.Name) $(strategy.name) $(first.color); echo '##vso[task.setvariable variable=size;isOutput=true]7'", name: second}
        - {bash: "exit %d"}
      on:
        success: {steps: [{bash: echo good $(second.size)}]}
        failure: {steps: [{bash: echo bad}]}
- job: after
  pool: near
  dependsOn: ship
  condition: always()
  variables: {color: "$[dependencies.ship.outputs['preDeploy.first.color']]", size: "$[dependencies.ship.outputs['routeTraffic.second.size']]"}
  steps: [{checkout: none}, {bash: echo after $(color) $(size)}]
`

// TestHooksGoFromPoolToPoolD001_Y224 makes sure that each hook of a deployment runs in its own
// pool, on the server where it needs no agent, with the outputs of those before it; a restart of
// the server in between changes nothing.
func TestHooksGoFromPoolToPoolD001_Y224(t *testing.T) {
	each(t, func(t *testing.T, change func(*world)) {
		w := newWorld(t, change, func(w *world) { w.outside = &callee{} })
		w.pools("near", "far")
		w.agentIn("n", "near")
		w.agentIn("f", "far")
		commit := w.pipeline(fmt.Sprintf(fromHandToHand, 0))
		q := w.question(commit)
		if q.Approval.Instructions != "Color green" {
			t.Errorf("asked: %q", q.Approval.Instructions)
		}
		w.down()
		w.up()
		if _, err := w.svc.Approve(t.Context(), ada, q.Entry.Entry, "", time.Time{}); err != nil {
			t.Fatal(err)
		}
		d := w.wait(commit, over)
		ship := d.Stages[0].Jobs[0]
		wantTurns(t, ship, plan.Succeeded,
			[]string{"n: preDeploy Succeeded", "server: deploy Succeeded", "f: routeTraffic Succeeded", "n"},
			[]string{"preDeploy Succeeded", "deploy Succeeded", "deploy Succeeded", "routeTraffic Succeeded", "routeTraffic Succeeded", "on.success Succeeded", "on.failure Skipped"})
		log := w.everything(d)
		for _, want := range []string{"ran f runOnce green", "good 7", "after green 7"} {
			if !strings.Contains(log, want) {
				t.Errorf("the log has no %q:\n%s", want, log)
			}
		}
		var told []string
		for _, e := range w.events(event.Of(event.KindJob, fmt.Sprintf("%d/__default.ship", d.Number))) {
			told = append(told, e.Type)
		}
		if diff := cmp.Diff([]string{event.TypeJobStarted, event.TypeJobFinished}, told); diff != "" {
			t.Errorf("the logbook (-want +got):\n%s", diff)
		}
	})
}

// TestHookFailsInItsPoolD006 makes sure that on.failure runs in its pool when a hook fails in
// another, and that nothing else does.
func TestHookFailsInItsPoolD006(t *testing.T) {
	w := newWorld(t)
	w.pools("near", "far")
	w.agentIn("n", "near")
	w.agentIn("f", "far")
	d := w.finish(strings.ReplaceAll(fmt.Sprintf(fromHandToHand, 1), "        - {task: ManualValidation@1, inputs: {notifyUsers: ada, instructions: Color $(first.color)}}\n", ""))
	wantTurns(t, d.Stages[0].Jobs[0], plan.Failed,
		[]string{"n: preDeploy Succeeded", "server: deploy Succeeded", "f: routeTraffic Failed", "n"},
		[]string{"preDeploy Succeeded", "deploy Succeeded", "routeTraffic Succeeded", "routeTraffic Failed", "on.success Skipped", "on.failure Succeeded"})
	if log := w.everything(d); !strings.Contains(log, "after green 7") || !strings.Contains(d.Why, "__default.ship: ") || !strings.Contains(d.Why, "exit") {
		t.Errorf("%s\n%s", d.Why, log)
	}
}

// TestCancelBetweenPoolsD001 makes sure that a deployment which waits for its next pool can be
// cancelled, and that its end is told.
func TestCancelBetweenPoolsD001(t *testing.T) {
	settled := newSettler()
	settled.set(true)
	w := newWorld(t, func(w *world) { w.settler = settled })
	w.pools("near", "far")
	w.agentIn("n", "near")
	commit := w.pipeline(`
jobs:
- deployment: ship
  environment: production
  pool: near
  strategy:
    canary:
      increments: [10]
      preDeploy: {steps: [{bash: echo one}]}
      deploy: {pool: far, steps: [{download: none}, {bash: echo two}]}
      on: {failure: {steps: [{bash: echo three}]}}
`)
	waits := func(d *pipeline.Detail) bool {
		j := d.Stages[0].Jobs[0]
		return len(j.Turns) == 1 && j.Status == "Queued" && j.Pool == "far"
	}
	d := w.wait(commit, waits)
	if got := d.Stages[0].Jobs[0].Waits; !strings.Contains(got, "far") {
		t.Errorf("waits: %q", got)
	}
	if err := w.svc.Cancel(t.Context(), ada, d.Number); err != nil {
		t.Fatal(err)
	}
	d = w.wait(commit, over)
	wantTurns(t, d.Stages[0].Jobs[0], plan.Canceled, []string{"n: preDeploy Succeeded"}, []string{"preDeploy Succeeded", "deploy Skipped", "on.failure Skipped"})
	want(t, w, d, "1 __default.ship false", <-settled.news)
	told := w.events(event.Of(event.KindJob, fmt.Sprintf("%d/__default.ship", d.Number)))
	if !slices.ContainsFunc(told, func(e event.Event) bool { return e.Type == event.TypeJobFinished }) {
		t.Error("nobody is told of the end")
	}
}

// TestPoolsOfAllHooksAreAskedFirstD001 makes sure that a deployment does nothing at all when one
// of its hooks has a pool that nobody has made.
func TestPoolsOfAllHooksAreAskedFirstD001(t *testing.T) {
	w := newWorld(t)
	w.pools("near")
	w.agentIn("n", "near")
	d := w.finish(`
jobs:
- deployment: ship
  environment: production
  pool: near
  strategy: {runOnce: {deploy: {steps: [{download: none}, {bash: echo one}]}, postRouteTraffic: {pool: nowhere, steps: [{bash: echo two}]}}}
`)
	wantTurns(t, d.Stages[0].Jobs[0], plan.Failed, nil, []string{"deploy Skipped", "postRouteTraffic Skipped"})
	if !strings.Contains(d.Why, "nowhere") {
		t.Error(d.Why)
	}
}

// TestPoolIsTakenAwayBetweenHooksD006 makes sure that a hook whose pool is gone when its turn
// comes has failed, so that on.failure runs.
func TestPoolIsTakenAwayBetweenHooksD006(t *testing.T) {
	w := newWorld(t)
	w.pools("near", "far")
	w.agentIn("n", "near")
	commit := w.pipeline(`
jobs:
- deployment: ship
  environment: production
  pool: near
  strategy:
    runOnce:
      preDeploy: {steps: [{bash: "echo here; while [ ! -e ` + w.dir + `/go ]; do sleep 0.05; done"}]}
      deploy: {pool: far, steps: [{download: none}, {bash: echo two}]}
      on: {failure: {steps: [{bash: echo taken back}]}}
`)
	w.wait(commit, printed("__default.ship", 1))
	if err := w.svc.Pools().Remove(t.Context(), root, "far"); err != nil {
		t.Fatal(err)
	}
	w.run(w.dir, "config", "--file", filepath.Join(w.dir, "go"), "a.b", "c")
	d := w.wait(commit, over)
	wantTurns(t, d.Stages[0].Jobs[0], plan.Failed, []string{"n: preDeploy Succeeded, deploy Failed", "n"}, []string{"preDeploy Succeeded", "deploy Skipped", "on.failure Succeeded"})
	if !strings.Contains(d.Why, "far") {
		t.Error(d.Why)
	}
}

// TestServerHasTwoTurnsD006 makes sure that the server gets a deployment back which it had before,
// when the pool in between is gone.
func TestServerHasTwoTurnsD006(t *testing.T) {
	w := newWorld(t, func(w *world) { w.outside = &callee{} })
	w.pools("far")
	commit := w.pipeline(`
jobs:
- deployment: ship
  environment: production
  pool: server
  strategy:
    runOnce:
      preDeploy: {steps: [{task: ManualValidation@1, inputs: {notifyUsers: ada}}]}
      deploy: {pool: far, steps: [{download: none}, {bash: echo two}]}
      on: {failure: {steps: [{task: Delay@1, inputs: {delayForMinutes: 0}}]}}
`)
	q := w.question(commit)
	if err := w.svc.Pools().Remove(t.Context(), root, "far"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.svc.Approve(t.Context(), ada, q.Entry.Entry, "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	d := w.wait(commit, over)
	wantTurns(t, d.Stages[0].Jobs[0], plan.Failed, []string{"server: preDeploy Succeeded, deploy Failed", "server"}, []string{"preDeploy Succeeded", "deploy Skipped", "on.failure Succeeded"})
}

// TestAgentsAreLentWhatTheirHooksNameD001 makes sure that the secret of a service connection goes to
// the agent alone whose hook names it.
func TestAgentsAreLentWhatTheirHooksNameD001(t *testing.T) {
	w := workbench(t)
	if _, err := w.svc.Gallery().Add(t.Context(), ada, "shop", zipped(t, "", "testdata/tasks/probe")); err != nil {
		t.Fatal(err)
	}
	w.pools("near", "far")
	w.joined("n", "near", nil)
	w.joined("f", "far", nil)
	w.queuedRun(`
jobs:
- deployment: ship
  environment: production
  pool: near
  strategy:
    runOnce:
      preDeploy: {steps: [{bash: echo one}]}
      deploy: {pool: far, steps: [{download: none}, {task: probe@1, inputs: {target: x, hub: hub, certificate: cert.pem}}]}
`)
	claim := func(agent string) (job protocol.Job) {
		status, body := w.ask(agentToken, "claim", "", protocol.Claim{Agent: agent, Ticket: rand.Text(), WaitSeconds: 20})
		if err := json.Unmarshal([]byte(body), &job); err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d %s %v", agent, status, body, err)
		}
		if lent := strings.Contains(body, "hub-secret-1234"); lent != (agent == "f") {
			t.Errorf("%s got the secret: %v", agent, lent)
		}
		return job
	}
	first := claim("n")
	if status, body := w.ask(agentToken, "jobs/"+first.ID+"/complete", first.Lease, protocol.Complete{
		Result: plan.Succeeded, Ended: []plan.HookResult{{HookRun: first.Phases[0].Round, Result: plan.Succeeded}}, Onward: true,
	}); status != http.StatusOK {
		t.Fatal(status, body)
	}
	claim("f")
}

// TestHooksOfAMachineWithoutAnAgentD001 makes sure that a hook without an agent runs on the server
// also where the deployment goes to machines.
func TestHooksOfAMachineWithoutAnAgentD001(t *testing.T) {
	w := newWorld(t)
	w.machineAgent("web-1")
	w.machineAgent("web-2")
	d := w.finish(`
jobs:
- deployment: ship
  environment: {name: production, resourceType: virtualMachine}
  strategy:
    rolling:
      maxParallel: 1
      preDeploy: {pool: server, steps: [{task: Delay@1, inputs: {delayForMinutes: 0}}]}
      deploy: {pool: any, steps: [{download: none}, {bash: echo on $(Agent.Name)}]}
`)
	if len(d.Stages[0].Jobs) != 2 {
		t.Fatalf("%d legs", len(d.Stages[0].Jobs))
	}
	for i, name := range []string{"web-1", "web-2"} {
		wantTurns(t, d.Stages[0].Jobs[i], plan.Succeeded, []string{"server: preDeploy Succeeded", "production/" + name}, []string{"preDeploy Succeeded", "deploy Succeeded"})
	}
}

// TestPodsOfADeploymentD001 makes sure that each turn of a deployment has a pod of its own, and
// that the one before has nothing to say any more.
func TestPodsOfADeploymentD001(t *testing.T) {
	w, p := podWorld(t)
	w.queuedRun(`
jobs:
- deployment: ship
  environment: production
  container: tools:1
  pool: Kubernetes
  strategy:
    runOnce:
      preDeploy: {steps: [{bash: echo one}]}
      deploy: {pool: server, steps: [{task: Delay@1, inputs: {delayForMinutes: 0}}]}
      routeTraffic: {steps: [{bash: echo two}]}
      on: {failure: {steps: [{bash: echo three}]}}
`)
	first := p.wait(t, "one for preDeploy", number(1))[0]
	job := w.comes(first)
	hooks := func(job *protocol.Job) (out []string) {
		for _, ph := range job.Phases {
			out = append(out, ph.Round.Hook)
		}
		return out
	}
	if diff := cmp.Diff([]string{"preDeploy", "on.failure"}, hooks(job)); diff != "" {
		t.Errorf("what the first pod may come to (-want +got):\n%s", diff)
	}
	ended := []plan.HookResult{{HookRun: job.Phases[0].Round, Result: plan.Succeeded}}
	// It may not say that the server has ended its hook.
	forged := append(slices.Clone(ended), plan.HookResult{HookRun: plan.HookRun{Hook: "routeTraffic", Action: "deploy"}, Result: plan.Succeeded})
	if status, body := w.ask(first.Token, "jobs/"+job.ID+"/complete", job.Lease, protocol.Complete{Result: plan.Succeeded, Ended: forged, Onward: true}); status != http.StatusOK {
		t.Fatal(status, body)
	}
	second := p.wait(t, "another for routeTraffic", func(l []pool.PodSpec) bool { return len(l) == 1 && l[0].Name != first.Name })[0]
	next := w.comes(second)
	if diff := cmp.Diff([]string{"routeTraffic", "on.failure"}, hooks(next)); diff != "" {
		t.Errorf("what the second pod may come to (-want +got):\n%s", diff)
	}
	if len(next.Ended) != 2 || next.Ended[1].Hook != "deploy" || len(next.Containers) == 0 {
		t.Errorf("told of %+v in %+v", next.Ended, next.Containers)
	}
	for what, c := range map[string]struct {
		token, path string
		in          any
		status      int
	}{
		"the end, with the token of the first pod": {first.Token, "jobs/" + job.ID + "/complete", protocol.Complete{Result: plan.Failed}, http.StatusUnauthorized},
		"the end, with the lease of the first pod": {second.Token, "jobs/" + job.ID + "/complete", protocol.Complete{Result: plan.Failed}, http.StatusNotFound},
		"a heartbeat with the lease of the first":  {second.Token, "jobs/" + job.ID + "/heartbeat", protocol.Heartbeat{}, http.StatusNotFound},
		"another job with the token of the first":  {first.Token, "claim", protocol.Claim{Agent: first.Name, Ticket: "t"}, http.StatusUnauthorized},
		"another job with the token of the second": {second.Token, "claim", protocol.Claim{Agent: second.Name, Ticket: "t"}, http.StatusForbidden},
	} {
		if status, body := w.ask(c.token, c.path, job.Lease, c.in); status != c.status {
			t.Errorf("%s: %d %s, want %d", what, status, body, c.status)
		}
	}
	all := append(slices.Clone(next.Ended), plan.HookResult{HookRun: next.Phases[0].Round, Result: plan.Succeeded})
	if status, body := w.ask(second.Token, "jobs/"+next.ID+"/complete", next.Lease, protocol.Complete{Result: plan.Succeeded, Ended: all}); status != http.StatusOK {
		t.Fatal(status, body)
	}
	p.wait(t, "gone after their turns", number(0))
}

func TestHeadings(t *testing.T) {
	now := time.Now()
	step := func(n int, hook string) pipeline.Step { return pipeline.Step{Number: n, Hook: hook, Started: now} }
	turn := func(agent string, hooks ...string) pipeline.Turn {
		tu := pipeline.Turn{Agent: agent}
		for _, h := range hooks {
			tu.Rounds = append(tu.Rounds, plan.HookResult{HookRun: plan.HookRun{Hook: h}, Result: plan.Succeeded})
		}
		return tu
	}
	for name, c := range map[string]struct {
		job  pipeline.Job
		want string
	}{
		"no deployment": {pipeline.Job{Steps: []pipeline.Step{step(1, ""), step(2, "")}}, "|"},
		"one agent":     {pipeline.Job{Agent: "a", Steps: []pipeline.Step{step(1, "preDeploy"), step(2, "deploy"), step(3, "deploy")}}, "preDeploy|deploy|"},
		"several":       {pipeline.Job{Agent: "b", Turns: []pipeline.Turn{turn("a", "preDeploy")}, Steps: []pipeline.Step{step(1, "preDeploy"), step(2, "deploy"), {Number: 3, Hook: "on.failure"}}}, "preDeploy on a|deploy on b|on.failure"},
		"rounds of canaries": {pipeline.Job{Agent: "c", Turns: []pipeline.Turn{turn("a", "deploy"), turn("b", "routeTraffic", "deploy")}, Steps: []pipeline.Step{step(1, "deploy"), step(2, "routeTraffic"), step(3, "deploy"), step(4, "routeTraffic")}},
			"deploy on a|routeTraffic on b|deploy on b|routeTraffic on c"},
	} {
		var got []string
		for i := range c.job.Steps {
			got = append(got, c.job.Heading(i))
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%s: %q, want %q", name, s, c.want)
		}
	}
}
