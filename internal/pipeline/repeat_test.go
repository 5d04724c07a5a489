package pipeline_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// shaky fails in its first attempt wherever a step says "second".
const shaky = `
stages:
- stage: Build
  jobs:
  - job: make
    steps:
    - checkout: none
    - bash: echo "##vso[task.setvariable variable=made;isOutput=true]by attempt $(System.JobAttempt) of stage $(System.StageAttempt)"
      name: one
  - job: test
    dependsOn: make
    variables: {made: "$[ dependencies.make.outputs['one.made'] ]"}
    steps:
    - checkout: none
    - bash: echo "made $(made), attempt $(System.JobAttempt)/$(System.PhaseAttempt)/$(System.StageAttempt)"; echo "v$(System.JobAttempt)" > v
    - publish: v
      artifact: version
    - bash: test "$(System.JobAttempt)" -gt 1 # second
  - job: sum
    dependsOn: test
    steps: [{checkout: none}, {bash: echo summed}]
- stage: Deploy
  jobs:
  - deployment: ship
    environment: production
    strategy: {runOnce: {deploy: {steps: [{download: current, artifact: version}, {bash: cat $(Pipeline.Workspace)/version/v}]}}}
`

func again(d *pipeline.Detail) func(*pipeline.Detail) bool {
	before := map[string]int{}
	for _, s := range d.Stages {
		before[s.Name] = s.Attempt
	}
	return func(d *pipeline.Detail) bool {
		return over(d) && slices.ContainsFunc(d.Stages, func(s pipeline.Stage) bool { return s.Attempt > before[s.Name] })
	}
}

// repeat runs a part of a run again, to its end.
func (w *world) repeat(commit string, d *pipeline.Detail, part pipeline.Part) *pipeline.Detail {
	w.t.Helper()
	if _, err := w.svc.Repeat(context.Background(), ada, d.Number, part); err != nil {
		w.t.Fatal(err)
	}
	return w.wait(commit, again(d))
}

func TestFailedJobsRunAgainWithTheOldOutputsJ008_P006_V003(t *testing.T) {
	w := newWorld(t)
	w.agent()
	commit := w.pipeline(shaky)
	first := w.wait(commit, over)
	want(t, w, first, "Build Failed, Deploy Skipped", stageResults(first))
	d := w.repeat(commit, first, pipeline.Part{Failed: true})
	want(t, w, d, "Build Succeeded, Deploy Succeeded", stageResults(d))
	if d.Number != first.Number || d.Why != "" {
		t.Errorf("it is not the same run, or it still says why it failed: %d %q", d.Number, d.Why)
	}
	attempts := map[string]int{}
	for _, s := range d.Stages {
		attempts[s.Name] = s.Attempt
		for _, j := range s.Jobs {
			attempts[j.Path] = j.Attempt
		}
	}
	want(t, w, d, map[string]int{"Build": 2, "Build.make": 1, "Build.test": 2, "Build.sum": 1, "Deploy": 2, "Deploy.ship": 1}, attempts)
	want(t, w, d, "made by attempt 1 of stage 1, attempt 2/2/2\n", w.text(d, "Build.test", 1))
	want(t, w, d, "made by attempt 1 of stage 1, attempt 1/1/1\n", w.text(d, "Build.test#1", 1))
	if text := w.text(d, "Deploy.ship", 2); text != "v2\n" {
		t.Errorf("the artifact of the second attempt did not take the place of the first: %q\n%s", text, w.everything(d))
	}
	past, err := w.svc.Attempts(t.Context(), ada, d.Number)
	if err != nil || len(past) != 1 || past[0].Path != "Build.test" || past[0].Attempt != 1 || past[0].Result != plan.Failed || past[0].Steps[2].Result != plan.Failed || past[0].Steps[0].Lines != 1 {
		t.Errorf("%+v %v", past, err)
	}
	var told []string
	for _, e := range append(w.events(event.OfRun(d.Number)), w.events("job:1/Build.test")...) {
		switch e.Type {
		case event.TypeRunRepeated:
			var p event.RunRepeated
			if err := e.Into(&p); err != nil {
				t.Fatal(err)
			}
			told = append(told, e.Actor+" "+strings.Join(p.Stages, "+")+" "+strings.Join(p.Jobs, "+"))
		case event.TypeJobFinished:
			var p event.Job
			if err := e.Into(&p); err != nil {
				t.Fatal(err)
			}
			told = append(told, p.Result+" "+string(rune('0'+p.Attempt)))
		}
	}
	want(t, w, d, []string{"user:ada Build+Deploy Build.test+Build.sum+Deploy.ship", "failed 1", "succeeded 2"}, told)
}

func TestAStageRunsAgainAloneOrWithThoseBehindItJ008_D007(t *testing.T) {
	w := newWorld(t)
	w.agent()
	commit := w.pipeline(strings.ReplaceAll(shaky, "-gt 1", "-gt 0"))
	d := w.wait(commit, over)
	want(t, w, d, "Build Succeeded, Deploy Succeeded", stageResults(d))
	if _, err := w.svc.Repeat(t.Context(), ada, d.Number, pipeline.Part{Failed: true}); !fault.Is(err, fault.Conflict) {
		t.Errorf("nothing failed, and yet: %v", err)
	}
	if _, err := w.svc.Repeat(t.Context(), ada, d.Number, pipeline.Part{Stage: "Nope"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stage that is not there: %v", err)
	}
	if _, err := w.svc.Repeat(t.Context(), ada, d.Number, pipeline.Part{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("no part: %v", err)
	}
	reader := ada
	reader.Cap = identity.Read
	if _, err := w.svc.Repeat(t.Context(), reader, d.Number, pipeline.Part{Stage: "Build"}); !fault.Is(err, fault.Denied) {
		t.Errorf("a reader may not: %v", err)
	}
	d = w.repeat(commit, d, pipeline.Part{Stage: "build"})
	want(t, w, d, []int{2, 1}, []int{d.Stages[0].Attempt, d.Stages[1].Attempt})
	want(t, w, d, "made by attempt 2 of stage 2, attempt 2/2/2\n", w.text(d, "Build.test", 1))
	d = w.repeat(commit, d, pipeline.Part{Stage: "Build", Following: true})
	want(t, w, d, []int{3, 2}, []int{d.Stages[0].Attempt, d.Stages[1].Attempt})
	history, err := w.svc.Deployments(t.Context(), ada, "shop", "production", "", 0)
	if err != nil || len(history) != 2 || history[0].Attempt != 2 || history[1].Attempt != 1 || history[1].Result != "Succeeded" {
		t.Errorf("the environment forgot an attempt: %+v %v", history, err)
	}
}

func TestFailedLegsRunAgainAloneJ008_V009(t *testing.T) {
	w := newWorld(t)
	w.agent()
	commit := w.pipeline(`
jobs:
- job: m
  strategy:
    matrix:
      good: {word: fine, need: 1}
      bad: {word: better, need: 2}
  steps:
  - checkout: none
  - bash: |
      echo "##vso[task.setvariable variable=word;isOutput=true]$(word) $(System.JobAttempt) $(System.JobPositionInPhase)"
      test "$(System.JobAttempt)" -ge "$(need)"
    name: say
- job: after
  dependsOn: m
  variables: {all: "$[ convertToJson(dependencies.m.outputs) ]"}
  steps: [{checkout: none}, {bash: 'echo "$ALL"'}]
`)
	d := w.wait(commit, over)
	want(t, w, d, plan.Failed, d.Result)
	d = w.repeat(commit, d, pipeline.Part{Failed: true})
	want(t, w, d, plan.Succeeded, d.Result)
	got := map[string]string{find(d, "__default.m.good").Outputs["good.say.word"]: "", find(d, "__default.m.bad").Outputs["bad.say.word"]: ""}
	want(t, w, d, map[string]string{"fine 1 1": "", "better 2 2": ""}, got)
	if all := w.text(d, "__default.after", 1); !strings.Contains(all, "fine 1 1") || !strings.Contains(all, "better 2 2") {
		t.Errorf("who depends on the legs sees %s", all)
	}
	// Once more, with all of its legs.
	d = w.repeat(commit, d, pipeline.Part{Stage: "__default"})
	want(t, w, d, []int{3, 3}, []int{find(d, "__default.m.good").Attempt, find(d, "__default.m.bad").Attempt})
}

func TestACancelledRunGoesOnJ008(t *testing.T) {
	w := newWorld(t)
	commit := w.pipeline(`
stages:
- stage: A
  jobs: [{job: a, steps: [{checkout: none}]}]
- stage: B
  trigger: manual
  jobs: [{job: b, steps: [{checkout: none}]}]
`)
	d := w.wait(commit, func(d *pipeline.Detail) bool { return d.Number > 0 })
	if _, err := w.svc.Repeat(t.Context(), ada, d.Number, pipeline.Part{Stage: "A"}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a stage that has not ended: %v", err)
	}
	if err := w.svc.Cancel(t.Context(), ada, d.Number); err != nil {
		t.Fatal(err)
	}
	d = w.wait(commit, over)
	want(t, w, d, "A Canceled, B Canceled", stageResults(d))
	w.agent()
	if _, err := w.svc.Repeat(t.Context(), ada, d.Number, pipeline.Part{Failed: true}); err != nil {
		t.Fatal(err)
	}
	d = w.wait(commit, func(d *pipeline.Detail) bool {
		return d.Stages[0].Status == plan.Completed && d.Stages[0].Result != plan.Canceled
	})
	want(t, w, d, "A Succeeded, B ", stageResults(d))
	// A manual stage waits again.
	if err := w.svc.StartStage(t.Context(), ada, d.Number, "B"); err != nil {
		t.Fatal(err)
	}
	d = w.wait(commit, over)
	want(t, w, d, "A Succeeded, B Succeeded", stageResults(d))
}
