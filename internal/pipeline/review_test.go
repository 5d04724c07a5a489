package pipeline_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// reviewed lets the environment review have review apps.
type reviewed struct{}

func (reviewed) Ensure(context.Context, identity.Actor, string, string) error { return nil }

func (reviewed) ReviewApps(_ context.Context, _ store.Handle, project, name string) (bool, error) {
	return project+"/"+name == "shop/review", nil
}

var _ pipeline.Environments = reviewed{}

func TestD009RunsOfPullRequestsDeployToReviewApps(t *testing.T) {
	tasks := &claimed{}
	w := newWorld(t, func(w *world) { w.tasks, w.envs = tasks, reviewed{} })
	w.agent()
	file := `
trigger: none
variables: {open: review}
jobs:
- deployment: app
  environment: review
  strategy:
    runOnce:
      deploy:
        steps:
        - reviewApp: Web
        - bash: echo "$(Environment.Name) $(Environment.ResourceName) $(Environment.Id)"
- deployment: named
  environment: review.app-$(System.PullRequest.PullRequestId)
  strategy:
    runOnce:
      preDeploy: {steps: [{reviewApp: default}]}
      deploy: {steps: [{bash: echo "$(Environment.Name) $(Environment.ResourceName)"}]}
- deployment: without
  environment: review
  strategy: {runOnce: {deploy: {steps: [{bash: echo deployed}]}}}
- deployment: off
  environment: review
  strategy: {runOnce: {deploy: {steps: [{reviewApp: web, enabled: false}, {bash: echo deployed}]}}}
- deployment: closed
  environment: production
  strategy: {runOnce: {deploy: {steps: [{reviewApp: web}, {bash: echo deployed}]}}}
- deployment: macro
  environment: $(open)
  strategy: {runOnce: {deploy: {steps: [{reviewApp: web}, {bash: echo deployed}]}}}
- deployment: machines
  environment: {name: review, resourceType: VirtualMachine}
  strategy: {runOnce: {deploy: {steps: [{reviewApp: web}, {bash: echo deployed}]}}}
- deployment: rolls
  environment: review
  strategy: {rolling: {deploy: {steps: [{reviewApp: web}, {bash: echo deployed}]}}}
`
	merge := w.push("azure-pipelines.yml", file)
	if _, err := w.svc.StartPull(context.Background(), pull(merge)); err != nil {
		t.Fatal(err)
	}
	d := w.wait(merge, over)
	want(t, w, d, map[string]plan.Result{
		"": plan.Succeeded, "__default": plan.Succeeded, "__default.app": plan.Succeeded, "__default.named": plan.Succeeded, "__default.without": plan.Skipped, "__default.off": plan.Skipped,
		"__default.closed": plan.Skipped, "__default.macro": plan.Skipped, "__default.machines": plan.Skipped, "__default.rolls": plan.Skipped,
	}, results(d))
	if got := w.text(d, "__default.app", 3); got != "review web-pr-7 review\n" {
		t.Errorf("variables of the review app: %q", got)
	}
	if got := w.text(d, "__default.named", 3); got != "review app-7\n" {
		t.Errorf("variables of a review app with a name: %q", got)
	}
	for path, words := range map[string]string{
		"__default.without": "once the change is merged", "__default.closed": "towpath env edit production --review-apps on", "__default.machines": "has no targets", "__default.rolls": "has no targets",
	} {
		if j := find(d, path); !strings.Contains(j.Why, words) || j.Environment == "production" {
			t.Errorf("%s: why %q, environment %q", path, j.Why, j.Environment)
		}
	}
	// What the jobs may do: in the review app, and nowhere else.
	var got []string
	for i, j := range tasks.jobs {
		got = append(got, j.Job+" "+j.Environment+" "+tasks.groups[i])
		if j.Pull != 7 {
			t.Errorf("job %s claims pull request %d", j.Job, j.Pull)
		}
	}
	slices.Sort(got)
	if want := []string{
		"app review.web-pr-7 towpath-cluster:towpath:deploy:shop:review.web-pr-7", "named review.app-7 towpath-cluster:towpath:deploy:shop:review.app-7",
	}; !slices.Equal(got, want) {
		t.Errorf("claims:\n%s", strings.Join(got, "\n"))
	}

	// Pushed to a branch, the same jobs deploy to their environments.
	tasks.jobs, tasks.groups = nil, nil
	main := w.push("azure-pipelines.yml", strings.ReplaceAll(file, "- deployment: machines", "- deployment: never\n  condition: false"), "again", "x")
	if _, err := w.svc.Start(context.Background(), ada, repoName, "refs/heads/main", nil); err != nil {
		t.Fatal(err)
	}
	d = w.wait(main, over)
	if j := find(d, "__default.closed"); j.Environment != "production" || j.Result != plan.Succeeded {
		t.Errorf("after the merge: %+v", j)
	}
	for _, j := range tasks.jobs {
		if j.Pull != 0 || strings.Contains(j.Environment, ".") {
			t.Errorf("job %s claims %+v", j.Job, j)
		}
	}
}
