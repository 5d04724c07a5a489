package command_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towpath.dev/towpath/kube/internal/command"
	"towpath.dev/towpath/kube/internal/config"
	"towpath.dev/towpath/kube/internal/preflight"
)

func TestExitCodes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cluster.json")
	if err := os.WriteFile(file, []byte(`{"data":"/srv/c","colour":"red"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"help":                     {[]string{"help"}, 0, "towpath-kube up"},
		"nothing":                  {nil, 2, "towpath-kube up"},
		"no such command":          {[]string{"upp"}, 2, `"upp"`},
		"no configuration":         {[]string{"up"}, 2, "--config FILE"},
		"no such flag":             {[]string{"up", "--colour"}, 2, "colour"},
		"unknown key":              {[]string{"up", "--config", file}, 1, "colour"},
		"no such file":             {[]string{"reset", "--config", file + "x"}, 1, "no such file"},
		"image import without one": {[]string{"image", "import", "--config", file}, 1, "colour"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := command.Run(test.args, &stdout, &stderr); code != test.code {
				t.Errorf("exit code %d, want %d; stderr: %s", code, test.code, &stderr)
			}
			if all := stdout.String() + stderr.String(); !strings.Contains(all, test.want) {
				t.Errorf("output lacks %q: %s", test.want, all)
			}
		})
	}
}

func TestCheckTellsTheSameAsJSON(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := command.Run([]string{"check", "-o", "json"}, &stdout, &stderr)
	var checks []preflight.Check
	if err := json.Unmarshal(stdout.Bytes(), &checks); err != nil {
		t.Fatal(err)
	}
	if preflight.Failed(checks) != (code != 0) || len(checks) == 0 {
		t.Errorf("exit code %d, checks %+v", code, checks)
	}
}

func TestPrintedConfigurationIsTheDefault(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := command.Run([]string{"config"}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	var printed config.Config
	if err := json.Unmarshal(stdout.Bytes(), &printed); err != nil {
		t.Fatal(err)
	}
	if printed.Bridge != config.Default().Bridge || printed.APIPort != config.Default().APIPort {
		t.Errorf("printed %+v", printed)
	}
}
