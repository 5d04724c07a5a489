package agent_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// TestTasks runs the fixtures of testdata/files: the steps "task" and, when it is there,
// "then", on the files of the workspace. "says" are texts of the logs in order, "fails" is
// the error of the last step; "after DIR" lists a folder, "after FILE" is a file's content.
func TestTasks(t *testing.T) {
	fixtures, err := filepath.Glob("testdata/files/*.txtar")
	if err != nil || len(fixtures) < 20 {
		t.Fatalf("%d fixtures, %v", len(fixtures), err)
	}
	for _, file := range fixtures {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			fixture(t, archive)
		})
	}
}

// arch is the folder of this machine's tools in the cache.
func arch() string {
	if runtime.GOARCH == "arm64" {
		return "arm64"
	}
	return "x64"
}

func fixture(t *testing.T, archive *txtar.Archive) {
	t.Helper()
	parts := map[string]string{}
	for _, f := range archive.Files {
		parts[f.Name] = string(f.Data)
	}
	steps := []protocol.Step{taskStep(t, 2, parts["task"])}
	if then := parts["then"]; then != "" {
		steps = append(steps, taskStep(t, 3, then))
	}
	// The last step shows what there is: the workspace is gone afterwards.
	var show strings.Builder
	for _, f := range archive.Files {
		if name, ok := strings.CutPrefix(f.Name, "after "); ok {
			show.WriteString(`p="$(Pipeline.Workspace)/` + name + `"; echo "== ` + name + `"; if [ -d "$p" ]; then (cd "$p" && find . -type f | sed 's#^\./##' | LC_ALL=C sort); else cat "$p"; fi` + "\n")
		}
	}
	s := &server{}
	got := run(t, s, func(j *protocol.Job) {
		prepare := j.Phases[0].Steps[0]
		last := prepare
		last.Number, last.Condition, last.Inputs = len(steps)+2, "always()", map[string]string{"targetType": "inline", "script": show.String() + ":"}
		j.Phases[0].Steps = append(append([]protocol.Step{prepare}, steps...), last)
	}, prepareScript(archive))
	log := ""
	for i := range len(steps) {
		log += s.log[string(rune('2'+i))]
	}
	fails, want := strings.TrimSpace(parts["fails"]), plan.Succeeded
	if fails != "" {
		want = plan.Failed
	}
	final := s.steps[len(steps)+1]
	if got.Result != want || !strings.Contains(final.Why, fails) {
		t.Errorf("the job ended %s: %s, want %s: %s\n%s%s", got.Result, final.Why, want, fails, s.log["1"], log)
	}
	at := 0
	for line := range strings.Lines(parts["says"]) {
		i := strings.Index(log[at:], strings.TrimSuffix(line, "\n"))
		if i < 0 {
			t.Errorf("the log does not say %q\n%s", line, log)
			continue
		}
		at += i
	}
	var after strings.Builder
	for line := range strings.Lines(s.log[string(rune('2'+len(steps)))]) {
		_, text, _ := strings.Cut(line, " ")
		after.WriteString(text)
	}
	for name, content := range parts {
		if of, ok := strings.CutPrefix(name, "after "); ok && !strings.Contains("\n"+after.String()+"== ", "\n== "+of+"\n"+content+"== ") {
			t.Errorf("%s:\n%s\nwant\n%s\n%s", of, after.String(), content, log)
		}
	}
}

// prepareScript writes the files of a fixture.
func prepareScript(archive *txtar.Archive) string {
	var b strings.Builder
	b.WriteString("set -e\n")
	for _, f := range archive.Files {
		name := strings.ReplaceAll(f.Name, "ARCH", arch())
		root, rest, _ := strings.Cut(name, "/")
		to := `$(Pipeline.Workspace)/` + name
		switch root {
		case "tools":
			to = `$(Agent.ToolsDirectory)/` + rest
		case "s", "a", "b":
		default:
			continue
		}
		b.WriteString("mkdir -p \"$(dirname '" + to + "')\"\ncat > '" + to + "' <<'END-OF-FILE'\n" + string(f.Data) + "END-OF-FILE\n")
		if root == "tools" {
			b.WriteString("chmod +x '" + to + "'\n")
		}
	}
	return b.String()
}

// taskStep reads a task and its inputs, one a line, with \n for line ends.
func taskStep(t *testing.T, number int, text string) protocol.Step {
	t.Helper()
	task, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	step := plan.Step{ID: "Task", DisplayName: task, Kind: plan.StepTask, Task: task, Inputs: map[string]string{}, Condition: "succeeded()", Enabled: true}
	for line := range strings.Lines(rest) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			t.Fatalf("the line %q is no input", line)
		}
		step.Inputs[name] = strings.ReplaceAll(value, `\n`, "\n")
	}
	return protocol.Step{Number: number, Step: step}
}

// Every fixture is one that this test reads.
func TestFixturesAreAllRead(t *testing.T) {
	err := filepath.WalkDir("testdata", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !slices.Contains([]string{".txtar"}, filepath.Ext(path)) && !strings.Contains(path, "fuzz") {
			t.Errorf("nobody reads %s", path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
}
