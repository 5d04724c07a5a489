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

// goldenCases are the short cases of testdata/golden by name. A case begins with "=== NAME"
// and the text of the pipeline; "--- PATH" begins a further file, "---" alone the expectation:
// the expanded YAML, or, when there are errors, all that is found. Nothing rewrites these
// expectations: each follows from the reference and was judged by it.
func goldenCases(t *testing.T, folder string) (names []string, texts map[string]string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases found: %v", err)
	}
	texts = map[string]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut("\n"+string(data), "\n=== ")
		for part := range strings.SplitSeq(rest, "\n=== ") {
			name, text, _ := strings.Cut(part, "\n")
			if _, twice := texts[name]; twice {
				t.Errorf("there are two cases %q", name)
			}
			names = append(names, name)
			texts[name] = text
		}
	}
	return names, texts
}

// TestGolden runs the golden cases.
func TestGolden(t *testing.T) { cases(t, "golden", validate.Expandable, 300) }

// TestMistakes runs the cases of testdata/mistakes, which have the same form: what people
// often get wrong, and what they are told: what it is, where, and what to do.
func TestMistakes(t *testing.T) { cases(t, "mistakes", validate.Runnable, 50) }

// cases runs the cases of a folder, of which there are at least some.
func cases(t *testing.T, folder string, question validate.Question, least int) {
	t.Helper()
	names, texts := goldenCases(t, folder)
	for _, name := range names {
		t.Run(name, func(t *testing.T) { golden(t, texts[name], question) })
	}
	if len(names) < least {
		t.Errorf("only %d cases were found", len(names))
	}
}

func golden(t *testing.T, text string, question validate.Question) {
	c, want := goldenCase(t, text)
	c.options.Question = question
	result, found := compile.Full(t.Context(), pipelineFile, c, c.options)
	got := diagnosticLines(found)
	if !found.Failed() && question == validate.Expandable {
		got = printed(t, result.Expanded)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the expansion differs (-want +got):\n%s", diff)
	}
}

// goldenCase reads the files of a case and what it expects.
func goldenCase(t *testing.T, text string) (c *fixture, want string) {
	t.Helper()
	c = &fixture{files: map[string][]byte{}, options: compile.Options{Features: validate.AllFeatures(), Question: validate.Expandable}}
	name, body := pipelineFile, ""
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
	return c, want
}
