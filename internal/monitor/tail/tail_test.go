package tail_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/monitor/tail"
)

// row is what the tests look at of a stored row.
type row struct{ Namespace, Pod, Container, Source, Level, Message, Meta string }

// server stores parcels as the real one does: one ID once. It answers through answer when
// that is set and gives a status.
type server struct {
	*httptest.Server
	zip *zstd.Decoder

	mu     sync.Mutex
	seen   map[string]bool
	rows   []row
	posts  int
	answer func(post int) (status int, header string)
	// lie answers 503 to a part of the parcels that it has stored.
	lie bool
	// forget counts rows instead of keeping them.
	forget bool
	taken  atomic.Int64
	stats  string
}

func newServer(t testing.TB) *server {
	t.Helper()
	zip, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{zip: zip, seen: map[string]bool{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() { s.Close(); zip.Close() })
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts++
	if r.URL.Path != tail.Path || r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("Content-Encoding") != "zstd" {
		http.Error(w, "not as agreed", http.StatusTeapot)
		return
	}
	if s.answer != nil {
		if status, after := s.answer(s.posts); status != 0 {
			w.Header().Set("Retry-After", after)
			http.Error(w, "not now", status)
			return
		}
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = s.store(r.Header.Get(tail.HeaderBatch), body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.stats = r.Header.Get(tail.HeaderTail)
	if s.lie && s.posts%3 == 0 {
		http.Error(w, "stored, but who knows", http.StatusServiceUnavailable)
	}
}

func (s *server) store(id string, body []byte) error {
	raw, err := s.zip.DecodeAll(body, nil)
	if err != nil {
		return err
	}
	b, err := table.Decode(raw, table.Limits{})
	if err != nil {
		return err
	}
	if hex.EncodeToString(b.ID[:]) != id {
		return fmt.Errorf("the header names the batch %s", id)
	}
	if s.seen[id] {
		return nil
	}
	s.seen[id] = true
	s.taken.Add(int64(b.Rows()))
	if s.forget {
		return nil
	}
	text := func(name string, i int) string { return b.Vectors[b.Index(name)].Text[i] }
	for i := range b.Rows() {
		s.rows = append(s.rows, row{
			text("PodNamespace", i), text("PodName", i), text("ContainerName", i), text("LogSource", i), text("LogLevel", i),
			text("LogMessage", i), text("KubernetesMetadata", i),
		})
	}
	return nil
}

func (s *server) all() []row {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]row(nil), s.rows...)
}

func (s *server) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// quick are limits that make a test short.
func quick() tail.Limits {
	return tail.Limits{
		Wait: 10 * time.Millisecond, Poll: 5 * time.Millisecond, Join: 40 * time.Millisecond, Grace: 200 * time.Millisecond,
		Batch: 32 << 10, Turn: 16 << 10,
	}
}

func config(s *server, root, state string) tail.Config {
	client, err := tail.NewClient(s.URL, "node-1", func() (string, error) { return "secret", nil }, 5*time.Second)
	if err != nil {
		panic(err)
	}
	return tail.Config{Root: root, State: state, Node: "node-1", Sender: client, Log: slog.New(slog.DiscardHandler), Limits: quick()}
}

// start runs a tailer until stop is called or the test ends.
func start(t *testing.T, cfg tail.Config) (tl *tail.Tailer, stop func()) {
	t.Helper()
	tl, err := tail.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tl.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return tl, stop
}

// until waits for a condition; the time is only there to end a test that hangs. A condition
// that is dear to look at is looked at less often, so that it does not hold up what it
// waits for.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); ; {
		began := time.Now()
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
		time.Sleep(max(5*time.Millisecond, 4*time.Since(began)))
	}
}

var clock struct {
	sync.Mutex
	last time.Time
}

// stamp is the time of a line: now, but never twice the same.
func stamp() string {
	clock.Lock()
	defer clock.Unlock()
	now := time.Now().UTC()
	if !now.After(clock.last) {
		now = clock.last.Add(1)
	}
	clock.last = now
	return now.Format(time.RFC3339Nano)
}

func cri(out, text string) string { return stamp() + " " + out + " F " + text + "\n" }

// container makes the folder of a container's logs and returns the path of its first file.
func container(t testing.TB, root, folder, name string) string {
	t.Helper()
	dir := filepath.Join(root, folder, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "0.log")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err == nil {
		_, err = f.WriteString(text)
		_ = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

const uid = "0f3c1d2e-0000-4000-8000-000000000001"

func TestLinesBecomeRows(t *testing.T) {
	root, s := t.TempDir(), newServer(t)
	cfg := config(s, root, t.TempDir())
	cfg.Exclude, cfg.Self = []string{"kube-system"}, "towpath/agent-1"
	write(t, container(t, root, "kube-system_dns_u2", "dns"), cri("stdout", "excluded"))
	write(t, container(t, root, "towpath_agent-1_u3", "agent"), cri("stdout", "its own"))
	write(t, container(t, root, "shop_cart-1_"+uid, "cart"), cri("stdout", `{"level":"warn","msg":"low"}`)+cri("stderr", `plain "text"`)+
		stamp()+" stdout P first, \n"+stamp()+" stdout F second\n"+
		cri("stderr", "panic: boom")+cri("stderr", "")+cri("stderr", "goroutine 1 [running]:")+cri("stderr", "main.main()")+cri("stderr", "\t/app/main.go:3 +0x1d")+
		"this is no CRI line\n"+
		cri("stdout", strings.Repeat("x", tail.Shown+10))+cri("stdout", "last"))
	start(t, cfg)
	until(t, "the rows", func() bool { return len(s.all()) == 7 })
	got := map[string]row{}
	for _, r := range s.all() {
		got[r.Source+" "+r.Message[:min(len(r.Message), 12)]] = r
	}
	meta := `{"podUid":"` + uid + `"}`
	one := func(source, level, message string) row {
		return row{"shop", "cart-1", "cart", source, level, message, meta}
	}
	for _, want := range []row{
		one("stdout", "WARNING", `{"level":"warn","msg":"low"}`),
		one("stderr", "UNKNOWN", `"plain \"text\""`),
		one("stdout", "UNKNOWN", `"first, second"`),
		one("stderr", "CRITICAL", `"panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:3 +0x1d"`),
		one("stdout", "UNKNOWN", `"this is no CRI line"`),
		one("stdout", "UNKNOWN", `"last"`),
	} {
		if r := got[want.Source+" "+want.Message[:min(len(want.Message), 12)]]; r != want {
			t.Errorf("got  %+v\nwant %+v", r, want)
		}
	}
	long := got[`stdout "xxxxxxxxxxx`]
	if len(long.Message) != tail.Shown+2 || long.Meta != `{"podUid":"`+uid+`","truncated":true,"originalBytes":65546}` {
		t.Errorf("the long row has %d bytes and %s", len(long.Message), long.Meta)
	}
}

func TestANewPodIsReadAtOnce(t *testing.T) {
	root, s := t.TempDir(), newServer(t)
	cfg := config(s, root, t.TempDir())
	cfg.Limits.Rescan = time.Hour // only inotify can tell
	start(t, cfg)
	write(t, container(t, root, "shop_first_u1", "web"), cri("stdout", "one"))
	until(t, "the first pod", func() bool { return len(s.all()) == 1 })
	write(t, container(t, root, "shop_second_u2", "web"), cri("stdout", "two"))
	until(t, "the second pod", func() bool { return len(s.all()) == 2 })
	write(t, filepath.Join(root, "shop_second_u2", "web", "1.log"), cri("stdout", "three"))
	until(t, "its second run", func() bool { return len(s.all()) == 3 })
}
