package pipeline_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
)

// outcomes is a pipeline whose tests pass or fail as a file of the agent's says, so that one
// commit can have different outcomes.
const outcomes = `
steps:
- checkout: none
- bash: |
    n=$(cat DIR/n 2>/dev/null || echo 0); echo $((n+1)) > DIR/n
    {
      echo '<testsuite name="Cart">'
      echo '<testcase classname="Cart" name="adds"/>'
      if [ $((n % 2)) = 0 ]; then echo '<testcase classname="Cart" name="pays"><failure message="no"/></testcase>'; else echo '<testcase classname="Cart" name="pays"/>'; fi
      echo '<testcase classname="Cart" name="breaks"><failure message="always"/></testcase>'
      echo '<testcase classname="Cart" name="retries"><failure message="once"/></testcase><testcase classname="Cart" name="retries"/>'
      echo '</testsuite>'
    } > r.xml
- task: PublishTestResults@2
  inputs: {testResultsFormat: JUnit, testResultsFiles: r.xml}
`

func TestK025TestsHaveAHistoryAndFlakyOnesAreMarked(t *testing.T) { each(t, history) }

func history(t *testing.T, on func(*world)) {
	w := newWorld(t, on)
	w.agent()
	dir := tempDir(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	d := w.finish(strings.ReplaceAll(outcomes, "DIR", dir))
	list := func(f pipeline.TestFilter) string {
		t.Helper()
		f.Pipeline = repoName
		got, err := w.svc.TestCases(t.Context(), ada, f)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, c := range got {
			out = append(out, fmt.Sprintf("%s/%s %s %d/%d %v", c.Suite, c.Name, c.Outcome, c.Failed, c.Runs, c.Flaky))
		}
		return strings.Join(out, "\n")
	}
	first := "Cart/breaks Failed 1/1 false\nCart/pays Failed 1/1 false\nCart/retries Passed 1/2 true\nCart/adds Passed 0/1 false"
	if got := list(pipeline.TestFilter{}); got != first {
		t.Errorf("after one run:\n%s", got)
	}
	again, err := w.svc.Rerun(t.Context(), ada, d.Number)
	if err != nil {
		t.Fatal(err)
	}
	w.ends(again.Number)
	if got, want := list(pipeline.TestFilter{Flaky: true}), "Cart/retries Passed 2/4 true\nCart/pays Passed 1/2 true"; got != want {
		t.Errorf("flaky:\n%s", got)
	}
	if got, want := list(pipeline.TestFilter{Failed: true, Branch: "main"}), "Cart/breaks Failed 2/2 false"; got != want {
		t.Errorf("failed:\n%s", got)
	}
	if got := list(pipeline.TestFilter{Branch: "other"}); got != "" {
		t.Errorf("of another branch:\n%s", got)
	}
	past, err := w.svc.TestHistory(t.Context(), ada, repoName, "pays", "main", 0)
	if err != nil || len(past) != 2 || past[0].Outcome != "Passed" || past[0].Run != again.Number || past[1].Outcome != "Failed" || past[1].Commit != d.Commit {
		t.Errorf("history: %+v %v", past, err)
	}
	if _, err := w.svc.TestHistory(t.Context(), ada, repoName, "flies", "", 0); !fault.Is(err, fault.NotFound) {
		t.Errorf("a test that is not there: %v", err)
	}
	runs, err := w.svc.Tests(t.Context(), ada, d.Number)
	if err != nil {
		t.Fatal(err)
	}
	marks := map[string]bool{}
	for _, f := range runs[0].Failures {
		marks[f.Name] = f.Flaky
	}
	if !marks["pays"] || marks["breaks"] {
		t.Errorf("marks in the first run: %v", marks)
	}
}
