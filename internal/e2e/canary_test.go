package e2e_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/canary"
)

// trialMetrics measure and show the p95, which decides nothing: other tests take the machine's
// time in bursts that hit one pod and not the other, and a comparison of single requests takes
// those for a difference.
const trialMetrics = `[{"name":"error-rate","failureCondition":"p < 0.01 && canary > baseline + 0.005"},{"name":"latency-p95","dryRun":true},
	{"name":"restarts","failureCondition":"canary > baseline"},{"name":"oom","failureCondition":"canary > baseline"}]`

// trialSteps are short: the traffic of the test is all that there is to wait for.
const trialSteps = `{"steps":[{"weight":25,"pause":"8s"},{"weight":50,"pause":"8s"}],"minSamples":40,"metrics":` + trialMetrics + `}`

// routable makes the project's chart say what its port speaks, and lets a value break it.
func (p *project) routable() {
	p.t.Helper()
	const name = "chart/templates/app.yaml"
	b, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	text := strings.Replace(string(b), "[{port: 80, targetPort: http}]", "[{port: 80, targetPort: http, appProtocol: http}]", 1)
	text = strings.Replace(text, "            - {name: CRASH,", "            - {name: FAULTY, value: {{ .Values.faulty | default false | quote }}}\n            - {name: CRASH,", 1)
	if strings.Count(text, "FAULTY") != 1 || !strings.Contains(text, "appProtocol") {
		p.t.Fatal("the chart is not as this test knows it")
	}
	p.write(name, text)
}

// traffic asks for the app all the time until the function returned is called, which says
// how many requests were answered and how many failed.
func (p *project) traffic() func() (answered, failed int64) {
	ctx, stop := context.WithCancel(p.t.Context())
	var good, bad atomic.Int64
	done := make(chan struct{}, 4)
	for range cap(done) {
		go func() {
			defer func() { done <- struct{}{} }()
			for ctx.Err() == nil {
				_, err := p.ask(ctx, p.door)
				switch {
				case ctx.Err() != nil:
				case err != nil:
					p.t.Logf("at %s a request failed: %v", time.Now().Format(time.TimeOnly), err)
					bad.Add(1)
				default:
					good.Add(1)
				}
				select {
				case <-ctx.Done():
				case <-time.After(20 * time.Millisecond):
				}
			}
		}()
	}
	return func() (int64, int64) {
		stop()
		for range cap(done) {
			<-done
		}
		return good.Load(), bad.Load()
	}
}

// TestCanary tries two releases on a share of the traffic: a clean one is promoted without
// a request that fails, a faulty one is rejected, and what served before serves on.
func TestCanary(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "trial")
	p.routable()
	p.deployed("First", p.imageStage(), p.helmStage(p.byDigest()))
	p.must("env", "edit", "production", "--project", p.name, "--strategy", trialSteps)

	over := p.traffic()
	clean := p.deployed("Clean", p.imageStage(), p.helmStage(p.byDigest()))
	answered, failed := over()
	if failed != 0 || answered == 0 {
		t.Errorf("%d requests failed while routing was turned on and the canary was promoted, %d were answered", failed, answered)
	}
	p.serves(clean.Commit)
	wantTrial(t, p, "trial/production/2", canary.Promoted, "")

	over = p.traffic()
	_, log := p.refused("Faulty", p.imageStage(), p.helmStage(p.byDigest(), "faulty=true"))
	if answered, _ = over(); answered == 0 {
		t.Error("nothing was answered during the faulty canary")
	}
	if !strings.Contains(log, "of the canary's requests fail") {
		t.Errorf("the log does not say what was wrong:\n%s", log)
	}
	wantTrial(t, p, "trial/production/3", canary.Rejected, "of the canary's requests fail")
	if r := p.latest(); r.Result != deploy.RolledBack {
		t.Errorf("the release is %s, want %s", r.Result, deploy.RolledBack)
	}
	p.serves(clean.Commit)
	left, err := p.kubectl("-n", p.name, "get", "deployments,services,configmaps,secrets", "-l", "towpath.dev/track in (canary,baseline)", "-o", "name")
	if err != nil || strings.TrimSpace(left) != "" {
		t.Errorf("the canary left %s (%v)", left, err)
	}
}

func wantTrial(t *testing.T, p *project, release, state, why string) {
	t.Helper()
	var v canary.View
	if err := p.read(&v, "canary", "show", release); err != nil {
		t.Fatal(err)
	}
	if v.State != state || !strings.Contains(v.Why, why) || v.Finished.IsZero() {
		t.Errorf("the canary of %s is %s (%s), want %s (%s)", release, v.State, v.Why, state, why)
	}
	if len(v.Series) == 0 || len(v.Series[0].Points) == 0 {
		t.Errorf("the canary of %s has no measurements: %+v", release, v)
	}
}

// TestCanaryOutlivesTheServer kills the server in the middle of a canary: it goes on where
// it was, a person promotes it, and the release before is deployed again.
func TestCanaryOutlivesTheServer(t *testing.T) {
	p := newProject(t, shared, "outlive")
	p.routable()
	first := p.deployed("First", p.imageStage(), p.helmStage(p.byDigest()))
	p.must("env", "edit", "production", "--project", p.name, "--strategy", `{"steps":[{"weight":50,"pause":"20m"}]}`)
	second := p.push("Second", p.imageStage(), p.helmStage(p.byDigest()))
	const release = "outlive/production/2"
	state := func() (v canary.View) {
		if err := p.read(&v, "canary", "show", release); err != nil {
			v.State = err.Error()
		}
		return v
	}
	p.soon("the canary gets its share", func() bool { v := state(); return v.State == canary.Progressing && v.Weight == 50 && len(v.Series) > 0 })
	if err := p.stop(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
	if v := state(); v.State != canary.Progressing || v.Weight != 50 {
		t.Fatalf("after the restart the canary is %s (%s) at %d %%", v.State, v.Why, v.Weight)
	}
	p.must("canary", "promote", release, "--full")
	p.soon("the canary is promoted", func() bool { return state().State == canary.Promoted })
	p.serves(second.Commit)
	p.must("release", "redeploy", "outlive/production/1")
	p.serves(first.Commit)
	if r := p.latest(); r.Result != deploy.Deployed || r.Commit != first.Commit {
		t.Errorf("what was deployed again is %s of commit %s", r.Result, r.Commit)
	}
}

// TestCanaryOfAPipeline has a deployment job raise the share of its canary; the end of the
// job promotes it.
func TestCanaryOfAPipeline(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "rounds")
	p.routable()
	p.deployed("First", p.imageStage(), p.helmStage(p.byDigest()))
	stage := strings.Replace(p.helmStage(p.byDigest()), "          runOnce:\n", "          canary:\n            increments: [25, 50]\n", 1)
	over := p.traffic()
	next := p.deployed("Rounds", p.imageStage(), stage)
	if answered, failed := over(); failed != 0 || answered == 0 {
		t.Errorf("%d requests failed, %d were answered", failed, answered)
	}
	p.soon("the canary is promoted", func() bool {
		var v canary.View
		return p.read(&v, "canary", "show", "rounds/production/2") == nil && v.State == canary.Promoted && len(v.Steps) == 2
	})
	p.serves(next.Commit)
}
