package warden_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"towpath.dev/towpath/internal/agent/warden"
)

// A warden in another container starts processes for the one agent that came, with the
// environment of its own container to be asked for, and ends when the agent does.
func TestAWardenBeyondASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "job.sock")
	cmd := exec.Command("/proc/self/exe", warden.Argument, warden.Beyond, path)
	cmd.Env, cmd.Stderr = []string{"IMAGE=of the container"}, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w, err := warden.Dial(path, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	env, err := w.Environ()
	if err != nil || !slices.Contains(env, "IMAGE=of the container") {
		t.Errorf("the environment is %v, %v", env, err)
	}
	p, r := bash(t, w, "echo $PPID")
	if got := text(t, r); got == "" {
		t.Error("the process wrote nothing")
	}
	if exit, err := p.Wait(); err != nil || exit.Code != 0 {
		t.Errorf("Wait = %+v, %v", exit, err)
	}
	// Nobody else comes in: the steps of the job share the folder of the socket.
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		t.Error("a second one could connect")
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error("the warden ended with", err)
	}
}
