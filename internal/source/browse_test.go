package source_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
)

func TestBrowse(t *testing.T) {
	w := newWorld(t)
	c := newClone(t)
	first := c.commit("First", "README.md", "hello\n", "src/deep/a.go", "package a\n", "bin.dat", "a\x00b", "ä ö/ü.txt", "unicode")
	check(t, os.Symlink("/etc/passwd", filepath.Join(c.dir, "link")))
	second := c.commit("Second\n\nWith a body.", "src/deep/a.go", "package a\n\nfunc F() {}\n", "new\nline.txt", "odd", "big.txt", strings.Repeat("0123456789abcde\n", 1<<17))
	c.git("tag", "-a", "-m", "one", "v1", first)
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main", "v1")
	ctx, rita := t.Context(), actor("rita")

	for rev, want := range map[string]string{
		"": second, "main": second, "refs/heads/main": second, second: second, second[:8]: second, "v1": first, "refs/tags/v1": first, first: first,
	} {
		if got, err := w.svc.Resolve(ctx, rita, "shop/web", rev); err != nil || got != want {
			t.Errorf("Resolve(%q) = %s, %v", rev, got, err)
		}
	}
	for _, rev := range []string{"none", "main~1", "HEAD^", "--output=/tmp/x", "-h", "main..v1", "a\nb", "a\x00b", "@{1}", ":/First", strings.Repeat("a", 500), second[:3], "refs/internal/x", "../../etc"} {
		_, err := w.svc.Resolve(ctx, rita, "shop/web", rev)
		wantKind(t, err, fault.NotFound)
	}

	list, err := w.svc.Tree(ctx, rita, "shop/web", "main", "")
	check(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Mode+" "+e.Path)
	}
	want := []string{"040000 src", "040000 ä ö", "100644 README.md", "100644 big.txt", "100644 bin.dat", "120000 link", "100644 new\nline.txt"}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
	list, err = w.svc.Tree(ctx, rita, "shop/web", first, "src/deep/")
	check(t, err)
	if len(list) != 1 || list[0].Path != "src/deep/a.go" || list[0].Size != 10 {
		t.Errorf("src/deep: %+v", list)
	}
	_, err = w.svc.Tree(ctx, rita, "shop/web", "main", "README.md")
	wantKind(t, err, fault.NotFound)
	for _, path := range []string{"../x", "a/../b", ".", "a//b", "a\x00b", strings.Repeat("a/", 3000) + "a"} {
		_, err = w.svc.Tree(ctx, rita, "shop/web", "main", path)
		wantKind(t, err, fault.Invalid)
		_, err = w.svc.File(ctx, rita, "shop/web", "main", path)
		wantKind(t, err, fault.Invalid)
	}
	for _, path := range []string{"--output=x", "*", ":(top)README.md", "src", "none", "READM?.md"} {
		_, err = w.svc.File(ctx, rita, "shop/web", "main", path)
		wantKind(t, err, fault.NotFound)
	}
	for path, want := range map[string]string{"README.md": "hello\n", "new\nline.txt": "odd", "ä ö/ü.txt": "unicode", "link": "/etc/passwd"} {
		got, err := w.svc.File(ctx, rita, "shop/web", "main", path)
		if err != nil || string(got) != want {
			t.Errorf("File(%q) = %q, %v", path, got, err)
		}
	}
	b, err := w.svc.Blob(ctx, rita, "shop/web", "main", "bin.dat")
	if err != nil || !b.Binary || b.Truncated || b.Commit != second {
		t.Errorf("bin.dat: %+v, %v", b, err)
	}
	b, err = w.svc.Blob(ctx, rita, "shop/web", "main", "big.txt")
	if err != nil || b.Binary || !b.Truncated || len(b.Content) != source.MaxBlob || b.Size != 2<<20 {
		t.Errorf("big.txt: %d bytes, %+v, %v", len(b.Content), b.Entry, err)
	}

	log, more, err := w.svc.Commits(ctx, rita, "shop/web", "main", "", 0, 1)
	if err != nil || !more || len(log) != 1 || log[0].Hash != second || log[0].Title != "Second" || log[0].Body != "With a body." || log[0].Author.Email != "w@example.org" {
		t.Errorf("first page: %+v, %v, %v", log, more, err)
	}
	log, more, err = w.svc.Commits(ctx, rita, "shop/web", "main", "", 1, 1)
	if err != nil || more || len(log) != 1 || log[0].Hash != first {
		t.Errorf("second page: %+v, %v, %v", log, more, err)
	}
	log, _, err = w.svc.Commits(ctx, rita, "shop/web", "main", "README.md", 0, 10)
	if err != nil || len(log) != 1 || log[0].Hash != first {
		t.Errorf("log of a path: %+v, %v", log, err)
	}
	paths, err := w.svc.ChangedPaths(ctx, rita, "shop/web", first, second)
	check(t, err)
	if d := cmp.Diff([]string{"big.txt", "link", "new\nline.txt", "src/deep/a.go"}, paths); d != "" {
		t.Error(d)
	}
	if paths, err = w.svc.ChangedPaths(ctx, rita, "shop/web", git.Zero, first); err != nil || len(paths) != 4 {
		t.Errorf("paths of a new ref: %q, %v", paths, err)
	}
	branches, err := w.svc.Branches(ctx, rita, "shop/web")
	if err != nil || len(branches) != 1 || branches[0].Name != "main" || branches[0].Commit != second {
		t.Errorf("branches: %+v, %v", branches, err)
	}
	tags, err := w.svc.Tags(ctx, rita, "shop/web")
	if err != nil || len(tags) != 1 || tags[0].Name != "v1" || tags[0].Commit != first || tags[0].Title != "one" {
		t.Errorf("tags: %+v, %v", tags, err)
	}

	_, err = w.svc.File(ctx, actor("stranger"), "shop/web", "main", "README.md")
	wantKind(t, err, fault.NotFound)
	_, err = w.svc.Commit(ctx, actor("stranger"), "shop/web", "main")
	wantKind(t, err, fault.NotFound)
	_, err = w.svc.Repos(ctx, actor("stranger"), "shop")
	wantKind(t, err, fault.NotFound)
	_, err = w.svc.CreateRepo(ctx, rita, "shop/other")
	wantKind(t, err, fault.Denied)
	_, err = w.svc.CreateRepo(ctx, actor("wanda"), "shop/web")
	wantKind(t, err, fault.Conflict)
	_, err = w.svc.CreateRepo(ctx, actor("admin"), "shop/--upload-pack=x")
	wantKind(t, err, fault.Invalid)
}

func TestDiffOfCommits(t *testing.T) {
	w := newWorld(t)
	c := newClone(t)
	body := strings.Repeat("line\n", 30)
	c.commit("First", "a.txt", body+"end", "b.txt", body+"b\n", "gone.txt", "x\n", "bin", "\x00\x01")
	check(t, os.Remove(filepath.Join(c.dir, "gone.txt")))
	check(t, os.Rename(filepath.Join(c.dir, "b.txt"), filepath.Join(c.dir, "moved to ä.txt")))
	check(t, os.Chmod(filepath.Join(c.dir, "bin"), 0o755))
	c.commit("Second", "a.txt", "-- new\n"+body+"end\n", "bin", "\x00\x02", "+++ b/x\n.txt", "--- a/x\n")
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main")
	d, err := w.svc.Diff(t.Context(), actor("rita"), "shop/web", "", "main")
	check(t, err)
	type row struct {
		Kind, Old, New, OldMode, NewMode string
		Binary                           bool
		Plus, Minus, Hunks               int
	}
	var got []row
	for _, f := range d.Files {
		got = append(got, row{f.Kind, f.Old, f.New, f.OldMode, f.NewMode, f.Binary, f.Additions, f.Deletions, len(f.Hunks)})
	}
	want := []row{
		{"added", "+++ b/x\n.txt", "+++ b/x\n.txt", "", "100644", false, 1, 0, 1},
		{"modified", "a.txt", "a.txt", "100644", "100644", false, 2, 1, 2},
		{"modified", "bin", "bin", "100644", "100755", true, 0, 0, 0},
		{"deleted", "gone.txt", "gone.txt", "100644", "", false, 0, 1, 1},
		{"renamed", "b.txt", "moved to ä.txt", "", "", false, 0, 0, 0},
	}
	if x := cmp.Diff(want, got); x != "" {
		t.Fatal(x)
	}
	lines := d.Files[1].Hunks[1].Lines
	last := lines[len(lines)-2:]
	if x := cmp.Diff([]git.Line{{Kind: '-', Old: 31, Text: "end", Open: true}, {Kind: '+', New: 32, Text: "end"}}, last); x != "" {
		t.Error(x)
	}
	root, err := w.svc.Diff(t.Context(), actor("rita"), "shop/web", "", d.Files[0].Old)
	wantKind(t, err, fault.NotFound)
	if len(root.Files) != 0 {
		t.Errorf("a diff of nothing has %d files", len(root.Files))
	}
}
