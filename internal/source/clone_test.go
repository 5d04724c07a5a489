package source_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCloneIsProtocolV2(t *testing.T) {
	w, _, head := seeded(t)
	c := newClone(t)
	c.env = []string{"GIT_TRACE_PACKET=1"}
	out := c.git("clone", w.url("rita", "shop/web.git"), "copy")
	for _, want := range []string{"clone< version 2", "command=ls-refs", "command=fetch"} {
		if !strings.Contains(out, want) {
			t.Errorf("the trace has no %q", want)
		}
	}
	if got, err := os.ReadFile(filepath.Join(c.dir, "copy", "src", "main.go")); err != nil || string(got) != "package main\n" {
		t.Errorf("src/main.go: %q, %v", got, err)
	}
	c.env = nil
	if got := c.git("-C", "copy", "rev-parse", "HEAD"); got != head {
		t.Errorf("cloned %s, want %s", got, head)
	}
}

func TestOlderProtocols(t *testing.T) {
	w, _, head := seeded(t)
	for _, v := range []string{"0", "1"} {
		c := newClone(t)
		c.git("-c", "protocol.version="+v, "clone", "-q", w.url("rita", "shop/web"), "copy")
		if got := c.git("-C", "copy", "rev-parse", "HEAD"); got != head {
			t.Errorf("version %s cloned %s, want %s", v, got, head)
		}
	}
}

func TestCloneOfEmptyRepository(t *testing.T) {
	w := newWorld(t)
	_, err := w.svc.CreateRepo(t.Context(), actor("wanda"), "shop/empty")
	check(t, err)
	c := newClone(t)
	out := c.git("clone", w.url("rita", "shop/empty.git"), "copy")
	if !strings.Contains(out, "empty repository") {
		t.Errorf("git said %q", out)
	}
	if got := c.git("-C", "copy", "symbolic-ref", "HEAD"); got != "refs/heads/main" {
		t.Errorf("the clone's branch is %s", got)
	}
}

func TestShallowAndPartialClone(t *testing.T) {
	w, c, _ := seeded(t)
	for i := range 10 {
		c.commit(fmt.Sprint("Commit ", i), "file.txt", fmt.Sprint("content ", i, "\n"))
	}
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main")

	shallow := newClone(t)
	shallow.git("clone", "-q", "--depth=2", w.url("rita", "shop/web.git"), "copy")
	if got := shallow.git("-C", "copy", "rev-list", "--count", "HEAD"); got != "2" {
		t.Errorf("depth 2 has %s commits", got)
	}
	shallow.git("-C", "copy", "fetch", "-q", "--deepen=3")
	if got := shallow.git("-C", "copy", "rev-list", "--count", "HEAD"); got != "5" {
		t.Errorf("deepened by 3 has %s commits", got)
	}
	shallow.git("-C", "copy", "fetch", "-q", "--unshallow")
	if got := shallow.git("-C", "copy", "rev-list", "--count", "HEAD"); got != "11" {
		t.Errorf("unshallowed has %s commits", got)
	}

	partial := newClone(t)
	partial.git("clone", "-q", "--bare", "--filter=blob:none", w.url("rita", "shop/web.git"), "copy")
	missing := partial.git("-C", "copy", "rev-list", "--objects", "--missing=print", "HEAD")
	if !strings.Contains(missing, "\n?") {
		t.Error("a clone without blobs has them all")
	}
	if got := partial.git("-C", "copy", "show", "HEAD~3:file.txt"); got != "content 6" {
		t.Errorf("a blob fetched later holds %q", got)
	}
}

func TestPushFromShallowClone(t *testing.T) {
	w, c, _ := seeded(t)
	c.commit("Second", "a", "a")
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main")
	s := newClone(t)
	s.git("clone", "-q", "--depth=1", w.url("wanda", "shop/web.git"), "copy")
	s.dir = filepath.Join(s.dir, "copy")
	head := s.commit("From shallow", "b", "b")
	s.git("push", "-q", "origin", "main")
	all := w.pushed()
	if got := all[len(all)-1]; got.Commit != head || got.Commits != 1 {
		t.Errorf("announced %+v", got)
	}
}

func TestTagsAndHiddenRefs(t *testing.T) {
	w, c, head := seeded(t)
	c.git("tag", "light")
	c.git("tag", "-a", "-m", "Version 1", "v1")
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "--tags")
	var refs []string
	for _, p := range w.pushed() {
		refs = append(refs, p.Ref+" "+p.Commit+fmt.Sprint(" ", p.Default, " ", p.Commits))
	}
	want := []string{"refs/heads/main " + head + " true 1", "refs/tags/light " + head + " false 0", "refs/tags/v1 " + head + " false 0"}
	if d := cmp.Diff(want, refs); d != "" {
		t.Error(d)
	}
	c.refused([]string{"refs/internal/x"}, "push", w.url("admin", "shop/web.git"), "main:refs/internal/x")
	c.refused([]string{"Towpath keeps this ref itself"}, "push", w.url("admin", "shop/web.git"), "main:refs/pull/1/head")
	c.refused([]string{"only branches"}, "push", w.url("admin", "shop/web.git"), "main:refs/changes/1")
	c.refused([]string{"taken for a commit"}, "push", w.url("admin", "shop/web.git"), "main:refs/heads/"+head)
	c.refused([]string{"taken for a commit"}, "push", w.url("admin", "shop/web.git"), "main:refs/tags/HEAD")
	c.refused([]string{"not UTF-8"}, "push", w.url("admin", "shop/web.git"), "main:refs/heads/\xff")
	c.refused([]string{"begins with"}, "push", w.url("admin", "shop/web.git"), "main:refs/heads/--exec")
	if got := len(w.pushed()); got != 3 {
		t.Errorf("%d pushes are in the log, want 3", got)
	}
}
