package lsp

import (
	"slices"
	"strings"
	"testing"
)

// TestCompletionInFlow completes inside of flow collections, and of what has an anchor.
func TestCompletionInFlow(t *testing.T) {
	files := map[string]string{"steps/build.yml": buildTemplate}
	tests := []struct {
		name, text string
		want, not  []string
	}{
		{"first key of a step", "steps:\n- {scr^}\n", []string{"script", "bash", "task"}, []string{"displayName", "trigger"}},
		{"further keys of a step", "steps:\n- {script: make, dis^}\n- script: x", []string{"displayName", "condition"}, []string{"task", "script"}},
		{"keys on a further line", "steps:\n- {script: make,\n   ^\n  }\n", []string{"displayName", "condition"}, []string{"task", "script"}},
		{"keys that stand behind the cursor", "steps:\n- {script: make, ^, displayName: x}\n", []string{"condition"}, []string{"script", "displayName"}},
		{"a value", "steps:\n- {script: x, enabled: ^}\n", []string{"true", "false"}, []string{"script"}},
		{"a value without a brace behind it", "steps:\n- {script: x, enabled: ^", []string{"true", "false"}, []string{"script"}},
		{"inputs of a task", "steps:\n- {task: CopyFiles@2, inputs: {Contents: a, ^}}\n", []string{"TargetFolder"}, []string{"Contents", "task"}},
		{"values of an input", "steps:\n- task: Bash@3\n  inputs: {targetType: ^}\n", []string{"inline", "filePath"}, nil},
		{"parameters of a template", "steps:\n- {template: steps/build.yml, parameters: {fla^}}\n", []string{"flavour", "deep"}, nil},
		{"values of a parameter", "steps:\n- template: steps/build.yml\n  parameters: {flavour: ^}\n", []string{"debug", "release"}, nil},
		{"elements of a sequence", "stages:\n- stage: A\n- stage: B\n- stage: C\n  dependsOn: [A, ^]\n", []string{"A", "B"}, []string{"C", "stage"}},
		{"elements over lines", "jobs:\n- job: A\n- job: B\n  dependsOn: [\n    ^\n  ]\n", []string{"A"}, []string{"B", "steps"}},
		{"mappings in a sequence", "steps: [{script: x}, {ba^}]\n", []string{"bash"}, []string{"displayName"}},
		{"behind a collection", "pool: {vmImage: x}\n^\n", []string{"steps", "stages"}, []string{"pool", "vmImage"}},
		{"after a collection that is never closed", "jobs:\n- job: A\n  steps: [\n  ^\n", []string{"pool", "strategy"}, nil},
		{"functions in an expression", "steps:\n- {script: x, condition: and(^)}\n", []string{"succeeded", "always"}, nil},
		{"below an anchor", "steps:\n- &first\n  script: x\n  dis^\n", []string{"displayName"}, []string{"task"}},
		{"below an anchor of a value", "pool: &p\n  ^\nsteps: []\n", []string{"vmImage", "demands"}, []string{"steps"}},
		{"in a collection with an anchor", "pool: &p {^}\nsteps: []\n", []string{"vmImage", "demands"}, []string{"steps"}},
		{"beside a merge", "steps:\n- script: x\n  <<: *p\n  dis^\n", []string{"displayName"}, []string{"task"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, file, pos := opened(t, tt.text, files)
			var got []string
			for _, c := range s.complete(file, pos) {
				got = append(got, c.Label)
			}
			for _, w := range tt.want {
				if !slices.Contains(got, w) {
					t.Errorf("%s is not offered among %q", w, got)
				}
			}
			for _, n := range tt.not {
				if slices.Contains(got, n) {
					t.Errorf("%s is offered", n)
				}
			}
		})
	}
}

func TestHoverInFlow(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"steps:\n- {script: x, displ^ayName: y}", "**displayName**"},
		{"steps:\n- {task: CopyFi^les@2}", "`TargetFolder` (text, required"},
		{"steps:\n- {task: CopyFiles@2, inputs: {targetf^older: a}}", "**TargetFolder** (text, required"},
		{"steps:\n- {script: x, condition: and(succee^ded(), true)}", "default condition"},
		{"pool: &p\n  vmIm^age: x\nsteps: []", "**vmImage**"},
		{"steps:\n- &a\n  script: x\n- *^a", "what line 2 has"},
		{"pool: &p {vmImage: x}\njobs:\n- job: A\n  pool:\n    <^<: *p", "what line 1 has"},
	} {
		s, file, pos := opened(t, tt.text, nil)
		if got := s.hover(file, pos); !strings.Contains(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}
