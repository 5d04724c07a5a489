package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"towpath.dev/towpath/internal/agent/session"
	"towpath.dev/towpath/internal/dev/tunnel"
)

// TestMain is also the developer's program that tests send up: with TEST_BUILD set it
// serves that build's name.
func TestMain(m *testing.M) {
	if build := os.Getenv("TEST_BUILD"); build != "" {
		fmt.Println("this is", build)
		err := http.ListenAndServe(os.Getenv("TEST_ADDRESS"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/crash" {
				os.Exit(3)
			}
			fmt.Fprint(w, build, os.Getenv("TOWPATH_SESSION_TOKEN"))
		}))
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const token = "a-token-of-a-session"

func port(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// resolver answers cart.shop.svc.cluster.local and evil.shop.svc.cluster.local.
func resolver(t testing.TB) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	names := map[string][4]byte{"cart.shop.svc.cluster.local.": {127, 0, 0, 1}, "evil.shop.svc.cluster.local.": {169, 254, 169, 254}, "other.cluster.local.": {127, 0, 0, 1}}
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Additionals, m.RCode = true, nil, dnsmessage.RCodeNameError
			if a, ok := names[q.Name.String()]; ok {
				m.RCode = dnsmessage.RCodeSuccess
				if q.Type == dnsmessage.TypeA {
					m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 5}, Body: &dnsmessage.AResource{A: a}}}
				}
			}
			if raw, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(raw, from)
			}
		}
	}()
	file := filepath.Join(t.TempDir(), "resolv.conf")
	text := fmt.Sprintf("nameserver %s\nsearch shop.svc.cluster.local svc.cluster.local\n", conn.LocalAddr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// stand runs a session pod until the test ends.
func stand(t testing.TB, change func(*session.Config)) *session.Session {
	t.Helper()
	cfg := session.Config{
		ID: "s1", Host: "127.0.0.1", Ports: []int{port(t)}, Control: "127.0.0.1:0", Token: token, Namespace: "shop", Resolver: resolver(t),
		Lease: time.Hour, MaxAge: 8 * time.Hour, Getenv: func(string) string { return "10.43.0.1" }, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	change(&cfg)
	s, err := session.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.AllowLoopback()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// laptop is a developer's program at an address, "" when it is down.
type laptop struct{ address string }

func (l laptop) Dial(ctx context.Context, _ int) (net.Conn, error) {
	if l.address == "" {
		return nil, errors.New("it is not running")
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", l.address)
}

func connect(t testing.TB, s *session.Session, local tunnel.Local) *tunnel.Client {
	t.Helper()
	conn, err := net.Dial("tcp", s.Control().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := tunnel.Connect(t.Context(), conn, token, local)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func client(http2 bool) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(!http2)
	p.SetUnencryptedHTTP2(http2)
	return &http.Client{Transport: &http.Transport{Protocols: p, DisableKeepAlives: !http2}}
}

// get returns status, reason and body, in HTTP/1.1 or HTTP/2.
func get(t testing.TB, http2 bool, address string) (int, string, string) {
	t.Helper()
	c := client(http2)
	defer c.CloseIdleConnections()
	resp, err := c.Get("http://" + address + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("X-Towpath-Reason"), string(body)
}

func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: h, Protocols: p}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return ln.Addr().String()
}

func TestForward(t *testing.T) {
	var ports []int
	s := stand(t, func(c *session.Config) { ports = c.Ports })
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
	for _, http2 := range []bool{false, true} {
		status, reason, _ := get(t, http2, address)
		if status != 502 || !strings.Contains(reason, "not connected") {
			t.Errorf("without a machine, HTTP/2 %t: %d %q", http2, status, reason)
		}
	}
	down := connect(t, s, laptop{})
	// The pod takes a tunnel when its end has been let in, which is a moment after the end knows.
	waitFor(t, func() bool { _, reason, _ := get(t, true, address); return !strings.Contains(reason, "not connected") })
	if status, reason, _ := get(t, true, address); status != 502 || !strings.Contains(reason, "local program") {
		t.Errorf("with the program down: %d %q", status, reason)
	}
	program := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "laptop %d", n)
	})
	up := connect(t, s, laptop{program})
	<-down.Done() // the new connection took its place
	for _, http2 := range []bool{false, true} {
		if status, _, body := get(t, http2, address); status != 200 || body != "laptop 0" {
			t.Errorf("through the tunnel, HTTP/2 %t: %d %q", http2, status, body)
		}
		size := int64(64 << 20)
		resp, err := client(http2).Post("http://"+address+"/", "text/plain", io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(body) != fmt.Sprintf("laptop %d", size) {
			t.Errorf("an upload through the tunnel, HTTP/2 %t: %q", http2, body)
		}
	}
	if err := up.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { status, _, _ := get(t, false, address); return status == 502 })
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// waitFor waits until something is so; the test's own limit ends it.
func waitFor(t testing.TB, so func() bool) {
	t.Helper()
	for !so() {
		select {
		case <-t.Context().Done():
			t.Fatal("the test ended before")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestTokenIsNeeded(t *testing.T) {
	s := stand(t, func(*session.Config) {})
	conn, err := net.Dial("tcp", s.Control().String())
	if err != nil {
		t.Fatal(err)
	}
	_, err = tunnel.Connect(t.Context(), conn, "another", laptop{})
	if tunnel.CodeOf(err) != tunnel.Forbidden {
		t.Errorf("a wrong token ends with %v, want forbidden", err)
	}
}

func TestDial(t *testing.T) {
	service := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "in the cluster") })
	_, servicePort, _ := net.SplitHostPort(service)
	s := stand(t, func(c *session.Config) { c.Allow = []string{"169.254.0.0/16", "10.43.0.1", "10.9.0.0/16:443"} })
	c := connect(t, s, laptop{})
	ctx := t.Context()
	for _, tt := range []struct {
		address string
		code    tunnel.Code // "" when it connects
	}{
		{service, tunnel.Forbidden}, // no name was asked yet
		{"cart:" + servicePort, ""},
		{"cart.shop.svc.cluster.local:" + servicePort, ""},
		{"cart:1", tunnel.Refused},
		{"evil:80", tunnel.Forbidden},
		{"nothing:80", tunnel.NotFound},
		{"other.cluster.local:" + servicePort, tunnel.Forbidden},
		{"169.254.169.254:80", tunnel.Forbidden},
		{"10.43.0.1:443", tunnel.Forbidden},
		{"10.9.0.1:80", tunnel.Forbidden},
		{"cart:9902", tunnel.Forbidden},
		{"cart", tunnel.Invalid},
	} {
		conn, err := c.Dial(ctx, "tcp", tt.address)
		if (err == nil) != (tt.code == "") || err != nil && tunnel.CodeOf(err) != tt.code {
			t.Errorf("dialling %s ends with %v, want code %q", tt.address, err, tt.code)
		}
		if err == nil {
			_, _ = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
			if body, _ := io.ReadAll(conn); !bytes.Contains(body, []byte("in the cluster")) {
				t.Errorf("%s says %q", tt.address, body)
			}
			_ = conn.Close()
		}
	}
	if got, err := c.Lookup(ctx, "cart"); err != nil || len(got) != 1 || got[0] != "127.0.0.1" {
		t.Errorf("looking up cart: %v, %v", got, err)
	}
	conn, err := c.Dial(ctx, "tcp", service)
	if err != nil {
		t.Fatalf("an address that was looked up: %v", err)
	}
	_ = conn.Close()
	question := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true}, Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("cart.shop.svc.cluster.local."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	raw, _ := question.Pack()
	answer, err := c.Exchange(ctx, raw)
	var m dnsmessage.Message
	if err != nil || m.Unpack(answer) != nil || m.ID != 7 || len(m.Answers) != 1 {
		t.Errorf("asking the resolver: %v, %v", m, err)
	}
	if _, err := c.Ping(ctx); err != nil {
		t.Error(err)
	}
}

func TestUDP(t *testing.T) {
	echo, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := echo.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = echo.WriteTo(buf[:n], from)
		}
	}()
	_, p, _ := net.SplitHostPort(echo.LocalAddr().String())
	c := connect(t, stand(t, func(*session.Config) {}), laptop{})
	conn, err := c.Dial(t.Context(), "udp", "cart:"+p)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, want := range []string{"one", "", "three"} {
		_, _ = conn.Write([]byte(want))
		buf := make([]byte, 100)
		n, err := conn.Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("a datagram %q came back as %q, %v", want, buf[:n], err)
		}
	}
}

func TestLease(t *testing.T) {
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	s := stand(t, func(c *session.Config) {
		c.Now, c.Lease, c.MaxAge = func() time.Time { return now }, time.Minute, 10*time.Minute
	})
	c := connect(t, s, laptop{})
	for _, tt := range []struct{ ask, want time.Duration }{{30 * time.Second, time.Minute}, {5 * time.Minute, 5 * time.Minute}, {time.Hour, 10 * time.Minute}} {
		got, err := c.Renew(t.Context(), now.Add(tt.ask))
		if err != nil || !got.Equal(now.Add(tt.want)) {
			t.Errorf("a renewal by %s gives %s, %v, want %s", tt.ask, got.Sub(now), err, tt.want)
		}
	}
	st, err := c.Status(t.Context())
	if err != nil || st.Session != "s1" || !st.Expires.Equal(now.Add(10*time.Minute)) || len(st.Search) != 2 {
		t.Errorf("the status is %+v, %v", st, err)
	}
}

func TestLeaseEndsThePod(t *testing.T) {
	s := stand(t, func(c *session.Config) { c.Lease = time.Millisecond })
	waitFor(t, func() bool {
		conn, err := net.Dial("tcp", s.Control().String())
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
}

func TestSync(t *testing.T) {
	binary, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var ports []int
	s := stand(t, func(c *session.Config) {
		c.SyncDir, ports = dir, c.Ports
		c.Environ = []string{"TEST_ADDRESS=127.0.0.1:" + strconv.Itoa(c.Ports[0]), "TOWPATH_SESSION_TOKEN=" + token}
	})
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
	c := connect(t, s, laptop{})
	ctx := t.Context()
	logs, err := c.Logs(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	run := func(id string, bin, base []byte) {
		t.Helper()
		if _, err := c.Sync(ctx, tunnel.Build{ID: id, Name: "cart", Env: []string{"TEST_BUILD=" + id}}, bin, base); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool {
			st, err := c.Status(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return st.Program != nil && st.Program.Build == id && st.Program.State == tunnel.Ready
		})
		if status, _, body := get(t, false, address); status != 200 || body != id {
			t.Errorf("build %s answers %d %q", id, status, body)
		}
	}
	run("b1", binary, nil)
	changed := append(append([]byte(nil), binary...), "a change"...)
	run("b2", changed, binary)
	run("b3", binary, []byte("a base that the pod does not have"))
	if _, err := http.Get("http://" + address + "/crash"); err == nil {
		t.Error("the program answered while it crashed")
	}
	waitFor(t, func() bool {
		st, err := c.Status(ctx)
		return err == nil && st.Program.Restarts == 1 && st.Program.State == tunnel.Ready && st.Program.Exit == "exit status 3"
	})
	seen := make([]byte, 0, 1<<10)
	buf := make([]byte, 1<<10)
	for !bytes.Contains(seen, []byte("this is b3")) {
		n, err := logs.Read(buf)
		if err != nil {
			t.Fatalf("the logs ended with %v after %q", err, seen)
		}
		seen = append(seen, buf[:n]...)
	}
	_, err = c.Sync(ctx, tunnel.Build{ID: "../b", Name: "cart"}, binary, nil)
	if tunnel.CodeOf(err) != tunnel.Invalid {
		t.Errorf("a build with a path for its id ends with %v", err)
	}
}
