package oci_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/registrytest"
)

// childFolder is the variable that makes this program a server instead of a test; see
// TestKill.
const childFolder = "REGISTRY_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childFolder) != "" {
		// The child runs one test that serves until it is killed.
		os.Args = append(os.Args[:1], "-test.run=^TestServe$")
	}
	os.Exit(m.Run())
}

// TestServe is the child of TestKill; on its own it has nothing to do.
func TestServe(t *testing.T) {
	dir := os.Getenv(childFolder)
	if dir == "" {
		return
	}
	s := registrytest.Start(t, dir, registry.Options{})
	fmt.Println("listening", s.HTTP.URL)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone
}

// half sends a PATCH that announces the whole of b, and breaks the connection after n
// bytes.
func half(t *testing.T, base, location, user string, b []byte, n int) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	basic := base64.StdEncoding.EncodeToString([]byte(user + ":" + registrytest.Password))
	if _, err := fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\nContent-Length: %d\r\n\r\n", location, basic, len(b)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(b[:n]); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}

// settle asks for the upload's size until nobody writes to it any more.
func settle(c client, location string) (size int) {
	c.t.Helper()
	for last := -1; ; time.Sleep(20 * time.Millisecond) {
		a := c.want(http.StatusNoContent, "GET", location, nil)
		if _, err := fmt.Sscanf(a.Header.Get("Range"), "0-%d", &size); err != nil {
			c.t.Fatalf("Range %q: %v", a.Header.Get("Range"), err)
		}
		if size > 0 && size == last {
			return size + 1
		}
		last = size
	}
}

// TestCutOff breaks a chunk in the middle and goes on where the registry says.
func TestCutOff(t *testing.T) {
	s := registrytest.Start(t, "", registry.Options{})
	c := as(t, s, "writer")
	b := []byte(strings.Repeat("0123456789abcdef", 100_000))
	a := c.want(202, "POST", "/v2/shop/web/blobs/uploads/", nil)
	location := a.Header.Get("Location")
	half(t, s.HTTP.URL, location, "writer", b, 1_000_000)
	n := settle(c, location)
	if n > 1_000_000 {
		t.Fatalf("the registry has %d bytes of 1000000 sent", n)
	}
	// A chunk that leaves a hole is refused with the place to go on from.
	bad := c.want(416, "PATCH", location, b[n+1:], "Content-Range", fmt.Sprintf("%d-%d", n+1, len(b)-1))
	if bad.Header.Get("Range") != fmt.Sprintf("0-%d", n-1) || bad.Header.Get("Location") != location {
		t.Errorf("the refusal says %v", bad.Header)
	}
	c.want(400, "PATCH", location, b[n:], "Content-Range", "9-1")
	c.want(400, "PATCH", location, b[n:n+5], "Content-Range", fmt.Sprintf("%d-%d", n, n+9))
	as(t, s, "reader").want(403, "GET", location, nil)
	as(t, s, "admin").want(404, "GET", location, nil) // somebody else's upload
	c.want(404, "GET", strings.Replace(location, "shop/web", "shop/api", 1), nil)
	c.want(202, "PATCH", location, b[n:], "Content-Range", fmt.Sprintf("%d-%d", n, len(b)-1))
	c.want(201, "PUT", location+"?digest="+digest(b), nil)
	if got := c.want(200, "GET", "/v2/shop/web/blobs/"+digest(b), nil); digest(got.body) != digest(b) {
		t.Error("the blob came back different")
	}
	c.want(404, "GET", location, nil)
}

// TestUploadEnds checks the ways in which an upload ends without a blob.
func TestUploadEnds(t *testing.T) {
	s := registrytest.Start(t, "", registry.Options{MaxBlob: 100})
	c := as(t, s, "writer")
	start := func() string {
		return c.want(202, "POST", "/v2/shop/web/blobs/uploads/", nil).Header.Get("Location")
	}
	l := start()
	c.want(202, "PATCH", l, []byte("abc"))
	c.want(204, "DELETE", l, nil)
	c.want(404, "PATCH", l, []byte("abc"))
	l = start()
	c.want(202, "PATCH", l, []byte("abc"))
	c.want(400, "PUT", l+"?digest="+digest([]byte("other")), nil)
	c.want(404, "GET", l, nil)
	l = start()
	c.want(400, "PUT", l, []byte("abc"))
	c.want(400, "PUT", l+"?digest=sha256:short", []byte("abc"))
	c.want(413, "PATCH", l, make([]byte, 101))
	c.want(413, "PUT", l+"?digest="+digest(make([]byte, 101)), make([]byte, 101))
	c.want(413, "POST", "/v2/shop/web/blobs/uploads/?digest="+digest(make([]byte, 101)), make([]byte, 101))
	c.want(400, "POST", "/v2/shop/web/blobs/uploads/?digest="+digest([]byte("a")), []byte("b"))
	l = start()
	c.want(202, "PATCH", l, []byte("abc"))
	c.want(202, "PATCH", l, []byte("def"), "Content-Range", "3-5")
	c.want(201, "PUT", l+"?digest="+digest([]byte("abcdefghi")), []byte("ghi"), "Content-Range", "6-8")
}

// TestKill kills the server, without a warning, while a chunk arrives. What it had
// acknowledged is there after the restart, and the upload goes on.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	first := registrytest.Start(t, dir, registry.Options{})
	first.People(t)
	first.Stop(t)

	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childFolder+"="+dir)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var base string
	for lines := bufio.NewScanner(out); base == "" && lines.Scan(); {
		_, base, _ = strings.Cut(lines.Text(), "listening ")
	}
	if base == "" {
		t.Fatal("the child did not start")
	}
	c := client{t: t, user: "writer", secret: registrytest.Password, s: first}
	b := []byte(strings.Repeat("fedcba9876543210", 200_000))
	const acknowledged = 1_000_000
	location := c.want(202, "POST", base+"/v2/shop/web/blobs/uploads/", nil).Header.Get("Location")
	c.want(202, "PATCH", base+location, b[:acknowledged])
	small := []byte("a whole blob")
	c.want(201, "POST", base+"/v2/shop/web/blobs/uploads/?digest="+digest(small), small)
	half(t, base, location, "writer", b[acknowledged:], 500_000)
	if err := child.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // It was killed: that is an error, and expected.

	s := registrytest.Start(t, dir, registry.Options{})
	c = as(t, s, "writer")
	c.want(200, "GET", "/v2/shop/web/blobs/"+digest(small), nil)
	n := settle(c, location)
	if n < acknowledged || n > acknowledged+500_000 {
		t.Fatalf("after the restart the upload has %d bytes; %d were acknowledged", n, acknowledged)
	}
	c.want(202, "PATCH", location, b[n:], "Content-Range", fmt.Sprintf("%d-%d", n, len(b)-1))
	c.want(201, "PUT", location+"?digest="+digest(b), nil)
	if got := c.want(200, "GET", "/v2/shop/web/blobs/"+digest(b), nil); digest(got.body) != digest(b) {
		t.Error("the blob came back different")
	}
}
