package tail_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"towpath.dev/towpath/internal/monitor/tail"
)

// child is the environment variable by which this program runs as a tailer that can be
// killed: "<server>|<root>|<state>", with the default limits when a fourth part follows.
const child = "TOWPATH_TAIL_CHILD"

// outage is the environment variable that makes the server's absence in
// TestNothingIsLostOverRotationsAndAnOutage longer, such as "60s".
const outage = "TOWPATH_TAIL_OUTAGE"

func TestMain(m *testing.M) {
	if spec := os.Getenv(child); spec != "" {
		os.Exit(runChild(spec))
	}
	os.Exit(m.Run())
}

func runChild(spec string) int {
	part := strings.Split(spec, "|")
	client, err := tail.NewClient(part[0], "node-1", func() (string, error) { return "secret", nil }, 5*time.Second)
	if err != nil {
		return 2
	}
	cfg := tail.Config{Root: part[1], State: part[2], Node: "node-1", Sender: client, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Limits: quick()}
	if len(part) > 3 {
		cfg.Limits = tail.Limits{}
	}
	t, err := tail.New(cfg)
	if err == nil {
		err = t.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, "the tailer ended:", err)
	return 1
}

// writer writes numbered lines as a container does and rotates as the kubelet does: the
// current file gets another name, a new one is opened, only some old ones are kept.
type writer struct {
	t    *testing.T
	dir  string
	keep int // rotated files; the rest is removed, the oldest first
	file *os.File
	next int
	old  []string
}

func newWriter(t *testing.T, path string, keep int) *writer {
	w := &writer{t: t, dir: filepath.Dir(path), keep: keep}
	w.open()
	t.Cleanup(func() { _ = w.file.Close() })
	return w
}

func (w *writer) must(err error) {
	if err != nil {
		w.t.Error(err)
	}
}

func (w *writer) open() {
	f, err := os.OpenFile(filepath.Join(w.dir, "0.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	w.must(err)
	w.file = f
}

// lines writes n lines, some of them in parts, some on the other output.
func (w *writer) lines(n int) {
	var b strings.Builder
	for range n {
		out := "stdout"
		if w.next%7 == 0 {
			out = "stderr"
		}
		if w.next%11 == 0 {
			fmt.Fprintf(&b, "%s %s P seq=\n", stamp(), out)
			fmt.Fprintf(&b, "%s %s F %08d\n", stamp(), out, w.next)
		} else {
			b.WriteString(cri(out, fmt.Sprintf("seq=%08d", w.next)))
		}
		w.next++
	}
	_, err := io.WriteString(w.file, b.String())
	w.must(err)
}

func (w *writer) rotate() {
	name := filepath.Join(w.dir, "0.log."+time.Now().UTC().Format("20060102-150405.000000000"))
	w.must(os.Rename(filepath.Join(w.dir, "0.log"), name))
	last := w.file
	w.open()
	w.must(last.Close())
	if w.old = append(w.old, name); w.keep > 0 && len(w.old) > w.keep {
		w.must(os.Remove(w.old[0]))
		w.old = w.old[1:]
	}
}

// missing compares the numbers that a container's rows have with those from 0 to want.
func missing(rows []row, folder string, want int) (lost, doubled int) {
	seen := make([]int, want)
	for _, r := range rows {
		number, ok := strings.CutPrefix(strings.Trim(r.Message, `"`), "seq=")
		if n, err := strconv.Atoi(number); ok && err == nil && r.Namespace+"_"+r.Pod == folder && n < want {
			seen[n]++
		}
	}
	for _, n := range seen {
		if n == 0 {
			lost++
		}
		if n > 1 {
			doubled += n - 1
		}
	}
	return lost, doubled
}

func check(t *testing.T, s *server, folder string, want int) {
	t.Helper()
	if lost, doubled := missing(s.all(), folder, want); lost > 0 || doubled > 0 {
		t.Errorf("%s: of %d lines %d are lost and %d doubled", folder, want, lost, doubled)
	}
}

func TestNothingIsLostOverRotationsAndAnOutage(t *testing.T) {
	away := 3 * time.Second
	if text := os.Getenv(outage); text != "" {
		var err error
		if away, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	root, s := t.TempDir(), newServer(t)
	tl, _ := start(t, config(s, root, t.TempDir()))
	var down bool
	s.set(func() {
		s.lie = true
		s.answer = func(post int) (int, string) {
			if down {
				return 503, ""
			}
			return 0, ""
		}
	})
	w := newWriter(t, container(t, root, "shop_cart_u1", "cart"), 5)
	began := time.Now()
	for round := 0; time.Since(began) < away+2*time.Second; round++ {
		since := time.Since(began)
		s.set(func() { down = since > time.Second && since < time.Second+away })
		w.lines(100)
		if round%2 == 1 {
			w.rotate()
		}
		time.Sleep(50 * time.Millisecond) // ten rotations a second
	}
	w.lines(1)
	until(t, "all rows", func() bool {
		lost, _ := missing(s.all(), "shop_cart", w.next)
		return lost == 0
	})
	check(t, s, "shop_cart", w.next)
	stats := tl.Stats()
	if stats.Retries == 0 || stats.Lost != 0 || stats.Refused != 0 {
		t.Errorf("the counts are %+v", stats)
	}
	t.Logf("%d lines, %d rotations kept at most 5, server away for %v: %+v", w.next, len(w.old), away, stats)
}

func TestNothingIsLostWhenTheTailerIsKilled(t *testing.T) {
	root, state, s := t.TempDir(), t.TempDir(), newServer(t)
	s.lie = true
	var writers []*writer
	for i := range 4 {
		writers = append(writers, newWriter(t, container(t, root, fmt.Sprintf("shop_pod-%d_u%d", i, i), "app"), 0))
	}
	stop, wrote := make(chan struct{}), sync.WaitGroup{}
	for _, w := range writers {
		wrote.Go(func() {
			for round := 1; ; round++ {
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Millisecond):
				}
				w.lines(20)
				if round%50 == 0 {
					w.rotate()
				}
			}
		})
	}
	for range 12 {
		cmd := exec.Command("/proc/self/exe", "-test.run=^$")
		cmd.Env = append(os.Environ(), child+"="+strings.Join([]string{s.URL, root, state}, "|"))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50*time.Millisecond + rand.N(300*time.Millisecond))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
	}
	close(stop)
	wrote.Wait()
	if len(s.all()) == 0 {
		t.Error("nothing was stored while tailers were killed")
	}
	s.set(func() { s.lie = false }) // the last one would only wait after each lie
	start(t, config(s, root, state))
	for i, w := range writers {
		folder := fmt.Sprintf("shop_pod-%d", i)
		until(t, "all rows of "+folder, func() bool {
			lost, _ := missing(s.all(), folder, w.next)
			return lost == 0
		})
		check(t, s, folder, w.next)
	}
}

func TestADeletedFileIsReadToItsEnd(t *testing.T) {
	root, s := t.TempDir(), newServer(t)
	down := true
	s.answer = func(int) (int, string) {
		if down {
			return 429, ""
		}
		return 0, ""
	}
	tl, _ := start(t, config(s, root, t.TempDir()))
	w := newWriter(t, container(t, root, "shop_cart_u1", "cart"), 0)
	w.lines(5000)
	until(t, "the tailer to wait", func() bool { return tl.Stats().Waiting })
	if err := os.RemoveAll(filepath.Join(root, "shop_cart_u1")); err != nil {
		t.Fatal(err)
	}
	w.lines(5000) // the runtime still has it open
	s.set(func() { down = false })
	until(t, "all rows", func() bool { return len(s.all()) >= w.next })
	check(t, s, "shop_cart", w.next)
	until(t, "the file to be closed", func() bool { return tl.Stats().Files == 0 })
}

func TestAnInodeThatIsUsedAgainIsAnotherFile(t *testing.T) {
	root, state, s := t.TempDir(), t.TempDir(), newServer(t)
	path := container(t, root, "shop_cart_u1", "cart")
	line := func(n int) string { return cri("stdout", fmt.Sprintf("seq=%08d", n)) }
	write(t, path, line(0)+line(1))
	_, stop := start(t, config(s, root, state))
	until(t, "the first file", func() bool { return len(s.all()) == 2 })
	stop()
	// The same inode, other content of the same length.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(f, line(2)+line(3))
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	start(t, config(s, root, state))
	until(t, "the second file", func() bool { return len(s.all()) == 4 })
	check(t, s, "shop_cart", 4)
}

func TestCompressedFilesAreReadOnce(t *testing.T) {
	root, state, s := t.TempDir(), t.TempDir(), newServer(t)
	w := newWriter(t, container(t, root, "shop_cart_u1", "cart"), 0)
	w.lines(300)
	_, stop := start(t, config(s, root, state))
	until(t, "the first lines", func() bool { return len(s.all()) == w.next })
	stop()
	// While no tailer runs: more lines, two rotations, the older file is compressed.
	w.lines(300)
	w.rotate()
	w.lines(300)
	w.rotate()
	w.lines(300)
	compress(t, w.old[0])
	_, stop = start(t, config(s, root, state))
	until(t, "the lines of the compressed file", func() bool { return len(s.all()) >= w.next })
	// While one runs: a file that it has read is compressed.
	compress(t, w.old[1])
	w.lines(300)
	until(t, "the lines after it", func() bool { return len(s.all()) >= w.next })
	stop()
	_, stop = start(t, config(s, root, state))
	w.lines(1)
	until(t, "the last line", func() bool { return len(s.all()) >= w.next })
	stop()
	check(t, s, "shop_cart", w.next)
	if n := len(s.all()); n != w.next {
		t.Errorf("%d rows of %d lines", n, w.next)
	}
}

// compress does as the kubelet: to a file of another name first.
func compress(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path + ".tmp")
	if err != nil {
		t.Fatal(err)
	}
	zip := gzip.NewWriter(f)
	if _, err = zip.Write(raw); err == nil {
		err = zip.Close()
	}
	if err != nil || f.Close() != nil || os.Rename(path+".tmp", path+".gz") != nil || os.Remove(path) != nil {
		t.Fatal("compressing failed", err)
	}
}

func TestAParcelThatIsRefusedIsGivenUp(t *testing.T) {
	root, s := t.TempDir(), newServer(t)
	s.answer = func(post int) (int, string) {
		if post <= 3 {
			return 400, ""
		}
		return 0, ""
	}
	tl, _ := start(t, config(s, root, t.TempDir()))
	path := container(t, root, "shop_cart_u1", "cart")
	write(t, path, cri("stdout", "bad"))
	until(t, "three tries", func() bool { return tl.Stats().Refused == 1 })
	write(t, path, cri("stdout", "good"))
	until(t, "the next line", func() bool { return len(s.all()) == 1 })
	if got := s.all()[0].Message; got != `"good"` {
		t.Errorf("got the row %s", got)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	root, s := t.TempDir(), newServer(t)
	var at []time.Time
	s.answer = func(int) (int, string) {
		at = append(at, time.Now())
		if len(at) == 1 {
			return 429, "1"
		}
		return 0, ""
	}
	start(t, config(s, root, t.TempDir()))
	write(t, container(t, root, "shop_cart_u1", "cart"), cri("stdout", "x"))
	until(t, "the row", func() bool { return len(s.all()) == 1 })
	if wait := at[1].Sub(at[0]); wait < time.Second {
		t.Errorf("the second try came after %v", wait)
	}
}

func TestALoudContainerDoesNotStarveAQuietOne(t *testing.T) {
	root, s := t.TempDir(), newServer(t)
	loud := newWriter(t, container(t, root, "shop_loud_u1", "app"), 0)
	loud.lines(100_000)
	quiet := newWriter(t, container(t, root, "shop_quiet_u2", "app"), 0)
	quiet.lines(100)
	start(t, config(s, root, t.TempDir()))
	until(t, "the quiet container's rows", func() bool {
		lost, _ := missing(s.all(), "shop_quiet", quiet.next)
		return lost == 0
	})
	last := slices.IndexFunc(s.all(), func(r row) bool { return r.Message == `"seq=00000099"` && r.Pod == "quiet" })
	if last > 10_000 {
		t.Errorf("the quiet container's last line is row %d, behind most of the loud one", last)
	}
}

func TestTwoTailersDoNotShareAState(t *testing.T) {
	root, state, s := t.TempDir(), t.TempDir(), newServer(t)
	tl, _ := start(t, config(s, root, state))
	write(t, container(t, root, "shop_cart_u1", "cart"), cri("stdout", "x"))
	until(t, "the first tailer", func() bool { return tl.Stats().Stored == 1 })
	second, err := tail.New(config(s, root, state))
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another tailer") {
		t.Errorf("the second tailer said %v", err)
	}
}

func TestADamagedCheckpointLosesNothing(t *testing.T) {
	root, state, s := t.TempDir(), t.TempDir(), newServer(t)
	w := newWriter(t, container(t, root, "shop_cart_u1", "cart"), 0)
	w.lines(10)
	_, stop := start(t, config(s, root, state))
	until(t, "the rows", func() bool { return len(s.all()) == 10 })
	stop()
	path := filepath.Join(state, "checkpoint")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, config(s, root, state))
	until(t, "the rows once more", func() bool { return len(s.all()) == 20 })
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Error(err)
	}
}
