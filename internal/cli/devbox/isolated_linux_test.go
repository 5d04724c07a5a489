package devbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"towpath.dev/towpath/internal/cli/devbox"
)

// The test binary is also the inside of a box, the program in it, and the test as an
// ordinary user.
const (
	asProgram = "DEVBOX_TEST_PROGRAM"
	asNobody  = "DEVBOX_TEST_NOBODY"
)

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 3 && os.Args[2] == devbox.Inside:
		if err := devbox.RunInside(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case os.Getenv(asProgram) != "":
		if err := program(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

// program asks services of the cluster, by name and by address, and answers with what they
// said, on loopback alone.
func program() error {
	var said []string
	for _, url := range []string{"http://cart/", "http://" + os.Getenv("CART_SERVICE_HOST") + ":" + os.Getenv("CART_SERVICE_PORT") + "/"} {
		resp, err := http.Get(url)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		said = append(said, string(b))
	}
	_, err := net.DialTimeout("tcp", "10.96.0.6:80", 5*time.Second)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("a service that refuses is %v", err)
	}
	said = append(said, fmt.Sprint("uid ", os.Getuid()))
	return http.ListenAndServe("127.0.0.1:8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.Join(said, ", "))
	}))
}

// cluster is a cluster with one service, at 10.96.0.5.
type cluster struct{ address string }

func (c cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" || address != "10.96.0.5:80" {
		return nil, errors.New("connection refused")
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", c.address)
}

func (c cluster) Exchange(_ context.Context, message []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(message); err != nil {
		return nil, err
	}
	m.Response, m.Additionals = true, nil
	q := m.Questions[0]
	switch {
	case q.Name.String() != "cart.shop.svc.cluster.local.":
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 5}, Body: &dnsmessage.AResource{A: [4]byte{10, 96, 0, 5}},
		}}
	}
	return m.Pack()
}

// TestIsolated runs a static program in a box: as whoever runs the test, and as an
// ordinary user when that is root.
func TestIsolated(t *testing.T) {
	if os.Getuid() == 0 {
		t.Run("as an ordinary user", func(t *testing.T) { again(t, 65534) })
	}
	t.Run("as this user", func(t *testing.T) {
		up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello from ", r.Host) }))
		defer up.Close()
		place := devbox.Place{Namespace: "shop", Domain: "cluster.local", Services: []devbox.Service{{Name: "cart", Address: "10.96.0.5", Ports: []devbox.ServicePort{{Port: 80}}}}}
		began := time.Now()
		box, err := devbox.NewIsolated(place, cluster{up.Listener.Addr().String()}, devbox.Output{Out: os.Stdout, Err: os.Stderr})
		if err != nil {
			// Where the kernel gives none, the product says so and takes the plain box.
			t.Logf("this machine has no isolated box: %v", err)
			return
		}
		t.Logf("the box was ready after %s", time.Since(began))
		defer box.Close()
		p, err := box.Start(devbox.Command{Args: []string{"/proc/self/exe"}, Env: append(box.Env(nil), asProgram+"=1"), Dir: "/"})
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("hello from cart, hello from 10.96.0.5:80, uid %d", os.Getuid())
		if got := ask(t, box, p); got != want {
			t.Errorf("the program says %q, want %q", got, want)
		}
		p.Stop(time.Second)
		if _, err := box.Dial(t.Context(), 8080); err == nil {
			t.Error("a program that was stopped answers")
		}
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
}

// ask asks the program in a box, as soon as it answers.
func ask(t *testing.T, box devbox.Box, p devbox.Process) string {
	t.Helper()
	for {
		conn, err := box.Dial(t.Context(), 8080)
		if err == nil {
			defer conn.Close()
			fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		select {
		case <-p.Done():
			t.Fatalf("the program ended: %v", p.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// again runs this test as another user, who can read the binary where it is put.
func again(t *testing.T, uid uint32) {
	dir, err := os.MkdirTemp("", "devbox-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(exe)
	if err == nil {
		err = errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "test"), b, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "test"), "-test.run", "^TestIsolated$", "-test.v")
	cmd.Dir, cmd.Env = "/", []string{asNobody + "=1", "PATH=" + os.Getenv("PATH"), "TMPDIR=/tmp"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
