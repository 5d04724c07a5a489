package main

import (
	"bytes"
	"embed"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// recordings are embedded, not opened: a fresh checkout changes file times, and go test would then not use its cached result.
//
//go:embed testdata
var recordings embed.FS

// convert runs the command on a recorded go test -json run and reads its file back.
func convert(t *testing.T, recorded string) (code int, doc xmlRun, log string) {
	t.Helper()
	in, err := recordings.Open("testdata/" + recorded)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	path := filepath.Join(t.TempDir(), "results", "junit.xml")
	var out bytes.Buffer
	code = run(in, &out, &out, path)
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(body, &doc); err != nil {
		t.Fatalf("the file is no XML: %v", err)
	}
	return code, doc, out.String()
}

func TestEveryOutcome(t *testing.T) {
	code, doc, log := convert(t, "every-outcome.json")
	if code != 1 || doc.Tests != 12 || doc.Failures != 4 || doc.Skipped != 1 {
		t.Errorf("got exit code %d, %d tests, %d failures, %d skipped; want 1, 12, 4, 1", code, doc.Tests, doc.Failures, doc.Skipped)
	}
	got := map[string]string{}
	for _, s := range doc.Suites {
		for _, c := range s.Cases {
			state := "pass"
			if c.Failure != nil {
				state = c.Failure.Message + ": " + c.Failure.Text
			} else if c.Skipped != nil {
				state = "skip: " + c.Skipped.Text
			}
			got[c.Class+" "+c.Name] = state
		}
	}
	want := map[string]string{ // how the state begins, and what it contains after "…"
		"fx/good TestPlain":                   "pass",
		"fx/good TestTable/one":               "pass",
		"fx/good TestTable/two_words":         "pass",
		`fx/good TestTable/<angle>_&_"quote"`: "pass",
		"fx/good TestLater":                   "skip: …needs a boat",
		"fx/bad TestSum/right":                "pass",
		"fx/bad TestSum/wrong":                "failed: …got 3, want 4 & <more>",
		"fx/bad TestParent":                   "failed: …the parent itself failed",
		"fx/bad TestParent/fine":              "pass",
		"fx/broken (package)":                 "did not build: …undefined: undefined",
		"fx/crash TestBefore":                 "pass",
		"fx/crash TestBoom":                   "failed: …panic: boom",
	}
	for name, state := range want {
		begins, contains, _ := strings.Cut(state, "…")
		if !strings.HasPrefix(got[name], begins) || !strings.Contains(got[name], contains) {
			t.Errorf("%s: got %q, want %q", name, got[name], state)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %d cases, want %d: %v", len(got), len(want), got)
	}
	for _, line := range []string{"got 3, want 4", "undefined: undefined", "panic: boom", "ok  \tfx/good", "12 tests, 4 failed, 1 skipped"} {
		if !strings.Contains(log, line) {
			t.Errorf("the log lacks %q", line)
		}
	}
	if strings.Contains(log, "TestPlain") {
		t.Error("the log shows a test that passed")
	}
}

func TestAllPass(t *testing.T) {
	code, doc, _ := convert(t, "all-pass.json")
	if code != 0 || doc.Tests != 5 || doc.Failures != 0 || len(doc.Suites) != 1 || doc.Suites[0].Timestamp == "" {
		t.Errorf("got exit code %d and %+v", code, doc)
	}
}

func TestARunCutShortFails(t *testing.T) {
	in := `{"Action":"start","Package":"p"}` + "\n" + `{"Action":"run","Package":"p","Test":"TestHangs"}` + "\n" +
		`{"Action":"output","Package":"p","Test":"TestHangs","Output":"waiting\n"}`
	path := filepath.Join(t.TempDir(), "junit.xml")
	if code := run(strings.NewReader(in), io.Discard, io.Discard, path); code != 1 {
		t.Errorf("got exit code %d, want 1", code)
	}
	body, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(body), "did not finish") {
		t.Errorf("the test that hangs is not told: %v %s", err, body)
	}
}

func TestWhatIsNoTestRunFails(t *testing.T) {
	for name, tt := range map[string]struct {
		in   io.Reader
		code int
	}{
		"nothing":       {strings.NewReader(""), 1},
		"other text":    {strings.NewReader("go: cannot find main module\n"), 1},
		"broken reader": {iotest.ErrReader(errors.New("disk gone")), 2},
	} {
		var log bytes.Buffer
		if code := run(tt.in, &log, &log, filepath.Join(t.TempDir(), "junit.xml")); code != tt.code {
			t.Errorf("%s: got exit code %d, want %d", name, code, tt.code)
		}
		if name == "other text" && !strings.Contains(log.String(), "cannot find main module") {
			t.Error("text that is no event is lost")
		}
	}
}

func TestLongOutputKeepsItsEnd(t *testing.T) {
	long := strings.Repeat("é", maxOutput)
	in := `{"Action":"output","Package":"p","Test":"T","Output":"` + long + `end"}` + "\n" + `{"Action":"fail","Package":"p","Test":"T"}`
	r, err := read(strings.NewReader(in), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	text := r.document().Suites[0].Cases[0].Failure.Text
	if len(text) > maxOutput+len("…") || !strings.HasSuffix(text, "end") || !strings.HasPrefix(text, "…é") {
		t.Errorf("got %d bytes from %.10q", len(text), text)
	}
}
