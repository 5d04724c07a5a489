package validate_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/parse"
	"towpath.dev/towpath/internal/pipeline/validate"
)

// TestKeys checks every key of the language: its right use is accepted and its wrong use
// is an error.
func TestKeys(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "keys.txt"))
	if err != nil {
		t.Fatal(err)
	}
	rows, contexts := 0, map[string]string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if context, ok := strings.CutPrefix(line, "@"); ok {
			name, text, _ := strings.Cut(context, " | ")
			contexts[name] = strings.ReplaceAll(text, `\n`, "\n")
			continue
		}
		parts := strings.SplitN(line, " | ", 4)
		if len(parts) != 4 || contexts[parts[1]] == "" {
			t.Fatalf("the row %q is not of the form ID | context | right | wrong", line)
		}
		rows++
		t.Run(parts[0], func(t *testing.T) {
			if found := judge(t, contexts[parts[1]], parts[2]); found.Failed() {
				t.Errorf("%s is right: %v", parts[2], found.Errors())
			}
			if found := judge(t, contexts[parts[1]], parts[3]); !found.Failed() {
				t.Errorf("%s is wrong", parts[3])
			}
		})
	}
	if rows < 250 {
		t.Errorf("only %d rows", rows)
	}
}

func judge(t *testing.T, context, text string) parse.Diagnostics {
	t.Helper()
	root, found := parse.Parse("f", []byte(strings.ReplaceAll(context, "{0}", text)), parse.Limits{})
	if found.Failed() {
		t.Fatal(found)
	}
	return validate.Validate(root, validate.Options{Features: validate.AllFeatures(), Question: validate.Correct})
}
