package tail_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/monitor/tail"
)

func TestMoreFilesThanMayBeOpen(t *testing.T) {
	root, s := t.TempDir(), newServer(t)
	cfg := config(s, root, t.TempDir())
	cfg.Limits.Open = 4
	const containers = 20
	path := func(i int) string { return container(t, root, fmt.Sprintf("shop_pod-%d_u%d", i, i), "app") }
	for i := range containers {
		write(t, path(i), cri("stdout", "first"))
	}
	tl, _ := start(t, cfg)
	until(t, "the first line of each", func() bool { return len(s.all()) == containers })
	for i := range containers {
		write(t, path(i), cri("stdout", "second"))
	}
	until(t, "the second line of each", func() bool { return len(s.all()) >= 2*containers })
	if n := len(s.all()); n != 2*containers {
		t.Errorf("%d rows", n)
	}
	if open := tl.Stats().Files; open > 4 {
		t.Errorf("%d files are open", open)
	}
}

func TestDeletedFilesDoNotFillTheDisk(t *testing.T) {
	root, s := t.TempDir(), newServer(t)
	s.answer = func(int) (int, string) { return http.StatusServiceUnavailable, "" }
	cfg := config(s, root, t.TempDir())
	cfg.Limits.Held = 1 << 20
	tl, _ := start(t, cfg)
	w := newWriter(t, container(t, root, "shop_cart_u1", "cart"), 0)
	w.lines(1)
	until(t, "the tailer to wait", func() bool { return tl.Stats().Waiting })
	w.lines(40_000) // 2 MiB
	if err := os.Remove(filepath.Join(root, "shop_cart_u1", "cart", "0.log")); err != nil {
		t.Fatal(err)
	}
	until(t, "the file to be given up", func() bool { return tl.Stats().Lost > 1<<20 && tl.Stats().Files == 0 })
}

func TestALineWithoutAnEndIsTakenWhenItsFileIsOver(t *testing.T) {
	root, s := t.TempDir(), newServer(t)
	path := container(t, root, "shop_cart_u1", "cart")
	start(t, config(s, root, t.TempDir()))
	write(t, path, cri("stdout", "whole")+strings.TrimSuffix(cri("stdout", "cut off"), "\n"))
	until(t, "the whole line", func() bool { return len(s.all()) == 1 })
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	until(t, "the rest", func() bool { return len(s.all()) == 2 })
	if got := s.all()[1].Message; got != `"cut off"` {
		t.Errorf("got %s", got)
	}
}

func TestALineOfManyMiB(t *testing.T) {
	root, s := t.TempDir(), newServer(t)
	path := container(t, root, "shop_cart_u1", "cart")
	write(t, path, cri("stdout", strings.Repeat("y", 5<<20))+cri("stdout", "after"))
	tl, _ := start(t, config(s, root, t.TempDir()))
	until(t, "both rows", func() bool { return len(s.all()) >= 2 })
	rows := s.all()
	if len(rows) != 2 || len(rows[0].Message) != tail.Shown+2 || !strings.Contains(rows[0].Meta, `"truncated":true`) || rows[1].Message != `"after"` {
		t.Errorf("%d rows, the first of %d bytes with %s", len(rows), len(rows[0].Message), rows[0].Meta)
	}
	if n := tl.Stats().Truncated; n != 1 {
		t.Errorf("%d rows count as truncated", n)
	}
}

func TestAFileThatIsCutShortIsReadAgain(t *testing.T) {
	root, s := t.TempDir(), newServer(t)
	path := container(t, root, "shop_cart_u1", "cart")
	write(t, path, cri("stdout", "before one")+cri("stdout", "before two"))
	start(t, config(s, root, t.TempDir()))
	until(t, "the first rows", func() bool { return len(s.all()) == 2 })
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	write(t, path, cri("stdout", "after"))
	until(t, "the row after", func() bool { return len(s.all()) == 3 })
}

func TestLinksAreNotFollowed(t *testing.T) {
	root, s := t.TempDir(), newServer(t)
	path := container(t, root, "shop_cart_u1", "cart")
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, cri("stdout", "secret"))
	if err := os.Symlink(secret, path); err != nil {
		t.Fatal(err)
	}
	start(t, config(s, root, t.TempDir()))
	write(t, filepath.Join(filepath.Dir(path), "1.log"), cri("stdout", "own"))
	until(t, "the own line", func() bool { return len(s.all()) > 0 })
	if got := s.all(); len(got) != 1 || got[0].Message != `"own"` {
		t.Errorf("got %v", got)
	}
}
