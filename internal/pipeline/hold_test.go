package pipeline_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/plan"
)

var (
	staging = check.Resource{Kind: check.Environment, Project: "shop", Name: "staging"}
	writer  = identity.Actor{Kind: identity.KindUser, Name: "wendy", Cap: identity.Write}
	bob     = identity.Actor{Kind: identity.KindUser, Name: "bob", Cap: identity.Admin}
)

const gated = `
stages:
- stage: Build
  jobs:
  - job: b
    steps: [{checkout: none}]
- stage: Deploy
  jobs:
  - deployment: d
    environment: Staging
    strategy: {runOnce: {deploy: {steps: [{download: none}, {bash: echo deployed}]}}}
- stage: After
  jobs: [{job: a, steps: [{checkout: none}]}]
`

// guarded is a world with a check on the environment staging.
func guarded(t *testing.T, d check.Definition) *world {
	t.Helper()
	w := newWorld(t)
	w.agent()
	d.Resource = staging
	if _, err := w.svc.Checks().Add(t.Context(), ada, d); err != nil {
		t.Fatal(err)
	}
	return w
}

// held waits until a stage of a commit's run is held, and returns what holds it.
func (w *world) held(commit string) (*pipeline.Detail, pipeline.Hold) {
	w.t.Helper()
	d := w.wait(commit, func(d *pipeline.Detail) bool {
		for _, s := range d.Stages {
			if !s.Held.IsZero() || d.Status == plan.Completed {
				return true
			}
		}
		return false
	})
	list, err := w.svc.Holds(context.Background(), ada, "shop")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, h := range list {
		if h.Run == d.Number {
			return d, h
		}
	}
	w.t.Fatalf("nothing holds run %d: %s", d.Number, d.Why)
	return nil, pipeline.Hold{}
}

func stageResults(d *pipeline.Detail) string {
	var out []string
	for _, s := range d.Stages {
		out = append(out, s.Name+" "+string(s.Result))
	}
	return strings.Join(out, ", ")
}

func approvers(list ...string) check.Definition {
	return check.Definition{Type: check.Approval, Approval: &check.ApprovalRule{Approvers: list}}
}

func TestAnApprovalHoldsAStageC001(t *testing.T) {
	w := guarded(t, approvers("user:bob"))
	commit := w.pipeline(gated)
	d, h := w.held(commit)
	if d.Stages[1].Status != plan.Pending || len(d.Stages[1].HeldBy) != 1 || d.Stages[1].HeldBy[0] != "user:bob" || h.Mine {
		t.Errorf("%+v %+v", d.Stages[1], h)
	}
	// Who is not asked cannot release it: a writer, the requester, the run itself, a token
	// that may only read.
	job := identity.Actor{Kind: identity.KindRun, Name: "1", Cap: identity.Admin, Job: identity.JobClaims{Project: "shop", Run: d.Number}}
	reader := bob
	reader.Cap = identity.Read
	for _, a := range []identity.Actor{writer, ada, job, reader} {
		if _, err := w.svc.Approve(t.Context(), a, h.Entry.Entry, "", time.Time{}); !fault.Is(err, fault.Denied) {
			t.Errorf("%s approved: %v", a, err)
		}
		if _, err := w.svc.Reject(t.Context(), a, h.Entry.Entry, ""); !fault.Is(err, fault.Denied) {
			t.Errorf("%s rejected: %v", a, err)
		}
	}
	if _, err := w.svc.Approve(t.Context(), identity.Actor{}, h.Entry.Entry, "", time.Time{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("nobody approved: %v", err)
	}
	w.down()
	w.up() // A restart loses nothing.
	if _, err := w.svc.Approve(t.Context(), bob, h.Entry.Entry, "fine", time.Time{}); err != nil {
		t.Fatal(err)
	}
	d = w.wait(commit, over)
	want(t, w, d, "Build Succeeded, Deploy Succeeded, After Succeeded", stageResults(d))
	var told []string
	for _, e := range w.events(event.OfRun(d.Number)) {
		if strings.HasPrefix(e.Type, "check.") {
			told = append(told, e.Type+" "+e.Actor)
		}
	}
	want(t, w, d, []string{"check.held system:pipeline", "check.answered user:bob", "check.decided user:bob"}, told)
	if _, err := w.svc.Reject(t.Context(), bob, h.Entry.Entry, ""); !fault.Is(err, fault.Conflict) {
		t.Errorf("what was approved was rejected: %v", err)
	}
}

func TestARejectionAndAnotherTryC001_C014(t *testing.T) {
	w := guarded(t, approvers("user:bob"))
	commit := w.pipeline(gated)
	d, h := w.held(commit)
	if _, err := w.svc.Reject(t.Context(), bob, h.Entry.Entry, "not today"); err != nil {
		t.Fatal(err)
	}
	d = w.wait(commit, over)
	want(t, w, d, "Build Succeeded, Deploy Failed, After Skipped", stageResults(d))
	want(t, w, d, "Deploy: Approval of the environment staging: rejected by bob: not today", d.Why)
	if err := w.svc.RetryStage(t.Context(), ada, d.Number, "Build"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a stage that ran was started again: %v", err)
	}
	if err := w.svc.RetryStage(t.Context(), ada, d.Number, "deploy"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.svc.Approve(t.Context(), bob, h.Entry.Entry, "", time.Time{}); !fault.Is(err, fault.Conflict) {
		t.Errorf("the approval of the first attempt counts: %v", err)
	}
	_, h = w.held(commit)
	if _, err := w.svc.Approve(t.Context(), bob, h.Entry.Entry, "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	d = w.wait(commit, func(d *pipeline.Detail) bool { return over(d) && d.Result == plan.Succeeded })
	want(t, w, d, "Build Succeeded, Deploy Succeeded, After Succeeded", stageResults(d))
}

func TestAHeldRunIsCancelled(t *testing.T) {
	w := guarded(t, approvers("user:bob"))
	commit := w.pipeline(gated)
	d, h := w.held(commit)
	if err := w.svc.Cancel(t.Context(), ada, d.Number); err != nil {
		t.Fatal(err)
	}
	d = w.wait(commit, over)
	want(t, w, d, "Build Succeeded, Deploy Canceled, After Canceled", stageResults(d))
	if _, err := w.svc.Approve(t.Context(), bob, h.Entry.Entry, "", time.Time{}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a cancelled run was approved: %v", err)
	}
}

// exists says that every connection is an object.
type exists struct{}

func (exists) Exists(context.Context, check.Resource) (bool, error) { return true, nil }

func TestAPipelineIsPermittedC012(t *testing.T) {
	w := newWorld(t)
	w.agent()
	w.svc.Checks().Registry.Register(check.Environment, exists{})
	commit := w.pipeline(gated)
	d, h := w.held(commit)
	want(t, w, d, []string{"role:maintain"}, h.Waits)
	if _, err := w.svc.Permit(t.Context(), writer, h.Entry.Entry); !fault.Is(err, fault.Denied) {
		t.Errorf("a writer permitted: %v", err)
	}
	if _, err := w.svc.Permit(t.Context(), ada, h.Entry.Entry); err != nil {
		t.Fatal(err)
	}
	d = w.wait(commit, over)
	want(t, w, d, plan.Succeeded, d.Result)
	if err := w.svc.Checks().Permit(t.Context(), ada, staging, repoName, false); err != nil {
		t.Fatal(err)
	}
	acc, err := w.svc.Checks().Access(t.Context(), ada, staging)
	if err != nil || !acc.Restricted || len(acc.Pipelines) > 0 {
		t.Errorf("%+v %v", acc, err)
	}
}

func TestExclusiveLock(t *testing.T) {
	own := func(behavior string) string {
		return strings.Replace(gated, "- stage: Deploy", "- stage: Deploy\n  lockBehavior: "+behavior, 1)
	}
	cases := []struct {
		name, file string
		check      bool
		second     plan.Result
	}{
		{"C010 the newest run takes the place of older ones", gated, true, plan.Canceled},
		{"C010 runLatest", "lockBehavior: runLatest" + gated, true, plan.Canceled},
		{"C010 sequential", "lockBehavior: sequential" + gated, true, plan.Succeeded},
		{"X027 the lock of a stage, runLatest", own("runLatest"), false, plan.Canceled},
		{"X027 the lock of a stage, sequential", own("sequential"), false, plan.Succeeded},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.agent()
			if c.check {
				if _, err := w.svc.Checks().Add(t.Context(), ada, check.Definition{Resource: staging, Type: check.ExclusiveLock}); err != nil {
					t.Fatal(err)
				}
			}
			// The first run takes the lock and stays in it until a file says that it may go.
			leave := filepath.Join(w.dir, "leave")
			first := w.pipeline(strings.Replace(c.file, "echo deployed", "'while test ! -e "+leave+"; do sleep 0.05; done'", 1))
			w.wait(first, func(d *pipeline.Detail) bool { return len(d.Stages) > 1 && d.Stages[1].Status == plan.Running })
			second := w.pipeline(c.file)
			w.held(second)
			third := w.pipeline(c.file)
			w.held(third)
			if c.second == plan.Canceled {
				w.wait(second, over)
			}
			if err := os.WriteFile(leave, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			for commit, result := range map[string]plan.Result{first: plan.Succeeded, second: c.second, third: plan.Succeeded} {
				d := w.wait(commit, over)
				want(t, w, d, result, d.Stages[1].Result)
			}
		})
	}
}

func TestNamesThatOnlyAJobKnowsX050(t *testing.T) {
	w := newWorld(t)
	d := w.finish(`
steps:
- task: Docker@2
  inputs: {command: build, repository: shop/web, containerRegistry: $(where)}
`)
	want(t, w, d, plan.Failed, d.Result)
	if !strings.Contains(d.Why, "The service connection $(where) is not known before the job runs") {
		t.Error(d.Why)
	}
}
