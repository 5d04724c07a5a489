package warden_test

import (
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"towpath.dev/towpath/internal/agent/warden"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == warden.Argument {
		os.Exit(warden.Main())
	}
	os.Exit(m.Run())
}

func start(t *testing.T) *warden.Warden {
	t.Helper()
	w, err := warden.Start([]string{"/proc/self/exe", warden.Argument})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// bash starts a script; the reader delivers what it prints.
func bash(t *testing.T, w *warden.Warden, script string) (*warden.Process, io.ReadCloser) {
	t.Helper()
	r, wr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Start(warden.Command{Path: "/bin/bash", Args: []string{"bash", "-c", script}, Env: []string{"A=b", "PATH=/usr/bin:/bin"}, Dir: "/"}, wr, wr)
	if err != nil {
		t.Fatal(err)
	}
	if err := wr.Close(); err != nil {
		t.Fatal(err)
	}
	return p, r
}

func text(t *testing.T, r io.ReadCloser) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func alive(pid string) bool {
	n, err := strconv.Atoi(strings.TrimSpace(pid))
	return err == nil && syscall.Kill(n, 0) == nil
}

func TestRunsWithACleanEnvironment(t *testing.T) {
	w := start(t)
	p, r := bash(t, w, `echo "$A:$HOME:$(readlink /proc/self/fd/0)"; exit 3`)
	if got := text(t, r); got != "b::/dev/null\n" {
		t.Errorf("output %q", got)
	}
	if exit, err := p.Wait(); err != nil || exit.Code != 3 || exit.Signal != 0 {
		t.Errorf("Wait = %+v, %v", exit, err)
	}
	p, _ = bash(t, w, `kill -9 $$`)
	if exit, err := p.Wait(); err != nil || exit.Code != 137 || exit.Signal != syscall.SIGKILL {
		t.Errorf("Wait = %+v, %v", exit, err)
	}
}

func TestProgramThatIsNotThere(t *testing.T) {
	w := start(t)
	_, wr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Start(warden.Command{Path: "/no/such", Args: []string{"x"}, Dir: "/"}, wr, wr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(); err == nil || !strings.Contains(err.Error(), "/no/such") {
		t.Errorf("Wait = %v", err)
	}
}

// A child of a child that left its session, its parent and its output is ended.
func TestKillAllFindsWhatDaemonised(t *testing.T) {
	w := start(t)
	p, r := bash(t, w, `setsid bash -c '(setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!) &' ; sleep 0.2`)
	pid := text(t, r)
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Fatalf("the daemon %q does not run", pid)
	}
	if err := w.KillAll(); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Errorf("the daemon %s is still there", pid)
	}
}

func TestKillAndSignal(t *testing.T) {
	w := start(t)
	p, r := bash(t, w, `sleep 1000 & echo $!; wait`)
	buf := make([]byte, 32)
	n, err := r.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Signal != syscall.SIGKILL {
		t.Errorf("Wait = %+v, %v", exit, err)
	}
	if _, err := io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	if err := w.KillAll(); err != nil || alive(string(buf[:n])) {
		t.Errorf("the child lives on: %v", err)
	}
	p, r = bash(t, w, `trap 'exit 7' INT; echo ready; while :; do sleep 0.01; done`)
	if _, err := r.Read(buf); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Code != 7 {
		t.Errorf("Wait = %+v, %v", exit, err)
	}
}

func TestRunsAsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("not root: only the own user is possible")
		return
	}
	w := start(t)
	r, wr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	id := uint32(65534)
	p, err := w.Start(warden.Command{Path: "/bin/bash", Args: []string{"bash", "-c", `id -u; id -G; grep NoNewPrivs /proc/self/status`}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/", UID: &id, GID: &id}, wr, wr)
	if err != nil {
		t.Fatal(err)
	}
	if err := wr.Close(); err != nil {
		t.Fatal(err)
	}
	if got := text(t, r); got != "65534\n65534\nNoNewPrivs:\t1\n" {
		t.Errorf("output %q", got)
	}
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
}
