package tunnel_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/dev/tunnel"
)

// pod is a session pod that remembers what came.
type pod struct {
	binaries map[string][]byte
	lease    time.Time
}

func (p *pod) Dial(_ context.Context, _, address string) (net.Conn, error) {
	if address != "cart:80" {
		return nil, tunnel.Errorf(tunnel.Forbidden, "not %s", address)
	}
	near, far := net.Pipe()
	go func() {
		_, _ = io.Copy(far, io.LimitReader(far, 5))
		_ = far.Close()
	}()
	return near, nil
}

func (p *pod) Exchange(_ context.Context, m []byte) ([]byte, error) {
	return append([]byte("re: "), m...), nil
}

func (p *pod) Lookup(_ context.Context, name string) ([]string, error) {
	if name != "cart" {
		return nil, errors.New("broken")
	}
	return []string{"10.0.0.1"}, nil
}

func (p *pod) Status() tunnel.Status { return tunnel.Status{Session: "s1", Ports: []int{80}} }

func (p *pod) Renew(until time.Time) (time.Time, error) { p.lease = until; return until, nil }

func (p *pod) Base(sum string) ([]byte, error) {
	if b, ok := p.binaries[sum]; ok {
		return b, nil
	}
	return nil, tunnel.Errorf(tunnel.NotFound, "no %s", sum)
}

func (p *pod) Sync(_ context.Context, b tunnel.Build, r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err == nil {
		p.binaries[b.Sum] = raw
	}
	return err
}

func (p *pod) Logs(_ context.Context, w io.Writer, _ bool) error {
	_, err := io.WriteString(w, "a line\n")
	return err
}

type program struct{ err error }

func (l program) Dial(context.Context, int) (net.Conn, error) {
	if l.err != nil {
		return nil, l.err
	}
	near, far := net.Pipe()
	go func() {
		_, _ = io.Copy(far, io.LimitReader(far, 5))
		_ = far.Close()
	}()
	return near, nil
}

// wire counts what goes up.
type wire struct {
	net.Conn
	up *int
}

func (w wire) Write(p []byte) (int, error) { *w.up += len(p); return w.Conn.Write(p) }

// pair joins both ends over a real connection.
func pair(t *testing.T, p *pod, l tunnel.Local) (*tunnel.Client, *tunnel.Server, *int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	served := make(chan *tunnel.Server, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		s, _ := tunnel.Accept(context.Background(), conn, "secret", p)
		served <- s
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	up := new(int)
	c, err := tunnel.Connect(t.Context(), wire{conn, up}, "secret", l)
	if err != nil {
		t.Fatal(err)
	}
	s := <-served
	t.Cleanup(func() { _, _ = c.Close(), s.Close() })
	return c, s, up
}

func TestStreams(t *testing.T) {
	p := &pod{binaries: map[string][]byte{}}
	c, s, _ := pair(t, p, program{})
	ctx := t.Context()
	talk := func(conn net.Conn, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "hello")
		got, err := io.ReadAll(conn)
		if err != nil || string(got) != "hello" {
			t.Errorf("the echo is %q, %v", got, err)
		}
		_ = conn.Close()
	}
	talk(c.Dial(ctx, "tcp", "cart:80"))
	talk(s.Forward(ctx, 80, "10.1.2.3:4567"))
	if _, err := c.Dial(ctx, "tcp", "db:80"); tunnel.CodeOf(err) != tunnel.Forbidden || err.Error() != "not db:80" {
		t.Errorf("a forbidden address ends with %v", err)
	}
	if _, err := c.Dial(ctx, "unix", "x"); tunnel.CodeOf(err) != tunnel.Invalid {
		t.Errorf("another network ends with %v", err)
	}
	if got, err := c.Exchange(ctx, []byte("who")); err != nil || string(got) != "re: who" {
		t.Errorf("DNS: %q, %v", got, err)
	}
	if got, err := c.Lookup(ctx, "cart"); err != nil || len(got) != 1 {
		t.Errorf("a lookup: %v, %v", got, err)
	}
	if _, err := c.Lookup(ctx, "x"); tunnel.CodeOf(err) != tunnel.Failed {
		t.Errorf("a lookup that breaks ends with %v", err)
	}
	until := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	if got, err := c.Renew(ctx, until); err != nil || !got.Equal(until) || !p.lease.Equal(until) {
		t.Errorf("a renewal: %v, %v", got, err)
	}
	logs, err := c.Logs(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(logs); err != nil || string(got) != "a line\n" {
		t.Errorf("logs: %q, %v", got, err)
	}
	_ = c.Close()
	<-s.Done()
	if _, err := s.Forward(ctx, 80, ""); err == nil {
		t.Error("a stream was opened over a tunnel that ended")
	}
}

func TestProgramDown(t *testing.T) {
	_, s, _ := pair(t, &pod{}, program{errors.New("nothing listens on 8080")})
	_, err := s.Forward(t.Context(), 80, "")
	if tunnel.CodeOf(err) != tunnel.Refused || !strings.Contains(err.Error(), "nothing listens on 8080") {
		t.Errorf("with the program down: %v", err)
	}
}

// TestSyncSendsTheDifference sees that a binary that hardly changed goes up as little.
func TestSyncSendsTheDifference(t *testing.T) {
	p := &pod{binaries: map[string][]byte{}}
	c, _, up := pair(t, p, program{})
	first := make([]byte, 6<<20)
	_, _ = rand.Read(first) // cannot be packed
	// A linker moves what is behind a change.
	second := append(append(append([]byte(nil), first[:1<<20]...), "a change"...), first[1<<20:]...)
	build := tunnel.Build{ID: "b1", Name: "cart"}
	if _, err := c.Sync(t.Context(), build, first, nil); err != nil {
		t.Fatal(err)
	}
	whole := *up
	if whole < 6<<20 {
		t.Fatalf("%d bytes went up", whole)
	}
	if _, err := c.Sync(t.Context(), build, second, first); err != nil {
		t.Fatal(err)
	}
	if difference := *up - whole; difference > len(second)/2 {
		t.Errorf("the change went up as %d bytes of %d", difference, len(second))
	}
	found := false
	for _, b := range p.binaries {
		found = found || bytes.Equal(b, second)
	}
	if !found {
		t.Error("the changed binary did not arrive")
	}
	if _, err := c.Sync(t.Context(), build, first, []byte("unknown")); err != nil {
		t.Errorf("with an unknown base: %v", err)
	}
}

func TestFrames(t *testing.T) {
	want := tunnel.Header{Version: 1, Kind: tunnel.Dial, Network: "tcp", Address: "cart:80"}
	var b bytes.Buffer
	if err := tunnel.WriteFrame(&b, want); err != nil {
		t.Fatal(err)
	}
	b.WriteString("rest")
	got, err := tunnel.ReadHeader(&b)
	if err != nil || !cmp.Equal(want, got) || b.String() != "rest" {
		t.Errorf("read %+v, %v, left %q", got, err, b.String())
	}
	if err := tunnel.WriteFrame(&b, strings.Repeat("x", 70000)); err == nil {
		t.Error("a frame of 70,000 bytes was written")
	}
	for text, code := range map[string]tunnel.Code{
		`{"v":2,"kind":"ping"}`: tunnel.Unsupported, `{"v":1,"kind":"exec"}`: tunnel.Unsupported, `{"v":1,"kind":"http"}`: tunnel.Invalid,
		`{"v":1,"kind":"sync","build":{"id":"../x","name":"a","size":1}}`: tunnel.Invalid, `{"v":1,"kind":"renew"}`: tunnel.Invalid,
	} {
		raw := append([]byte{byte(len(text) >> 8), byte(len(text))}, text...)
		if _, err := tunnel.ReadHeader(bytes.NewReader(raw)); tunnel.CodeOf(err) != code {
			t.Errorf("%s ends with %v, want %s", text, err, code)
		}
	}
}

func FuzzReadHeader(f *testing.F) {
	for _, text := range []string{`{"v":1,"kind":"ping"}`, `{"v":1,"kind":"sync","build":{"id":"b","name":"n","size":1,"sum":"00","env":["A=b"]}}`, `{}`} {
		f.Add(append([]byte{byte(len(text) >> 8), byte(len(text))}, text...))
	}
	f.Add([]byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := tunnel.ReadHeader(bytes.NewReader(raw))
		if err != nil {
			return
		}
		if h.Kind == tunnel.Sync && (h.Build == nil || strings.ContainsAny(h.Build.ID+h.Build.Name, "/\\\x00") || strings.HasPrefix(h.Build.ID, ".")) {
			t.Fatalf("a build passed that could be a path: %+v", h.Build)
		}
		var b bytes.Buffer
		if err := tunnel.WriteFrame(&b, h); err != nil {
			t.Fatalf("a header that was read cannot be written: %v", err)
		}
	})
}
