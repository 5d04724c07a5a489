package link_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/work/link"
)

// TestTexts compares each text of testdata with the references that stand beside it.
func TestTexts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d texts, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(strings.TrimSuffix(name, ".txt") + ".want")
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), written(link.Text(string(text)))); d != "" {
				t.Error(d)
			}
		})
	}
}

func written(refs []link.Reference) string {
	var b strings.Builder
	for _, r := range refs {
		fmt.Fprint(&b, r.Number)
		if r.Closes {
			b.WriteString(" closes")
		}
		if r.Squash {
			b.WriteString(" squash")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestWords(t *testing.T) {
	for _, word := range []string{
		"close", "closes", "closed", "closing", "fix", "fixes", "fixed", "fixing", "resolve", "resolves", "resolved", "resolving",
		"implement", "implements", "implemented", "implementing", "complete", "completes", "completed", "completing",
	} {
		for _, form := range []string{"%s #12", "%s: #12", "cart: %s  AB#12.", "(%s #12)", "x\n%s ab#12"} {
			for _, w := range []string{word, strings.ToUpper(word[:1]) + word[1:], strings.ToUpper(word)} {
				text := fmt.Sprintf(form, w)
				if d := cmp.Diff([]link.Reference{{Number: 12, Closes: true}}, link.Text(text)); d != "" {
					t.Errorf("%q: %s", text, d)
				}
			}
		}
	}
	for _, text := range []string{
		"ref #12", "refs #12", "part of #12", "towards #12", "relates to #12", "see #12", "#12", "prefix #12", "hotfix #12", "unresolved #12", "fix the cart #12",
		"fix\n#12", "doesn't fix #12", "never closes #12", "fixer #12", "bug-fix #12", "fix, #12",
	} {
		if d := cmp.Diff([]link.Reference{{Number: 12}}, link.Text(text)); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
	for _, text := range []string{"", "#", "#0", "#012", "#12345678901", "a#12", "é#12", "#12é", "#12_x", "x/#12", "fixes #-12", "AB #", "AB#", "XAB#12", "www.x.org/#12", "<!-- #12"} {
		if got := link.Text(text); len(got) != 0 {
			t.Errorf("%q refers to %v", text, got)
		}
	}
}

func TestBranches(t *testing.T) {
	for name, want := range map[string]int64{
		"12-fix": 12, "refs/heads/12-fix": 12, "feature/12-fix-cart": 12, "users/ada/12_fix": 12, "AB#12": 12, "ab-12-fix": 12, "bug/AB#12-fix": 12,
		"main": 0, "12": 0, "2026-11-23": 0, "release/2026-11": 0, "v1.2": 0, "fix-12": 0, "0-fix": 0, "12fix": 0, "": 0, "99999999999-fix": 0, "abc-12-x": 0,
	} {
		if got, ok := link.Branch(name); got != want || ok != (want != 0) {
			t.Errorf("%s refers to %d, %v; want %d", name, got, ok, want)
		}
	}
}

// TestTextsAreBounded reads texts that would cost a careless parser its time or memory.
func TestTextsAreBounded(t *testing.T) {
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, "fixes #%d ", i+1)
	}
	if got := link.Text(many.String()); len(got) != link.MaxReferences {
		t.Errorf("%d references", len(got))
	}
	if got := link.Text(strings.Repeat("x", link.MaxText) + " #12"); len(got) != 0 {
		t.Errorf("%v is beyond the end", got)
	}
	var ticks strings.Builder
	for n := 1; ticks.Len() < link.MaxText; n++ {
		ticks.WriteString(strings.Repeat("`", n) + " ")
	}
	if got := link.Text(ticks.String() + "#12"); len(got) > 1 {
		t.Errorf("%v", got)
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"fixes AB#12, #13", "`#1` ``#2` #3", "```\n#4\n```", "<!-- #5 --> #6", "Revert \"#7\"", "x (#8)", "http://x/#9", "not fixed\t#10"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		refs := link.Text(s)
		if len(refs) > link.MaxReferences {
			t.Fatalf("%d references", len(refs))
		}
		seen := map[int64]bool{}
		for _, r := range refs {
			if r.Number < 1 || seen[r.Number] || !strings.Contains(s, fmt.Sprintf("#%d", r.Number)) {
				t.Fatalf("%q refers to %+v", s, r)
			}
			seen[r.Number] = true
		}
		// Within code nothing refers.
		if got := link.Text("~~~\n" + strings.ReplaceAll(s, "~", "") + "\n~~~"); len(got) != 0 {
			t.Fatalf("in code, %q refers to %+v", s, got)
		}
		if n, ok := link.Branch(s); ok != (n > 0) {
			t.Fatalf("the branch %q refers to %d, %v", s, n, ok)
		}
	})
}
