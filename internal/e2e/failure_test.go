package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// TestRollback releases a version that never gets ready, over one that serves.
func TestRollback(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "roll")
	good := p.deployed("Good", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(good.Commit)
	old := p.pods("roll")

	visitor := p.visit()
	bad, said := p.refused("Bad", p.imageStage(), within("8s", p.helmStage(p.byDigest(), "failReady=true")))
	visitor.end(t, good.Commit)
	r := p.latest()
	if r.Result != deploy.RolledBack || r.Run != bad.Number {
		t.Errorf("the release is %+v, want rolled back", r)
	}
	for _, text := range []string{r.Why, bad.Why, said} {
		if !strings.Contains(text, "pod app-") || !strings.Contains(text, "Readiness probe failed") {
			t.Errorf("the reason names neither pod nor probe: %s", text)
		}
	}
	if got := p.pods("roll"); fmt.Sprint(got) != fmt.Sprint(old) {
		t.Errorf("pods after the rollback: %v, before: %v", got, old)
	}
	if got := p.environment("production").Current; got == nil || got.Run != good.Number {
		t.Errorf("current is %+v, want the release of run %d", got, good.Number)
	}
	if got := p.history(); !slices.Equal(got, []string{"superseded", "failed", "deployed"}) {
		t.Errorf("Helm's history is %v", got)
	}

	visitor = p.visit()
	next := p.deployed("Good again", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(next.Commit)
	visitor.end(t, good.Commit, next.Commit)
}

// TestCrash releases a version that ends as soon as it starts: nobody waits for the
// time-out then.
func TestCrash(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "crash")
	_, said := p.refused("Crashes", p.imageStage(), within("30m", p.helmStage(p.byDigest(), "crash=true")))
	if !strings.Contains(said, "crashed") || !strings.Contains(said, "exit code 3") {
		t.Errorf("the reason is: %s", said)
	}
}

// TestFirstInstallFails wants that nothing is left of an install that never served.
func TestFirstInstallFails(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "first")
	_, said := p.refused("Bad", p.imageStage(), within("8s", p.helmStage(p.byDigest(), "failReady=true")))
	if !strings.Contains(said, "was taken away") || !strings.Contains(said, "Readiness probe failed") {
		t.Errorf("the reason is: %s", said)
	}
	if r := p.latest(); r.Result != deploy.Failed {
		t.Errorf("the release is %+v, want failed", r)
	}
	if got := p.environment("production").Current; got != nil {
		t.Errorf("current is %+v, want none", got)
	}
	out, err := p.kubectl("-n", "first", "get", "deployments,services,ingresses", "-o", "name")
	if err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("left in the namespace: %q, %v", out, err)
	}
	good := p.deployed("Good", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(good.Commit)
}

// waiting pushes a version that never gets ready and returns when its pod runs.
func (p *project) waiting(title string) pipeline.Run {
	p.t.Helper()
	old := p.pods(p.name)
	stage := within("10m", p.helmStage(p.byDigest(), "failReady=true"))
	run := p.push(title, p.imageStage(), stage)
	p.eventually("the new pod of "+title+" runs", func() error {
		if r := p.latest(); r.Run != run.Number || r.Result != deploy.Started {
			return fmt.Errorf("the newest release is of run %d, %s", r.Run, r.Result)
		}
		for uid, name := range p.pods(p.name) {
			if old[uid] != "" {
				continue
			}
			phase, err := p.kubectl("-n", p.name, "get", "pod", name, "-o", "jsonpath={.status.phase}")
			if err == nil && phase == "Running" {
				return nil
			}
		}
		return fmt.Errorf("the pods are %v", p.pods(p.name))
	})
	return run
}

// TestCancelledRun cancels a run in the middle of its deployment.
func TestCancelledRun(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "cancel")
	good := p.deployed("Good", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(good.Commit)
	visitor := p.visit()
	run := p.waiting("Never ready")
	if _, err := p.command(nil, "run", "cancel", fmt.Sprint(run.Number)); err != nil {
		t.Fatal(err)
	}
	if got := p.ended(run.Number); got.Result != plan.Canceled {
		t.Errorf("run %d ended %s, not cancelled: %s", run.Number, got.Result, got.Why)
	}
	p.eventually("the release is put back", func() error {
		if r := p.latest(); r.Result != deploy.RolledBack || r.Why != "the run was cancelled" {
			return fmt.Errorf("the release is %s: %s", r.Result, r.Why)
		}
		return nil
	})
	visitor.end(t, good.Commit)
	if got := p.history(); !slices.Equal(got, []string{"superseded", "failed", "deployed"}) {
		t.Errorf("Helm's history is %v", got)
	}
	next := p.deployed("Good again", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(next.Commit)
}
