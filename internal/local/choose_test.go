package local_test

import (
	"context"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/local"
	"towpath.dev/towpath/internal/pipeline/compile"
	"towpath.dev/towpath/internal/pipeline/expand"
	"towpath.dev/towpath/internal/pipeline/plan"
)

const file = `
stages:
- stage: Build
  jobs:
  - job: Make
    steps:
    - script: make
      name: make
      condition: eq(1, 2)
    - task: Cache@2
      displayName: Keep modules
      inputs: {key: a, path: b}
  - job: Test
    dependsOn: Make
    condition: eq(1, 2)
    strategy:
      matrix:
        linux: {os: linux}
        mac: {os: mac}
    steps:
    - script: test
      displayName: Run tests
- stage: Hand
  trigger: manual
  jobs:
  - job: Look
    steps:
    - script: look
- stage: Deploy
  dependsOn: [Build, Hand]
  jobs:
  - deployment: Web
    environment: test
    strategy: {runOnce: {deploy: {steps: [{script: deploy}]}}}
`

func compiled(t *testing.T) *plan.Plan {
	t.Helper()
	loader := expand.LoaderFunc(func(_ context.Context, ref expand.Ref) ([]byte, error) {
		if ref.Path != "a.yml" {
			return nil, fs.ErrNotExist
		}
		return []byte(file), nil
	})
	p, found := compile.Compile(t.Context(), "a.yml", loader, compile.Options{Features: local.Features()})
	if found.Failed() {
		t.Fatal(found)
	}
	return p
}

// outline lists the jobs with the steps that would run: "Build.Make: make".
func outline(p *plan.Plan) []string {
	var out []string
	for _, s := range p.Stages {
		for _, j := range s.Jobs {
			line := s.Name + "." + j.Name
			if j.Matrix != nil {
				for _, l := range j.Matrix.Legs {
					line += " " + l.Name
				}
			}
			line += ":"
			for _, st := range j.Steps {
				if st.Enabled {
					line += " " + st.ID
				}
			}
			out = append(out, line)
		}
	}
	return out
}

func TestChoose(t *testing.T) {
	tests := []struct {
		name        string
		jobs, steps []string
		want        []string
		left        []string
	}{
		{"all of it, but what needs a server", nil, nil,
			[]string{"Build.Make: Checkout make", "Build.Test linux mac: Checkout CmdLine", "Hand.Look: Checkout CmdLine", "Deploy.Web:"},
			[]string{"step Build.Make Keep modules", "stage Hand", "job Deploy.Web"}},
		{"a job by its name", []string{"test"}, nil, []string{"Build.Test linux mac: Checkout CmdLine"}, nil},
		{"one leg", []string{"Build.Test.mac"}, nil, []string{"Build.Test mac: Checkout CmdLine"}, nil},
		{"a job of a manual stage is wanted", []string{"Hand.Look"}, nil, []string{"Hand.Look: Checkout CmdLine"}, nil},
		{"a step takes its job with it", nil, []string{"run tests"}, []string{"Build.Test linux mac: Checkout CmdLine"}, nil},
		{"a step of a chosen job", []string{"Make"}, []string{"make"}, []string{"Build.Make: Checkout make"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := compiled(t)
			c, err := local.Choose(p, tt.jobs, tt.steps)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, outline(p)); diff != "" {
				t.Errorf("jobs (-want +got):\n%s", diff)
			}
			var left []string
			for _, l := range c.LeftOut {
				if l.Why == "" || l.Next == "" || l.Pos.Line == 0 {
					t.Errorf("%s says too little: %+v", l.What, l)
				}
				left = append(left, l.What)
			}
			if diff := cmp.Diff(tt.left, left); diff != "" {
				t.Errorf("left out (-want +got):\n%s", diff)
			}
		})
	}
}

// TestChosenRunsWhateverItsConditionSays shows that nothing that is left away still holds
// what was chosen, except the end of the run.
func TestChosenRunsWhateverItsConditionSays(t *testing.T) {
	p := compiled(t)
	if _, err := local.Choose(p, []string{"Test"}, nil); err != nil {
		t.Fatal(err)
	}
	state := plan.State{Stages: map[string]plan.StageState{"Build": {Status: plan.Running, Jobs: map[string]plan.JobState{}}}}
	if d := p.Next(state); len(d) != 1 || d[0].Action != plan.Start || d[0].Job != "Test" {
		t.Errorf("decisions are %+v, want the start of Test", d)
	}
	state.Canceled = true
	if d := p.Next(state); len(d) != 1 || d[0].Action != plan.Cancel {
		t.Errorf("decisions of a cancelled run are %+v", d)
	}
}

func TestChooseNamesTheNearest(t *testing.T) {
	for _, tt := range []struct {
		jobs, steps []string
		want        string
	}{
		{[]string{"Tset"}, nil, "did you mean 'Test'?"},
		{[]string{"Build.Maek"}, nil, "did you mean 'Build.Make'?"},
		{nil, []string{"Run test"}, "did you mean 'Run tests'?"},
		{[]string{"Everything"}, nil, `no job "Everything".`},
	} {
		_, err := local.Choose(compiled(t), tt.jobs, tt.steps)
		message, next := fault.Public(err)
		if !fault.Is(err, fault.NotFound) || !strings.Contains(message, tt.want) || !strings.HasPrefix(next, "it has: ") {
			t.Errorf("%v %v: %q, next %q; want %q", tt.jobs, tt.steps, message, next, tt.want)
		}
	}
}
