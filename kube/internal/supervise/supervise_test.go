package supervise_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/kube/internal/supervise"
)

// story collects events and lets a test wait for the next one of a phase.
type story struct {
	mu     sync.Mutex
	events []supervise.Event
	more   chan supervise.Event
}

func newStory() *story { return &story{more: make(chan supervise.Event, 64)} }

func (s *story) tell(e supervise.Event) {
	s.mu.Lock()
	s.events = append(s.events, e)
	s.mu.Unlock()
	s.more <- e
}

func (s *story) next(t *testing.T, phase string) supervise.Event {
	t.Helper()
	for {
		select {
		case e := <-s.more:
			if e.Phase == phase {
				return e
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("no event %q came; so far: %+v", phase, s.events)
		}
	}
}

func shell(t *testing.T, script string) supervise.Spec {
	t.Helper()
	return supervise.Spec{Name: "child", Path: "/bin/sh", Args: []string{"-c", script}, Log: filepath.Join(t.TempDir(), "child.log"), Grace: 5 * time.Second}
}

// hasLogged is a readiness probe: the program has written something.
func hasLogged(path string) func(context.Context) error {
	return func(context.Context) error {
		data, err := os.ReadFile(path)
		if err == nil && len(data) == 0 {
			err = errors.New("nothing logged yet")
		}
		return err
	}
}

func TestProcessIsReadyThenRestartedWhenKilled(t *testing.T) {
	told := newStory()
	spec := shell(t, "echo up; exec sleep 1000")
	spec.Ready = hasLogged(spec.Log)
	process, err := supervise.Start(spec, told.tell)
	if err != nil {
		t.Fatal(err)
	}
	told.next(t, supervise.Ready)
	first := process.PID()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	failed := told.next(t, supervise.Failed)
	if !strings.Contains(failed.Detail, "killed") || !strings.Contains(failed.Detail, "up") {
		t.Errorf("the failure does not say why and what was logged last: %q", failed.Detail)
	}
	told.next(t, supervise.Restarted)
	if second := process.PID(); second == first || second == 0 {
		t.Errorf("pid after the restart is %d, before it was %d", second, first)
	}
	process.Stop()
	told.next(t, supervise.Stopped)
	if process.PID() != 0 {
		t.Errorf("pid %d after Stop", process.PID())
	}
}

func TestReadyWaitsForTheProbe(t *testing.T) {
	told := newStory()
	spec := shell(t, "exec sleep 1000")
	asked := 0
	spec.Ready = func(context.Context) error {
		if asked++; asked < 3 {
			return errors.New("not yet")
		}
		return nil
	}
	process, err := supervise.Start(spec, told.tell)
	if err != nil {
		t.Fatal(err)
	}
	defer process.Stop()
	<-process.Ready()
	if asked != 3 {
		t.Errorf("ready after %d questions, want 3", asked)
	}
}

func TestStopKillsAProgramThatDoesNotListen(t *testing.T) {
	told := newStory()
	spec := shell(t, `trap "" TERM; echo deaf; while :; do sleep 0.05; done`)
	spec.Grace = 100 * time.Millisecond
	spec.Ready = hasLogged(spec.Log)
	process, err := supervise.Start(spec, told.tell)
	if err != nil {
		t.Fatal(err)
	}
	<-process.Ready()
	pid := process.PID()
	process.Stop()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d still exists after Stop: %v", pid, err)
	}
}

func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("TOWPATH_SECRET", "leaked")
	told := newStory()
	spec := shell(t, `echo "secret=$TOWPATH_SECRET given=$GIVEN"; exec sleep 1000`)
	spec.Env = []string{"GIVEN=yes"}
	spec.Ready = hasLogged(spec.Log)
	process, err := supervise.Start(spec, told.tell)
	if err != nil {
		t.Fatal(err)
	}
	defer process.Stop()
	<-process.Ready()
	data, err := os.ReadFile(spec.Log)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(data), "secret= given=yes\n"; got != want {
		t.Errorf("the child printed %q, want %q", got, want)
	}
}

func TestLogIsBoundedAndKeepsItsTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "component.log")
	log, err := supervise.OpenLog(path, 100)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := log.Write([]byte(strings.Repeat("x", 29) + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = log.Write([]byte("last but one\nlast\n"))
	for _, name := range []string{path, path + ".1"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 100 {
			t.Errorf("%s has %d bytes, the limit is 100", name, info.Size())
		}
	}
	if got := strings.Join(log.Tail(2), "|"); got != "last but one|last" {
		t.Errorf("tail is %q", got)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}
