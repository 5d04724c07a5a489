package compile_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"towpath.dev/towpath/internal/pipeline/compile"
	"towpath.dev/towpath/internal/pipeline/expand"
	"towpath.dev/towpath/internal/pipeline/parse"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/validate"
)

// FuzzCompile checks that no file makes the compiler panic, that there is a plan
// or an error, that a plan can be scheduled, and that even a tree which
// validation refuses does no harm to Build.
func FuzzCompile(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, section := range archive.Files {
			if section.Name == pipelineFile {
				f.Add(section.Data)
			}
		}
	}
	limits := expand.Limits{Steps: 2_000, Bytes: 1 << 18, File: parse.Limits{Bytes: 1 << 14}}
	f.Fuzz(func(t *testing.T, data []byte) {
		loader := expand.LoaderFunc(func(context.Context, expand.Ref) ([]byte, error) { return data, nil })
		result, found := compile.Full(t.Context(), pipelineFile, loader, compile.Options{Features: validate.AllFeatures(), Limits: limits})
		if result.Plan == nil && !found.Failed() {
			t.Fatal("neither a plan nor an error")
		}
		if result.Plan != nil {
			result.Plan.Next(plan.State{})
		}
		if result.Expanded != nil {
			plan.Build(result.Expanded, plan.BuildOptions{}).Next(plan.State{})
		}
	})
}
