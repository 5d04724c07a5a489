package lsp

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// opened is a server with one document open, whose cursor is marked by "^".
func opened(t *testing.T, text string, files map[string]string) (*Server, string, position) {
	t.Helper()
	s := New(Config{})
	s.space.root = t.TempDir()
	for name, content := range files {
		name = filepath.Join(s.space.root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	before, after, _ := strings.Cut(text, "^")
	pos := position{Line: strings.Count(before, "\n"), Character: units(before[strings.LastIndexByte(before, '\n')+1:])}
	s.space.open["azure-pipelines.yml"] = before + after
	s.uris["azure-pipelines.yml"] = s.space.uri("azure-pipelines.yml")
	return s, "azure-pipelines.yml", pos
}

const buildTemplate = `parameters:
- name: flavour
  type: string
  displayName: What is built
  values: [debug, release]
- name: deep
  type: boolean
  default: false
steps:
- script: make ${{ parameters.flavour }}
`

func TestCompletion(t *testing.T) {
	files := map[string]string{"steps/build.yml": buildTemplate}
	tests := []struct {
		name, text string
		want, not  []string
	}{
		{"keys of the root", "tri^", []string{"trigger", "stages", "jobs", "steps", "pool"}, []string{"script"}},
		{"root keys that are there are not offered again", "trigger: none\n^\n", []string{"pool"}, []string{"trigger"}},
		{"first keys of a step", "steps:\n- ^", []string{"script", "bash", "task", "template", "checkout"}, []string{"displayName", "inputs"}},
		{"further keys of a script", "steps:\n- script: make\n  ^", []string{"displayName", "workingDirectory", "condition"}, []string{"task", "script", "inputs"}},
		{"keys in the middle of a broken file", "jobs:\n- job: A\n  dis^\n  steps: [\n", []string{"displayName", "dependsOn", "pool"}, nil},
		{"keys below a directive", "steps:\n- ${{ if true }}:\n  - ^", []string{"script", "bash"}, nil},
		{"keys of a job at the same column as its list", "jobs:\n- job: A\n  steps:\n  - script: x\n  ^", []string{"pool", "strategy"}, []string{"steps"}},
		{"values of an enumeration", "lockBehavior: ^\nsteps: []", []string{"sequential", "runLatest"}, nil},
		{"Booleans", "steps:\n- script: x\n  enabled: ^", []string{"true", "false"}, nil},
		{"names of tasks", "steps:\n- task: Cop^", []string{"CopyFiles@2", "Bash@3", "AzureCLI@2"}, nil},
		{"inputs of a task", "steps:\n- task: CopyFiles@2\n  inputs:\n    ^", []string{"Contents", "TargetFolder"}, []string{"script"}},
		{"inputs that are there are not offered again", "steps:\n- task: CopyFiles@2\n  inputs:\n    Contents: a\n    ^", []string{"TargetFolder"}, []string{"Contents"}},
		{"values of an input", "steps:\n- task: Bash@3\n  inputs:\n    targetType: ^", []string{"inline", "filePath"}, nil},
		{"parameters of a template", "steps:\n- template: steps/build.yml\n  parameters:\n    ^", []string{"flavour", "deep"}, nil},
		{"values of a parameter", "steps:\n- template: steps/build.yml\n  parameters:\n    flavour: ^", []string{"debug", "release"}, nil},
		{"a Boolean parameter", "steps:\n- template: steps/build.yml\n  parameters:\n    deep: ^", []string{"true", "false"}, nil},
		{"templates of the workspace", "steps:\n- template: ^", []string{"steps/build.yml"}, nil},
		{"stages to depend on", "stages:\n- stage: A\n- stage: B\n  dependsOn: ^\n- stage: C\n", []string{"A", "C"}, []string{"B"}},
		{"jobs to depend on, as a list", "jobs:\n- job: A\n- deployment: D\n- job: B\n  dependsOn:\n  - ^", []string{"A", "D"}, []string{"B"}},
		{"functions in a template expression", "steps:\n- script: ${{ for^ }}", []string{"format", "eq", "parameters"}, nil},
		{"functions in a condition", "steps:\n- script: x\n  condition: and(^)", []string{"succeeded", "always"}, nil},
		{"parameters in an expression", "parameters:\n- name: size\n  default: a\nsteps:\n- script: ${{ parameters.^ }}", []string{"parameters.size"}, nil},
		{"variables in an expression", "variables:\n  one: 1\nsteps:\n- script: ${{ variables.^ }}", []string{"variables.one"}, nil},
		{"nothing in a script", "steps:\n- script: |\n    tri^\n", nil, []string{"trigger", "script"}},
		{"nothing in a comment", "# tri^", nil, []string{"trigger"}},
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

// TestCompletionReplacesTheWord applies what is offered, behind characters that are one, two
// and four bytes long.
func TestCompletionReplacesTheWord(t *testing.T) {
	for _, tt := range []struct{ text, label, want string }{
		{"steps:\n- task: CopyF^iles\n", "CopyFiles@2", "steps:\n- task: CopyFiles@2\n"},
		{"steps:\n- script: é😀\n  disp^\n", "displayName", "steps:\n- script: é😀\n  displayName: \n"},
		{"steps:\n- {}\n- script: 'é😀 ${{ form^'\n", "format", "steps:\n- {}\n- script: 'é😀 ${{ format'\n"},
	} {
		s, file, pos := opened(t, tt.text, nil)
		text := s.space.open[file]
		for _, c := range s.complete(file, pos) {
			if c.Label != tt.label {
				continue
			}
			all := lines(text)
			at := c.TextEdit.Range
			line := all[at.Start.Line]
			all[at.Start.Line] = line[:byteAt(line, at.Start.Character)] + c.TextEdit.NewText + line[byteAt(line, at.End.Character):]
			text = strings.Join(all, "\n")
		}
		if text != tt.want {
			t.Errorf("%q with %s became %q, want %q", tt.text, tt.label, text, tt.want)
		}
	}
}

func TestRequiredInputsComeFirstAndSaySo(t *testing.T) {
	s, file, pos := opened(t, "steps:\n- task: CopyFiles@2\n  inputs:\n    ^", nil)
	for _, c := range s.complete(file, pos) {
		if c.Label == "TargetFolder" && (!strings.Contains(c.Detail, "required") || !strings.HasPrefix(c.SortText, "0")) {
			t.Errorf("TargetFolder is offered as %+v", c)
		}
	}
}

func TestHover(t *testing.T) {
	files := map[string]string{"steps/build.yml": buildTemplate}
	for _, tt := range []struct{ text, want string }{
		{"trig^ger: none", "**trigger**"},
		{"lock^Behavior: runLatest", "sequential"},
		{"steps:\n- task: CopyFi^les@2", "`TargetFolder` (text, required"},
		{"steps:\n- task: CopyFiles@2\n  inputs:\n    targetf^older: a", "**TargetFolder** (text, required"},
		{"steps:\n- script: x\n  condition: and(succee^ded(), true)", "default condition"},
		{"steps:\n- script: ${{ join^(',', parameters.a) }}", "`join(separator, list)`"},
		{"steps:\n- template: steps/build.yml\n  parameters:\n    fla^vour: debug", "What is built"},
		{"steps:\n- script: ma^ke", ""},
	} {
		s, file, pos := opened(t, tt.text, files)
		got := s.hover(file, pos)
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestDefinition(t *testing.T) {
	files := map[string]string{"steps/build.yml": buildTemplate}
	for _, tt := range []struct {
		text, want string
		line       int
	}{
		{"steps:\n- template: steps/bu^ild.yml", "/steps/build.yml", 0},
		{"steps:\n- template: /steps/bu^ild.yml@self", "/steps/build.yml", 0},
		{"steps:\n- template: steps/build.yml\n  parameters:\n    de^ep: true", "/steps/build.yml", 5},
		{"steps:\n- template: steps/none^.yml", "", 0},
		{"steps:\n- template: ../../../etc/passwd^", "", 0},
	} {
		s, file, pos := opened(t, tt.text, files)
		at, ok := s.definition(file, pos)
		if ok != (tt.want != "") || !strings.HasSuffix(at.URI, tt.want) || at.Range.Start.Line != tt.line {
			t.Errorf("%q: %+v, %v", tt.text, at, ok)
		}
	}
}
