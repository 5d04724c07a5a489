package pipeline_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

const asked = `
trigger: none
parameters:
- {name: size, type: string, default: small, values: [small, large]}
- {name: loud, type: boolean, default: false}
variables: {fixed: file}
stages:
- stage: A
  jobs: [{job: a, steps: [{checkout: none}, {bash: 'echo "$(word) $(fixed) ${{ parameters.size }} ${{ parameters.loud }}"'}]}]
- stage: B
  isSkippable: false
  jobs: [{job: b, steps: [{checkout: none}]}]
- stage: C
  dependsOn: [A, B]
  jobs: [{job: c, steps: [{checkout: none}]}]
- stage: D
  trigger: manual
  jobs: [{job: d, steps: [{checkout: none}]}]
- stage: E
  jobs: [{job: e, steps: [{checkout: none}]}]
`

func TestARunIsGivenVariablesAndParametersJ010_X047(t *testing.T) {
	w := newWorld(t)
	w.agent()
	commit := w.pipeline(asked)
	if err := w.svc.SetVariable(t.Context(), writer, repoName, pipeline.Variable{Name: "word", Value: "x"}); !fault.Is(err, fault.Denied) {
		t.Errorf("a writer set a variable of the pipeline: %v", err)
	}
	for _, name := range []string{"LD_PRELOAD", "path", "System.TeamProject", "Build.Reason", "a b", "BASH_ENV", "Git_Dir"} {
		if err := w.svc.SetVariable(t.Context(), ada, repoName, pipeline.Variable{Name: name}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s was set: %v", name, err)
		}
	}
	for _, v := range []pipeline.Variable{{Name: "word", Value: "usual", Settable: true}, {Name: "kept", Value: "so"}, {Name: "fixed", Value: "settings", Settable: true}} {
		if err := w.svc.SetVariable(t.Context(), ada, repoName, v); err != nil {
			t.Fatal(err)
		}
	}
	parameters, err := w.svc.Parameters(t.Context(), ada, repoName, "")
	if err != nil || len(parameters) != 2 || parameters[0].Name != "size" || parameters[0].Value != "small" || len(parameters[0].Values) != 2 || parameters[1].Value != false {
		t.Errorf("%+v %v", parameters, err)
	}
	for name, in := range map[string]pipeline.Request{
		"a variable that is not settable":  {Variables: map[string]string{"kept": "other"}},
		"a variable that nobody knows":     {Variables: map[string]string{"new": "x"}},
		"a variable of the file":           {Variables: map[string]string{"FIXED": "x"}},
		"a parameter of the wrong type":    {Parameters: map[string]string{"loud": "perhaps"}},
		"a parameter outside its values":   {Parameters: map[string]string{"size": "huge"}},
		"a parameter that nobody declared": {Parameters: map[string]string{"other": "x"}},
		"a stage that is not there":        {Skip: []string{"Z"}},
		"a stage that must run":            {Skip: []string{"B"}},
	} {
		if _, err := w.svc.StartWith(t.Context(), ada, repoName, in); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	in := pipeline.Request{Parameters: map[string]string{"size": "large"}, Variables: map[string]string{"WORD": "given"}, Skip: []string{"c", "D", "E"}}
	if _, err := w.svc.StartWith(t.Context(), ada, repoName, in); err != nil {
		t.Fatal(err)
	}
	d := w.wait(commit, over)
	want(t, w, d, "A Succeeded, B Succeeded, C Skipped, D Skipped, E Skipped", stageResults(d))
	want(t, w, d, "given file large False\n", w.text(d, "A.a", 1))
	given, err := w.svc.Given(t.Context(), ada, d.Number)
	if diff := cmp.Diff(pipeline.Given{Parameters: in.Parameters, Variables: in.Variables, Skip: in.Skip}, given); err != nil || diff != "" {
		t.Errorf("the run was given: %v\n%s", err, diff)
	}
	if _, err := w.svc.Given(t.Context(), identity.Actor{}, d.Number); !fault.Is(err, fault.NotFound) {
		t.Errorf("nobody reads what a run was given: %v", err)
	}
	// What was given is given again.
	r, err := w.svc.Rerun(t.Context(), ada, d.Number)
	if err != nil {
		t.Fatal(err)
	}
	d = w.wait(commit, func(d *pipeline.Detail) bool { return over(d) && d.Number == r.Number })
	want(t, w, d, "given file large False\n", w.text(d, "A.a", 1))
}

func TestStagesAreLeftOutX028_J008(t *testing.T) {
	w := newWorld(t)
	w.agent()
	commit := w.pipeline(asked)
	if _, err := w.svc.StartWith(t.Context(), ada, repoName, pipeline.Request{Skip: []string{"A"}}); err != nil {
		t.Fatal(err)
	}
	// The manual stage waits; who depends on what was left out ran.
	d := w.wait(commit, func(d *pipeline.Detail) bool { return d.Stages[2].Status == plan.Completed })
	want(t, w, d, "A Skipped, B Succeeded, C Succeeded, D , E ", stageResults(d))
	if d.Stages[0].LeftOut != "user:ada" || d.Stages[0].Why != "left out by user:ada" {
		t.Errorf("%+v", d.Stages[0])
	}
	for stage, kind := range map[string]fault.Kind{"B": fault.Conflict, "A": fault.Conflict, "Z": fault.NotFound} {
		if err := w.svc.SkipStage(t.Context(), ada, d.Number, stage); !fault.Is(err, kind) {
			t.Errorf("stage %s: %v", stage, err)
		}
	}
	if err := w.svc.SkipStage(t.Context(), ada, d.Number, "D"); err != nil {
		t.Fatal(err)
	}
	d = w.wait(commit, over)
	want(t, w, d, "A Skipped, B Succeeded, C Succeeded, D Skipped, E Succeeded", stageResults(d))
	want(t, w, d, plan.Succeeded, d.Result)
	// What was left out can be made up for.
	d = w.repeat(commit, d, pipeline.Part{Stage: "A"})
	want(t, w, d, "A Succeeded, B Succeeded, C Succeeded, D Skipped, E Succeeded", stageResults(d))
}
