package validate_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/pipeline/parse"
	"towpath.dev/towpath/internal/pipeline/validate"
)

func TestBuiltinCatalog(t *testing.T) {
	data, err := os.ReadFile("tasks.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := validate.ParseCatalog(data); err != nil {
		t.Fatal(err)
	}
	var tasks []validate.Task
	if err := json.Unmarshal(data, &tasks); err != nil {
		t.Fatal(err)
	}
	if got := len(validate.Builtin().Tasks()); got != len(tasks) || got < 9 {
		t.Errorf("%d of %d tasks", got, len(tasks))
	}
	for _, task := range tasks {
		seen := map[string]bool{}
		for _, input := range task.Inputs {
			for _, name := range append([]string{input.Name}, input.Aliases...) {
				if key := strings.ToLower(name); seen[key] {
					t.Errorf("%s: the input %s stands twice", task.Name, name)
				} else {
					seen[key] = true
				}
			}
			if len(input.Options) > 0 && input.Default != "" && !slices.Contains(input.Options, input.Default) {
				t.Errorf("%s: the default of %s is none of its options", task.Name, input.Name)
			}
			for clause := range strings.SplitSeq(input.When, " & ") {
				name, _, _ := strings.Cut(clause, "=")
				if _, ok := task.Input(name); input.When != "" && !ok {
					t.Errorf("%s: the rule of %s names the unknown input %s", task.Name, input.Name, name)
				}
			}
		}
	}
}

func TestPublishedData(t *testing.T) {
	schema := validate.Published()
	if len(schema.Definitions) != 119 || schema.Version == "" {
		t.Errorf("%d definitions, version %q", len(schema.Definitions), schema.Version)
	}
	for name, d := range schema.Definitions {
		if len(schema.Forms(d)) == 0 {
			t.Errorf("the definition %s has no form", name)
		}
	}
	if got := len(validate.PublishedTasks().Tasks()); got != 253 {
		t.Errorf("%d tasks", got)
	}
	for _, own := range validate.Builtin().Tasks() {
		if own.Name == "PublishCodeCoverageResults" && own.Major == 2 {
			continue // It is newer than the published schema, which has version 1 alone.
		}
		if _, ok := validate.PublishedTasks().Task(own.Name, own.Major); !ok {
			t.Errorf("the task %s@%d is none of the service", own.Name, own.Major)
		}
	}
}

func TestTaskK005(t *testing.T) {
	catalog := validate.Builtin()
	for reference, want := range map[string]bool{
		"Bash@3": true, "bash@3": true, "BASH@4": false, "Nope@1": false, "publisher.ext.id.Bash@3": true,
	} {
		name, major, ok := validate.SplitTask(reference)
		if _, found := catalog.Task(name, major); !ok || found != want {
			t.Errorf("%s: %t, %t", reference, ok, found)
		}
	}
	for _, reference := range []string{"Bash", "Bash@", "Bash@x", "@3", ""} {
		if _, _, ok := validate.SplitTask(reference); ok {
			t.Errorf("%q is no reference", reference)
		}
	}
}

func TestWithDefaultsX003(t *testing.T) {
	task, _ := validate.Builtin().Task("PublishTestResults", 2)
	got := task.WithDefaults(map[string]string{"TESTRESULTSFORMAT": "NUnit", "unknown": "kept"})
	want := map[string]string{
		"testRunner": "NUnit", "unknown": "kept", "testResultsFiles": "**/TEST-*.xml", "searchFolder": "$(System.DefaultWorkingDirectory)",
		"mergeTestResults": "false", "failTaskOnFailedTests": "false", "failTaskOnFailureToPublishResults": "false",
		"failTaskOnMissingResultsFile": "false", "publishRunAttachments": "true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("inputs differ (-want +got):\n%s", diff)
	}
}

func TestMissing(t *testing.T) {
	helm, _ := validate.Builtin().Task("HelmDeploy", 1)
	tests := []struct {
		given map[string]string
		want  []string
	}{
		{map[string]string{"command": "upgrade", "chartType": "FilePath"}, []string{"chartPath"}},
		{map[string]string{"command": "upgrade", "chartType": "filepath", "chartPath": "c"}, nil},
		{map[string]string{"command": "ls"}, nil},
		{map[string]string{"command": "$(c)"}, nil},
		{map[string]string{"command": "upgrade"}, []string{"chartName"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, helm.Missing(tt.given)); diff != "" {
			t.Errorf("%v: %s", tt.given, diff)
		}
	}
}

// TestAnyTree checks that validation accepts every shape of tree without a panic
// and never lets an unknown key pass.
func TestAnyTree(t *testing.T) {
	for _, text := range []string{
		"a", "[]", "[a]", "{}", "stages:", "stages: a", "stages: [a, [b], {}]", "jobs: {a: b}", "jobs: [{job: {a: b}}]", "jobs: [{job: [x], steps: x}]",
		"steps: [[a], {script: [b]}, {task: {}}, {task: Bash@3, inputs: x}]", "stages: [{stage: A, jobs: [{deployment: x, strategy: y, environment: []}]}]",
		"steps: [{script: a, env: [b], target: [c], name: [d], condition: {}}]", "variables: x\nsteps: []", "variables: [{name: []}, {group: {}}, x]\nsteps: []",
		"resources: x\nsteps: []", "resources: {repositories: x, containers: [y], pipelines: [{pipeline: {}}]}\nsteps: []",
		"jobs: [{job: A, dependsOn: {a: b}, strategy: [x], pool: [y]}]", "jobs: [{deployment: A, environment: e, strategy: {runOnce: x, canary: [y]}}]",
	} {
		root, found := parse.Parse("f", []byte(text), parse.Limits{})
		if found.Failed() {
			t.Fatal(found)
		}
		if found := validate.Validate(root, validate.Options{}); !found.Failed() {
			t.Errorf("%s is no pipeline", text)
		}
	}
}
