package agent

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The parsers of foreign text are tested from inside: nothing else of them can be seen.

func TestParseCommand(t *testing.T) {
	for line, want := range map[string]command{
		"##vso[task.setvariable variable=a;isSecret=TRUE]v":           {"task.setvariable", map[string]string{"variable": "a", "issecret": "TRUE"}, "v"},
		"text ##vso[Task.Complete result=Failed;]done":                {"task.complete", map[string]string{"result": "Failed"}, "done"},
		"##vso[task.setvariable variable=a%3Bb%5D]x%0Ay%AZP25%253B%%": {"task.setvariable", map[string]string{"variable": "a;b]"}, "x\ny%%253B%%"},
		"##vso[task.setsecret]]]":                                     {"task.setsecret", map[string]string{}, "]]"},
	} {
		got, found, ok := parseCommand([]byte(line))
		if !found || !ok {
			t.Errorf("%q: found %v, ok %v", line, found, ok)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(command{})); d != "" {
			t.Errorf("%q: %s", line, d)
		}
	}
	for line, wantFound := range map[string]bool{"##vso": false, "echo": false, "##vso[": true, "##vso[x]": true, "##vso[.y]": true, "##vso[task.x": true} {
		if _, found, ok := parseCommand([]byte(line)); found != wantFound || ok {
			t.Errorf("%q: found %v, ok %v", line, found, ok)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	f.Add([]byte("##vso[task.setvariable variable=a;isSecret=TRUE]v%0A"))
	f.Fuzz(func(t *testing.T, line []byte) {
		c, found, ok := parseCommand(line)
		if ok && (!found || !strings.Contains(c.name, ".")) {
			t.Errorf("%q: %+v", line, c)
		}
	})
}

func TestSplitArguments(t *testing.T) {
	for text, want := range map[string][]string{
		"":                          nil,
		" a  b\tc ":                 {"a", "b", "c"},
		`"a b" 'c "d"' e\ f ""`:     {"a b", `c "d"`, "e f", ""},
		`--x="y z";rm $(w) '$HOME'`: {"--x=y z;rm", "$(w)", "$HOME"},
	} {
		got, err := splitArguments(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
	for _, text := range []string{`"a`, `a\`, `'`} {
		if got, err := splitArguments(text); err == nil {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestMatchAny(t *testing.T) {
	for _, c := range []struct {
		patterns string
		name     string
		want     bool
	}{
		{"**/TEST-*.xml", "TEST-a.xml", true}, {"**/TEST-*.xml", "a/b/TEST-a.xml", true}, {"**/TEST-*.xml", "a/TEST.xml", false},
		{"*.xml", "a/b.xml", false}, {"a/**", "a/b/c", true}, {"a/**", "a", false}, {"a/**/c", "a/c", true}, {"a/**/**/c", "a/b/b/c", true},
		{"a", "a/b", true}, {"**\n!**/x", "a/x", false}, {"!a\n**", "a", true}, {"[", "[", false}, {"./a", "a", true}, {"", "a", false},
	} {
		if got := matchAny(strings.Split(c.patterns, "\n"), c.name); got != c.want {
			t.Errorf("%q on %q: %v", c.patterns, c.name, got)
		}
	}
}

func TestIgnore(t *testing.T) {
	r := parseIgnore("# comment\n\n*.md\n!README.md\n/bin/\nvendor/**/testdata\n../up\n")
	for name, want := range map[string]bool{
		"a.md": true, "README.md": false, "docs/a.md": false, "bin": true, "bin/x/y": true, "vendor/a/testdata/f": true, "up": true, "main.go": false,
	} {
		if got := r.ignores(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCleanName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "a/b": true, "a/": true, "..a/b": true, "": false, "/a": false, "../a": false, "a/../b": false, "a//b": false, "./a": false, "a\x00": false, "..": false, ".": false,
	} {
		if got := cleanName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestEnvName(t *testing.T) {
	for name, want := range map[string]string{"Build.BuildId": "BUILD_BUILDID", "my var": "MY_VAR", "a-b": "A-B"} {
		if got := envName(name); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}
