package compile_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/compile"
	"towpath.dev/towpath/internal/pipeline/expand"
)

// BenchmarkCompile compiles a pipeline of 90 template files with about 9,000
// steps, which is what a large monorepo has.
func BenchmarkCompile(b *testing.B) {
	files := map[string]string{}
	var root strings.Builder
	root.WriteString("parameters:\n- name: words\n  type: object\n  default: [a, b, c, d, e, f, g, h, i, j]\nstages:\n")
	for i := range 45 {
		fmt.Fprintf(&root, "- template: stage%d.yml\n  parameters: {words: '${{ parameters.words }}'}\n", i)
		files[fmt.Sprintf("stage%d.yml", i)] = fmt.Sprintf("parameters:\n- name: words\n  type: object\nstages:\n- stage: S%d\n  dependsOn: []\n  jobs:\n  - ${{ each w in parameters.words }}:\n    - job: ${{ w }}\n      steps:\n      - template: steps%d.yml\n        parameters: {w: '${{ w }}'}\n", i, i)
		files[fmt.Sprintf("steps%d.yml", i)] = "parameters:\n- name: w\nsteps:\n" + strings.Repeat("- script: echo ${{ parameters.w }}\n  displayName: Say ${{ upper(parameters.w) }}\n  ${{ if eq(parameters.w, 'a') }}:\n    env: {A: $(x)}\n", 20)
	}
	files[pipelineFile] = root.String()
	loader := expand.LoaderFunc(func(_ context.Context, ref expand.Ref) ([]byte, error) { return []byte(files[ref.Path]), nil })
	b.ReportAllocs()
	for b.Loop() {
		p, found := compile.Compile(b.Context(), pipelineFile, loader, compile.Options{})
		if p == nil {
			b.Fatal(found)
		}
	}
}
