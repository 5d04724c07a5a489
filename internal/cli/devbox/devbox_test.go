package devbox_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/cli/devbox"
)

func TestPlan(t *testing.T) {
	for command, want := range map[string]devbox.Plan{
		"go run ./cmd/cart": {Build: []string{"go", "build", "-o", "/s/program", "./cmd/cart"}, Binary: "/s/program", Run: []string{"/s/program"}},
		"go run -race -tags 'a b' ./cmd/cart -v :8080": {
			Build: []string{"go", "build", "-o", "/s/program", "-race", "-tags", "a b", "./cmd/cart"}, Binary: "/s/program", Run: []string{"/s/program", "-v", ":8080"},
		},
		"go run -C cart . x":        {Build: []string{"go", "build", "-C", "cart", "-o", "/s/program", "."}, Binary: "/s/program", Run: []string{"/s/program", "x"}},
		"go run a.go b.go c":        {Build: []string{"go", "build", "-o", "/s/program", "a.go", "b.go"}, Binary: "/s/program", Run: []string{"/s/program", "c"}},
		"go run -exec sudo .":       {Run: []string{"go", "run", "-exec", "sudo", "."}},
		"go run":                    {Run: []string{"go", "run"}},
		"./cart --level 'very low'": {Run: []string{"./cart", "--level", "very low"}},
		"PORT=1 ./cart":             {Run: []string{"/bin/sh", "-c", "exec PORT=1 ./cart"}},
		"npm run dev | tee log":     {Run: []string{"/bin/sh", "-c", "exec npm run dev | tee log"}},
		`echo "$HOME"`:              {Run: []string{"/bin/sh", "-c", `exec echo "$HOME"`}},
		`echo 'open`:                {Run: []string{"/bin/sh", "-c", `exec echo 'open`}},
	} {
		if diff := cmp.Diff(want, devbox.NewPlan(command, "/s")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", command, diff)
		}
	}
}

// echoes is a cluster whose services say which address they were reached at.
type echoes struct{}

func (echoes) Dial(_ context.Context, _, address string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		_, _ = io.WriteString(far, address)
		_ = far.Close()
	}()
	return near, nil
}

func (echoes) Exchange(context.Context, []byte) ([]byte, error) { return nil, errors.New("no names") }

func TestPlainBoxRewritesAddresses(t *testing.T) {
	place := devbox.Place{Namespace: "shop", Domain: "cluster.local", Services: []devbox.Service{
		{Name: "catalog", Ports: []devbox.ServicePort{{Name: "http", Port: 8080}, {Port: 80}}}, {Name: "db", Ports: []devbox.ServicePort{{Port: 5432}}},
	}}
	box, err := devbox.NewPlain(place, echoes{}, devbox.Output{})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	env := map[string]string{}
	for _, e := range box.Env([]string{
		"A=http://catalog:8080/v1?x=http://catalog", "B=catalog.shop.svc:8080,db:5432", "C=postgres://u:p@db.shop.svc.cluster.local:5432/shop", "D=catalog", "E=http://catalog.other/",
		"F=https://catalog/", "G=http://catalog:9999", "H=tcp://db:5432", "I=0.0.0.0:8080", "J=",
	}) {
		name, value, _ := strings.Cut(e, "=")
		env[name] = value
	}
	reached := func(address string) string {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		defer conn.Close()
		b, _ := io.ReadAll(conn)
		return string(b)
	}
	host := env["CATALOG_SERVICE_HOST"]
	catalog, plain, db := host+":"+env["CATALOG_SERVICE_PORT_HTTP"], "", env["DB_SERVICE_HOST"]+":"+env["DB_SERVICE_PORT"]
	if got := reached(catalog); got != "catalog.shop.svc.cluster.local:8080" {
		t.Errorf("catalog leads to %q", got)
	}
	if got := reached(db); got != "db.shop.svc.cluster.local:5432" {
		t.Errorf("db leads to %q", got)
	}
	if plain = strings.TrimPrefix(env["A"], "http://"+catalog+"/v1?x=http://"); reached(plain) != "catalog.shop.svc.cluster.local:80" {
		t.Errorf("A is %q", env["A"])
	}
	for name, want := range map[string]string{
		"B": catalog + "," + db, "C": "postgres://u:p@" + db + "/shop", "D": "catalog", "E": "http://catalog.other/", "F": "https://catalog/",
		"G": "http://catalog:9999", "H": "tcp://" + db, "I": "0.0.0.0:8080", "J": "",
	} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTreeSeesWritesNewFilesAndRemovals(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.go", "1")
	write(t, dir, "node_modules/x.js", "1")
	write(t, dir, "sub/b.go", "1")
	tree := devbox.NewTree(t.Context(), dir, filepath.Join(dir, "built"))
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() { write(t, dir, "a.go", "22") }, "a.go"},
		{func() { write(t, dir, "a.go", "333"); write(t, dir, "built", "1") }, "a.go"},
		{func() { write(t, dir, "node_modules/x.js", "22"); write(t, dir, "sub/c.go", "1") }, "sub/c.go"},
		{func() {
			if err := os.Remove(filepath.Join(dir, "sub/b.go")); err != nil {
				t.Fatal(err)
			}
		}, "sub/b.go"},
	} {
		step.do()
		got, err := tree.Next(t.Context())
		if err != nil || got != filepath.Join(dir, step.want) {
			t.Errorf("got %s, %v; want %s", got, err, step.want)
		}
	}
}

const source = `package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		panic(err)
	}
	panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "VERSION") })))
}
`

// TestRunnerSwapsWhatWasBuilt saves a program, then one that does not compile, then another.
func TestRunnerSwapsWhatWasBuilt(t *testing.T) {
	dir, scratch := t.TempDir(), t.TempDir()
	write(t, dir, "go.mod", "module example\n\ngo 1.26\n")
	write(t, dir, "main.go", strings.Replace(source, "VERSION", "one", 1))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_, word, _ := net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	box, err := devbox.NewPlain(devbox.Place{}, echoes{}, devbox.Output{Out: io.Discard, Err: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	notices := make(chan devbox.Notice, 16)
	var compiler safe
	r := &devbox.Runner{
		Plan: devbox.NewPlan("go run .", scratch), Box: box, Dir: dir, Env: append(os.Environ(), "PORT="+word), Port: port,
		Build: devbox.Output{Out: &compiler, Err: &compiler}, Tell: func(n devbox.Notice) { notices <- n },
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, devbox.NewTree(ctx, dir)) }()
	await := func(what string) {
		t.Helper()
		for n := range notices {
			if n.What == what {
				return
			}
			if n.What != "building" {
				t.Fatalf("told %+v, waited for %s\n%s", n, what, compiler.String())
			}
		}
	}
	answer := func() string {
		t.Helper()
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return r.Dial(ctx, port) }}}
		resp, err := client.Get("http://program/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	await("live")
	if got := answer(); got != "one" {
		t.Errorf("the program says %q", got)
	}
	write(t, dir, "main.go", "package main\n\nfunc main() { undefined() }\n")
	await("broken")
	if got := answer(); got != "one" || !strings.Contains(compiler.String(), "undefined") {
		t.Errorf("after a broken build the program says %q, the compiler %q", got, compiler.String())
	}
	write(t, dir, "main.go", strings.Replace(source, "VERSION", "two", 1))
	await("live")
	if got := answer(); got != "two" {
		t.Errorf("after the mend the program says %q", got)
	}
	write(t, dir, "README.md", "no code")
	await("same")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if conn, err := net.DialTimeout("tcp", l.Addr().String(), time.Second); err == nil {
		t.Error("the program outlives its runner", conn.Close())
	}
}

// safe is a buffer that two goroutines may use.
type safe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safe) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestServiceEnv(t *testing.T) {
	got := devbox.ServiceEnv([]devbox.Service{{Name: "my-db", Address: "10.0.0.1", Ports: []devbox.ServicePort{{Name: "sql", Port: 1}, {Port: 2}}}, {Name: "headless"}},
		func(s devbox.Service, port int) (string, int, bool) { return s.Address, port, s.Address != "" })
	want := []string{"MY_DB_SERVICE_HOST=10.0.0.1", "MY_DB_SERVICE_PORT=1", "MY_DB_SERVICE_PORT_SQL=1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
