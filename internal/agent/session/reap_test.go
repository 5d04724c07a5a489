package session

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOrphansAreReaped makes this process the one to whom orphans are given, as the first
// process of a pod is, and sees that an orphan's status is taken while that of a child of
// our own is left to whoever waits for it.
func TestOrphansAreReaped(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	r := &reaper{own: map[int]bool{}}
	own := exec.Command("sh", "-c", "exit 7")
	if err := r.start(own); err != nil {
		t.Fatal(err)
	}
	// The orphan lives until its input ends, which is after its parent is gone.
	in, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command("sh", "-c", "cat <&3 >/dev/null 2>&1 & echo $!")
	parent.ExtraFiles = []*os.File{in}
	raw, err := parent.Output()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = in.Close(), hold.Close()
	orphan := strings.TrimSpace(string(raw))
	// Both have ended before the reaper looks.
	for _, pid := range []string{orphan, strconv.Itoa(own.Process.Pid)} {
		n, err := strconv.Atoi(pid)
		if err != nil {
			t.Fatal(err)
		}
		for !ended(n, os.Getpid()) {
			time.Sleep(time.Millisecond) // Waiting for it would reap it, which is the reaper's to do.
		}
	}
	r.reap(os.Getpid())
	if _, err := os.Stat("/proc/" + orphan); err == nil {
		t.Error("the orphan is still there")
	}
	if err := r.wait(own); err == nil || err.Error() != "exit status 7" {
		t.Errorf("waiting for our own child gives %v, want exit status 7", err)
	}
}
