package sarif_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/policy/sarif"
)

var update = flag.Bool("update", false, "write the golden file anew")

// report is one of everything that is written.
func report() sarif.Report {
	return sarif.Report{
		Tool: "towpath policy", Version: "1.2.3", URL: "https://towpath.dev", Category: "policy/production/",
		Rules: []sarif.Rule{
			{ID: "baseline/privileged", Name: "Privileged", Title: "Containers must not be privileged", Help: "Remove it.", Level: sarif.Error, Tags: []string{"baseline"}},
			{ID: "audit/replicas", Title: "Two replicas", Level: sarif.Note},
		},
		Results: []sarif.Result{
			{
				Rule: "baseline/privileged", Level: sarif.Error, Message: "Container cart is privileged.", File: "charts/my shop/values.yaml", Line: 2,
				Object: "Deployment shop/cart", Path: "spec.template.spec.containers[name=cart].securityContext.privileged",
				Related: []sarif.Location{{File: "charts/my shop/templates/a.yaml", Line: 31, Text: "the template"}},
			},
			{Rule: "audit/replicas", Level: sarif.Note, Message: "One replica.", File: "a.yaml", Line: 2},
			{Rule: "audit/replicas", Message: "Nowhere.", Object: "Deployment x"},
		},
		Source: func(file string) ([]byte, bool) {
			return []byte("a: 1\nprivileged: true\n"), file == "charts/my shop/values.yaml" || file == "a.yaml"
		},
	}
}

func write(t *testing.T, r sarif.Report) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := sarif.Write(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGolden(t *testing.T) {
	const golden = "testdata/report.sarif"
	got := write(t, report())
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
	turned := report()
	turned.Results[0], turned.Results[2] = turned.Results[2], turned.Results[0]
	if diff := cmp.Diff(string(got), string(write(t, turned))); diff != "" {
		t.Errorf("the order of the results decides:\n%s", diff)
	}
}

// prints are the fingerprints of a report, in its order.
func prints(t *testing.T, r sarif.Report) []string {
	t.Helper()
	var doc struct {
		Runs []struct {
			Results []struct{ PartialFingerprints map[string]string }
		}
	}
	if err := json.Unmarshal(write(t, r), &doc); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, res := range doc.Runs[0].Results {
		out = append(out, res.PartialFingerprints["primaryLocationLineHash"])
	}
	return out
}

// The hashes are those of the tests of github/codeql-action, src/fingerprints.test.ts.
func TestFingerprintsAreGitHubs(t *testing.T) {
	for text, want := range map[string][]string{
		"":                   {"c129715d7a2bc9a3:1"},
		" a\nb\n  \t\tc\n d": {"271789c17abda88f:1", "54703d4cd895b18:1", "180aee12dab6264:1", "a23a3dc5e078b07b:1"},
		" hello; \t\nworld!!!\n\n\n  \t\tGreetings\n End": {
			"8b7cf3e952e7aeb2:1", "b1ae1287ec4718d9:1", "bff680108adb0fcc:1", "c6805c5e1288b612:1", "b86d3392aea1be30:1", "e6ceba753e1a442:1",
		},
	} {
		r := sarif.Report{Rules: []sarif.Rule{{ID: "r"}}, Source: func(string) ([]byte, bool) { return []byte(text), true }}
		for i := range want {
			r.Results = append(r.Results, sarif.Result{Rule: "r", File: "f", Line: i + 1})
		}
		if diff := cmp.Diff(want, prints(t, r)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

// A result keeps its fingerprint when lines are put in far above it, and two objects of one
// line of a template have two.
func TestFingerprintsStay(t *testing.T) {
	at := func(text string, line int) sarif.Report {
		r := sarif.Report{Rules: []sarif.Rule{{ID: "r"}}, Source: func(string) ([]byte, bool) { return []byte(text), true }}
		for _, o := range []string{"Pod a", "Pod b"} {
			r.Results = append(r.Results, sarif.Result{Rule: "r", File: "f", Line: line, Object: o, Path: "spec"})
		}
		return r
	}
	tail := "the line\n" + strings.Repeat("something behind it\n", 20)
	before, after := prints(t, at("one\n"+tail, 2)), prints(t, at("zero\none\r\ntwo\n"+tail, 4))
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	if before[0] == before[1] {
		t.Error("two objects have one fingerprint")
	}
}

func TestWhatDoesNotFit(t *testing.T) {
	r := sarif.Report{Tool: "t", Rules: []sarif.Rule{{ID: "r"}}}
	for range 25_001 {
		r.Results = append(r.Results, sarif.Result{Rule: "r", Level: sarif.Error, File: "a", Line: 1})
	}
	r.Results[7].Level, r.Results[7].Message = sarif.Note, "left out"
	got := string(write(t, r))
	if strings.Contains(got, `"left out"`) || !strings.Contains(got, "1 results were left out") {
		t.Error("the least severe result is not what was left out, or it is not said")
	}
	for _, bad := range []sarif.Report{
		{Results: []sarif.Result{{Rule: "unknown"}}},
		{Rules: []sarif.Rule{{ID: "twice"}, {ID: "twice"}}},
	} {
		if err := sarif.Write(&bytes.Buffer{}, bad); err == nil {
			t.Errorf("%+v is written", bad)
		}
	}
}
