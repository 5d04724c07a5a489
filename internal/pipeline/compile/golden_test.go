package compile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/pipeline/compile"
	"towpath.dev/towpath/internal/pipeline/validate"
)

// TestGolden runs the short cases of testdata/golden. A case begins with "=== NAME" and
// the text of the pipeline; "--- PATH" begins a further file, "---" alone the expectation:
// the expanded YAML, or, when there are errors, all that is found. Nothing rewrites these
// expectations: each follows from the reference and was written by hand.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "golden", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases found: %v", err)
	}
	count := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut("\n"+string(data), "\n=== ")
		for part := range strings.SplitSeq(rest, "\n=== ") {
			name, text, _ := strings.Cut(part, "\n")
			count++
			t.Run(name, func(t *testing.T) { golden(t, text) })
		}
	}
	if count < 100 {
		t.Errorf("only %d cases were found", count)
	}
}

func golden(t *testing.T, text string) {
	c := &fixture{files: map[string][]byte{}, options: compile.Options{Features: validate.AllFeatures(), Question: validate.Expandable}}
	name, body, want := pipelineFile, "", ""
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		mark, marked := strings.CutPrefix(strings.TrimRight(line, "\n"), "---")
		switch {
		case !marked && name == "":
			want += line
		case !marked:
			body += line
		default:
			c.files[name], body = []byte(body), ""
			name = strings.TrimSpace(mark)
		}
	}
	if name != "" {
		t.Fatal("the case expects nothing")
	}
	result, found := compile.Full(t.Context(), pipelineFile, c, c.options)
	got := diagnosticLines(found)
	if !found.Failed() {
		got = printed(t, result.Expanded)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the expansion differs (-want +got):\n%s", diff)
	}
}
