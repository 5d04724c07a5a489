package conformance_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/registrytest"
)

// TestConformance runs the official suite with every default of a version of the
// specification switched on, and expects that nothing fails. "dev" adds upload
// cancellation, digest headers and tags as parameters.
func TestConformance(t *testing.T) {
	suite := build(t)
	for _, version := range []string{"1.0", "1.1", "dev"} {
		t.Run(version, func(t *testing.T) {
			s := registrytest.Start(t, "", registry.Options{})
			out := t.TempDir()
			cmd := exec.CommandContext(t.Context(), suite)
			cmd.Dir = out
			cmd.Env = []string{
				"OCI_REGISTRY=" + s.Host, "OCI_TLS=disabled", "OCI_VERSION=" + version, "OCI_RESULTS_DIR=" + out,
				"OCI_REPO1=conformance/repo1", "OCI_REPO2=conformance/repo2", "OCI_USERNAME=admin", "OCI_PASSWORD=" + registrytest.Password,
			}
			text, err := cmd.CombinedOutput()
			counts := tally(text)
			t.Logf("version %s: %v", version, counts)
			if keep := os.Getenv("TOWPATH_CONFORMANCE_REPORT"); keep != "" {
				copyReport(t, filepath.Join(out, "report.html"), filepath.Join(keep, "conformance-"+version+".html"))
			}
			if err != nil || counts["FAIL"] > 0 || counts["Error"] > 0 || counts["Pass"] < 500 {
				t.Fatalf("the suite is not satisfied: %v\n%s", err, failures(text))
			}
		})
	}
}

// build compiles the suite, which is pinned by the module in suite/.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "suite")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", bin, "github.com/opencontainers/distribution-spec/conformance")
	cmd.Dir = "suite"
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the suite: %v\n%s", err, out)
	}
	return bin
}

var count = regexp.MustCompile(`(?m)^\s+(Pass|FAIL|Skip|Disabled|Error)\.+:\s+(\d+)`)

// tally reads the counts of the report. The suite's JUnit file names no failures, so that
// the text is what counts.
func tally(text []byte) map[string]int {
	out := map[string]int{}
	for _, m := range count.FindAllSubmatch(text, -1) {
		n, err := strconv.Atoi(string(m[2]))
		if err == nil {
			out[string(m[1])] += n
		}
	}
	return out
}

// failures keeps the lines of the report that say what went wrong.
func failures(text []byte) []byte {
	var out [][]byte
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte("FAIL")) || bytes.Contains(line, []byte("rror")) {
			out = append(out, line)
		}
	}
	return bytes.Join(append(out, []byte(strconv.Itoa(len(out))+" lines")), nil)
}

func copyReport(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
