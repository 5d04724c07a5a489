package git_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/source/git"
)

// grow adds a commit to a branch, on top of from ("" starts a new history), and returns
// its hash. A file whose content is "-" is deleted.
func grow(t *testing.T, g *git.Git, dir, branch, from, message string, files map[string]string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "commit refs/heads/%s\nauthor Grace <grace@example.org> 1000000000 +0130\ncommitter Grace <grace@example.org> 1000000001 +0130\ndata %d\n%s\n", branch, len(message), message)
	if from != "" {
		fmt.Fprintf(&b, "from %s\n", from)
	}
	for path, content := range files {
		if content == "-" {
			fmt.Fprintf(&b, "D %s\n", path)
			continue
		}
		fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", path, len(content), content)
	}
	if _, err := g.Run(t.Context(), dir, strings.NewReader(b.String()), 1<<16, "fast-import", "--quiet", "--force"); err != nil {
		t.Fatal(err)
	}
	out, err := g.Run(t.Context(), dir, nil, 1<<10, "rev-parse", "refs/heads/"+branch)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func files(t *testing.T, g *git.Git, dir, tree string) map[string]string {
	t.Helper()
	list, err := g.Run(t.Context(), dir, nil, 1<<16, "ls-tree", "-r", "-z", "--name-only", tree)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for p := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		data, err := g.Run(t.Context(), dir, nil, 1<<16, "cat-file", "blob", tree+":"+p)
		if err != nil {
			t.Fatal(err)
		}
		out[p] = string(data)
	}
	return out
}

func TestMergeTree(t *testing.T) {
	g, dir := repository(t)
	base := grow(t, g, dir, "main", "", "base", map[string]string{"a": "1\n2\n3\n", "b": "b\n"})
	ours := grow(t, g, dir, "main", base, "ours", map[string]string{"a": "1\n2\n3 ours\n"})
	theirs := grow(t, g, dir, "fix", base, "theirs", map[string]string{"b": "theirs\n", "päth with blank": "x\n"})
	clash := grow(t, g, dir, "clash", base, "clash", map[string]string{"a": "1\n2\n3 theirs\n", "b": "-"})
	other := grow(t, g, dir, "other", "", "other", map[string]string{"z": "z\n"})

	r, err := g.MergeTree(t.Context(), dir, nil, ours, theirs)
	if err != nil || r.Conflicts != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	want := map[string]string{"a": "1\n2\n3 ours\n", "b": "theirs\n", "päth with blank": "x\n"}
	if diff := cmp.Diff(want, files(t, g, dir, r.Tree)); diff != "" {
		t.Errorf("merged tree (-want +got):\n%s", diff)
	}
	if r, err = g.MergeTree(t.Context(), dir, nil, ours, clash); err != nil || !slices.Equal(r.Conflicts, []string{"a"}) {
		t.Errorf("conflict: %+v, %v", r, err)
	}
	if _, err = g.MergeTree(t.Context(), dir, nil, ours, other); !errors.Is(err, git.ErrUnrelated) {
		t.Errorf("unrelated histories: %v", err)
	}
	for _, bad := range []string{"--stdin", "main", strings.Repeat("0", 40)} {
		if _, err := g.MergeTree(t.Context(), dir, nil, ours, bad); err == nil {
			t.Errorf("merged %q", bad)
		}
	}
}

func TestMergeBaseAndRevList(t *testing.T) {
	g, dir := repository(t)
	base := grow(t, g, dir, "main", "", "base", map[string]string{"a": "1\n"})
	main := grow(t, g, dir, "main", base, "main", map[string]string{"b": "1\n"})
	one := grow(t, g, dir, "fix", base, "one", map[string]string{"c": "1\n"})
	two := grow(t, g, dir, "fix", one, "two", map[string]string{"c": "2\n"})
	other := grow(t, g, dir, "other", "", "other", map[string]string{"z": "z\n"})

	for _, tt := range []struct{ a, b, want string }{{main, two, base}, {one, two, one}, {main, other, ""}} {
		if got, err := g.MergeBase(t.Context(), dir, nil, tt.a, tt.b); err != nil || got != tt.want {
			t.Errorf("MergeBase = %q, %v, want %q", got, err, tt.want)
		}
	}
	got, err := g.RevList(t.Context(), dir, nil, two, main, 10)
	want := []git.Node{{Hash: one, Parents: []string{base}}, {Hash: two, Parents: []string{one}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("RevList: %v\n%s", err, diff)
	}
	if got, err = g.RevList(t.Context(), dir, nil, two, main, 1); err != nil || len(got) != 1 || got[0].Hash != two {
		t.Errorf("RevList with a limit: %+v, %v", got, err)
	}
	if _, err := g.RevList(t.Context(), dir, nil, "--all", "", 1); err == nil {
		t.Error("an option was taken for a commit")
	}
	if _, err := g.MergeBase(t.Context(), dir, nil, "--all", two); err == nil {
		t.Error("an option was taken for a commit")
	}
}

// A replayed commit brings its own change and nothing of the commits before it.
func TestReplayTree(t *testing.T) {
	g, dir := repository(t)
	base := grow(t, g, dir, "main", "", "base", map[string]string{"a": "1\n"})
	main := grow(t, g, dir, "main", base, "main", map[string]string{"b": "1\n"})
	one := grow(t, g, dir, "fix", base, "one", map[string]string{"c": "1\n"})
	two := grow(t, g, dir, "fix", one, "two", map[string]string{"d": "2\n"})
	three := grow(t, g, dir, "fix", two, "three", map[string]string{"b": "3\n"})

	r, err := g.ReplayTree(t.Context(), dir, nil, one, two, main)
	if err != nil || r.Conflicts != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	if diff := cmp.Diff(map[string]string{"a": "1\n", "b": "1\n", "d": "2\n"}, files(t, g, dir, r.Tree)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if r, err = g.ReplayTree(t.Context(), dir, nil, two, three, main); err != nil || !slices.Equal(r.Conflicts, []string{"b"}) {
		t.Errorf("conflict: %+v, %v", r, err)
	}
	if _, err := g.ReplayTree(t.Context(), dir, nil, "--help", two, main); err == nil {
		t.Error("an option was taken for a commit")
	}
}

func TestCommitTree(t *testing.T) {
	g, dir := repository(t)
	base := grow(t, g, dir, "main", "", "base", map[string]string{"a": "1\n"})
	tree, err := g.TreeOf(t.Context(), dir, nil, base)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := g.Raw(t.Context(), dir, base)
	if err != nil || raw.Author != "Grace <grace@example.org> 1000000000 +0130" || raw.Message != "base" {
		t.Fatalf("%+v, %v", raw, err)
	}
	when := time.Unix(1700000000, 0).In(time.FixedZone("", -2*3600))
	ada := git.Person{Name: "Ada <script>\n", Email: "ada@localhost", When: when}
	for _, tt := range []struct {
		name   string
		commit git.NewCommit
		author string
	}{
		{"new", git.NewCommit{Tree: tree, Parents: []string{base}, Author: ada, Committer: ada, Message: "title\n\nbody\n\n"}, "Ada script"},
		{"author kept", git.NewCommit{Tree: tree, RawAuthor: raw.Author, Committer: ada, Message: "title\n\nbody"}, "Grace"},
		{"nobody", git.NewCommit{Tree: tree, Author: git.Person{When: when}, Committer: ada, Message: "title\n\nbody"}, "unknown"},
	} {
		hash, err := g.CommitTree(t.Context(), dir, nil, tt.commit)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		got, err := g.Commits(t.Context(), dir, []string{hash})
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %+v, %v", tt.name, got, err)
		}
		c := got[0]
		if c.Author.Name != tt.author || c.Committer.Name != "Ada script" || !c.Committer.When.Equal(when) || c.Title != "title" || c.Body != "body" || len(c.Parents) != len(tt.commit.Parents) {
			t.Errorf("%s: %+v", tt.name, c)
		}
		if _, err := g.Run(t.Context(), dir, nil, 1<<16, "fsck", "--strict", "--no-dangling", hash); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for name, bad := range map[string]git.NewCommit{
		"tree":     {Tree: "HEAD", Author: ada, Committer: ada},
		"parent":   {Tree: tree, Parents: []string{"HEAD"}, Author: ada, Committer: ada},
		"author":   {Tree: tree, RawAuthor: "A <a> 1 +0000\nparent " + base, Committer: ada},
		"encoding": {Tree: tree, Author: ada, Committer: ada, Encoding: "x\ngpgsig y"},
		"message":  {Tree: tree, Author: ada, Committer: ada, Message: "a\x00b"},
	} {
		if hash, err := g.CommitTree(t.Context(), dir, nil, bad); err == nil {
			t.Errorf("%s: wrote %s", name, hash)
		}
	}
}

// New objects of a merge lie in the quarantine that env names, until somebody moves them.
func TestMergeIntoQuarantine(t *testing.T) {
	g, dir := repository(t)
	base := grow(t, g, dir, "main", "", "base", map[string]string{"a": "1\n"})
	ours := grow(t, g, dir, "main", base, "ours", map[string]string{"b": "1\n"})
	theirs := grow(t, g, dir, "fix", base, "theirs", map[string]string{"c": "1\n"})
	env := []string{"GIT_OBJECT_DIRECTORY=" + t.TempDir(), "GIT_ALTERNATE_OBJECT_DIRECTORIES=" + dir + "/objects"}
	r, err := g.MergeTree(t.Context(), dir, env, ours, theirs)
	if err != nil {
		t.Fatal(err)
	}
	me := git.Person{Name: "Ada", Email: "ada@localhost", When: time.Unix(1700000000, 0)}
	hash, err := g.CommitTree(t.Context(), dir, env, git.NewCommit{Tree: r.Tree, Parents: []string{ours, theirs}, Author: me, Committer: me, Message: "m"})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := g.IsAncestor(t.Context(), dir, env, ours, hash); err != nil || !ok {
		t.Errorf("with the quarantine: %v, %v", ok, err)
	}
	if got, err := g.Info(t.Context(), dir, hash, r.Tree); err != nil || got[0].Hash != "" || got[1].Hash != "" {
		t.Errorf("without it the repository holds %+v, %v", got, err)
	}
}

func TestBlobsAndCopyBlob(t *testing.T) {
	g, dir := repository(t)
	base := grow(t, g, dir, "main", "", "base", map[string]string{"a": "1\n", "b": "b\n"})
	next := grow(t, g, dir, "main", base, "next", map[string]string{"a": "2\n", "b": "-", "c d": "3\n"})
	want := map[string]bool{}
	for path := range files(t, g, dir, next) {
		out, err := g.Run(t.Context(), dir, nil, 1<<10, "rev-parse", next+":"+path)
		if err != nil {
			t.Fatal(err)
		}
		want[strings.TrimSpace(string(out))] = true
	}
	list, err := g.Blobs(t.Context(), dir, nil, base, next)
	if err != nil || len(list) != 2 || !want[list[0]] || !want[list[1]] {
		t.Fatalf("%v, %v, of %v", list, err, want)
	}
	beside := t.TempDir()
	if err := g.CopyBlob(t.Context(), dir, nil, beside, list[0]); err != nil {
		t.Fatal(err)
	}
	out, err := g.RunEnv(t.Context(), dir, []string{"GIT_OBJECT_DIRECTORY=" + beside}, nil, 1<<10, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
	if err != nil || strings.TrimSpace(string(out)) != list[0] {
		t.Errorf("beside it lies %q, %v", out, err)
	}
	for _, bad := range []string{"--help", "HEAD"} {
		if _, err := g.Blobs(t.Context(), dir, nil, bad, next); err == nil {
			t.Errorf("compared %q", bad)
		}
		if err := g.CopyBlob(t.Context(), dir, nil, beside, bad); err == nil {
			t.Errorf("copied %q", bad)
		}
	}
}
