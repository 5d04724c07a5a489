package owners_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/source/owners"
)

// Each file has a twin that says who owns which path: "-" for a rule without owners,
// "none" for no rule.
func TestFixtures(t *testing.T) {
	names, err := filepath.Glob("testdata/*.CODEOWNERS")
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(strings.TrimSuffix(name, "CODEOWNERS") + "want")
		if err != nil {
			t.Fatal(err)
		}
		f, err := owners.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for line := range strings.Lines(string(want)) {
			path, _, _ := strings.Cut(line, "\t")
			word := "none"
			if r, ok := f.Match(path); ok {
				word = strings.Join(r.Owners, " ")
				if word == "" {
					word = "-"
				}
			}
			got.WriteString(path + "\t" + word + "\n")
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestProblemsAreNamed(t *testing.T) {
	text, err := os.ReadFile("testdata/forms.CODEOWNERS")
	if err != nil {
		t.Fatal(err)
	}
	f, err := owners.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range f.Problems {
		got = append(got, strings.Fields(p.Text)[0]+": "+p.Why)
	}
	want := []string{
		`!not: a pattern cannot be negated with "!"`,
		`[ab]c: ranges of characters ("[ ]") are not understood`,
		`x//y: its pattern has an empty part`,
		`/: its pattern names no path`,
		`y: "bad" is no owner; write @user`,
		`y: "@" is no owner; write @user`,
		`../up: its pattern has the part "..", which no path has`,
		`end\: its pattern ends with a backslash`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if len(f.Problems) > 0 && f.Problems[0].Line != 14 {
		t.Errorf("the first problem stands in line %d", f.Problems[0].Line)
	}
}

func TestLimits(t *testing.T) {
	many := strings.Repeat("x @ada\n", 10001)
	for name, tt := range map[string]struct {
		text     string
		err      error
		problems int
	}{
		"bytes":   {strings.Repeat("#", owners.MaxBytes+1), owners.ErrLimit, 0},
		"rules":   {many, owners.ErrLimit, 0},
		"pattern": {strings.Repeat("x", 2000) + " @ada", nil, 1},
		"parts":   {strings.Repeat("x/", 65) + " @ada", nil, 1},
		"owners":  {"x " + strings.Repeat("@ada ", 51), nil, 1},
		"utf-8":   {"x\xff @ada", nil, 1},
		"empty":   {"", nil, 0},
		"mark":    {"\uFEFFx @ada", nil, 0},
	} {
		f, err := owners.Parse([]byte(tt.text))
		if !errors.Is(err, tt.err) || len(f.Problems) != tt.problems {
			t.Errorf("%s: %d problems, %v", name, len(f.Problems), err)
		}
	}
	f, err := owners.Parse([]byte("* @ada"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := f.Match(strings.Repeat("x", 5000)); ok {
		t.Error("a path longer than any was matched")
	}
}

// A pattern of many stars against a path that almost matches is where matchers with
// backtracking need longer than the universe lasts; this one takes steps that a test can
// afford.
func TestStarsAreBounded(t *testing.T) {
	f, err := owners.Parse([]byte("/" + strings.Repeat("*a", 300) + "b @ada\n/" + strings.Repeat("**/a/", 30) + "b @ada"))
	if err != nil || len(f.Rules) != 2 {
		t.Fatalf("%d rules, %v", len(f.Rules), err)
	}
	for _, path := range []string{strings.Repeat("a", 4000), strings.Repeat("a/", 2000) + "c"} {
		if r, ok := f.Match(path); ok {
			t.Errorf("%s matched", r.Pattern)
		}
	}
}
