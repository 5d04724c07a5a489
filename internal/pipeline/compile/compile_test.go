package compile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"towpath.dev/towpath/internal/pipeline/compile"
	"towpath.dev/towpath/internal/pipeline/expand"
	"towpath.dev/towpath/internal/pipeline/parse"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/validate"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

// pipelineFile is the file that every case compiles.
const pipelineFile = "azure-pipelines.yml"

// The sections of a case that hold expectations.
const (
	wantExpanded    = "want/expanded.yml"
	wantPlan        = "want/plan.json"
	wantOutline     = "want/outline"
	wantDiagnostics = "want/diagnostics"
)

// TestFixtures runs every case in testdata: one file is one case, named after
// the rows that it covers. The files of a case are the repository; files under
// "@alias/" are another repository. "parameters" and "variables" hold
// "name=value" lines; "features" holds "none" to switch the optional abilities
// off. Expectations are the sections "want/…"; without want/diagnostics the case
// must compile without a word. -update rewrites the sections that are there.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases found: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runFixture(t, file) })
	}
}

func runFixture(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := newCase(archive)
	result, found := compile.Full(t.Context(), pipelineFile, c, c.options)
	if found.Failed() {
		result.Expanded = nil // printing what is left of a huge pipeline takes longer than finding its fault
	}
	got := map[string]string{
		wantExpanded:    printed(t, result.Expanded),
		wantPlan:        planJSON(t, result.Plan),
		wantOutline:     outline(result.Plan),
		wantDiagnostics: diagnosticLines(found),
	}
	if *update {
		writeExpectations(t, file, archive, got)
		return
	}
	for name, text := range got {
		want, ok := c.files[name]
		if !ok && name != wantDiagnostics {
			continue
		}
		if diff := cmp.Diff(string(want), text); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", name, diff)
		}
	}
	if result.Plan == nil && !found.Failed() {
		t.Error("there is neither a plan nor an error")
	}
	roundTrip(t, result)
}

// roundTrip checks that the printed expansion reads as the same tree and that
// the plan survives JSON.
func roundTrip(t *testing.T, result *compile.Result) {
	t.Helper()
	if result.Plan == nil {
		return
	}
	text := printed(t, result.Expanded)
	again, found := parse.Parse(pipelineFile, []byte(text), parse.Limits{})
	if found.Failed() {
		t.Fatalf("the printed expansion does not parse: %v\n%s", found, text)
	}
	if diff := cmp.Diff(text, printed(t, again)); diff != "" {
		t.Errorf("printing is not stable (-first +second):\n%s", diff)
	}
	var decoded plan.Plan
	data := planJSON(t, result.Plan)
	if err := json.Unmarshal([]byte(data), &decoded); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(data, planJSON(t, &decoded)); diff != "" {
		t.Errorf("the plan does not survive JSON (-before +after):\n%s", diff)
	}
}

// fixture is one case; it is the loader of its files.
type fixture struct {
	files   map[string][]byte
	options compile.Options
}

func newCase(archive *txtar.Archive) *fixture {
	c := &fixture{files: map[string][]byte{}, options: compile.Options{Features: validate.AllFeatures()}}
	for _, f := range archive.Files {
		c.files[f.Name] = f.Data
	}
	c.options.Parameters = assignments(c.files["parameters"])
	c.options.Variables = assignments(c.files["variables"])
	if string(bytes.TrimSpace(c.files["features"])) == "none" {
		c.options.Features = validate.Features{}
	}
	return c
}

// Load serves the files of the case.
func (c *fixture) Load(_ context.Context, ref expand.Ref) ([]byte, error) {
	name := ref.Path
	if ref.Repository != nil {
		name = "@" + ref.Repository.Alias + "/" + name
	}
	data, ok := c.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return data, nil
}

func assignments(data []byte) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\n"), "="); ok {
			values[name] = value
		}
	}
	return values
}

func printed(t *testing.T, n *parse.Node) string {
	t.Helper()
	text, err := parse.Print(n)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func planJSON(t *testing.T, p *plan.Plan) string {
	t.Helper()
	if p == nil {
		return ""
	}
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data) + "\n"
}

func diagnosticLines(found parse.Diagnostics) string {
	if len(found) == 0 {
		return ""
	}
	return found.Error() + "\n"
}

func writeExpectations(t *testing.T, file string, archive *txtar.Archive, got map[string]string) {
	t.Helper()
	present := map[string]bool{}
	kept := archive.Files[:0]
	for _, f := range archive.Files {
		if text, ok := got[f.Name]; ok {
			f.Data = []byte(text)
			present[f.Name] = true
			if text == "" && f.Name == wantDiagnostics {
				continue
			}
		}
		kept = append(kept, f)
	}
	archive.Files = kept
	if text := got[wantDiagnostics]; text != "" && !present[wantDiagnostics] {
		archive.Files = append(archive.Files, txtar.File{Name: wantDiagnostics, Data: []byte(text)})
	}
	if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}
