package source_test

import (
	"fmt"
	"math/rand/v2"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/source"
)

// history makes a repository of the size of a middling project: 300 commits of text,
// 3,000 files.
func history(b *testing.B) *clone {
	b.Helper()
	c := newClone(b)
	random := rand.New(rand.NewPCG(1, 2))
	var in strings.Builder
	for i := range 300 {
		fmt.Fprintf(&in, "commit refs/heads/main\nmark :%d\ncommitter Wanda <w@example.org> %d +0000\ndata 6\ncommit\n", i+1, 1_700_000_000+i)
		for j := range 20 {
			var text strings.Builder
			for range 60 {
				fmt.Fprintf(&text, "%x %x\n", random.Uint64(), random.Uint64())
			}
			fmt.Fprintf(&in, "M 100644 inline dir%d/file%d.txt\ndata %d\n%s\n", j, random.IntN(150), text.Len(), text.String())
		}
	}
	c.stdin = in.String()
	c.git("fast-import", "--quiet")
	c.stdin = ""
	return c
}

// backend serves the same folder through git's own CGI program, as Apache would.
func backend(b *testing.B, root string) *httptest.Server {
	b.Helper()
	out, err := exec.Command("git", "--exec-path").Output()
	check(b, err)
	srv := httptest.NewServer(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env: []string{
			"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=wanda", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_CONFIG_COUNT=3", "GIT_CONFIG_KEY_2=uploadpack.allowFilter", "GIT_CONFIG_VALUE_2=true", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*", "GIT_CONFIG_KEY_1=http.receivepack", "GIT_CONFIG_VALUE_1=true",
		},
	})
	b.Cleanup(srv.Close)
	return srv
}

// compare times two ways in turn, so that both meet the same weather, and reports
// the median milliseconds of each, and the ratios of the medians and of the best times,
// which a busy machine disturbs least.
func compare(b *testing.B, ours, theirs func()) {
	b.Helper()
	var a, z []time.Duration
	for b.Loop() {
		start := time.Now()
		ours()
		a = append(a, time.Since(start))
		start = time.Now()
		theirs()
		z = append(z, time.Since(start))
	}
	x, y := median(a), median(z)
	b.ReportMetric(float64(x.Microseconds())/1000, "ms/towpath")
	b.ReportMetric(float64(y.Microseconds())/1000, "ms/http-backend")
	b.ReportMetric(float64(x)/float64(y), "ratio-median")
	b.ReportMetric(float64(a[0])/float64(z[0]), "ratio-best")
}

func median(d []time.Duration) time.Duration {
	for i := range d {
		for j := i; j > 0 && d[j] < d[j-1]; j-- {
			d[j], d[j-1] = d[j-1], d[j]
		}
	}
	return d[len(d)/2]
}

// BenchmarkAgainstHTTPBackend compares this server with `git http-backend` behind Go's
// CGI, with the real client. Run with -benchtime=20x.
func BenchmarkAgainstHTTPBackend(b *testing.B) {
	// The product's own hook program, not this test program, which starts slowly.
	program := filepath.Join(b.TempDir(), "towpath-hook")
	if out, err := exec.Command("go", "build", "-o", program, "towpath.dev/towpath/cmd/towpath-hook").CombinedOutput(); err != nil {
		b.Fatalf("building the hook program: %v\n%s", err, out)
	}
	w := newWorld(b, func(o *source.Options) { o.HookProgram = program })
	c := history(b)
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main")
	cgi := backend(b, filepath.Join(w.data, "repos"))
	folder := filepath.Base(w.folder(b))
	ours, theirs := w.url("wanda", "shop/web.git"), cgi.URL+"/"+folder

	for name, args := range map[string][]string{
		"clone":         {"clone", "-q", "--bare"},
		"clone-depth-1": {"clone", "-q", "--bare", "--depth=1"},
		"clone-no-blob": {"clone", "-q", "--bare", "--filter=blob:none"},
	} {
		b.Run(name, func(b *testing.B) {
			n := 0
			run := func(url string) func() {
				return func() {
					n++
					dir := filepath.Join(c.dir, fmt.Sprint("copy", n))
					c.git(append(args, url, dir)...)
					check(b, os.RemoveAll(dir))
				}
			}
			compare(b, run(ours), run(theirs))
		})
	}
	b.Run("ls-remote", func(b *testing.B) {
		compare(b, func() { c.git("ls-remote", ours) }, func() { c.git("ls-remote", theirs) })
	})
	b.Run("push-1-commit", func(b *testing.B) {
		// The other server gets a repository of its own: no hooks, no log, no checks.
		bare := filepath.Join(w.data, "repos", "plain.git")
		c.git("clone", "-q", "--bare", ".", bare)
		n := 0
		step := func(url string) func() {
			return func() {
				n++
				tree := c.git("write-tree")
				commit := c.git("commit-tree", "-m", fmt.Sprint("Step ", n), "-p", "main", tree)
				c.git("push", "-q", url, commit+fmt.Sprintf(":refs/heads/b%d", n))
			}
		}
		compare(b, step(ours), step(cgi.URL+"/plain.git"))
	})
}

// BenchmarkBrowse measures one read of each kind through the service.
func BenchmarkBrowse(b *testing.B) {
	w := newWorld(b)
	c := history(b)
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main")
	ctx, rita := b.Context(), actor("rita")
	list, err := w.svc.Tree(ctx, rita, "shop/web", "main", "dir1")
	check(b, err)
	for name, read := range map[string]func() error{
		"resolve": func() error { _, err := w.svc.Resolve(ctx, rita, "shop/web", "main"); return err },
		"tree":    func() error { _, err := w.svc.Tree(ctx, rita, "shop/web", "main", "dir1"); return err },
		"file":    func() error { _, err := w.svc.File(ctx, rita, "shop/web", "main", list[0].Path); return err },
		"commits": func() error { _, _, err := w.svc.Commits(ctx, rita, "shop/web", "main", "", 0, 50); return err },
		"diff":    func() error { _, err := w.svc.Diff(ctx, rita, "shop/web", "", "main"); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				check(b, read())
			}
		})
	}
}
