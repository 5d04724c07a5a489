package router_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"towpath.dev/towpath/internal/agent/router"
	"towpath.dev/towpath/internal/deploy/route"
)

// Addresses of the parts of one service: tracks and sessions answer at the same port, as
// in a cluster, so each has a loopback address of its own.
const (
	hostStable   = "127.0.0.2"
	hostBaseline = "127.0.0.3"
	hostCanary   = "127.0.0.4"
	hostAnna     = "127.0.0.5"
	hostBert     = "127.0.0.6"
	hostNobody   = "127.0.0.9" // nothing listens there
)

// freePort returns a port that is free on all loopback addresses.
func freePort(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

func both() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

// backend serves a handler at host:port until the test ends.
func backend(t testing.TB, host string, port int, h http.Handler) *http.Server {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, Protocols: both()}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return srv
}

// says answers with a build id.
func says(build string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, build) })
}

// clock is a clock that a test sets.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// none is a Source that brings nothing: tests call Apply.
type none struct{}

func (none) Watch(ctx context.Context, _ func(route.Table)) error {
	<-ctx.Done()
	return nil
}

// start runs a router with a table until the test ends.
func start(t testing.TB, table route.Table) (*router.Router, *clock) {
	t.Helper()
	c := &clock{}
	r, err := router.New(router.Config{Source: none{}, Admin: "127.0.0.1:0", Host: "127.0.0.1", Drain: 5 * time.Second, Now: c.Now, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the router ended with %v", err)
		}
	})
	if err := r.Apply(table); err != nil {
		t.Fatal(err)
	}
	if err := r.Ready(); err != nil {
		t.Fatal(err)
	}
	return r, c
}

// one returns a service with a single port and the track stable.
func one(t testing.TB, name, protocol string) route.Service {
	t.Helper()
	return route.Service{
		Name: name, Ports: []route.Port{{Port: freePort(t), Listen: freePort(t), Protocol: protocol}},
		Tracks: []route.Track{{Name: route.Stable, Host: hostStable, Weight: 100}},
	}
}

func session(id, key, service, host string) route.Session {
	return route.Session{ID: id, Key: key, User: id, Service: service, Host: host, Expires: time.Now().Add(time.Minute)}
}

// front returns the router's address for a service.
func front(s route.Service) string { return fmt.Sprintf("127.0.0.1:%d", s.Ports[0].Listen) }

// client makes connections of its own, of HTTP/1.1 or of HTTP/2.
func client(t testing.TB, http2 bool) *http.Client {
	t.Helper()
	p := new(http.Protocols)
	p.SetHTTP1(!http2)
	p.SetUnencryptedHTTP2(http2)
	tr := &http.Transport{Protocols: p, MaxIdleConnsPerHost: 100, DisableCompression: true, ExpectContinueTimeout: time.Minute}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// fetch makes a GET with headers as pairs and returns the answer and its body.
func fetch(t testing.TB, c *http.Client, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// shows waits until a page of the admin address says all that is wanted: a request is
// recorded after its client has the answer, and nothing announces it. What a page does not
// say after a thousand looks it will not say.
func shows(t testing.TB, r *router.Router, path string, wants ...string) {
	t.Helper()
	for look := 1; ; look++ {
		w := httptest.NewRecorder()
		r.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		missing := slices.DeleteFunc(slices.Clone(wants), func(want string) bool { return strings.Contains(w.Body.String(), want) })
		if len(missing) == 0 {
			return
		}
		if look == 1000 {
			t.Fatalf("%s does not say %q:\n%s", path, missing, w.Body)
		}
		time.Sleep(10 * time.Millisecond) // The table is swapped behind the page; nothing says when.
	}
}
