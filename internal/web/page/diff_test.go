package page_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/web/page"
)

func diff(lines int) git.Diff {
	f := git.FileDiff{Kind: git.Modified, Old: "a.go", New: "b.go", Additions: lines, Deletions: 1}
	h := git.Hunk{OldStart: 1, NewStart: 1, Lines: []git.Line{{Kind: git.Context, Old: 1, New: 1, Text: "package b"}, {Kind: git.Minus, Old: 2, Text: "var x = `<b>`"}}}
	for i := range lines {
		h.Lines = append(h.Lines, git.Line{Kind: git.Plus, New: i + 2, Text: "var y = \"<i>\""})
	}
	f.Hunks = []git.Hunk{h}
	return git.Diff{Files: []git.FileDiff{f}}
}

func TestDiffFiles(t *testing.T) {
	o := page.DiffOptions{
		Only: -1, At: "0n2", Comment: "/x?at=", Whole: "/x?file=",
		Threads: []pull.Thread{
			{ID: "old", Path: "a.go", Side: pull.SideOld, Now: pull.Place{Path: "a.go", Line: 2}}, {ID: "unchanged", Path: "a.go", Side: pull.SideOld, Now: pull.Place{Path: "a.go", Line: 1}},
			{ID: "beside", Path: "b.go", Side: pull.SideNew, Now: pull.Place{Path: "b.go", Line: 99}}, {ID: "gone", Path: "b.go", Line: 2, Outdated: true},
		},
		Checks: []pull.Check{{Name: "policy", Annotations: []pull.Annotation{{Path: "b.go", StartLine: 1, EndLine: 2, Rule: "r"}, {Path: "other", StartLine: 1}}}},
	}
	f := page.DiffFiles(diff(1), o)[0]
	var got []string
	for _, l := range f.Hunks[0].Rows {
		line := l.At + " " + l.HTML
		for _, talk := range l.Talk {
			if talk.Thread != nil {
				line += " " + talk.Thread.ID
			} else {
				line += " " + talk.Note.Rule
			}
		}
		if l.Form {
			line += " form"
		}
		got = append(got, line)
	}
	want := []string{
		`0n1 <span class="k">package</span> b unchanged`,
		`0o2 <span class="k">var</span> x = <span class="s">` + "`&lt;b&gt;`" + `</span> old`,
		`0n2 <span class="k">var</span> y = <span class="s">&#34;&lt;i&gt;&#34;</span> r form`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if len(f.Beside) != 1 || f.Beside[0].Thread.ID != "beside" || f.Talk != 4 {
		t.Errorf("beside %v, %d remarks", f.Beside, f.Talk)
	}
}

func TestALargeDiffIsBounded(t *testing.T) {
	o := page.DiffOptions{Only: -1, Whole: "/x?file="}
	f := page.DiffFiles(diff(2000), o)[0]
	if !f.Cut || len(f.Hunks) > 0 || f.Whole != "/x?file=0" {
		t.Errorf("2000 lines: cut %t, %d hunks, whole %q", f.Cut, len(f.Hunks), f.Whole)
	}
	o.Only = 0
	if f := page.DiffFiles(diff(2000), o)[0]; f.Cut || len(f.Hunks[0].Rows) != 2002 {
		t.Errorf("alone: cut %t", f.Cut)
	}
	many := git.Diff{}
	for range 20 {
		many.Files = append(many.Files, diff(500).Files...)
	}
	drawn := 0
	for _, f := range page.DiffFiles(many, page.DiffOptions{Only: -1, Whole: "/x?file="}) {
		for _, h := range f.Hunks {
			drawn += len(h.Rows)
		}
	}
	if drawn > 4000 {
		t.Errorf("%d lines are drawn", drawn)
	}
}

func TestParseAt(t *testing.T) {
	for _, c := range []struct {
		at   string
		side string
		line int
		ok   bool
	}{{"3n12", "new", 12, true}, {"0o1", "old", 1, true}, {"n1", "", 0, false}, {"1n0", "", 0, false}, {"1n-1", "", 0, false}, {"x", "", 0, false}, {"", "", 0, false}, {"1n1n1", "", 0, false}} {
		if _, side, line, ok := page.ParseAt(c.at); side != c.side || line != c.line || ok != c.ok {
			t.Errorf("%q: %s %d %t", c.at, side, line, ok)
		}
	}
}

func prose(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	if err := page.Prose(text).Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestProse(t *testing.T) {
	for text, want := range map[string]string{
		"one\ntwo\n\nthree":                 "<p>one<br>two</p><p>three</p>",
		"- a\n- **b**\n\nc":                 "<ul><li>a</li><li><b>b</b></li></ul><p>c</p>",
		"```go\n<x> `y`\n```\nz":            "<pre tabindex=\"0\">&lt;x&gt; `y`\n</pre><p>z</p>",
		"```\nnever ends":                   "<pre tabindex=\"0\">never ends\n</pre>",
		"`a<b>` and <script>":               "<p><code>a&lt;b&gt;</code> and &lt;script&gt;</p>",
		"see https://example.org/a?b=1&c=2": `<p>see <a href="https://example.org/a?b=1&amp;c=2" rel="noreferrer noopener nofollow">https://example.org/a?b=1&amp;c=2</a></p>`,
		"javascript:alert(1)":               "<p>javascript:alert(1)</p>",
		"# Title\n> quoted":                 "<p><b>Title</b></p><blockquote>quoted</blockquote>",
		"":                                  "",
		"1. a\n2. b\n---":                   "<ol><li>a</li><li>b</li></ol><hr>",
		"[the <log>](https://a.example/x)":  `<p><a href="https://a.example/x" rel="noreferrer noopener nofollow">the &lt;log&gt;</a></p>`,
		"[no](javascript:x)":                "<p>[no](javascript:x)</p>",
		"|a|b|\n|-|-:|\n|<c>|1|\n\nx":       `<table><thead><tr><th scope="col">a</th><th scope="col" class="r">b</th></tr></thead><tbody><tr><td>&lt;c&gt;</td><td class="r">1</td></tr></tbody></table><p>x</p>`,
	} {
		if got := prose(t, text); got != want {
			t.Errorf("%q\n got %s\nwant %s", text, got, want)
		}
	}
}

// proseMarks are what Prose may write; anything else comes from people.
var proseMarks = regexp.MustCompile(`</?(?:p|ul|ol|li|blockquote|b|code|br|hr|table|thead|tbody|tr|td|th)>|<th scope="col"(?: class="r")?>|<td class="r">|<pre tabindex="0">|</pre>|<p class="pre">|<a href="https?://[^"<>]*" rel="noreferrer noopener nofollow">|</a>`)

func FuzzProse(f *testing.F) {
	for _, seed := range []string{"plain", "`x`", "**b**", "- a", "```\n<", "https://x.y/\"><script>", "> q\n# h", "**`**`", "\xff<", "a|b\n-|-:\n<|\"", "1. x\n---", "[<](https://a.b/<)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if rest := proseMarks.ReplaceAllString(prose(t, text), ""); strings.ContainsAny(rest, "<>\"") {
			t.Fatalf("%q leaves markup: %q", text, rest)
		}
	})
}

func TestProgramParts(t *testing.T) {
	const cel = "spec:\n  targets:\n  - code:\n    - engine: K8sNativeValidation\n      source:\n        variables:\n        - name: a\n          expression: size(x)\n        validations:\n        - expression: variables.a == 0\n          message: No.\n"
	const rego = "spec:\n  targets:\n  - rego: |\n      package x\n    libs:\n    - package lib.y\n"
	want := []page.CodePart{{Name: "Must be true", Note: "No.", Language: "cel", Text: "variables.a == 0"}, {Name: "variables.a", Language: "cel", Text: "size(x)"}}
	if d := cmp.Diff(want, page.ProgramParts(cel)); d != "" {
		t.Error(d)
	}
	want = []page.CodePart{{Name: "Program", Language: "rego", Text: "package x"}, {Name: "Library", Language: "rego", Text: "package lib.y"}}
	if d := cmp.Diff(want, page.ProgramParts(rego)); d != "" {
		t.Error(d)
	}
	if got := page.ProgramParts("{"); got != nil {
		t.Errorf("no template: %v", got)
	}
}

func TestPercentNeverHidesAViolation(t *testing.T) {
	for want, p := range map[string]float64{"100\u202f%": 100, "99.9\u202f%": 99.99, "96.3\u202f%": 96.3, "0.0\u202f%": 0} {
		if got := page.Percent(p); got != want {
			t.Errorf("%v is %q, want %q", p, got, want)
		}
	}
}
