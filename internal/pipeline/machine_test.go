package pipeline_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store/storetest"
)

// each runs a test on SQLite, and on PostgreSQL where there is a server for tests.
func each(t *testing.T, test func(t *testing.T, change func(*world))) {
	t.Run("sqlite", func(t *testing.T) { test(t, func(*world) {}) })
	if server := os.Getenv(storetest.Env); server != "" {
		t.Run("postgres", func(t *testing.T) {
			dsn := storetest.Postgres(t, server)
			test(t, func(w *world) { w.dsn = dsn })
		})
	}
}

// host is a machine of the environment production as a test plays its agent: it claims
// and ends jobs, and runs nothing.
type host struct {
	w     *world
	name  string
	token string
}

// host adds a machine and registers its agent with tags of its own.
func (w *world) host(name string, tags ...string) *host {
	w.t.Helper()
	m, err := w.svc.AddMachine(w.t.Context(), ada, "shop", "production", name, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	h := &host{w: w, name: name, token: m.Token}
	h.register(tags...)
	return h
}

func (h *host) register(tags ...string) {
	h.w.t.Helper()
	in := protocol.Register{Name: h.name, OS: "linux", Arch: "amd64", Version: "1", Slots: 1, Environment: "shop/production", Tags: tags}
	if status, body := h.w.ask(h.token, "register", "", in); status != http.StatusOK {
		h.w.t.Fatalf("registering %s: %d %s", h.name, status, body)
	}
}

// ask sends one request of an agent.
func (w *world) ask(token, path, lease string, in any) (status int, body string) {
	w.t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		w.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, w.http.URL+protocol.Prefix+"/"+path, bytes.NewReader(raw))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set(protocol.HeaderLease, lease)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, string(out)
}

// claim asks for a job; nil when there is none for the host.
func (h *host) claim(wait float64) *protocol.Job {
	h.w.t.Helper()
	status, body := h.w.ask(h.token, "claim", "", protocol.Claim{Agent: h.name, Ticket: rand.Text(), WaitSeconds: wait})
	if status == http.StatusNoContent {
		return nil
	}
	var job protocol.Job
	if err := json.Unmarshal([]byte(body), &job); err != nil || status != http.StatusOK {
		h.w.t.Fatalf("claiming for %s: %d %s %v", h.name, status, body, err)
	}
	return &job
}

func (h *host) complete(job *protocol.Job, result plan.Result) {
	h.w.t.Helper()
	if status, body := h.w.ask(h.token, "jobs/"+job.ID+"/complete", job.Lease, protocol.Complete{Result: result, Why: "because"}); status != http.StatusOK {
		h.w.t.Fatalf("ending the job of %s: %d %s", h.name, status, body)
	}
}

// done claims the job that is for the host now and ends it.
func (h *host) done(result plan.Result) {
	h.w.t.Helper()
	job := h.claim(60)
	if job == nil {
		h.w.t.Fatalf("there is no job for %s", h.name)
	}
	if job.Leg != h.name {
		h.w.t.Fatalf("%s got the job of %s", h.name, job.Leg)
	}
	h.complete(job, result)
}

// idle says that there is nothing for the host.
func (h *host) idle() {
	h.w.t.Helper()
	if job := h.claim(0); job != nil {
		h.w.t.Fatalf("%s got %s before its turn", h.name, job.Path())
	}
}

const rolling = `
jobs:
- deployment: ship
  environment: {name: production, resourceType: VirtualMachine, tags: "web,eu"}
  strategy:
    rolling:
      maxParallel: 50%
      deploy: {steps: [{download: none}, {bash: echo}]}
`

// started waits until the first run of a commit has legs.
func legged(d *pipeline.Detail) bool {
	return slices.ContainsFunc(d.Stages[0].Jobs, func(j pipeline.Job) bool { return j.Leg != "" })
}

func why(d *pipeline.Detail, path string) string {
	return string(find(d, path).Result) + " " + find(d, path).Why
}

// D002, D008: batches of the machines that carry all of the tags; each machine gets its
// own leg, and the next batch begins when the one before is through.
func TestRollingGoesInBatchesJ001(t *testing.T) {
	each(t, func(t *testing.T, change func(*world)) {
		w := newWorld(t, change)
		a, b, c, d := w.host("a", "web", "eu"), w.host("b", "EU", "web"), w.host("c", "web", "eu"), w.host("d", "web", "eu")
		other := w.host("other", "web")
		w.pipeline(rolling)
		first, second := a.claim(60), b.claim(60)
		if first == nil || second == nil || first.Leg != "a" || second.Leg != "b" {
			t.Fatalf("the first batch is %v %v", first, second)
		}
		c.idle()
		d.idle()
		a.complete(first, plan.Succeeded)
		c.idle()
		b.complete(second, plan.Succeeded)
		c.done(plan.Succeeded)
		other.idle()
		d.done(plan.SucceededWithIssues)
		run := w.wait(w.head(), over)
		want(t, w, run, map[string]plan.Result{
			"": plan.SucceededWithIssues, "__default": plan.SucceededWithIssues, "__default.ship.a": plan.Succeeded, "__default.ship.b": plan.Succeeded,
			"__default.ship.c": plan.Succeeded, "__default.ship.d": plan.SucceededWithIssues,
		}, results(run))
		want(t, w, run, "production/a", find(run, "__default.ship.a").Agent)
		history, err := w.svc.Deployments(t.Context(), ada, "shop", "production", "c", 0)
		if err != nil || len(history) != 1 || history[0].Resource != "c" || history[0].Result != string(plan.Succeeded) || history[0].Commit != run.Commit {
			t.Errorf("the history of c: %+v %v", history, err)
		}
		if history, err = w.svc.Deployments(t.Context(), ada, "shop", "production", "", 0); err != nil || len(history) != 4 || history[0].Resource != "a" {
			t.Errorf("the history of the environment: %+v %v", history, err)
		}
	})
}

// head is the newest commit of the repository.
func (w *world) head() string { return w.run(w.git, "rev-parse", "main") }

// A machine that fails, or is cancelled, stops the batches after it; those beside it end.
func TestRollingStopsAtAFailure(t *testing.T) {
	for name, tolerant := range map[string]bool{"": false, " that may fail": true} {
		each(t, func(t *testing.T, change func(*world)) {
			t.Log("a job" + name)
			w := newWorld(t, change)
			a, b := w.host("a", "web", "eu"), w.host("b", "web", "eu")
			c := w.host("c", "web", "eu")
			w.host("d", "web", "eu")
			yaml := rolling
			combined, leg := plan.Failed, plan.Failed
			if tolerant {
				yaml = strings.Replace(yaml, "  strategy:", "  continueOnError: true\n  strategy:", 1)
				combined, leg = plan.SucceededWithIssues, plan.SucceededWithIssues
			}
			w.pipeline(yaml)
			beside := b.claim(60)
			a.done(plan.Failed)
			c.idle()
			b.complete(beside, plan.Succeeded)
			run := w.wait(w.head(), over)
			want(t, w, run, map[string]plan.Result{
				"": combined, "__default": combined, "__default.ship.a": leg, "__default.ship.b": plan.Succeeded, "__default.ship.c": plan.Skipped, "__default.ship.d": plan.Skipped,
			}, results(run))
			want(t, w, run, "Skipped not deployed to: a failed before", why(run, "__default.ship.d"))
			c.idle()
			if tolerant {
				return
			}
			// Cancelled: what runs is stopped, what waits never starts.
			commit := w.pipeline(rolling)
			first := a.claim(60)
			second := w.wait(commit, legged)
			if err := w.svc.Cancel(t.Context(), ada, second.Number); err != nil {
				t.Fatal(err)
			}
			a.complete(first, plan.Canceled)
			second = w.wait(commit, over)
			want(t, w, second, plan.Canceled, second.Result)
			want(t, w, second, plan.Canceled, find(second, "__default.ship.d").Result)
			b.idle()
		})
	}
}

// A machine whose agent is away when its turn comes, or goes away while its job waits, or
// is removed, fails its leg with the reason, and the rest is left as it is.
func TestMachinesThatGoAway(t *testing.T) {
	each(t, func(t *testing.T, change func(*world)) {
		w := newWorld(t, change, func(w *world) { w.opts.Absence, w.opts.Lease = 4*time.Second, 5*time.Second })
		a := w.host("a", "web", "eu")
		w.host("b", "web", "eu")
		w.host("c", "web", "eu")
		yaml := strings.Replace(rolling, "50%", "1", 1)
		// b and c are silent from now on; a keeps coming.
		commit := w.pipeline(yaml)
		job := a.claim(60)
		for {
			list, err := w.svc.Machines(t.Context(), ada, "shop", "production")
			if err != nil {
				t.Fatal(err)
			}
			if !list[1].Online && !list[2].Online {
				break
			}
			if status, body := w.ask(a.token, "jobs/"+job.ID+"/heartbeat", job.Lease, protocol.Heartbeat{WaitSeconds: 0.1}); status != http.StatusOK {
				t.Fatalf("a heartbeat: %d %s", status, body)
			}
		}
		a.complete(job, plan.Succeeded)
		run := w.wait(commit, over)
		if got := why(run, "__default.ship.b"); !strings.HasPrefix(got, "Failed the target b of the environment production is offline: its agent was last heard of at 2") {
			t.Errorf("b ended with %q", got)
		}
		want(t, w, run, "Skipped not deployed to: b failed before", why(run, "__default.ship.c"))

		// The job waits for the only one, which is not heard of any more.
		a.register("web", "eu")
		commit = w.pipeline(strings.Replace(rolling, `tags: "web,eu"`, `resourceName: a`, 1))
		run = w.wait(commit, over)
		if got := why(run, "__default.ship.a"); !strings.Contains(got, "is offline") {
			t.Errorf("a ended with %q", got)
		}

		// And one that is removed while it runs.
		a.register("web", "eu")
		commit = w.pipeline(strings.Replace(rolling, `tags: "web,eu"`, `resourceName: a`, 1))
		if job = a.claim(60); job == nil {
			t.Fatal("there is no job for a")
		}
		if err := w.svc.RemoveMachine(t.Context(), ada, "shop", "production", "a"); err != nil {
			t.Fatal(err)
		}
		run = w.wait(commit, over)
		want(t, w, run, "Failed the target a was removed from the environment production", why(run, "__default.ship.a"))
		if status, body := w.ask(a.token, "jobs/"+job.ID+"/complete", job.Lease, protocol.Complete{Result: plan.Succeeded}); status != http.StatusUnauthorized {
			t.Errorf("the token of a removed target is answered %d %s", status, body)
		}
		history, err := w.svc.Deployments(t.Context(), ada, "shop", "production", "a", 0)
		if err != nil || len(history) != 3 {
			t.Errorf("the history of the removed target: %+v %v", history, err)
		}
	})
}

// A server that restarts between two batches goes on where it was.
func TestRollingSurvivesARestart(t *testing.T) {
	each(t, func(t *testing.T, change func(*world)) {
		w := newWorld(t, change)
		a, b := w.host("a", "web", "eu"), w.host("b", "web", "eu")
		w.pipeline(rolling)
		job := a.claim(60)
		w.down()
		w.up()
		a.complete(job, plan.Succeeded)
		b.done(plan.Succeeded)
		run := w.wait(w.head(), over)
		want(t, w, run, plan.Succeeded, run.Result)
	})
}

// No machine fits: the job fails at its start and says what there is.
func TestNoMachineFits(t *testing.T) {
	w := newWorld(t)
	w.host("a", "web")
	if _, err := w.svc.AddMachine(t.Context(), ada, "shop", "production", "never-came", []string{"web", "eu"}); err != nil {
		t.Fatal(err)
	}
	d := w.finish(rolling)
	want(t, w, d, "Failed No virtual machine of the environment production carries all of the tags web, eu; it has a (web)", why(d, "__default.ship"))
	want(t, w, d, plan.Failed, d.Result)
	d = w.finish(strings.Replace(strings.Replace(rolling, `tags: "web,eu"`, "tags: web", 1), "50%", "$(size)", 1))
	want(t, w, d, `Failed MaxParallel is "$(size)"; it is a number of machines from 1, or a percentage from 1% to 100%`, why(d, "__default.ship"))
}

// Everything that the token of a target must not open: jobs of other targets, of other
// environments and ordinary ones, other names, and the agents of the server no target's.
func TestTargetsGetTheirOwnJobsAlone(t *testing.T) {
	each(t, func(t *testing.T, change func(*world)) {
		w := newWorld(t, change)
		a, b := w.host("a", "web", "eu"), w.host("b", "web", "eu")
		staging, err := w.svc.AddMachine(t.Context(), ada, "shop", "staging", "a", []string{"web", "eu"})
		if err != nil {
			t.Fatal(err)
		}
		attacker := &host{w: w, name: "a", token: staging.Token}
		server := &host{w: w, name: "server", token: agentToken}
		for name, c := range map[string]struct {
			token string
			in    protocol.Register
			want  int
		}{
			"another name":                   {a.token, protocol.Register{Name: "b", Environment: "shop/production"}, http.StatusForbidden},
			"another environment":            {staging.Token, protocol.Register{Name: "a", Environment: "shop/production"}, http.StatusForbidden},
			"another project":                {a.token, protocol.Register{Name: "a", Environment: "other/production"}, http.StatusForbidden},
			"as an agent of the server":      {a.token, protocol.Register{Name: "a"}, http.StatusForbidden},
			"a target by the server's token": {agentToken, protocol.Register{Name: "a", Environment: "shop/production"}, http.StatusForbidden},
			"a token that nobody made":       {"twm_" + strings.Repeat("A", 52), protocol.Register{Name: "a", Environment: "shop/production"}, http.StatusUnauthorized},
			"no token":                       {"", protocol.Register{Name: "a"}, http.StatusUnauthorized},
			"a tag that is none":             {a.token, protocol.Register{Name: "a", Environment: "shop/production", Tags: []string{"a b"}}, http.StatusBadRequest},
			"itself":                         {staging.Token, protocol.Register{Name: "a", Environment: "shop/staging"}, http.StatusOK},
		} {
			if status, body := w.ask(c.token, "register", "", c.in); status != c.want {
				t.Errorf("registering %s: %d %s, want %d", name, status, body, c.want)
			}
		}
		if status, _ := w.ask(a.token, "claim", "", protocol.Claim{Agent: "b"}); status != http.StatusForbidden {
			t.Errorf("a claims as b: %d", status)
		}

		// A job of production: neither staging nor the server's agents get it.
		commit := w.pipeline(strings.Replace(rolling, "50%", "1", 1) + "- job: plain\n  steps: [{checkout: none}, {bash: echo}]\n")
		w.wait(commit, legged)
		attacker.idle()
		b.idle()
		plain := server.claim(60)
		if plain == nil || plain.Name != "plain" {
			t.Fatalf("the server's agent got %v", plain)
		}
		server.idle()
		job := a.claim(60)
		// Even with the lease, another token does nothing to it.
		for name, token := range map[string]string{"the target of another environment": staging.Token, "another target": b.token, "the server's agent": agentToken} {
			for _, path := range []string{"heartbeat", "steps", "complete", "tasks/HelmDeploy@1", "logs/1?line=0"} {
				if status, body := w.ask(token, "jobs/"+job.ID+"/"+path, job.Lease, protocol.Complete{Result: plan.Succeeded}); status != http.StatusNotFound {
					t.Errorf("%s asks for %s: %d %s", name, path, status, body)
				}
			}
		}
		if status, _ := w.ask(a.token, "jobs/"+plain.ID+"/complete", plain.Lease, protocol.Complete{Result: plan.Succeeded}); status != http.StatusNotFound {
			t.Errorf("a target ends an ordinary job: %d", status)
		}
		server.complete(plain, plan.Succeeded)
		a.complete(job, plan.Succeeded)
		b.done(plan.Succeeded)
		d := w.wait(commit, over)
		want(t, w, d, plan.Succeeded, d.Result)
	})
}

// The targets of an environment as people manage them.
func TestTargetsOfAnEnvironment(t *testing.T) {
	each(t, func(t *testing.T, change func(*world)) {
		w := newWorld(t, change)
		ctx := t.Context()
		h := w.host("a", "web")
		list := func() []pipeline.Machine {
			got, err := w.svc.Machines(ctx, ada, "shop", "production")
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := list(); len(got) != 1 || !got[0].Online || got[0].OS != "linux" || !slices.Equal(got[0].Tags, []string{"web"}) || got[0].Registered.IsZero() {
			t.Errorf("after it registered: %+v", got)
		}
		// The agent's tags count until a person sets some.
		h.register("db", "eu")
		if got := list(); !slices.Equal(got[0].Tags, []string{"db", "eu"}) {
			t.Errorf("the agent's new tags: %+v", got)
		}
		if m, err := w.svc.EditMachine(ctx, ada, "shop", "production", "a", []string{"cache", "Cache"}); err != nil || !slices.Equal(m.Tags, []string{"cache"}) {
			t.Errorf("%+v %v", m, err)
		}
		h.register("db")
		if got := list(); !slices.Equal(got[0].Tags, []string{"cache"}) {
			t.Errorf("the agent took the tags of a person away: %+v", got)
		}
		reader := ada
		reader.Cap = identity.Write
		for name, err := range map[string]error{
			"adds": second(w.svc.AddMachine(ctx, reader, "shop", "production", "x", nil)), "edits": second(w.svc.EditMachine(ctx, reader, "shop", "production", "a", nil)),
			"removes": w.svc.RemoveMachine(ctx, reader, "shop", "production", "a"),
		} {
			if !fault.Is(err, fault.Denied) {
				t.Errorf("somebody who may write %s a target: %v", name, err)
			}
		}
		if _, err := w.svc.Machines(ctx, ada, "other", "production"); !fault.Is(err, fault.NotFound) {
			t.Errorf("the targets of a foreign project: %v", err)
		}
		for _, name := range []string{"", "A", "a.b", "-a", "../a", strings.Repeat("a", 64)} {
			if _, err := w.svc.AddMachine(ctx, ada, "shop", "production", name, nil); !fault.Is(err, fault.Invalid) {
				t.Errorf("the name %q: %v", name, err)
			}
		}
		if _, err := w.svc.AddMachine(ctx, ada, "shop", "production", "b", []string{"a,b"}); !fault.Is(err, fault.Invalid) {
			t.Errorf("a tag with a comma: %v", err)
		}
		if _, err := w.svc.AddMachine(ctx, ada, "shop", "production", "a", nil); !fault.Is(err, fault.Conflict) {
			t.Errorf("a target twice: %v", err)
		}
		if err := w.svc.RemoveMachine(ctx, ada, "shop", "production", "zz"); !fault.Is(err, fault.NotFound) {
			t.Errorf("removing what is not there: %v", err)
		}
		var said []string
		for _, e := range w.events("project:shop") {
			said = append(said, e.Type)
			if strings.Contains(string(e.Payload), h.token) {
				t.Error("the token is in the logbook")
			}
		}
		want(t, w, &pipeline.Detail{}, []string{"environment.changed", "environment.changed"}, said)
	})
}

func second[T any](_ T, err error) error { return err }

// machine starts a real agent on a machine of production.
func (w *world) machineAgent(name string, tags ...string) {
	w.t.Helper()
	m, err := w.svc.AddMachine(w.t.Context(), ada, "shop", "production", name, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := agentConfig(w, filepath.Join(w.dir, "agent-"+name))
	cfg.Token, cfg.Name, cfg.Environment, cfg.Tags, cfg.Slots = m.Token, name, "shop/production", tags, 1
	w.startAgent(cfg)
	for {
		list, err := w.svc.Machines(w.t.Context(), ada, "shop", "production")
		if err != nil {
			w.t.Fatal(err)
		}
		if slices.ContainsFunc(list, func(m pipeline.Machine) bool { return m.Name == name && m.Online }) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// D001, D002, D004, D010, V007: every hook runs on each machine, with the variables of the
// machine and of the strategy, and its outputs are found by hook and machine.
func TestHooksRunOnEachMachineD001_D002_D004_D010(t *testing.T) {
	for _, strategy := range []string{"rolling", "runOnce"} {
		t.Run(strategy, func(t *testing.T) {
			w := newWorld(t)
			w.agent()
			w.machineAgent("web-1", "web")
			w.machineAgent("web-2", "web")
			w.machineAgent("db-1", "db")
			say := func(hook string) string {
				return hook + `: {steps: [{bash: 'echo "` + hook + ` $(strategy.name) $(strategy.action) $(Environment.Name) $(Environment.ResourceName) $(Agent.Name)"'}]}`
			}
			d := w.finish(`
jobs:
- deployment: ship
  environment: {name: production, resourceType: VirtualMachine, tags: web}
  strategy:
    ` + strategy + `:
      ` + say("preDeploy") + `
      deploy:
        steps:
        - download: none
        - bash: echo "##vso[task.setvariable variable=at;isOutput=true]$(Environment.ResourceId) $(Environment.ResourceName)"
          name: s
      ` + say("routeTraffic") + `
      ` + say("postRouteTraffic") + `
      on:
        ` + say("success") + `
        ` + say("failure") + `
- job: after
  dependsOn: ship
  variables: {one: "$[ dependencies.ship.outputs['deploy_web-1.s.at'] ]", two: "$[ dependencies.ship.outputs['deploy_web-2.s.at'] ]"}
  steps: [{checkout: none}, {bash: 'echo "$(one) and $(two)"'}]
`)
			want(t, w, d, plan.Succeeded, d.Result)
			machines, err := w.svc.Machines(t.Context(), ada, "shop", "production")
			if err != nil {
				t.Fatal(err)
			}
			want(t, w, d, machines[1].ID+" web-1 and "+machines[2].ID+" web-2\n", w.text(d, "__default.after", 1))
			for _, name := range []string{"web-1", "web-2"} {
				job := find(d, "__default.ship."+name)
				var got []string
				for _, s := range job.Steps {
					if s.Result == plan.Succeeded && s.Name == "" {
						got = append(got, strings.TrimSpace(w.text(d, job.Path, s.Number)))
					}
				}
				end := " " + strategy + " deploy production " + name + " " + name
				if diff := cmp.Diff([]string{"preDeploy" + end, "routeTraffic" + end, "postRouteTraffic" + end, "success" + end}, got); diff != "" {
					t.Errorf("%s\n%s", name, diff)
				}
			}
			if strategy == "rolling" && find(d, "__default.ship.web-2").Started.Before(find(d, "__default.ship.web-1").Finished) {
				t.Error("without maxParallel the machines were deployed to at the same time")
			}
		})
	}
}
