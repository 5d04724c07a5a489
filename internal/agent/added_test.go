package agent_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// zipOf packs files: name, text, …
func zipOf(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestAddedTasksThatCannotRun has tasks that want more than there is; each is told what is
// missing and what to do.
func TestAddedTasksThatCannotRun(t *testing.T) {
	good := zipOf(t, "index.js", "")
	for _, c := range []struct {
		name   string
		task   protocol.Added
		files  []byte // what the server gives; nil: the right ones
		digest string // nil: that of good
		want   string
	}{
		{name: "K004 no Node that is new enough", want: "needs Node 99 or newer",
			task: protocol.Added{Stages: map[string][]protocol.TaskHandler{protocol.StageMain: {{Name: "Node99", Node: 99, Target: "index.js"}}}}},
		{name: "K004 PowerShell without pwsh", want: "pwsh is not installed on this agent",
			task: protocol.Added{Stages: map[string][]protocol.TaskHandler{protocol.StageMain: {{Name: protocol.HandlerPowerShell, Target: "index.js"}}}}},
		{name: "K005 a newer agent", want: "wants version 99.1.0 of the agent", task: protocol.Added{MinimumAgent: "99.1.0"}},
		{name: "K005 other files than were added", files: zipOf(t, "index.js", "evil"), want: "not those that were added"},
		{name: "K005 files outside of the folder", files: zipOf(t, "../evil.js", ""), digest: "own", want: "is no file of a task"},
		{name: "K005 no digest", digest: "../../etc", want: "which is no digest"},
		{name: "K002 a connection that the job was not given", want: "given no service connection hub", task: protocol.Added{Inputs: []protocol.AddedInput{{Name: "hub", Type: "connectedService:Generic"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "K004 PowerShell without pwsh" && hasPowerShell() {
				return
			}
			s := &server{}
			s.extras.task = good
			if c.files != nil {
				s.extras.task = c.files
			}
			sum := sha256.Sum256(good)
			switch c.digest {
			case "own":
				sum = sha256.Sum256(c.files)
			case "":
			default:
				c.task.Digest = c.digest
			}
			if c.task.Digest == "" {
				c.task.Digest = "sha256:" + hex.EncodeToString(sum[:])
			}
			c.task.Task, c.task.Version = "Probe@1", "1.0.0"
			if c.task.Stages == nil {
				c.task.Stages = map[string][]protocol.TaskHandler{protocol.StageMain: {{Name: "Node10", Node: 10, Target: "index.js"}}}
			}
			got := run(t, s, func(j *protocol.Job) {
				j.Added = []protocol.Added{c.task}
				st := &j.Phases[0].Steps[0]
				st.Task, st.Inputs = "Probe@1", map[string]string{}
				for _, in := range c.task.Inputs {
					st.Inputs[in.Name], st.Connections = in.Name, []string{in.Name}
				}
			}, "")
			if got.Result != plan.Failed || !strings.Contains(s.steps[1].Why, c.want) {
				t.Errorf("%s: %s, want %q", got.Result, s.steps[1].Why, c.want)
			}
		})
	}
}

// hasPowerShell reports whether steps on this host find pwsh.
func hasPowerShell() bool {
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if _, err := os.Stat(filepath.Join(dir, "pwsh")); err == nil {
			return true
		}
	}
	return false
}
