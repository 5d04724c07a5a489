package git_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/source/git"
)

// Each patch in testdata stands beside what it says.
func TestParseDiff(t *testing.T) {
	files, err := filepath.Glob("testdata/*.patch")
	if err != nil || len(files) == 0 {
		t.Fatalf("fixtures: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			patch, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(strings.TrimSuffix(file, ".patch") + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			d, err := git.ParseDiff(patch, git.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			if x := cmp.Diff(string(want), describe(d)); x != "" {
				t.Error(x)
			}
		})
	}
}

// describe writes a diff in words, one line a fact.
func describe(d git.Diff) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d files +%d -%d truncated=%v\n", len(d.Files), d.Additions, d.Deletions, d.Truncated)
	for _, f := range d.Files {
		fmt.Fprintf(&b, "%s %q -> %q %s->%s binary=%v +%d -%d truncated=%v\n", f.Kind, f.Old, f.New, f.OldMode, f.NewMode, f.Binary, f.Additions, f.Deletions, f.Truncated)
		for _, h := range f.Hunks {
			fmt.Fprintf(&b, "  hunk %d,%d %d,%d %q\n", h.OldStart, h.OldLines, h.NewStart, h.NewLines, h.Section)
			for _, l := range h.Lines {
				fmt.Fprintf(&b, "    %c %d %d %q open=%v\n", l.Kind, l.Old, l.New, l.Text, l.Open)
			}
		}
	}
	return b.String()
}

func TestParseDiffLimits(t *testing.T) {
	var patch strings.Builder
	for i := range 4 {
		fmt.Fprintf(&patch, "diff --git a/f%d b/f%d\nindex %040d..%040d 100644\n--- a/f%d\n+++ b/f%d\n@@ -1,0 +1,5 @@\n", i, i, i, i+1, i, i)
		patch.WriteString(strings.Repeat("+0123456789\n", 5))
	}
	d, err := git.ParseDiff([]byte(patch.String()), git.Limits{Files: 3, FileLines: 4, Lines: 6, LineBytes: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Files) != 3 || !d.Truncated || d.Additions != 20 {
		t.Errorf("%d files, truncated %v, %d additions", len(d.Files), d.Truncated, d.Additions)
	}
	var kept []int
	for _, f := range d.Files {
		n := 0
		for _, h := range f.Hunks {
			n += len(h.Lines)
		}
		kept = append(kept, n)
		if !f.Truncated || f.Additions != 5 {
			t.Errorf("%s: truncated %v, %d additions", f.New, f.Truncated, f.Additions)
		}
	}
	if x := cmp.Diff([]int{4, 2, 0}, kept); x != "" {
		t.Error(x)
	}
	if got := d.Files[0].Hunks[0].Lines[0].Text; got != "012" {
		t.Errorf("a long line is %q", got)
	}
}

func TestParseDiffRefuses(t *testing.T) {
	head := "diff --git a/f b/f\n--- a/f\n+++ b/f\n"
	for name, patch := range map[string]string{
		"no file":          "@@ -1 +1 @@\n-a\n+b\n",
		"different names":  "diff --git a/f b/g\nindex 1..2\n",
		"open quote":       "diff --git \"a/f b/f\n",
		"short hunk":       head + "@@ -1,3 +1,3 @@\n a\n",
		"not a line":       head + "@@ -1,3 +1,3 @@\n a\n*b\n",
		"too many deleted": head + "@@ -1,1 +1,2 @@\n-a\n-b\n+c\n+d\n",
		"huge count":       head + "@@ -1,99999999999999999999 +1 @@\n",
		"negative":         head + "@@ --1 +1 @@\n",
	} {
		if d, err := git.ParseDiff([]byte(patch), git.DefaultLimits()); err == nil {
			t.Errorf("%s: read as %s", name, describe(d))
		}
	}
}

func TestParseTree(t *testing.T) {
	hash := strings.Repeat("a1", 20)
	in := "100644 blob " + hash + "      12\ta\nb\tc\x00040000 tree " + hash + "       -\tdir\x00160000 commit " + hash + "       -\tsub\x00"
	got, err := git.ParseTree([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	want := []git.Entry{
		{Mode: "100644", Type: "blob", Hash: hash, Size: 12, Path: "a\nb\tc"},
		{Mode: "040000", Type: "tree", Hash: hash, Path: "dir"},
		{Mode: "160000", Type: "commit", Hash: hash, Path: "sub"},
	}
	if x := cmp.Diff(want, got); x != "" {
		t.Error(x)
	}
	for _, bad := range []string{"x", "100644 blob " + hash + " 12\tname", "100644 blob zz 12\tname\x00", "100644 blob " + hash + " -5\tname\x00", "100644 blob " + hash + " 1\t\x00"} {
		if got, err := git.ParseTree([]byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}

func TestCheckRef(t *testing.T) {
	for _, good := range []string{"refs/heads/main", "refs/heads/feature/x-1", "refs/tags/v1.0", "refs/heads/ü", "main", "a@b"} {
		if why := git.CheckRef(good); why != "" {
			t.Errorf("%q %s", good, why)
		}
	}
	for _, bad := range []string{
		"", "/", "refs/heads/", "refs//x", "--output=x", "refs/heads/-x", "a..b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a b", "a\nb", "a\x00b", "a\x7f",
		"x.lock", "x.lock/y", ".x", "x/.y", "x.", "a@{1}", "\xff", strings.Repeat("a", 251),
	} {
		if git.CheckRef(bad) == "" {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzParseDiff(f *testing.F) {
	files, err := filepath.Glob("testdata/*.patch")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		patch, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(patch)
	}
	limits := git.Limits{Files: 3, FileLines: 50, Lines: 100, LineBytes: 40}
	f.Fuzz(func(t *testing.T, patch []byte) {
		d, err := git.ParseDiff(patch, limits)
		if len(d.Files) > limits.Files {
			t.Errorf("%d files", len(d.Files))
		}
		lines := 0
		for _, file := range d.Files {
			plus := 0
			for _, h := range file.Hunks {
				lines += len(h.Lines)
				for _, l := range h.Lines {
					if l.Kind == git.Plus {
						plus++
					}
					if len(l.Text) > 3*limits.LineBytes {
						t.Errorf("a line of %d bytes", len(l.Text))
					}
				}
			}
			if plus > file.Additions {
				t.Errorf("%d lines added, %d counted", plus, file.Additions)
			}
			if err == nil && (file.Old == "" || file.New == "") {
				t.Errorf("a file without a name: %+v", file)
			}
		}
		if lines > limits.Lines {
			t.Errorf("%d lines", lines)
		}
	})
}

func FuzzParseTree(f *testing.F) {
	f.Add([]byte("100644 blob " + git.EmptyTree + "      12\ta\x00"))
	f.Add([]byte("160000 commit " + git.EmptyTree + "       -\tsub\x00"))
	f.Fuzz(func(t *testing.T, out []byte) {
		list, err := git.ParseTree(out)
		if err != nil {
			return
		}
		for _, e := range list {
			if !git.IsHash(e.Hash) || e.Size < 0 || e.Path == "" || strings.Contains(e.Path, "\x00") {
				t.Errorf("%+v", e)
			}
		}
	})
}

func FuzzParseLog(f *testing.F) {
	f.Add([]byte(git.EmptyTree + "\x00\x00N\x00e\x002026-03-01T10:00:00+01:00\x00N\x00e\x00x\x00Title\n\nBody\x00"))
	f.Fuzz(func(t *testing.T, out []byte) {
		list, err := git.ParseLog(out)
		if err != nil {
			return
		}
		for _, c := range list {
			if !git.IsHash(c.Hash) || strings.Contains(c.Title, "\n") {
				t.Errorf("%+v", c)
			}
		}
	})
}
