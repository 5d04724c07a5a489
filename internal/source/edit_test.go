package source_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/source"
)

func TestEdit(t *testing.T) {
	w, c, head := seeded(t)
	edit := func(e source.Edit) string {
		t.Helper()
		e.Repo = "shop/web"
		commit, err := w.svc.Edit(t.Context(), actor("wanda"), e)
		check(t, err)
		return commit
	}
	first := edit(source.Edit{Branch: "main", Path: "docs/new file.md", Content: []byte("# New\n"), Message: "Add docs\n\nwith a body", Expect: head})
	second := edit(source.Edit{Branch: "main", Path: "README.md", Content: []byte("changed\n"), Expect: head}) // main moved, README.md did not
	third := edit(source.Edit{Branch: "fix", Path: "README.md", Remove: true})
	c.git("fetch", "-q", w.url("rita", "shop/web.git"), "main", "fix")
	if got := c.git("log", "--format=%H %an %ae %s", third, "-3"); got != third+" wanda wanda@towpath.test Remove README.md\n"+
		second+" wanda wanda@towpath.test Change README.md\n"+first+" wanda wanda@towpath.test Add docs" {
		t.Errorf("the history is\n%s", got)
	}
	if got := c.git("ls-tree", "-r", "--name-only", third); got != "docs/new file.md\nsrc/main.go" {
		t.Errorf("the tree is %q", got)
	}
	if out := w.inRepo(t, "fsck", "--full", "--strict"); strings.Contains(out, "error") || strings.Contains(out, "missing") {
		t.Errorf("fsck said %s", out)
	}
	events := w.events(event.TypeCommitPushed)
	if len(events) != 4 || events[3].Actor != "user:wanda" || w.pushed()[3].Ref != "refs/heads/fix" {
		t.Errorf("announced %+v", events)
	}
}

func TestFirstEditOfAnEmptyRepository(t *testing.T) {
	w := newWorld(t)
	_, err := w.svc.CreateRepo(t.Context(), actor("wanda"), "shop/web")
	check(t, err)
	_, err = w.svc.Edit(t.Context(), actor("wanda"), source.Edit{Repo: "shop/web", Branch: "side", Path: "a", Content: []byte("a")})
	wantKind(t, err, fault.Invalid)
	_, err = w.svc.Edit(t.Context(), actor("wanda"), source.Edit{Repo: "shop/web", Branch: "main", Path: "a", Content: []byte("a")})
	check(t, err)
	if got := w.inRepo(t, "show", "main:a"); got != "a" {
		t.Errorf("a is %q", got)
	}
}

func TestEditsThatAreRefused(t *testing.T) {
	w, c, head := seeded(t)
	check(t, os.Symlink("/etc", filepath.Join(c.dir, "link")))
	check(t, os.Symlink("/etc/passwd", filepath.Join(c.dir, "src", "passwd")))
	tip := c.commit("Links")
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main")
	base := source.Edit{Repo: "shop/web", Branch: "main", Path: "README.md", Content: []byte("x")}
	for name, tt := range map[string]struct {
		change func(*source.Edit)
		kind   fault.Kind
	}{
		"through a symlink":    {func(e *source.Edit) { e.Path = "link/passwd" }, fault.Invalid},
		"a symlink":            {func(e *source.Edit) { e.Path = "src/passwd" }, fault.Invalid},
		"a folder":             {func(e *source.Edit) { e.Path = "src" }, fault.Invalid},
		"under a file":         {func(e *source.Edit) { e.Path = "README.md/x" }, fault.Invalid},
		".git":                 {func(e *source.Edit) { e.Path = ".git/hooks/pre-receive" }, fault.Invalid},
		".GIT":                 {func(e *source.Edit) { e.Path = "a/.GIT/config" }, fault.Invalid},
		"short name of .git":   {func(e *source.Edit) { e.Path = "git~1/config" }, fault.Invalid},
		".git with a mark":     {func(e *source.Edit) { e.Path = ".g\u200cit/config" }, fault.Invalid},
		".git with a dot":      {func(e *source.Edit) { e.Path = ".git./config" }, fault.Invalid},
		".git with a stream":   {func(e *source.Edit) { e.Path = ".git::$INDEX_ALLOCATION/config" }, fault.Invalid},
		".git with backslash":  {func(e *source.Edit) { e.Path = "a\\.git\\config" }, fault.Invalid},
		".gitmodules":          {func(e *source.Edit) { e.Path = ".gitmodules" }, fault.Invalid},
		"up":                   {func(e *source.Edit) { e.Path = "../x" }, fault.Invalid},
		"absolute":             {func(e *source.Edit) { e.Path = "/etc/passwd" }, fault.Invalid},
		"empty part":           {func(e *source.Edit) { e.Path = "a//b" }, fault.Invalid},
		"no path":              {func(e *source.Edit) { e.Path = "" }, fault.Invalid},
		"NUL":                  {func(e *source.Edit) { e.Path = "a\x00b" }, fault.Invalid},
		"line break":           {func(e *source.Edit) { e.Path = "a\nb" }, fault.Invalid},
		"branch as option":     {func(e *source.Edit) { e.Branch = "--exec=x" }, fault.Invalid},
		"no branch":            {func(e *source.Edit) { e.Branch = "" }, fault.Invalid},
		"branch out of heads":  {func(e *source.Edit) { e.Branch = "../pull/1/head" }, fault.Invalid},
		"from an option":       {func(e *source.Edit) { e.Branch, e.From = "b", "--all" }, fault.NotFound},
		"same content":         {func(e *source.Edit) { e.Content = []byte("hello\n") }, fault.Invalid},
		"removes nothing":      {func(e *source.Edit) { e.Path, e.Content, e.Remove = "none", nil, true }, fault.NotFound},
		"too large":            {func(e *source.Edit) { e.Content = make([]byte, source.MaxFile+1) }, fault.TooLarge},
		"long message":         {func(e *source.Edit) { e.Message = strings.Repeat("x", 1<<20) }, fault.Invalid},
		"changed by another":   {func(e *source.Edit) { e.Path, e.Expect = "link", head }, fault.Conflict},
		"expects what is none": {func(e *source.Edit) { e.Expect = "main" }, fault.Invalid},
	} {
		e := base
		tt.change(&e)
		_, err := w.svc.Edit(t.Context(), actor("wanda"), e)
		if fault.KindOf(err) != tt.kind {
			t.Errorf("%s: %v, want the kind %s", name, err, tt.kind)
		}
	}
	_, err := w.svc.Edit(t.Context(), actor("rita"), base)
	wantKind(t, err, fault.Denied)
	_, err = w.svc.Edit(context.Background(), actor("stranger"), base)
	wantKind(t, err, fault.NotFound)
	if got := w.inRepo(t, "rev-parse", "main"); got != tip {
		t.Errorf("main moved to %s", got)
	}
	// A path that looks like an option is a file like any other.
	e := base
	e.Path = "--upload-pack=x"
	_, err = w.svc.Edit(t.Context(), actor("wanda"), e)
	check(t, err)
}
