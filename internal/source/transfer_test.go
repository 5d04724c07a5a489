package source_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/source"
)

// A push larger than git's buffer is sent in chunks, after a probe, while the server
// already answers.
func TestLargePush(t *testing.T) {
	w, c, _ := seeded(t)
	noise := make([]byte, 8<<20)
	_, err := rand.Read(noise)
	check(t, err)
	head := c.commit("Big", "noise", string(noise))
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main")
	other := newClone(t)
	other.git("clone", "-q", w.url("rita", "shop/web.git"), "copy")
	got, err := os.ReadFile(filepath.Join(other.dir, "copy", "noise"))
	check(t, err)
	if string(got) != string(noise) || other.git("-C", "copy", "rev-parse", "HEAD") != head {
		t.Error("what was cloned is not what was pushed")
	}
}

// breaking is a body that fails in the middle, as when the client's machine dies.
type breaking struct{ r io.Reader }

func (b *breaking) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err == io.EOF {
		err = errors.New("the line is cut")
	}
	return n, err
}

func TestClientLeavesInTheMiddle(t *testing.T) {
	w, c, head := seeded(t)
	noise := make([]byte, 1<<20)
	_, err := rand.Read(noise)
	check(t, err)
	next := c.commit("Big", "noise", string(noise))
	c.stdin = next + "\n^" + head + "\n"
	pack := c.raw("pack-objects", "--revs", "--stdout", "-q")
	c.stdin = ""
	command := head + " " + next + " refs/heads/main\x00 report-status"
	line := fmt.Sprintf("%04x%s0000", len(command)+4, command)
	for _, part := range []int{0, 10, len(pack) / 2, len(pack) - 1} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", w.http.URL+"/shop/web.git/git-receive-pack", &breaking{strings.NewReader(line + pack[:part])})
		check(t, err)
		req.SetBasicAuth("wanda", "secret-of-wanda")
		req.Header.Set("Content-Type", "application/x-git-receive-pack-request")
		if resp, err := w.http.Client().Do(req); err == nil {
			resp.Body.Close()
		}
	}
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main")
	if got := w.pushed(); len(got) != 2 || got[1].Commit != next {
		t.Errorf("the log has %+v", got)
	}
	w.http.Close() // Waits for the requests that were cut off.
	left, err := filepath.Glob(filepath.Join(w.folder(t), "objects", "tmp_objdir-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("quarantines are left: %v, %v", left, err)
	}
}

// With one slot, transfers wait for each other and all come through.
func TestTransfersWait(t *testing.T) {
	w, c, _ := seeded(t, func(o *source.Options) { o.MaxTransfers = 1 })
	done := make(chan error, 4)
	for i := range cap(done) {
		go func() {
			_, err := c.try("clone", "-q", "--bare", w.url("rita", "shop/web.git"), fmt.Sprint("copy", i))
			done <- err
		}()
	}
	for range cap(done) {
		check(t, <-done)
	}
}

func TestMaintain(t *testing.T) {
	w, c, _ := seeded(t)
	head := ""
	for i := range 25 {
		head = c.commit(fmt.Sprint("Commit ", i), "f", fmt.Sprint(i))
		c.git("push", "-q", w.url("wanda", "shop/web.git"), "main")
	}
	packs := func() int {
		list, err := filepath.Glob(filepath.Join(w.folder(t), "objects", "pack", "*.pack"))
		check(t, err)
		return len(list)
	}
	before := packs()
	check(t, w.svc.Maintain(t.Context()))
	if after := packs(); before < 25 || after > 3 {
		t.Errorf("%d packs became %d", before, after)
	}
	// A reader that was kept from before still finds everything.
	for _, rev := range []string{"main", head} {
		if got, err := w.svc.File(t.Context(), actor("rita"), "shop/web", rev, "f"); err != nil || string(got) != "24" {
			t.Errorf("read %q, %v", got, err)
		}
	}
	check(t, w.svc.Recover(t.Context()))
	if n := len(w.pushed()); n != 26 {
		t.Errorf("%d pushes are in the log, want 26", n)
	}
}
