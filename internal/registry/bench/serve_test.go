package bench_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/registrytest"
)

// serving is the variable that makes this program our registry instead of a benchmark, so
// that both registries are processes of their own.
const serving = "REGISTRY_BENCH_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serving) != "" {
		os.Args = append(os.Args[:1], "-test.run=^TestServe$")
	}
	os.Exit(m.Run())
}

// TestServe is the registry's process; on its own it has nothing to do.
func TestServe(t *testing.T) {
	if os.Getenv(serving) == "" {
		return
	}
	s := registrytest.Start(t, "", registry.Options{})
	fmt.Println("listening", s.HTTP.URL, s.Token(t, "shop", 1))
	_, _ = io.Copy(io.Discard, os.Stdin) // until the benchmark is over
}

// ours starts our registry and returns its address and a job token.
func ours(b *testing.B) (url, token string) {
	b.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), serving+"=1")
	in, err := child.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = child.Wait() // What it says at its end matters to nobody.
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) == 3 && f[0] == "listening" {
			return f[1], f[2]
		}
	}
	b.Fatal("our registry did not start")
	return "", ""
}
