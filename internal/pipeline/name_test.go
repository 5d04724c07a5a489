package pipeline_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline"
)

func TestX032TheCommitsMessageIsPartOfTheLabel(t *testing.T) {
	w := newWorld(t)
	w.agent()
	steps := "steps: [{checkout: none}, {bash: 'echo \"##vso[build.updatebuildnumber]2.0\"'}]\n"
	for _, tt := range []struct{ head, label string }{
		{"name: 1.$(Rev:r)\n", "2.0 • a change"},
		{"name: 1.$(Rev:r)\nappendCommitMessageToRunName: false\n", "2.0"},
	} {
		d := w.finish(tt.head + steps)
		if d.Label != tt.label || d.Name != "2.0" {
			t.Errorf("%q: the run is called %q, %q", tt.head, d.Name, d.Label)
		}
	}
	r, err := w.svc.Start(t.Context(), ada, repoName, "", nil)
	if err != nil || r.Name != "1.3" || r.Label != "1.3" {
		t.Errorf("a run that starts is called %q, %q: %v", r.Name, r.Label, err)
	}
}

func TestX047TheFileGoesBeforeTheSettings(t *testing.T) {
	w := newWorld(t)
	w.agent()
	for name, value := range map[string]string{"root": "settings", "only": "settings"} {
		if err := w.svc.SetVariable(t.Context(), ada, repoName, pipeline.Variable{Name: name, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	d := w.finish(`
variables: {root: root, stage: root, job: root}
stages:
- stage: S
  variables: {stage: stage, job: stage}
  jobs:
  - job: J
    variables: {job: job}
    steps:
    - checkout: none
    - bash: echo "$(only) $(root) $(stage) $(job)"
`)
	if log := w.everything(d); !strings.Contains(log, "settings root stage job") {
		t.Error(log)
	}
}
