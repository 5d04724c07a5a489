package pipeline_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

func find(d *pipeline.Detail, path string) *pipeline.Job {
	for _, st := range d.Stages {
		for i := range st.Jobs {
			if st.Jobs[i].Path == path {
				return &st.Jobs[i]
			}
		}
	}
	return &pipeline.Job{}
}

func results(d *pipeline.Detail) map[string]plan.Result {
	out := map[string]plan.Result{"": d.Result}
	for _, st := range d.Stages {
		out[st.Name] = st.Result
		for _, j := range st.Jobs {
			out[j.Path] = j.Result
		}
	}
	return out
}

func stepResults(j *pipeline.Job) []string {
	var out []string
	for _, s := range j.Steps {
		out = append(out, s.DisplayName+" "+string(s.Result))
	}
	return out
}

func want[T any](t *testing.T, w *world, d *pipeline.Detail, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%s", diff, w.everything(d))
	}
}

func TestPushRunsBashSteps(t *testing.T) {
	w := newWorld(t)
	w.agent()
	commit := w.pipeline(`
variables:
  who: world
steps:
- bash: |
    echo "hello $(who) $WHO $(Build.BuildId)"
    ls
  displayName: Greet
- script: echo "$BUILD_SOURCESDIRECTORY" && pwd && touch x && echo "$SYSTEM_ACCESSTOKEN|$HOME|$TF_BUILD|$BUILD_SOURCEVERSION"
  displayName: Place
`)
	d := w.wait(commit, over)
	want(t, w, d, plan.Succeeded, d.Result)
	want(t, w, d, "hello world world 1\nazure-pipelines.yml\n", w.text(d, "__default.Job", 2))
	lines := strings.Split(w.text(d, "__default.Job", 3), "\n")
	if lines[0] != lines[1] || !strings.HasSuffix(lines[0], "/s") {
		t.Errorf("the step runs in %q and is told %q", lines[1], lines[0])
	}
	if !strings.HasPrefix(lines[2], "|") || !strings.HasSuffix(lines[2], "_home|True|"+commit) {
		t.Errorf("environment %q", lines[2])
	}
	var types []string
	for _, e := range append(w.events(event.OfRun(1)), w.events("job:1/__default.Job")...) {
		types = append(types, e.Type)
	}
	want(t, w, d, []string{"run.queued", "run.started", "stage.finished", "run.finished", "job.started", "job.finished"}, types)
	edges, err := w.log.Edges(context.Background(), event.OfRun(1))
	if err != nil || !slices.ContainsFunc(edges, func(e event.Edge) bool { return e.Rel == event.RelBuiltFrom && e.To.ID() == commit }) {
		t.Errorf("the run is not linked to its commit: %v %v", edges, err)
	}
}

func TestFailureSkipsTheRestAndConditionsDecide(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.finish(`
variables: {level: high}
steps:
- checkout: none
- bash: exit 3
  displayName: breaks
- bash: echo never
  displayName: never
- bash: echo cleaning
  condition: always()
  displayName: cleans
- bash: echo failed
  condition: and(failed(), eq(variables['level'], 'high'))
  displayName: tells
- bash: echo no
  condition: and(always(), eq(variables.level, 'low'))
  displayName: low
- bash: echo off
  enabled: false
  displayName: off
- bash: echo broken
  condition: and(always(), gt(1, 'x'))
  displayName: throws
`)
	want(t, w, d, plan.Failed, d.Result)
	want(t, w, d, []string{
		"breaks Failed", "never Skipped", "cleans Succeeded", "tells Succeeded", "low Skipped", "off Skipped", "throws Failed",
	}, stepResults(find(d, "__default.Job")))
	want(t, w, d, "__default.Job: breaks: bash exited with code 3", d.Why)
}

func TestContinueOnErrorAndComplete(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.finish(`
steps:
- checkout: none
- bash: exit 1
  continueOnError: true
  displayName: tolerated
- bash: 'echo "##vso[task.complete result=SucceededWithIssues;]well"'
  displayName: asks
- bash: echo "##vso[task.logissue type=error;sourcepath=a.go;linenumber=3;code=7]bad; echo"
  displayName: warns
`)
	want(t, w, d, plan.SucceededWithIssues, d.Result)
	want(t, w, d, []string{"tolerated SucceededWithIssues", "asks SucceededWithIssues", "warns Succeeded"}, stepResults(find(d, "__default.Job")))
	want(t, w, d, "##[error]a.go:3: bad; echo [7]\n", w.text(d, "__default.Job", 3))
}

func TestDiamondOfJobs(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.finish(`
jobs:
- job: top
  steps:
  - checkout: none
  - bash: echo "##vso[task.setvariable variable=v;isOutput=true]from top"
    name: s
- job: left
  dependsOn: top
  variables: {got: "$[ dependencies.top.outputs['s.v'] ]"}
  steps:
  - checkout: none
  - bash: echo "left $(got)"
- job: right
  dependsOn: top
  condition: eq(dependencies.top.outputs['s.v'], 'something else')
  steps:
  - checkout: none
  - bash: echo right
- job: bottom
  dependsOn: [left, right]
  condition: in(dependencies.right.result, 'Skipped')
  steps:
  - checkout: none
  - bash: echo bottom
- job: unlucky
  dependsOn: [left, right]
  steps:
  - checkout: none
  - bash: echo unlucky
`)
	want(t, w, d, map[string]plan.Result{
		"": plan.Succeeded, "__default": plan.Succeeded, "__default.top": plan.Succeeded, "__default.left": plan.Succeeded,
		"__default.right": plan.Skipped, "__default.bottom": plan.Succeeded, "__default.unlucky": plan.Skipped,
	}, results(d))
	want(t, w, d, "left from top\n", w.text(d, "__default.left", 1))
}

func TestOutputsAcrossStages(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.finish(`
stages:
- stage: A
  jobs:
  - job: a
    steps:
    - checkout: none
    - bash: |
        echo "##vso[task.setvariable variable=tag;isOutput=true]v7"
        echo "##vso[task.setvariable variable=plain]seen"
      name: make
    - bash: echo "$(make.tag) $(plain) $PLAIN"
- stage: B
  condition: eq(dependencies.A.outputs['a.make.tag'], 'v7')
  jobs:
  - job: b
    variables: {tag: "$[ stageDependencies.A.a.outputs['make.tag'] ]"}
    steps:
    - checkout: none
    - bash: echo "tag $(tag) $TAG $(missing)"
- stage: C
  dependsOn: A
  condition: ne(dependencies.A.outputs['a.make.tag'], 'v7')
  jobs:
  - job: c
    steps: [{bash: echo c}]
`)
	want(t, w, d, map[string]plan.Result{
		"": plan.Succeeded, "A": plan.Succeeded, "A.a": plan.Succeeded, "B": plan.Succeeded, "B.b": plan.Succeeded, "C": plan.Skipped, "C.c": plan.Skipped,
	}, results(d))
	want(t, w, d, "v7 seen seen\n", w.text(d, "A.a", 2))
	// An unknown macro stays; bash then takes it for a command.
	if got := w.text(d, "B.b", 1); !strings.Contains(got, "tag v7 v7") {
		t.Errorf("log %q", got)
	}
}

func TestMatrix(t *testing.T) {
	w := newWorld(t)
	w.agent()
	d := w.finish(`
jobs:
- job: m
  strategy:
    maxParallel: 1
    matrix:
      one: {n: 1}
      two: {n: 2}
  steps:
  - checkout: none
  - bash: |
      echo "leg $(n) of $(System.TotalJobsInPhase)"
      echo "##vso[task.setvariable variable=sq;isOutput=true]$(($(n)*$(n)))"
    name: s
- job: after
  dependsOn: m
  variables: {sq: "$[ dependencies.m.outputs['two.s.sq'] ]"}
  steps:
  - checkout: none
  - bash: echo "$(sq)"
`)
	want(t, w, d, map[string]plan.Result{
		"": plan.Succeeded, "__default": plan.Succeeded, "__default.m.one": plan.Succeeded, "__default.m.two": plan.Succeeded, "__default.after": plan.Succeeded,
	}, results(d))
	want(t, w, d, "leg 2 of 2\n", w.text(d, "__default.m.two", 1))
	want(t, w, d, "4\n", w.text(d, "__default.after", 1))
	if find(d, "__default.m.two").Started.Before(find(d, "__default.m.one").Finished) {
		t.Error("the legs ran at the same time in spite of maxParallel: 1")
	}
}

func TestDeploymentHooks(t *testing.T) {
	for _, c := range []struct {
		name, deploy string
		want         map[string]plan.Result
		result       plan.Result
	}{
		{"success", "echo deploying $(Environment.Name) $(strategy.name)", map[string]plan.Result{
			"preDeploy": plan.Succeeded, "deploy": plan.Succeeded, "routeTraffic": plan.Succeeded, "postRouteTraffic": plan.Succeeded,
			"on.success": plan.Succeeded, "on.failure": plan.Skipped,
		}, plan.Succeeded},
		{"failure", "exit 1", map[string]plan.Result{
			"preDeploy": plan.Succeeded, "deploy": plan.Failed, "routeTraffic": plan.Skipped, "postRouteTraffic": plan.Skipped,
			"on.success": plan.Skipped, "on.failure": plan.Succeeded,
		}, plan.Failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.agent()
			d := w.finish(fmt.Sprintf(`
jobs:
- deployment: ship
  environment: production
  strategy:
    runOnce:
      preDeploy: {steps: [{bash: 'echo "##vso[task.setvariable variable=v;isOutput=true]1"', name: s}]}
      deploy: {steps: [{download: none}, {bash: %q}]}
      routeTraffic: {steps: [{bash: echo route}]}
      postRouteTraffic: {steps: [{bash: echo post}]}
      on:
        success: {steps: [{bash: echo fine}]}
        failure: {steps: [{bash: echo undo}]}
`, c.deploy))
			got := map[string]plan.Result{}
			for _, s := range find(d, "__default.ship").Steps {
				got[s.Hook] = s.Result
			}
			want(t, w, d, c.want, got)
			want(t, w, d, c.result, d.Result)
			want(t, w, d, map[string]string{"preDeploy.s.v": "1"}, find(d, "__default.ship").Outputs)
			want(t, w, d, "production", find(d, "__default.ship").Environment)
		})
	}
}

// The YAML names a line that is wrong: no run is made, the event names the place.
func TestBrokenFileIsRefused(t *testing.T) {
	w := newWorld(t)
	for name, yaml := range map[string]string{
		"syntax":       "steps:\n- bash: [",
		"unknown key":  "steps:\n- bash: echo\n  colour: red\n",
		"unknown task": "steps:\n- task: Nothing@1\n",
	} {
		commit := w.pipeline(yaml)
		subject := event.Of(event.KindCommit, commit)
		var refused []event.Event
		for len(refused) == 0 {
			changed := w.log.Changed()
			for _, e := range w.events(subject) {
				if e.Type == event.TypeRunRefused {
					refused = append(refused, e)
				}
			}
			if len(refused) == 0 {
				<-changed
			}
		}
		var p event.RunRefused
		if err := refused[0].Into(&p); err != nil {
			t.Fatal(err)
		}
		if len(p.Errors) == 0 || !strings.HasPrefix(p.Errors[0], "azure-pipelines.yml (Line: ") {
			t.Errorf("%s: %q", name, p.Errors)
		}
	}
	if runs, err := w.svc.Runs(context.Background(), ada, pipeline.Filter{Project: "shop"}); err != nil || len(runs) != 0 {
		t.Errorf("runs %v %v", runs, err)
	}
	if _, err := w.svc.Start(context.Background(), ada, repoName, "", nil); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "(Line: ") {
		t.Errorf("starting by hand: %v", err)
	}
}

func TestTriggerAndStartByHand(t *testing.T) {
	w := newWorld(t)
	w.agent()
	w.pipeline("trigger: none\nparameters: [{name: who, type: string, default: you}]\nsteps:\n- checkout: none\n- bash: echo ${{ parameters.who }}\n")
	marker := w.pipeline("trigger: [main]\nparameters: [{name: who, type: string, default: you}]\nsteps:\n- checkout: none\n- bash: echo ${{ parameters.who }}\n")
	d := w.wait(marker, over)
	if d.Number != 1 {
		t.Errorf("a file with trigger: none started a run")
	}
	ctx := context.Background()
	r, err := w.svc.Start(ctx, ada, repoName, "", map[string]string{"who": "me"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.svc.Rerun(ctx, ada, r.Number)
	if err != nil {
		t.Fatal(err)
	}
	d = w.wait(marker, func(d *pipeline.Detail) bool { return d.Number == again.Number && over(d) })
	want(t, w, d, "me\n", w.text(d, "__default.Job", 1))
	want(t, w, d, r.Number, d.RerunOf)
	reader := ada
	reader.Cap = 1
	if _, err := w.svc.Start(ctx, reader, repoName, "", nil); !fault.Is(err, fault.Denied) {
		t.Errorf("a reader starts a run: %v", err)
	}
	if err := w.svc.Cancel(ctx, ada, r.Number+100); !fault.Is(err, fault.NotFound) {
		t.Errorf("cancelling a run that is not there: %v", err)
	}
}

func TestStepsRunUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("the tests do not run as root: steps run as the same user")
		return
	}
	w := newWorld(t)
	w.agent()
	d := w.finish("steps:\n- bash: |\n    id -u\n    cat " + w.opts.Data + "/towpath.db && echo LEAK\n    ls " + w.dir + "/agent/spool && echo LEAK\n    true\n")
	got := w.text(d, "__default.Job", 2)
	if !strings.HasPrefix(got, "65534\n") || strings.Contains(got, "LEAK") {
		t.Errorf("log %q", got)
	}
}
