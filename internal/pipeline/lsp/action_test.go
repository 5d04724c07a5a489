package lsp

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestActions applies the preferred fix of each diagnostic that a document has, and looks at
// what becomes of it.
func TestActions(t *testing.T) {
	files := map[string]string{"steps/build.yml": buildTemplate}
	for _, tt := range []struct{ name, text, want string }{
		{"a task", "steps:\n- task: CopyFile@2\n  inputs: {TargetFolder: a}\n", "steps:\n- task: CopyFiles@2\n  inputs: {TargetFolder: a}\n"},
		{"a key", "steps:\n- script: é\n  dispalyName: a\n", "steps:\n- script: é\n  displayName: a\n"},
		{"the first key of a step", "steps:\n- scirpt: x\n", "steps:\n- script: x\n"},
		{"a key of the root", "steps:\n- script: x\ntriger: none\n", "steps:\n- script: x\ntrigger: none\n"},
		{"an input", "steps:\n- task: CopyFiles@2\n  inputs:\n    TargetFolder: x\n    Contnts: a\n", "steps:\n- task: CopyFiles@2\n  inputs:\n    TargetFolder: x\n    Contents: a\n"},
		{"a value of an input", "steps:\n- task: Bash@3\n  inputs: {script: x, targetType: inlin}\n", "steps:\n- task: Bash@3\n  inputs: {script: x, targetType: inline}\n"},
		{"a function in a condition", "steps:\n- script: x\n  condition: and(suceeded(), true)\n", "steps:\n- script: x\n  condition: and(succeeded(), true)\n"},
		{"a job to depend on", "jobs:\n- job: Build\n  steps: [{script: x}]\n- job: Test\n  dependsOn: Biuld\n  steps: [{script: x}]\n",
			"jobs:\n- job: Build\n  steps: [{script: x}]\n- job: Test\n  dependsOn: Build\n  steps: [{script: x}]\n"},
		{"a parameter of a template", "steps:\n- template: steps/build.yml\n  parameters:\n    flavour: debug\n    deeep: true\n",
			"steps:\n- template: steps/build.yml\n  parameters:\n    flavour: debug\n    deep: true\n"},
		{"a missing input", "steps:\n- task: CopyFiles@2\n  displayName: Copy\n", "steps:\n- task: CopyFiles@2\n  inputs:\n    TargetFolder: \n  displayName: Copy\n"},
		{"a missing input beside others", "steps:\n- task: CopyFiles@2\n  inputs:\n    Contents: a\n", "steps:\n- task: CopyFiles@2\n  inputs:\n    Contents: a\n    TargetFolder: \n"},
		{"a missing input in a flow mapping", "steps:\n- task: CopyFiles@2\n  inputs: {Contents: a}\n", "steps:\n- task: CopyFiles@2\n  inputs: {TargetFolder: '', Contents: a}\n"},
		{"a missing parameter", "steps:\n- template: steps/build.yml\n", "steps:\n- template: steps/build.yml\n  parameters:\n    flavour: \n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, file, _ := opened(t, tt.text, files)
			found := s.diagnose(context.Background())[file]
			text := tt.text
			for _, a := range s.actions(file, found) {
				if a.IsPreferred {
					one := a.Edit.Changes[s.uris[file]][0]
					text, _ = applied(text, []change{{Range: &one.Range, Text: one.NewText}})
					break
				}
			}
			if diff := cmp.Diff(tt.want, text); diff != "" {
				t.Errorf("of %+v (-want +got):\n%s", found, diff)
			}
		})
	}
}

func TestIncrementalChanges(t *testing.T) {
	at := func(l, c, m, d int) *span { return &span{position{l, c}, position{m, d}} }
	for _, tt := range []struct {
		name, text string
		changes    []change
		want       string
	}{
		{"a word", "one\ntwo\n", []change{{at(1, 0, 1, 3), "2"}}, "one\n2\n"},
		{"over lines", "one\ntwo\nthree", []change{{at(0, 2, 2, 2), "-"}}, "on-ree"},
		{"units of UTF-16", "a😀b\n", []change{{at(0, 3, 0, 4), "c"}}, "a😀c\n"},
		{"one sees the other", "ab", []change{{at(0, 0, 0, 1), "xyz"}, {at(0, 3, 0, 4), "!"}}, "xyz!"},
		{"all of it, then a part", "ab", []change{{nil, "c\r\nd"}, {at(0, 9, 0, 9), "!"}}, "c!\r\nd"},
		{"behind the end", "ab", []change{{at(7, 7, 9, 9), "c"}}, "abc"},
		{"turned around", "abc", []change{{at(0, 2, 0, 1), "-"}}, "ab-c"},
	} {
		if got, ok := applied(tt.text, tt.changes); !ok || got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if _, ok := applied(strings.Repeat("a", maxMessage), []change{{at(0, 0, 0, 0), "b"}}); ok {
		t.Error("a document grows without a bound")
	}
}

func TestSymbols(t *testing.T) {
	s, file, _ := opened(t, `parameters:
- name: fast
  type: boolean
  default: true
stages:
- stage: Build
  displayName: Build it
  jobs:
  - job: Make
    steps:
    - bash: |
        make
    - ${{ if parameters.fast }}:
      - script: make fast
    - task: CopyFiles@2
      inputs: {TargetFolder: a}
  - deployment: Web
    environment: e
    strategy: {runOnce: {deploy: {steps: [{script: a}, {script: b}]}}}
- template: more.yml
`, nil)
	var show func(list []symbol, pad string) string
	show = func(list []symbol, pad string) string {
		out := ""
		for _, x := range list {
			out += fmt.Sprintf("%s%s (%s) %d-%d\n", pad, x.Name, x.Detail, x.Range.Start.Line, x.Range.End.Line) + show(x.Children, pad+"  ")
		}
		return out
	}
	want := `Build it (stage Build) 5-18
  Make (job) 8-15
    bash (bash) 10-11
    make fast (script) 13-13
    CopyFiles@2 (task) 14-15
  Web (deployment) 16-18
    a (script) 18-18
    b (script) 18-18
more.yml (template) 19-19
`
	if diff := cmp.Diff(want, show(s.symbols(file), "")); diff != "" {
		t.Errorf("symbols (-want +got):\n%s", diff)
	}
}

func TestDefinitionsOfNames(t *testing.T) {
	text := `parameters:
- name: size
variables:
- name: one
  value: 1
jobs:
- job: A
  variables: {two: 2}
  steps: &s
  - script: a
- job: B
  dependsOn: [A]
  steps: *s
- job: C
  steps:
  - script: ${{ parameters.size }} ${{ parameters['size'] }} $(one) $(two) ${{ variables.one }}
`
	for _, tt := range []struct {
		at   string
		line int
	}{
		{"parameters.si^ze", 1}, {"parameters['s^ize", 1}, {"$(o^ne)", 3}, {"$(tw^o)", 7}, {"variables.o^ne", 3}, {"dependsOn: [^A", 6}, {"steps: *^s", 8}, {"- scr^ipt: $", -1},
	} {
		plain := strings.Replace(tt.at, "^", "", 1)
		s, file, pos := opened(t, strings.Replace(text, plain, tt.at, 1), nil)
		at, ok := s.definition(file, pos)
		if ok != (tt.line >= 0) || ok && at.Range.Start.Line != tt.line {
			t.Errorf("%s: %+v, %v", tt.at, at, ok)
		}
	}
}

func TestSignature(t *testing.T) {
	for _, tt := range []struct {
		text, label, about string
		argument           int
	}{
		{"steps:\n- script: x\n  condition: eq(a, ^)", "eq(a, b)", "It takes 2 arguments.", 1},
		{"steps:\n- script: ${{ and(eq(1, 2), or(^)) }}", "or(a, b, …)", "at least 2 arguments", 0},
		{"steps:\n- script: ${{ format('{0}, (', a, b, ^) }}", "format('{0} …', a, …)", "at least 1 argument.", 2},
		{"steps:\n- script: x\n  condition: always(^)", "always()", "no argument", 0},
		{"steps:\n- script: ${{ eq(1, 2)^ }}", "", "", 0},
		{"steps:\n- script: echo (^", "", "", 0},
	} {
		s, file, pos := opened(t, tt.text, nil)
		got := s.signature(file, pos)
		if tt.label == "" {
			if got != nil {
				t.Errorf("%q: %+v", tt.text, got)
			}
			continue
		}
		if got == nil || got.Signatures[0].Label != tt.label || got.ActiveParameter != tt.argument || !strings.Contains(got.Signatures[0].Documentation.Value, tt.about) {
			t.Errorf("%q: %+v", tt.text, got)
		}
	}
	// What a form shows is what the language takes.
	for _, f := range exprFunctions() {
		if shown := len(f.arguments()); strings.HasPrefix(f.takes(), "It takes ") && !strings.Contains(f.form, "…") && !strings.Contains(f.takes(), fmt.Sprintf(" %d argument", shown)) && shown > 0 {
			t.Errorf("%s: %s", f.form, f.takes())
		}
	}
}

// TestActionsOfForeignDiagnostics shows that what other servers of the editor found is no
// trouble.
func TestActionsOfForeignDiagnostics(t *testing.T) {
	s, file, _ := opened(t, "steps:\n- scirpt: x\n", nil)
	s.ready = true
	found := s.diagnose(context.Background())[file]
	own, err := json.Marshal(found[0])
	if err != nil {
		t.Fatal(err)
	}
	params := fmt.Sprintf(`{"textDocument":{"uri":%q},"context":{"diagnostics":[{"range":{"start":{"line":1,"character":0},"end":{"line":1,"character":1}},"code":7,"source":"other","message":"x"},%s]}}`, s.uris[file], own)
	got, fault := s.asked(message{Method: "textDocument/codeAction", Params: json.RawMessage(params)})
	if list, ok := got.([]action); fault != nil || !ok || len(list) != 1 {
		t.Errorf("%+v, %+v", got, fault)
	}
}
