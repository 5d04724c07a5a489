package expand_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/expand"
	"towpath.dev/towpath/internal/pipeline/parse"
)

// run expands a file with templates by path and returns the printed result and
// the findings.
func run(t *testing.T, text string, templates map[string]string, options expand.Options) (string, parse.Diagnostics) {
	t.Helper()
	root, found := parse.Parse("p.yml", []byte(text), parse.Limits{})
	if found.Failed() {
		t.Fatal(found)
	}
	options.Loader = expand.LoaderFunc(func(_ context.Context, ref expand.Ref) ([]byte, error) {
		if text, ok := templates[ref.Path]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	})
	result, found := expand.Expand(t.Context(), "p.yml", root, options)
	if result == nil {
		return "", found
	}
	printed, err := parse.Print(result.Root)
	if err != nil {
		t.Fatal(err)
	}
	return string(printed), found
}

func TestLimitOfFilesX009(t *testing.T) {
	var text strings.Builder
	templates := map[string]string{}
	text.WriteString("steps:\n")
	for i := range 101 {
		name := fmt.Sprintf("t%d.yml", i)
		templates[name] = "steps:\n- script: a\n"
		fmt.Fprintf(&text, "- template: %s\n", name)
	}
	if _, found := run(t, text.String(), templates, expand.Options{}); !strings.Contains(found.Error(), "more than 100 files") {
		t.Errorf("101 templates: %v", found)
	}
	// The pipeline itself is one of the files.
	fewer := text.String()[:strings.Index(text.String(), "- template: t99")]
	if _, found := run(t, fewer, templates, expand.Options{}); found.Failed() {
		t.Errorf("99 templates: %v", found)
	}
}

func TestLimitOfNestingX009(t *testing.T) {
	templates := map[string]string{}
	for i := range 25 {
		templates[fmt.Sprintf("t%d.yml", i)] = fmt.Sprintf("steps:\n- template: t%d.yml\n", i+1)
	}
	templates["t20.yml"] = "steps:\n- script: bottom\n"
	if out, found := run(t, "steps:\n- template: t1.yml\n", templates, expand.Options{}); found.Failed() || !strings.Contains(out, "bottom") {
		t.Errorf("20 levels: %v", found)
	}
	if _, found := run(t, "steps:\n- template: t0.yml\n", templates, expand.Options{}); !strings.Contains(found.Error(), "more than 20 levels") {
		t.Errorf("21 levels: %v", found)
	}
}

// TestSharedTreesCountX009 uses a list twice on every level of a chain of
// templates, which makes a small file stand for a huge tree.
func TestSharedTreesCountX009(t *testing.T) {
	templates := map[string]string{}
	for i := range 20 {
		templates[fmt.Sprintf("t%d.yml", i)] = fmt.Sprintf(`
parameters:
- name: p
  type: object
steps:
- template: t%d.yml
  parameters:
    p:
    - ${{ parameters.p }}
    - ${{ parameters.p }}
    - x: [{y: '${{ parameters.p }}'}, 0]
      z: {a: '${{ parameters.p }}', b: '${{ parameters.p }}', c: '${{ parameters.p }}', d: '${{ parameters.p }}'}
`, i+1)
	}
	_, found := run(t, "steps:\n- template: t0.yml\n  parameters: {p: [1]}\n", templates, expand.Options{})
	if !strings.Contains(found.Error(), "larger than") && !strings.Contains(found.Error(), "more than") {
		t.Errorf("got %v", found)
	}
}

func TestCancelledContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the server stops"))
	root, _ := parse.Parse("p.yml", []byte("parameters:\n- name: l\n  type: object\n  default: ["+strings.Repeat("1,", 5000)+"1]\nsteps:\n- ${{ each x in parameters.l }}:\n  - script: ${{ x }}\n"), parse.Limits{})
	_, found := expand.Expand(ctx, "p.yml", root, expand.Options{})
	if !strings.Contains(found.Error(), "the server stops") {
		t.Errorf("got %v", found)
	}
}

func TestPositionsSurvive(t *testing.T) {
	root, _ := parse.Parse("p.yml", []byte("steps:\n- template: t.yml\n  parameters:\n    s:\n    - script: mine\n"), parse.Limits{})
	loader := expand.LoaderFunc(func(context.Context, expand.Ref) ([]byte, error) {
		return []byte("parameters:\n- name: s\n  type: stepList\nsteps:\n- script: theirs\n- ${{ parameters.s }}\n"), nil
	})
	result, found := expand.Expand(t.Context(), "p.yml", root, expand.Options{Loader: loader})
	if found.Failed() {
		t.Fatal(found)
	}
	steps := result.Root.Get("steps").Items
	if got := steps[0].Pos.String() + " " + steps[1].Pos.String(); got != "t.yml (Line: 5, Col: 3) p.yml (Line: 5, Col: 7)" {
		t.Errorf("got %s", got)
	}
	if fmt.Sprint(result.Files) != "[p.yml t.yml]" {
		t.Errorf("files %v", result.Files)
	}
}

func TestLoaderErrorIsShown(t *testing.T) {
	root, _ := parse.Parse("p.yml", []byte("steps:\n- template: t.yml\n"), parse.Limits{})
	loader := expand.LoaderFunc(func(context.Context, expand.Ref) ([]byte, error) {
		return nil, errors.New("the pipeline may not read this repository; ask its owner")
	})
	_, found := expand.Expand(t.Context(), "p.yml", root, expand.Options{Loader: loader})
	if want := "p.yml (Line: 2, Col: 13): The template 't.yml' cannot be read: the pipeline may not read this repository; ask its owner"; found.Error() != want {
		t.Errorf("got %v", found)
	}
}

// FuzzExpand checks that no pair of files makes expansion panic or run away, and
// that what it returns without errors holds no expression of the file.
func FuzzExpand(f *testing.F) {
	f.Add("steps:\n- template: t.yml\n  parameters: {a: [1]}\n", "parameters:\n- name: a\n  type: object\nsteps:\n- ${{ each x in parameters.a }}:\n  - script: ${{ x }}\n")
	f.Add("extends:\n  template: t.yml\n", "stages:\n- stage: A\n  jobs:\n  - template: t.yml\n")
	f.Add("variables:\n- template: t.yml\n- ${{ if eq(variables.a, 1) }}:\n  - name: b\n    value: c\njobs:\n- deployment: d\n  strategy: {runOnce: {deploy: {steps: [{template: t.yml}]}}}\n", "variables:\n  a: 1\nsteps:\n- script: a\n")
	f.Add("${{ if true }}:\n  steps:\n  - ${{ insert }}: [{script: a}]\n  - ${{ else }}: x\n", "steps: ${{ parameters }}")
	f.Fuzz(func(t *testing.T, text, template string) {
		if len(text)+len(template) > 1<<14 {
			return
		}
		root, found := parse.Parse("p.yml", []byte(text), parse.Limits{})
		if found.Failed() || root == nil {
			return
		}
		loader := expand.LoaderFunc(func(context.Context, expand.Ref) ([]byte, error) { return []byte(template), nil })
		limits := expand.Limits{Steps: 20_000, Bytes: 1 << 20, File: parse.Limits{Nodes: 10_000}}
		result, found := expand.Expand(t.Context(), "p.yml", root, expand.Options{Loader: loader, Limits: limits})
		if result == nil && !found.Failed() {
			t.Fatal("neither a result nor an error")
		}
	})
}

// TestFilesAreReadOnceT003 makes sure that a template is one text for the whole
// expansion, however often it is used: the loader pins the commit, and is asked once.
func TestFilesAreReadOnceT003(t *testing.T) {
	root, found := parse.Parse("p.yml", []byte("resources:\n  repositories:\n  - {repository: r, type: git, name: n, ref: refs/heads/main}\nsteps:\n- template: a.yml\n- template: a.yml@r\n- template: /a.yml\n- template: a.yml@r\n"), parse.Limits{})
	if found.Failed() {
		t.Fatal(found)
	}
	reads := map[string]int{}
	loader := expand.LoaderFunc(func(_ context.Context, ref expand.Ref) ([]byte, error) {
		name := ref.Path
		if ref.Repository != nil {
			name += "@" + ref.Repository.Alias + ":" + ref.Repository.Ref
		}
		reads[name]++
		return fmt.Appendf(nil, "steps:\n- script: %s %d\n", name, reads[name]), nil
	})
	result, found := expand.Expand(t.Context(), "p.yml", root, expand.Options{Loader: loader})
	if found.Failed() {
		t.Fatal(found)
	}
	if len(reads) != 2 || reads["a.yml"] != 1 || reads["a.yml@r:refs/heads/main"] != 1 {
		t.Errorf("files read: %v", reads)
	}
	if got := len(result.Root.Get("steps").Items); got != 4 {
		t.Errorf("%d steps", got)
	}
}
