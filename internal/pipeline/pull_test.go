package pipeline_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// head stands for the commit of a pull request's branch.
var head = strings.Repeat("a", 40)

// pull orders the run of pull request 7 at a merge commit.
func pull(merge string) pipeline.PullOrder {
	return pipeline.PullOrder{
		Repo: repoName, Number: 7, Title: "Fix the cart", Source: "refs/heads/fix", Target: "refs/heads/main", Head: head, Merge: merge, Requester: "ada",
	}
}

// claimed is a task runner that keeps the identities of the jobs that asked it, and what
// the cluster would be told of them.
type claimed struct {
	jobs   []identity.JobClaims
	groups []string
}

func (c *claimed) Run(ctx context.Context, call pipeline.TaskCall, _ func(string)) (map[string]string, error) {
	token, err := call.Token(ctx, "towpath-cluster")
	c.jobs, c.groups = append(c.jobs, call.Job), append(c.groups, token)
	return nil, err
}

func TestPullRequestRunsAndDeploysNowhere(t *testing.T) {
	tasks := &claimed{}
	w := newWorld(t, func(w *world) { w.tasks = tasks })
	w.agent()
	merge := w.push("Dockerfile", "FROM scratch\n", "azure-pipelines.yml", `
trigger: none
stages:
- stage: Build
  jobs:
  - job: go
    steps:
    - bash: |
        echo "$(Build.Reason) $(Build.SourceBranch) $(Build.SourceBranchName) $(Build.SourceVersion)"
        echo "$(System.PullRequest.PullRequestId) $(System.PullRequest.PullRequestNumber) $(System.PullRequest.IsFork)"
        echo "$(System.PullRequest.SourceBranch) $(System.PullRequest.TargetBranch) $(System.PullRequest.TargetBranchName) $(System.PullRequest.SourceCommitId)"
        echo "${{ variables['System.PullRequest.PullRequestNumber'] }} $SYSTEM_PULLREQUEST_PULLREQUESTID"
    - task: Docker@2
      inputs: {command: buildAndPush, containerRegistry: towpath, repository: shop/web, Dockerfile: Dockerfile}
- stage: Deploy
  jobs:
  - deployment: plain
    environment: production
    strategy: {runOnce: {deploy: {steps: [{bash: echo deployed}]}}}
  # The file belongs to the change: what it says of itself opens nothing.
  - deployment: bold
    environment: production
    condition: eq(variables['Build.Reason'], 'PullRequest')
    strategy: {runOnce: {deploy: {steps: [{bash: echo deployed}]}}}
- stage: After
  jobs: [{job: tell, steps: [{checkout: none}, {bash: echo after}]}]
`)
	r, err := w.svc.StartPull(context.Background(), pull(merge))
	if err != nil {
		t.Fatal(err)
	}
	d := w.wait(merge, over)
	want(t, w, d, map[string]plan.Result{
		"": plan.Succeeded, "Build": plan.Succeeded, "Build.go": plan.Succeeded, "Deploy": plan.Skipped, "Deploy.plain": plan.Skipped,
		"Deploy.bold": plan.Skipped, "After": plan.Skipped, "After.tell": plan.Skipped,
	}, results(d))
	want(t, w, d, strings.Join([]string{
		"PullRequest refs/pull/7/merge merge " + merge, "7 7 False", "refs/heads/fix refs/heads/main main " + head, "7 7", "",
	}, "\n"), w.text(d, "Build.go", 2))
	for _, path := range []string{"Deploy.plain", "Deploy.bold"} {
		if j := find(d, path); !strings.Contains(j.Why, "pull request deploys nowhere") || j.Environment != "" {
			t.Errorf("%s: why %q, environment %q", path, j.Why, j.Environment)
		}
	}
	if len(tasks.jobs) != 1 || tasks.jobs[0].Environment != "" || tasks.jobs[0].Ref != "refs/pull/7/merge" || tasks.groups[0] != "towpath-cluster:" {
		t.Errorf("the job claims %+v, groups %q", tasks.jobs, tasks.groups)
	}
	if d.Number != r.Number || d.Pull != 7 || d.Head != head || d.Reason != "PullRequest" || d.Title != "Fix the cart" {
		t.Errorf("run %+v", d.Run)
	}
	for _, e := range w.events(event.OfRun(r.Number)) {
		switch e.Type {
		case event.TypeRunQueued, event.TypeRunStarted:
			var p event.Run
			if err := e.Into(&p); err != nil || p.Pull != 7 || p.Head != head || p.Reason != "PullRequest" {
				t.Errorf("%s says %+v %v", e.Type, p, err)
			}
		case event.TypeRunFinished:
			var p event.RunFinished
			if err := e.Into(&p); err != nil || p.Pull != 7 || p.Head != head || p.Repo != repoName {
				t.Errorf("%s says %+v %v", e.Type, p, err)
			}
		}
	}
}

func TestPullRequestTriggers(t *testing.T) {
	const job = "\nsteps: [{checkout: none}, {bash: echo}]\n"
	for _, c := range []struct {
		name, pr string
		change   func(*pipeline.PullOrder)
		runs     bool
	}{
		{name: "no pr means every pull request", runs: true},
		{name: "none", pr: "pr: none"},
		{name: "branch that is named", pr: "pr: [main, release/*]", runs: true},
		{name: "another branch", pr: "pr: [release/*]"},
		{name: "branch that is excluded", pr: "pr: {branches: {include: ['*'], exclude: [main]}}"},
		{name: "drafts count", change: func(p *pipeline.PullOrder) { p.Draft = true }, runs: true},
		{name: "drafts do not", pr: "pr: {drafts: false}", change: func(p *pipeline.PullOrder) { p.Draft = true }},
		{name: "a path that changed", pr: "pr: {paths: {include: [docs]}}", runs: true},
		{name: "a path that did not", pr: "pr: {paths: {include: [charts]}}"},
		{name: "paths that are not known", pr: "pr: {paths: {include: [charts]}}", change: func(p *pipeline.PullOrder) { p.Base = "" }, runs: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			text := "trigger: none\n" + c.pr + job
			base := w.push("azure-pipelines.yml", text)
			order := pull(w.push("azure-pipelines.yml", text, "docs/a.md", "changed"))
			order.Base = base
			if c.change != nil {
				c.change(&order)
			}
			r, err := w.svc.StartPull(context.Background(), order)
			if err != nil || (r.Number > 0) != c.runs {
				t.Errorf("run %d, %v; want one: %v", r.Number, err, c.runs)
			}
		})
	}
}

func TestPullRequestRunsAreOneForAMergeAndCancelOlderOnes(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	start := func(o pipeline.PullOrder) pipeline.Run {
		t.Helper()
		r, err := w.svc.StartPull(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	show := func(n int64) *pipeline.Detail {
		t.Helper()
		d, err := w.svc.Show(ctx, ada, n)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	const file = "trigger: none\nsteps: [{checkout: none}, {bash: echo}]\n"
	first := w.pipeline(file)
	one := start(pull(first))
	if again := start(pull(first)); again.Number != one.Number {
		t.Errorf("run %d and %d of one merge", one.Number, again.Number)
	}
	other := pull(w.pipeline(file))
	other.Number = 8
	eight := start(other)
	two := start(pull(w.pipeline(file)))
	if d := show(one.Number); d.Result != plan.Canceled || !strings.Contains(d.Why, "replaced by run") {
		t.Errorf("the older run is %s %s: %s", d.Status, d.Result, d.Why)
	}
	if d := show(eight.Number); d.Status == plan.Completed {
		t.Errorf("the run of another pull request is %s", d.Result)
	}
	start(pull(w.pipeline("pr: {autoCancel: false}\n" + file)))
	if d := show(two.Number); d.Status == plan.Completed {
		t.Errorf("autoCancel: false cancelled run %d: %s", two.Number, d.Why)
	}
	rerun, err := w.svc.Rerun(ctx, ada, two.Number)
	if err != nil || rerun.Pull != 7 || rerun.Reason != "PullRequest" || rerun.Head != head {
		t.Errorf("the rerun is %+v %v", rerun, err)
	}
	list, err := w.svc.Runs(ctx, ada, pipeline.Filter{Repo: repoName, Pull: 8})
	if err != nil || len(list) != 1 || list[0].Number != eight.Number {
		t.Errorf("runs of pull request 8: %+v %v", list, err)
	}
}

func TestPullRequestWithABrokenFile(t *testing.T) {
	w := newWorld(t)
	order := pull(w.push("azure-pipelines.yml", "trigger: none\nsteps:\n- bash: [", "other", "x"))
	for range 2 {
		if r, err := w.svc.StartPull(context.Background(), order); err != nil || r.Number != 0 {
			t.Errorf("run %d, %v", r.Number, err)
		}
	}
	events := w.events(event.Of(event.KindCommit, head))
	var p event.RunRefused
	if len(events) != 1 || events[0].Type != event.TypeRunRefused || events[0].Into(&p) != nil || p.Pull != 7 || len(p.Errors) == 0 {
		t.Errorf("events %+v", events)
	}
	order = pull(w.push("README", "no pipeline"))
	if r, err := w.svc.StartPull(context.Background(), order); err != nil || r.Number != 0 {
		t.Errorf("without a file: run %d, %v", r.Number, err)
	}
	order.Merge = "--upload-pack=x"
	if _, err := w.svc.StartPull(context.Background(), order); !fault.Is(err, fault.Invalid) {
		t.Errorf("a name that is no commit: %v", err)
	}
}

func TestTargets(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	sample, err := os.ReadFile(filepath.Join("..", "..", "examples", "shop", "azure-pipelines.yml"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.svc.Targets(ctx, ada, repoName, w.pipeline(string(sample)))
	if err != nil {
		t.Fatal(err)
	}
	line := 1 + strings.Count(string(sample[:strings.Index(string(sample), "- task: HelmDeploy@1")]), "\n")
	if diff := cmp.Diff([]pipeline.Target{{
		Environment: "production", Stage: "Deploy", Job: "Deploy", File: "azure-pipelines.yml", Line: line, Namespace: "shop", Release: "shop", ChartPath: "charts/shop",
		Strategy: plan.RunOnce,
		Set: []string{
			"registry=localhost:7080", "ingress.host=shop.localhost", "web.digest=$(webDigest)", "catalog.digest=$(catalogDigest)", "cart.digest=$(cartDigest)", "pricing.digest=$(pricingDigest)",
		},
		Unknown: []string{"web.digest", "catalog.digest", "cart.digest", "pricing.digest"},
	}}, got); diff != "" {
		t.Error(diff)
	}

	got, err = w.svc.Targets(ctx, ada, repoName, w.pipeline(`
trigger: none
variables: {where: staging, chart: charts/a}
jobs:
- job: no
  steps: [{task: HelmDeploy@1, inputs: {connectionType: None, command: upgrade, chartType: FilePath, chartPath: charts/no, releaseName: no}}]
- deployment: d
  environment: $(where)
  variables: {tag: v1, late: "$[ counter('x', 1) ]"}
  strategy:
    runOnce:
      deploy:
        steps:
        - task: HelmDeploy@1
          inputs:
            connectionType: None
            command: upgrade
            chartType: FilePath
            chartPath: $(Build.SourcesDirectory)/$(chart)
            releaseName: a
            valueFile: $(Pipeline.Workspace)/s/values/a.yaml, values/b.yaml
            overrideValues: "image.tag=$(tag),list={a,b},run=$(Build.BuildId)\nlate=$(late)"
            arguments: --reuse-values --set x=1
        - task: KubernetesManifest@1
          inputs: {action: deploy, manifests: "k8s/*.yaml\nother", namespace: n, containers: "localhost:7080/shop/web:1"}
        - task: HelmDeploy@1
          inputs: {connectionType: None, command: upgrade, chartType: FilePath, chartPath: $(Pipeline.Workspace)/drop/chart, releaseName: b}
        - task: HelmDeploy@1
          inputs: {connectionType: None, command: upgrade, chartType: FilePath, chartPath: c, releaseName: "r$(late)"}
`))
	if err != nil {
		t.Fatal(err)
	}
	base := pipeline.Target{Environment: "staging", Stage: "__default", Job: "d", File: "azure-pipelines.yml", Strategy: plan.RunOnce}
	list := []pipeline.Target{base, base, base, base}
	list[0].Line, list[0].Release, list[0].ChartPath, list[0].ValueFiles = 14, "a", "charts/a", []string{"values/a.yaml", "values/b.yaml"}
	list[0].Set, list[0].Reuse = []string{"image.tag=v1,list={a,b},run=$(Build.BuildId)", "late=$(late)", "x=1"}, true
	list[0].Unknown = []string{"run", "late"}
	list[1].Line, list[1].Namespace, list[1].Manifests, list[1].Images = 24, "n", []string{"k8s/*.yaml", "other"}, []string{"localhost:7080/shop/web:1"}
	list[2].Line, list[2].Release, list[2].ChartPath = 26, "b", "../drop/chart"
	list[2].Why = "the input chartPath names ../drop/chart, which is not in the repository"
	list[3].Line, list[3].Release, list[3].ChartPath, list[3].Why = 28, "r$(late)", "c", "only a run knows the input releaseName: r$(late)"
	if diff := cmp.Diff(list, got); diff != "" {
		t.Error(diff)
	}

	if got, err := w.svc.Targets(ctx, ada, repoName, w.push("README", "none")); err != nil || len(got) != 0 {
		t.Errorf("without a file: %v %v", got, err)
	}
	if _, err := w.svc.Targets(ctx, ada, repoName, w.pipeline("steps: [")); !fault.Is(err, fault.Invalid) {
		t.Errorf("a broken file: %v", err)
	}
	if _, err := w.svc.Targets(ctx, identity.Actor{}, repoName, head); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger: %v", err)
	}
}
