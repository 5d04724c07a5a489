package e2e_test

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
)

// Sizes of tests that prove little of what they can with their defaults; docs/benchmarks.md
// has the commands.
var (
	requestsFlag = flag.Int("requests", 1000, "requests that are open at once")
	uploadFlag   = flag.Int64("upload", 64, "MiB that go up and come down through router and tunnel")
)

// local is a program on a developer's machine that says whose it is. It keeps requests for
// /hold open until let go.
type local struct {
	who  string
	held atomic.Int64
	gate chan struct{}
	at   string // "127.0.0.1:4567"
}

func newLocal(t *testing.T, who string) *local {
	t.Helper()
	l := &local{who: who, gate: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "program of %s\n", l.who) })
	mux.HandleFunc("/hold", func(w http.ResponseWriter, r *http.Request) {
		l.held.Add(1)
		defer l.held.Add(-1)
		select {
		case <-l.gate:
			fmt.Fprintf(w, "program of %s\n", l.who)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/sum", sumOf)
	mux.HandleFunc("/much", much)
	mux.HandleFunc("/socket", echo)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	l.at = strings.TrimPrefix(s.URL, "http://")
	return l
}

// says is how the program's answers begin.
func (l *local) says() string { return "program of " + l.who }

// noise is the same bytes each time, which nothing on the way can make smaller.
func noise(n int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), n) }

// sumOfNoise is what a program answers to whom it got that much noise from.
func sumOfNoise(n int64) (string, error) {
	h := sha256.New()
	got, err := io.Copy(h, noise(n))
	return fmt.Sprintf("%d %x", got, h.Sum(nil)), err
}

func sumOf(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%d %x", n, h.Sum(nil))
}

// much answers with as many bytes of noise as it is asked for.
func much(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.FormValue("bytes"), 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = io.Copy(w, noise(n)) // Who asks checks what came.
}

// echo answers each message of a WebSocket with itself.
func echo(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // It has answered.
	}
	defer conn.CloseNow()
	conn.SetReadLimit(16 << 20)
	for {
		kind, b, err := conn.Read(r.Context())
		if err != nil || conn.Write(r.Context(), kind, b) != nil {
			return
		}
	}
}

// attach starts a session on a service for a program of the test's.
func (p *project) attach(who person, service string, l *local, args ...string) *developer {
	p.t.Helper()
	v := p.develop(who, 0, p.t.TempDir(), service, append([]string{"--attach", l.at}, args...)...)
	v.await("attached")
	v.open()
	return v
}

// descendants are a process and those that it started, and so on.
func descendants(pid int) []int {
	out := []int{pid}
	children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return out
	}
	for _, path := range children {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // It has just ended.
		}
		for _, word := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(word); err == nil {
				out = append(out, descendants(child)...)
			}
		}
	}
	return out
}

// peak is the most memory that a process had, in MiB.
func peak(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0, errors.New("the kernel does not tell VmHWM")
	}
	kib, err := strconv.ParseFloat(fields[0], 64)
	return kib / 1024, err
}

// processOf finds the process of a pod that had the most memory: the other one only pauses.
func processOf(uid string) (pid int, err error) {
	var most float64
	all, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return 0, err
	}
	for _, path := range all {
		b, err := os.ReadFile(path)
		if err != nil || !strings.Contains(strings.ReplaceAll(string(b), "_", "-"), "pod"+uid) {
			continue
		}
		n, err := strconv.Atoi(strings.Split(path, "/")[2])
		if err != nil {
			return 0, err
		}
		if m, err := peak(n); err == nil && m > most {
			pid, most = n, m
		}
	}
	if pid == 0 {
		return 0, fmt.Errorf("no process belongs to pod %s", uid)
	}
	return pid, nil
}

// cable is a way to the server that can be pulled: what is sent then goes nowhere, and
// nobody is told.
type cable struct {
	net.Listener
	server string
	pulled chan chan struct{} // holds the gate; closed while plugged in
}

// plugged is the project with the server behind a cable.
func (p *project) plugged() (*project, *cable) {
	p.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	open := make(chan struct{})
	close(open)
	c := &cable{Listener: l, server: strings.TrimPrefix(p.url, "http://"), pulled: make(chan chan struct{}, 1)}
	c.pulled <- open
	p.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go c.join(near)
		}
	}()
	there := *p.installation
	there.url = "http://" + l.Addr().String()
	q := *p
	q.installation = &there
	return &q, c
}

func (c *cable) join(near net.Conn) {
	defer near.Close()
	c.wait()
	far, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	defer far.Close()
	over := make(chan struct{}, 2)
	pipe := func(dst, src net.Conn) {
		defer func() { over <- struct{}{} }()
		buffer := make([]byte, 32<<10)
		for {
			n, err := src.Read(buffer)
			c.wait()
			if err != nil {
				return
			}
			if _, err := dst.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
	go pipe(near, far)
	go pipe(far, near)
	<-over
}

// wait waits while the cable is pulled.
func (c *cable) wait() {
	gate := <-c.pulled
	c.pulled <- gate
	<-gate
}

// pull pulls the cable; the function that it returns plugs it in again.
func (c *cable) pull() (plug func()) {
	<-c.pulled
	gate := make(chan struct{})
	c.pulled <- gate
	return func() { close(gate) }
}
