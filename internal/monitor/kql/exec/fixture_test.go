package exec_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the results that the queries give now into the fixtures")

// fixture is one case of a file: "== name", the query, "----", the result; a refusal is
// the word error with its text.
type fixture struct{ name, query, want string }

func fixtures(t *testing.T, path string) []fixture {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []fixture
	for _, part := range strings.Split("\n"+string(data), "\n== ")[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		query, want, ok := strings.Cut(rest, "\n----\n")
		if !ok {
			t.Fatalf("%s: %s has no line of dashes", path, name)
		}
		out = append(out, fixture{name, strings.TrimSpace(query), strings.TrimSpace(want)})
	}
	return out
}

// TestFixtures runs the queries of testdata/*.fixture.
func TestFixtures(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.fixture")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, path := range paths {
		var b strings.Builder
		for _, f := range fixtures(t, path) {
			t.Run(strings.TrimSuffix(filepath.Base(path), ".fixture")+"/"+f.name, func(t *testing.T) {
				got := outcome(t, f.query)
				b.WriteString("== " + f.name + "\n" + f.query + "\n----\n" + got + "\n\n")
				if d := cmp.Diff(f.want, got); d != "" && !*update {
					t.Errorf("%s\n%s", f.query, d)
				}
			})
		}
		if *update {
			if err := os.WriteFile(path, []byte(strings.TrimRight(b.String(), "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func outcome(t *testing.T, query string) string {
	b, told, err := answer(t, query)
	switch {
	case told != "":
		return "refused: " + told
	case err != nil:
		return "error: " + err.Error()
	}
	return strings.TrimSpace(render(b))
}
