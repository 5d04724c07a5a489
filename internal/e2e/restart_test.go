package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// wholeLog wants that the logbook's chain is unbroken.
func wholeLog(t *testing.T, p *project) {
	t.Helper()
	var got struct {
		OK     bool
		Events int64
	}
	if err := p.read(&got, "log", "verify"); err != nil || !got.OK || got.Events == 0 {
		t.Errorf("log verify says %+v, %v", got, err)
	}
}

// TestServerKilled kills the server while a deployment waits for its pod.
func TestServerKilled(t *testing.T) {
	p := newProject(t, shared, "kill")
	good := p.deployed("Good", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(good.Commit)
	run := p.waiting("Never ready")
	if got := p.history(); !slices.Equal(got, []string{"deployed", "pending-upgrade"}) {
		t.Fatalf("Helm's history before the kill is %v", got)
	}
	if err := p.stop(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	p.serves(good.Commit)
	visitor := p.visit()
	if r := p.latest(); r.Result != deploy.Failed || r.Run != run.Number || !strings.Contains(r.Why, "the server ended") {
		t.Errorf("the release is %s: %s", r.Result, r.Why)
	}
	if got := p.environment("production").Current; got == nil || got.Run != good.Number {
		t.Errorf("current is %+v, want the release of run %d", got, good.Number)
	}
	got := p.ended(run.Number)
	if got.Result != plan.Failed && got.Result != plan.Canceled || got.Why == "" {
		t.Errorf("run %d ended %s: %q", run.Number, got.Result, got.Why)
	}
	t.Logf("run %d ended %s: %s", run.Number, got.Result, got.Why)
	next := p.deployed("Good again", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(next.Commit)
	visitor.end(t, good.Commit, next.Commit)
	wholeLog(t, p)
}

// TestPods wants that what happens to pods is known, and that pods that come by
// themselves belong to what is deployed.
func TestPods(t *testing.T) {
	p := newProject(t, shared, "pods")
	run := p.deployed("Good", p.imageStage(), p.helmStage(p.byDigest()))
	first := p.environment("production").Current.Pods[0]

	t.Run("ProcessKilled", func(t *testing.T) {
		pid, err := appProcess(p, first.UID)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		p.eventually("the restart is known", func() error {
			for _, pod := range p.environment("production").Current.Pods {
				if pod.UID == first.UID && pod.Restarts == 1 && pod.Ready {
					return nil
				}
			}
			return fmt.Errorf("pods are %+v", p.environment("production").Current.Pods)
		})
		if n := podEvents(t, p, first.UID); n < 2 {
			t.Errorf("%d events speak of pod %s", n, first.Name)
		}
	})
	t.Run("Deleted", func(t *testing.T) {
		if _, err := p.kubectl("-n", "pods", "delete", "pod", first.Name, "--wait=false"); err != nil {
			t.Fatal(err)
		}
		p.eventually("the new pod is known", func() error {
			gone, came := false, false
			for _, pod := range p.environment("production").Current.Pods {
				gone = gone || pod.UID == first.UID && pod.Gone
				came = came || pod.UID != first.UID && pod.Ready && podEvents(t, p, pod.UID) > 0
			}
			if !gone || !came {
				return fmt.Errorf("pods are %+v", p.environment("production").Current.Pods)
			}
			return nil
		})
	})
	p.serves(run.Commit)
}

// appProcess finds the process of a pod's container.
func appProcess(p *project, uid string) (int, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return 0, err
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(b), uid) && !strings.Contains(string(b), strings.ReplaceAll(uid, "-", "_")) {
			continue
		}
		pid := strings.Split(path, "/")[2]
		if name, err := os.ReadFile(filepath.Join("/proc", pid, "comm")); err == nil && strings.TrimSpace(string(name)) == "app" {
			return strconv.Atoi(pid)
		}
	}
	out, err := exec.Command("ps", "-e", "-o", "pid,comm,cgroup").CombinedOutput()
	return 0, errors.Join(fmt.Errorf("pod %s has no process:\n%s", uid, out), err)
}

func podEvents(t *testing.T, p *project, uid string) int {
	t.Helper()
	var facts []fact
	if err := p.read(&facts, "log", "list", "--project", p.name, "--limit", "200"); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range facts {
		if f.Subject == "pod:"+uid {
			n++
		}
	}
	return n
}

// TestDownAndUp stops everything in order and starts it again.
func TestDownAndUp(t *testing.T) {
	p := newProject(t, shared, "again")
	run := p.deployed("Good", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(run.Commit)
	start := time.Now()
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	t.Logf("down after %.1f s", time.Since(start).Seconds())
	if build, err := p.ask(t.Context(), p.door); err == nil {
		t.Errorf("build %s answers while everything is down", build)
	}
	if err := p.serve(); err != nil {
		t.Fatal(err)
	}
	// Who pushes as soon as the server answers does not have to know that its cluster is
	// still starting: the deployment waits for it.
	early := newProject(t, shared, "early")
	pushed := early.push("Early", early.imageStage(), early.helmStage(early.byDigest()))
	if err := p.clusterReady(); err != nil {
		t.Fatal(err)
	}
	t.Logf("down and ready again after %.1f s", time.Since(start).Seconds())
	p.serves(run.Commit)
	t.Logf("serves again after %.1f s", time.Since(start).Seconds())
	p.eventually("the pod that serves is the one that is known", func() error {
		there := p.pods("again")
		for _, pod := range p.environment("production").Current.Pods {
			if !pod.Gone && pod.Ready && there[pod.UID] == pod.Name {
				return nil
			}
		}
		return fmt.Errorf("known are %+v, there are %v", p.environment("production").Current.Pods, there)
	})
	if got := p.environment("production"); len(got.Releases) != 1 || got.Current.Run != run.Number {
		t.Errorf("the environment is %+v", got)
	}
	wholeLog(t, p)
	if run := early.ended(pushed.Number); run.Result != plan.Succeeded {
		t.Errorf("run %d, pushed while the cluster started, ended %s: %s", run.Number, run.Result, run.Why)
	}
	next := p.deployed("Better", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(next.Commit)
}

// TestDownWhileDeploying stops the server in order while a deployment waits for its pod:
// it puts the old version back first.
func TestDownWhileDeploying(t *testing.T) {
	p := newProject(t, shared, "stop")
	good := p.deployed("Good", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(good.Commit)
	run := p.waiting("Never ready")
	start := time.Now()
	if err := p.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	t.Logf("down after %.1f s", time.Since(start).Seconds())
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	p.serves(good.Commit)
	r := p.latest()
	// The agent, which stops first, may have given the run up before the server did.
	known := strings.Contains(r.Why, "the server was stopped") || r.Why == "the run was cancelled"
	if r.Run != run.Number || r.Result != deploy.RolledBack || !known {
		t.Errorf("the release is %s: %s", r.Result, r.Why)
	}
	got := p.ended(run.Number)
	if got.Result != plan.Failed && got.Result != plan.Canceled || got.Why == "" {
		t.Errorf("run %d ended %s: %q", run.Number, got.Result, got.Why)
	}
	t.Logf("the release is %s: %s; run %d ended %s: %s", r.Result, r.Why, run.Number, got.Result, got.Why)
	next := p.deployed("Good again", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(next.Commit)
	wholeLog(t, p)
}
