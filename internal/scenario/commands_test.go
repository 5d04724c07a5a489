package scenario_test

import (
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// commands walks through every command that completion offers and demands of each that
// its help ends in success and shows an example. The commands' names are stdout.
func commands(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 0 || neg {
		ts.Fatalf("usage: commands")
	}
	towpath := filepath.Join(ts.Getenv("BIN"), "towpath")
	var walk func(path []string)
	walk = func(path []string) {
		help, err := exec.Command(towpath, append(path[:len(path):len(path)], "--help")...).Output()
		words := strings.Join(path, " ")
		if err != nil {
			ts.Fatalf("towpath %s --help: %v", words, err)
		}
		children := offered(ts, towpath, path)
		// A noun's help lists its verbs, each of which has its example.
		if len(children) == 0 && !strings.Contains(string(help), "Examples:\n") {
			ts.Fatalf("towpath %s --help shows no example:\n%s", words, help)
		}
		_, err = ts.Stdout().Write([]byte(words + "\n"))
		ts.Check(err)
		for _, child := range children {
			walk(append(path[:len(path):len(path)], child))
		}
	}
	walk(nil)
}

// offered lists the subcommands that completion offers.
func offered(ts *testscript.TestScript, towpath string, path []string) []string {
	help, err := exec.Command(towpath, append(path[:len(path):len(path)], "--help")...).Output()
	ts.Check(err)
	if !strings.Contains(string(help), "[command]") {
		return nil
	}
	b, err := exec.Command(towpath, append(append([]string{"__complete"}, path...), "")...).Output()
	ts.Check(err)
	var out []string
	for _, line := range strings.Split(string(b), "\n") {
		word, _, described := strings.Cut(line, "\t")
		if described && word != "help" && word != "completion" {
			out = append(out, word)
		}
	}
	return out
}
