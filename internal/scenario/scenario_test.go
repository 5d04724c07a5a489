package scenario_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// atOnce is how many scripts run side by side: each has a server, an agent and the
// processes of its runs.
const atOnce = 2

func TestScripts(t *testing.T) {
	bin := programs(t)
	turns := make(chan struct{}, atOnce)
	testscript.Run(t, testscript.Params{
		Dir:                filepath.Join("..", "..", "testdata", "script"),
		RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			turns <- struct{}{}
			e.Defer(func() { <-turns })
			return setup(e, bin)
		},
		Cmds: verbs(),
	})
}

// verb is a word of the scripts; neg says that "!" stands before it.
type verb = func(ts *testscript.TestScript, neg bool, args []string)

// verbs are what scripts can say beside the language of testscript.
func verbs() map[string]verb {
	all := map[string]verb{
		"towpath":         program("towpath"),
		"git":             program("git"),
		"exit":            exit,
		"server":          server,
		"http":            request,
		"resume":          resume,
		"json":            compareJSON,
		"setjson":         takeJSON,
		"setstdout":       takeStdout,
		"validjson":       validJSON,
		"wait-run":        waitRun,
		"wait-event":      waitEvent,
		"wait-text":       waitText,
		"wait-file":       waitFile,
		"wait-no-process": waitNoProcess,
		"image":           image,
		"stall":           stall,
		"sqlite":          sqlite,
		"subst":           subst,
		"random":          random,
		"tmpfs":           tmpfs,
		"commands":        commands,
		"otlp":            otlp,
		"now":             now,
		"pack":            pack,
		"wait-output":     waitOutput,
		"lake":            lake,
		"sink":            sinkVerb,
	}
	all["as"] = as(all)
	return all
}

// programs is the folder of the built programs.
func programs(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("TOWPATH_BIN")
	if dir == "" {
		dir = filepath.Join("..", "..", "bin")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"towpath", "towpath-agent", "towpath-hook"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Fatalf("The scenarios run the built programs, and there is no %s in %s. Build them with `make build`, or name their folder in TOWPATH_BIN.", name, dir)
		}
	}
	return dir
}

// setup gives a script its own home, its own configuration and an environment that
// holds nothing of the machine's user.
func setup(e *testscript.Env, bin string) error {
	home := filepath.Join(e.WorkDir, "home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	// Steps of runs are another user, and some scripts wait for their files.
	for _, dir := range []string{filepath.Dir(e.WorkDir), e.WorkDir} {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	e.Setenv("PATH", bin+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	e.Setenv("HOME", home)
	e.Setenv("LANG", "C.UTF-8")
	e.Setenv("BIN", bin)
	e.Setenv("DATA", filepath.Join(e.WorkDir, "data"))
	e.Setenv("TOWPATH_CONFIG", filepath.Join(home, "towpath.json"))
	e.Setenv("TOWPATH_PROJECT", "shop")
	for name, value := range map[string]string{
		"GIT_CONFIG_GLOBAL": filepath.Join(home, "gitconfig"), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
		"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com", "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.com",
		"GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
	} {
		e.Setenv(name, value)
	}
	gitconfig := "[init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n[gc]\n\tauto = 0\n"
	if err := os.WriteFile(filepath.Join(home, "gitconfig"), []byte(gitconfig), 0o644); err != nil {
		return err
	}
	s := newStory(e.WorkDir)
	e.Values[storyKey{}] = s
	e.Defer(s.end)
	if err := os.WriteFile(s.tokenFile, []byte(s.tokens["admin"]+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing the administrator's token: %w", err)
	}
	return nil
}
