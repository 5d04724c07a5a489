package minimatch_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/agent/minimatch"
)

// The cases are those of the reference of file matching patterns.
func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern   string
		yes, deny string // words
	}{
		{"match*", "match match.dll", "xmatch match/x"},
		{"*", ".git a a.b", "a/b"},
		{"match?", "match1 matchx", "match match12"},
		{"[abc]x", "ax cx", "dx x"}, {"[a-c]x", "bx", "dx"}, {"[!a-c]x", "dx", "ax"}, {"[^a]x", "bx", "ax"}, {"[]a]x", "]x ax", "bx"}, {"[a", "[a", "a"},
		{"/a/**/c", "/a/c /a/b/c /a/b/b/c", "/a/cc /c"},
		{"/a/**", "/a/b /a/b/c /a/.b", "/a /ab"},
		{"**/*.dll", "a.dll a/b/c.dll", "a.exe"},
		{"a**b", "ab axb", "a/b"},
		{"@(hamlet|othello)", "hamlet othello", "macbeth hamletothello"},
		{"x?(a|b)y", "xy xay xby", "xaby"},
		{"x*(a|b)y", "xy xaby xaaay", "xcy"},
		{"x+(a|b)y", "xay xbaby", "xy"},
		{"x!(a|b)y", "xy xcy xaby", "xay xby"},
		{"!(a|b)", "c ab", "a b"},
		{"**/@(release|debug)/*.@(exe|dll)", "p/release/a.exe debug/b.dll", "release/a.pdb x/a.exe"},
		{`\*`, "*", "a"}, {`a\[b]`, "a[b]", "ab"}, {"@(a", "@(a", "a"}, {"+(*)", "aa", ""},
		{"", "", "a"},
		{"?*(*a|*b)*(*c|*d)*(*e|*f)", "", strings.Repeat("x", 200)}, // bounded
	} {
		p := minimatch.Compile(c.pattern)
		for _, name := range strings.Fields(c.yes) {
			if !p.Match(name) {
				t.Errorf("%s does not match %s", c.pattern, name)
			}
		}
		for _, name := range strings.Fields(c.deny) {
			if p.Match(name) {
				t.Errorf("%s matches %s", c.pattern, name)
			}
		}
	}
}

func TestList(t *testing.T) {
	for _, c := range []struct {
		lines, name string
		braces      bool
		want        bool
	}{
		{"**\n!**/*.pdb", "/w [x]/a.pdb", false, false},
		{"**\n!**/*.pdb", "/w [x]/a.dll", false, true},
		{"**\n!**/*.pdb\nkeep.pdb", "/w [x]/keep.pdb", false, true},
		{"# **\n", "/w [x]/a", false, false},
		{"!!a", "/w [x]/a", false, true},
		{"./a/", "/w [x]/a", false, true},
		{"/other/*", "/other/a", false, true},
		{"**", "/w x/a", false, false},
		{"{a,b{c,d}}.x", "/w [x]/bd.x", true, true},
		{"{a,b{c,d}}.x", "/w [x]/b.x", true, false},
		{"{a,b}", "/w [x]/a", false, false},
		{"{a,b}", "/w [x]/{a,b}", false, true},
		{"{a}", "/w [x]/{a}", true, true},
		{strings.Repeat("{a,b}", 40), "/w [x]/c", true, false}, // bounded
	} {
		if got := minimatch.NewList("/w [x]", strings.Split(c.lines, "\n"), c.braces).Match(c.name); got != c.want {
			t.Errorf("%q on %q: %v", c.lines, c.name, got)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("**/@(a|b*)[!c]{d,e}", "x/a.b")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		minimatch.NewList("/r", []string{pattern}, true).Match("/r/" + name)
		if !minimatch.Compile("**").Match(name) {
			t.Errorf("** does not match %q", name)
		}
	})
}
