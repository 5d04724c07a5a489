package e2e_test

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// shared is the installation that all tests use.
var shared *installation

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("the end-to-end tests need an embedded cluster and are left out by -short")
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		return 1
	}
	place, err := newPlace()
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(place.scratch)
	s, err := newInstallation(place)
	if err != nil {
		return fail(err)
	}
	defer func() {
		if code != 0 {
			s.dump()
		}
		if err := s.remove(); err != nil {
			code = fail(fmt.Errorf("taking the installation away: %w", err))
		}
	}()
	if err := s.start(); err != nil {
		return fail(err)
	}
	shared = s
	return m.Run()
}

// place is what installations of this test share on the host.
type place struct {
	bin     string // folder of the built programs
	scratch string // for logs and settings
	app     string // the program that is deployed
}

func newPlace() (place, error) {
	bin := os.Getenv("TOWPATH_BIN")
	if bin == "" {
		bin = "../../bin"
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return place{}, err
	}
	for _, p := range []string{"towpath", "towpath-agent", "towpath-hook", "towpath-kube", "kube/buildkitd"} {
		if _, err := os.Stat(filepath.Join(bin, p)); err != nil {
			return place{}, fmt.Errorf("the built programs are needed: %w; run `make build kube`, or set TOWPATH_BIN", err)
		}
	}
	scratch, err := os.MkdirTemp("", "tp-e2e-")
	if err != nil {
		return place{}, err
	}
	p := place{bin: bin, scratch: scratch, app: filepath.Join(scratch, "app")}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", p.app, "./testdata/app")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return p, errors.Join(fmt.Errorf("building the program to deploy: %w: %s", err, out), os.RemoveAll(scratch))
	}
	return p, nil
}

// freeAddress returns a loopback address that nobody listens on now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	addr := l.Addr().String()
	return addr, l.Close()
}

// tail returns the end of a file for a failure's report.
func tail(path string, most int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b[max(0, len(b)-most):]))
}
