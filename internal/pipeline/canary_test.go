package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// settler records what it is told; it refuses as long as down says so.
type settler struct {
	mu   sync.Mutex
	down bool
	told []string
	news chan string // every word, also those refused
}

func newSettler() *settler { return &settler{news: make(chan string, 100)} }

func (s *settler) Settle(_ context.Context, run int64, stage, job string, succeeded bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	word := fmt.Sprintf("%d %s.%s %t", run, stage, job, succeeded)
	s.news <- word
	if s.down {
		return errors.New("the cluster is away")
	}
	s.told = append(s.told, word)
	return nil
}

func (s *settler) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// strategies records the rounds in which tasks run.
type strategies struct {
	calls chan string
	fail  string // the call that fails
}

func (s strategies) Run(_ context.Context, c pipeline.TaskCall, _ func(string)) (map[string]string, error) {
	call := fmt.Sprintf("%s %s %s/%s/%d: %s %s%% %s", c.Job.Job, c.Strategy.Hook, c.Strategy.Name, c.Strategy.Action, c.Strategy.Increment,
		c.Inputs["action"], c.Inputs["percentage"], c.Inputs["strategy"])
	s.calls <- call
	if call == s.fail {
		return nil, errors.New("too many errors")
	}
	return map[string]string{"release": "shop/production/7"}, nil
}

func canaryFile(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "canary.yml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// D003, D004, D005: the rounds of a canary follow each other with their variables, as macros, in
// conditions, in the environment and in what the server is told.
func TestCanaryRoundsD003_D004_D005(t *testing.T) {
	success := []string{
		"ship deploy canary/deploy/10: deploy 10% canary", "ship deploy canary/deploy/50: deploy 50% canary", "ship on.success canary/promote/0: promote $(strategy.increment)% canary",
	}
	failure := []string{
		"ship deploy canary/deploy/10: deploy 10% canary", "ship deploy canary/deploy/50: deploy 50% canary", "ship on.failure canary/reject/0: reject $(strategy.increment)% canary",
	}
	for _, c := range []struct {
		name, fail string
		calls      []string
		result     plan.Result
		settled    string
	}{
		{"promoted", "", success, plan.Succeeded, "1 __default.ship true"},
		{"rejected", failure[1], failure, plan.Failed, "1 __default.ship false"},
		{"promotion fails", success[2], success, plan.Failed, "1 __default.ship false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tasks, settled := strategies{calls: make(chan string, 10), fail: c.fail}, newSettler()
			w := newWorld(t, func(w *world) { w.tasks, w.settler = tasks, settled })
			w.agent()
			d := w.wait(w.push("azure-pipelines.yml", canaryFile(t), "k8s/a.yaml", "a"), over)
			want(t, w, d, c.result, d.Result)
			want(t, w, d, c.settled, <-settled.news)
			close(tasks.calls)
			var got []string
			for call := range tasks.calls {
				got = append(got, call)
			}
			want(t, w, d, c.calls, got)
			job := find(d, "__default.ship")
			var said strings.Builder
			for _, s := range job.Steps {
				if s.Task == "Bash@3" {
					said.WriteString(w.text(d, job.Path, s.Number))
				}
			}
			words := "before canary deploy\nroute 10 canary 10\nfirst\nroute 50 canary 50\n"
			if c.name == "rejected" {
				words = "before canary deploy\nroute 10 canary 10\nfirst\n"
			}
			want(t, w, d, words, said.String())
			if c.result == plan.Succeeded {
				want(t, w, d, "10", job.Outputs["routeTraffic_10.r.share"])
				want(t, w, d, "50", job.Outputs["routeTraffic_50.r.share"])
				want(t, w, d, "seen 10 50\n", w.text(d, "__default.after", 1))
			}
		})
	}
}

// A canary that is cancelled is settled as one that failed, also where the run goes on, and
// one that no agent ever had is not settled at all.
func TestCanaryIsSettledWhenItIsCancelled(t *testing.T) {
	settled := newSettler()
	w := newWorld(t, func(w *world) { w.settler = settled })
	w.agent()
	commit := w.pipeline(`
jobs:
- deployment: ship
  environment: production
  continueOnError: true
  strategy: {canary: {increments: [10], deploy: {steps: [{download: none}, {bash: "echo here; sleep 1000"}]}}}
- deployment: never
  dependsOn: ship
  environment: production
  strategy: {canary: {increments: [10], deploy: {steps: [{download: none}, {bash: echo}]}}}
`)
	d := w.wait(commit, printed("__default.ship", 1))
	if err := w.svc.Cancel(t.Context(), ada, d.Number); err != nil {
		t.Fatal(err)
	}
	want(t, w, d, "1 __default.ship false", <-settled.news)
	w.wait(commit, over)
	w.down()
	if diff := cmp.Diff([]string{"1 __default.ship false"}, settled.told); diff != "" {
		t.Error(diff)
	}
	w.up()
}

// An agent that is lost leaves a canary that is settled; a server that restarts before it
// could say so says it then, once.
func TestCanaryIsSettledAfterARestart(t *testing.T) {
	settled := newSettler()
	settled.set(true)
	w := newWorld(t, func(w *world) { w.settler, w.opts.Lease = settled, 2*time.Second })
	agent := w.agentProcess()
	commit := w.pipeline(`
jobs:
- deployment: ship
  environment: production
  strategy: {canary: {increments: [10], deploy: {steps: [{download: none}, {bash: "echo here; sleep 1000"}]}}}
`)
	w.wait(commit, printed("__default.ship", 1))
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.Wait()
	d := w.wait(commit, over)
	want(t, w, d, "1 __default.ship false", <-settled.news)
	w.down()
	settled.set(false)
	w.up()
	for word := range settled.news {
		want(t, w, d, "1 __default.ship false", word)
		settled.mu.Lock()
		done := len(settled.told) == 1
		settled.mu.Unlock()
		if done {
			return
		}
	}
}

// A task that still runs when its job ends, because its agent is gone, is cut off, and the
// canary is settled after it.
func TestCanaryIsSettledAfterItsTasks(t *testing.T) {
	settled := newSettler()
	tasks := hanging{began: make(chan bool), ended: make(chan bool, 1), settled: settled}
	w := newWorld(t, func(w *world) { w.tasks, w.settler, w.opts.Lease = tasks, settled, 2*time.Second })
	agent := w.agentProcess()
	commit := w.push("azure-pipelines.yml", canaryFile(t), "k8s/a.yaml", "a")
	<-tasks.began
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.Wait()
	d := w.wait(commit, over)
	want(t, w, d, "1 __default.ship false", <-settled.news)
	want(t, w, d, false, <-tasks.ended)
}

// hanging is a task that ends when it is told to; it reports whether the canary was settled
// before.
type hanging struct {
	began, ended chan bool
	settled      *settler
}

func (h hanging) Run(ctx context.Context, _ pipeline.TaskCall, _ func(string)) (map[string]string, error) {
	h.began <- true
	<-ctx.Done()
	h.settled.mu.Lock()
	defer h.settled.mu.Unlock()
	h.ended <- len(h.settled.told) > 0
	return nil, ctx.Err()
}

// The preview of a pull request shows what a canary leaves behind, once.
func TestTargetsOfACanary(t *testing.T) {
	w := newWorld(t)
	got, err := w.svc.Targets(t.Context(), ada, repoName, w.pipeline(`
jobs:
- deployment: ship
  environment: production
  strategy:
    canary:
      increments: [10, 50]
      deploy:
        steps:
        - task: KubernetesManifest@1
          inputs: {action: $(strategy.action), strategy: $(strategy.name), percentage: $(strategy.increment), manifests: k8s}
        - task: HelmDeploy@1
          inputs: {command: upgrade, chartType: FilePath, chartPath: c, releaseName: shop, overrideValues: "share=$(strategy.increment),how=$(strategy.name)"}
      on:
        failure:
          steps: [{task: KubernetesManifest@1, inputs: {action: $(strategy.action), manifests: k8s}}]
        success:
          steps:
          - task: KubernetesManifest@1
            inputs: {action: $(strategy.action), strategy: canary, manifests: k8s}
          - task: KubernetesManifest@1
            inputs: {action: promote, manifests: other}
`))
	if err != nil {
		t.Fatal(err)
	}
	base := pipeline.Target{Environment: "production", Stage: "__default", Job: "ship", File: "azure-pipelines.yml", Strategy: plan.Canary, Increments: []int{10, 50}}
	list := []pipeline.Target{base, base, base}
	list[0].Line, list[0].Manifests = 10, []string{"k8s"}
	list[1].Line, list[1].Release, list[1].ChartPath, list[1].Set = 12, "shop", "c", []string{"share=50,how=canary"}
	list[2].Line, list[2].Manifests = 21, []string{"other"}
	if diff := cmp.Diff(list, got); diff != "" {
		t.Error(diff)
	}
}
