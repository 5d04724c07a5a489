//go:build prove

package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/monitor/alert"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/policy/vap"
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/work"
)

// The nine steps of the reference architecture "DevOps and DevSecOps for Kubernetes" are
// nine tests of one project, in order; each looks at what people see, and at the locks of
// the Path that belong to it. The first of them that runs delivers the project once.

// ground is the project of the steps.
var ground struct {
	tried bool
	p     *project
	first pipeline.Detail // that delivered it
}

// step returns the project for one step: two services behind a router, served by
// production.
func step(t *testing.T) *project {
	t.Helper()
	if !ground.tried {
		ground.tried = true
		p := newProjectIn(t, shared, "loop", filepath.Join(shared.scratch, "loop"))
		p.chained()
		ground.first = p.deployed("First", p.toProduction()...)
		p.serves(ground.first.Commit)
		ground.p = p
	}
	if ground.p == nil {
		t.Fatal("the project of the steps could not be delivered; the first step that ran says why")
	}
	p := ground.p.in(t)
	p.must("env", "edit", "production", "--project", p.name, "--strategy", "none")
	return p
}

// TestNineSteps is the reference architecture, step by step.
func TestNineSteps(t *testing.T) {
	t.Parallel()
	for _, s := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"Step1_DevelopersIterateTogetherInOneCluster", step1DevelopersIterateTogetherInOneCluster},
		{"Step2_MergedCodeIsBuiltAndTested", step2MergedCodeIsBuiltAndTested},
		{"Step3_EachChangeRunsTheDeploymentStrategy", step3EachChangeRunsTheDeploymentStrategy},
		{"Step4_ChartsDefineTheDesiredState", step4ChartsDefineTheDesiredState},
		{"Step5_ImagesAreKeptScannedAndSigned", step5ImagesAreKeptScannedAndSigned},
		{"Step6_OperatorsDefinePolicies", step6OperatorsDefinePolicies},
		{"Step7_PolicyJudgesAtTheControlPlane", step7PolicyJudgesAtTheControlPlane},
		{"Step8_TelemetryShowsHealth", step8TelemetryShowsHealth},
		{"Step9_InsightsFeedTheNextPlan", step9InsightsFeedTheNextPlan},
	} {
		t.Run(s.name, s.test)
	}
}

// toProduction are the stages of a change that is well.
func (p *project) toProduction(values ...string) []string {
	return []string{testStage(3, 0, 0), p.imageStage(), p.helmStage(p.byDigest(), values...)}
}

// testStage publishes the results of so many tests, and fails when one did.
func testStage(passed, failed, skipped int) string {
	results := `<testsuite name="unit" tests="` + fmt.Sprint(passed+failed+skipped) + `" failures="` + fmt.Sprint(failed) + `" skipped="` + fmt.Sprint(skipped) + `">`
	for i := range passed + failed + skipped {
		inside := ""
		switch {
		case i < failed:
			inside = `<failure message="not as wanted">not as wanted</failure>`
		case i < failed+skipped:
			inside = `<skipped/>`
		}
		results += fmt.Sprintf(`<testcase classname="unit" name="case %d">%s</testcase>`, i, inside)
	}
	return `
  - stage: Test
    jobs:
      - job: Test
        steps:
          - checkout: self
            fetchDepth: 1
          - bash: |
              echo '` + results + `</testsuite>' > junit.xml
          - task: PublishTestResults@2
            inputs:
              testResultsFormat: JUnit
              testResultsFiles: junit.xml
              testRunTitle: Unit
              failTaskOnFailedTests: true
`
}

// branch pushes a change that stands on main to a branch, and returns its commit; change
// may be nil.
func (p *project) branch(name, title string, change func(), stages ...string) string {
	p.t.Helper()
	p.git("switch", "-q", "-C", name, "main")
	if change != nil {
		change()
	}
	p.write("azure-pipelines.yml", "trigger: ['*']\nstages:"+strings.Join(stages, ""))
	p.git("add", "-A")
	p.git("commit", "-q", "--allow-empty", "-m", title)
	p.git("push", "-q", "-f", "origin", name)
	commit := p.git("rev-parse", "HEAD")
	p.git("switch", "-q", "main")
	return commit
}

// states are those of all locks of a change.
func (p *project) states(commit string) string {
	p.t.Helper()
	row, err := p.path(commit)
	if err != nil {
		p.t.Fatal(err)
	}
	var out []string
	for _, c := range row.Cells {
		out = append(out, c.Lock+" "+string(c.State))
	}
	return strings.Join(out, ", ")
}

// step1DevelopersIterateTogetherInOneCluster: a developer's program takes the place of
// a service for the requests with the developer's key, and nothing on the Path moves.
func step1DevelopersIterateTogetherInOneCluster(t *testing.T) {
	p := step(t)
	stage := strings.NewReplacer("environment: production", "environment: development", "namespace: loop\n", "namespace: loop-dev\n", "host=loop.", "host=loop-dev.").
		Replace(p.helmStage(p.byDigest()))
	commit := p.branch("develop", "Try things together", nil, p.imageStage(), stage)
	p.cell(commit, evidence.LockDeploy, evidence.Open, "development")
	p.cell(commit, evidence.LockHealth, evidence.Open, "")
	before := p.states(commit)

	dir := p.workspace()
	d := p.develop(p.person("loop-dev", "maintain"), 0, dir, "cart", "--run", "go run .")
	d.await("live")
	d.open()
	d.answers(throughApp, "first loop-dev")
	say(t, dir, "first", "second")
	d.answers(throughApp, "second loop-dev")
	others := *p
	others.name = "loop-dev" // The host of the environment.
	if got, err := others.plain(throughApp); err != nil || !strings.HasPrefix(got, commit) {
		t.Errorf("who has no key gets %q, %v; want what is deployed", got, err)
	}
	d.end()
	if after := p.states(commit); after != before {
		t.Errorf("a session moved the Path from %s to %s", before, after)
	}
}

// step2MergedCodeIsBuiltAndTested: a change is reviewed, merged, built and tested; the
// locks review, build and test hold, shut and open.
func step2MergedCodeIsBuiltAndTested(t *testing.T) {
	p := step(t)
	red := p.branch("red", "Break a test", nil, testStage(2, 1, 0))
	none := p.branch("none", "Skip all tests", nil, testStage(0, 0, 2))
	unread := p.branch("unread", "A pipeline without jobs", nil, "\n  - stage: X\n    jobs: []\n")
	slow := p.branch("slow", "Wait for ever", nil, "\n  - stage: Slow\n    jobs:\n      - job: Slow\n        steps:\n          - bash: sleep 600\n")
	p.cell(red, evidence.LockTest, evidence.Shut, "2 of 3")
	p.cell(none, evidence.LockTest, evidence.Held, "0 of 2")
	p.cell(unread, evidence.LockBuild, evidence.Shut, "has no jobs")
	p.cell(slow, evidence.LockBuild, evidence.Passing, "")
	var runs []pipeline.Run
	if err := p.read(&runs, "run", "list", "--project", p.name); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(runs, func(r pipeline.Run) bool { return r.Commit == slow })
	p.must("run", "cancel", fmt.Sprint(runs[i].Number))
	p.cell(slow, evidence.LockBuild, evidence.Held, "cancelled by")

	change := p.branch("change", "A change that is well", nil, p.toProduction()...)
	var made pull.Pull
	if err := p.read(&made, "pull", "create", "--project", p.name, "--repo", "app", "--source", "change", "--title", "A change that is well"); err != nil {
		t.Fatal(err)
	}
	number, reviewer := fmt.Sprint(made.Number), p.person("loop-reviewer", "write")
	p.cell(change, evidence.LockReview, evidence.Held, "in review")
	review := func(verdict string) {
		t.Helper()
		if _, err := p.as(reviewer, "pull", "review", number, verdict, "--project", p.name, "--repo", "app", "--body", "Looked at it."); err != nil {
			t.Fatal(err)
		}
	}
	review("--request-changes")
	p.cell(change, evidence.LockReview, evidence.Shut, "changes asked")
	review("--approve")
	p.cell(change, evidence.LockReview, evidence.Open, "approved")
	p.must("pull", "merge", number, "--project", p.name, "--repo", "app", "--method", "merge")
	p.git("pull", "-q", "--ff-only", "origin", "main")
	merged := p.git("rev-parse", "HEAD")
	p.cell(merged, evidence.LockReview, evidence.Open, "merged")
	p.cell(merged, evidence.LockTest, evidence.Open, "3 of 3")
	p.cell(merged, evidence.LockBuild, evidence.Open, "1 image")
	p.serves(merged)
}

// step3EachChangeRunsTheDeploymentStrategy: production's strategy tries each change on
// a share of the traffic and asks a person; the lock deploy passes, holds, opens and shuts.
func step3EachChangeRunsTheDeploymentStrategy(t *testing.T) {
	p := step(t)
	p.must("env", "edit", "production", "--project", p.name, "--strategy", `{"steps":[{"weight":40,"pause":"5s"},{"weight":60,"person":true}],"minSamples":20}`)
	stop := p.shoppers("/")
	defer stop()
	run := p.push("Tried", p.toProduction()...)
	p.cell(run.Commit, evidence.LockDeploy, evidence.Passing, "40 % canary")
	p.cell(run.Commit, evidence.LockDeploy, evidence.Held, "60 % canary")
	v := p.trial(run.Commit, canary.Paused)
	p.must("canary", "promote", v.Release)
	p.cell(run.Commit, evidence.LockDeploy, evidence.Open, "production")
	p.serves(run.Commit)
	if d := p.ended(run.Number); d.Result != plan.Succeeded {
		t.Errorf("run %d ended %s: %s", d.Number, d.Result, d.Why)
	}

	next := p.push("Not wanted", p.toProduction()...)
	p.cell(next.Commit, evidence.LockDeploy, evidence.Held, "60 % canary")
	p.must("canary", "reject", p.trial(next.Commit, canary.Paused).Release, "--why", "the colour is wrong")
	p.cell(next.Commit, evidence.LockDeploy, evidence.Shut, "the colour is wrong")
	p.serves(run.Commit)
	p.ended(next.Number)
}

// step4ChartsDefineTheDesiredState: what the chart says is what lives: a release that
// does not come up is rolled back, and what is changed by hand is put back.
func step4ChartsDefineTheDesiredState(t *testing.T) {
	p := step(t)
	good := p.deployed("Charted", p.toProduction()...)
	p.cell(good.Commit, evidence.LockDeploy, evidence.Open, "production")
	p.cell(good.Commit, evidence.LockHealth, evidence.Open, "")
	if r := p.latest(); r.Run != good.Number || r.Result != deploy.Deployed || !strings.HasPrefix(r.Chart, "app") {
		t.Errorf("the release is %+v", r)
	}
	bad, _ := p.refused("Never ready", p.imageStage(), within("8s", p.helmStage(p.byDigest(), "failReady=true")))
	p.cell(bad.Commit, evidence.LockDeploy, evidence.Shut, "rolled-back")
	p.serves(good.Commit)
	if h := p.history(); len(h) < 2 || h[len(h)-1] != "deployed" {
		t.Errorf("Helm's history is %v", h)
	}
	p.must("env", "edit", "production", "--project", p.name, "--drift", deploy.Enforce)
	if _, err := p.kubectl("-n", p.name, "scale", "deployment", "cart", "--replicas=0"); err != nil {
		t.Fatal(err)
	}
	p.soon("cart has the chart's replicas again", func() bool {
		got, err := p.kubectl("-n", p.name, "get", "deployment", "cart", "-o", "jsonpath={.status.readyReplicas}")
		return err == nil && strings.TrimSpace(got) == "1"
	})
	p.must("env", "edit", "production", "--project", p.name, "--drift", deploy.Off)
}

// step5ImagesAreKeptScannedAndSigned: the image of a run is there by digest, with SBOM,
// signature and provenance; the locks scan and sign open, hold and shut.
func step5ImagesAreKeptScannedAndSigned(t *testing.T) {
	p := step(t)
	advise := func(id, of, severity string) {
		t.Helper()
		dir := t.TempDir()
		text := fmt.Sprintf(`{"id":%q,"modified":"2026-11-01T00:00:00Z","summary":"of a test","affected":[{"package":{"ecosystem":"npm","name":%q},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}],"database_specific":{"severity":%q}}`, id, of, severity)
		if err := os.WriteFile(filepath.Join(dir, id+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.must("advisories", "import", dir)
	}
	advise("GHSA-loop-0000-0001", "loop-other", "LOW")
	commit := p.branch("images", "Bring a package along", func() {
		if err := os.MkdirAll(filepath.Join(p.dir, "node_modules/loop-lib"), 0o755); err != nil {
			t.Fatal(err)
		}
		p.write("node_modules/loop-lib/package.json", `{"name":"loop-lib","version":"1.0.0"}`)
		b, err := os.ReadFile(filepath.Join(p.dir, "Dockerfile"))
		if err != nil {
			t.Fatal(err)
		}
		p.write("Dockerfile", strings.Replace(string(b), "USER", "COPY node_modules /node_modules\nUSER", 1))
	}, p.imageStage())
	p.cell(commit, evidence.LockSign, evidence.Open, "SLSA provenance")
	p.cell(commit, evidence.LockScan, evidence.Open, "SBOM")
	link := p.cell(commit, evidence.LockScan, evidence.Open, "0 high").Link
	image := p.name + "/app@" + link.ID()
	p.must("image", "verify", image)
	var shown struct {
		Report struct {
			Documents  []struct{ Kind string }
			Provenance struct{ Verified bool }
		} `json:"report"`
	}
	if err := p.read(&shown, "image", "show", image); err != nil || len(shown.Report.Documents) < 2 || !shown.Report.Provenance.Verified {
		t.Errorf("the image shows %+v, %v", shown, err)
	}
	advise("GHSA-loop-0000-0002", "loop-lib", "HIGH")
	p.cell(commit, evidence.LockScan, evidence.Held, "1 high")
	advise("GHSA-loop-0000-0003", "loop-lib", "CRITICAL")
	p.cell(commit, evidence.LockScan, evidence.Shut, "1 critical")
	ref, err := name.NewDigest(p.registry()+"/"+image, name.Insecure)
	if err == nil {
		err = remote.Delete(ref, remote.WithAuth(&authn.Basic{Username: "admin", Password: p.token}))
	}
	if err != nil {
		t.Fatal(err)
	}
	p.cell(commit, evidence.LockSign, evidence.Shut, "deleted")
}

// owned is a label that the platform's own pods carry, and the chart's do not.
const owned = "app.kubernetes.io/name"

// labelled makes the chart's pods carry a label, or not.
func (p *project) labelled(from, to string) {
	p.t.Helper()
	for _, app := range []string{"app", "cart"} {
		file := "chart/templates/" + app + ".yaml"
		b, err := os.ReadFile(filepath.Join(p.dir, file))
		if err != nil {
			p.t.Fatal(err)
		}
		was, is := "labels: {app: "+app+from+"}", "labels: {app: "+app+to+"}"
		if strings.Count(string(b), was) != 1 {
			p.t.Fatalf("%s does not hold %q once", file, was)
		}
		p.write(file, strings.Replace(string(b), was, is, 1))
	}
}

// demand assigns a policy to production that wants a label on every pod.
func (p *project) demand(assignment, label string) {
	p.t.Helper()
	p.must("policy", "assign", "--definition", "pod-enforce-labels", "--name", assignment, "--scope", "environment:"+p.name+"/production", "--effect", "Deny",
		"--parameter", fmt.Sprintf("labels=[%q]", label))
	p.inForce()
}

// step6OperatorsDefinePolicies: what an operator assigns refuses the next deployment
// and lets in one that complies; the lock policy shuts and opens.
func step6OperatorsDefinePolicies(t *testing.T) {
	p := step(t)
	p.demand("loop-owner", owned)
	t.Cleanup(func() { p.must("policy", "unassign", "loop-owner") })
	bad, said := p.refused("Nobody's", p.toProduction()...)
	if !strings.Contains(said, "loop-owner") {
		t.Fatalf("the run's log does not name the assignment:\n%s", said)
	}
	p.cell(bad.Commit, evidence.LockPolicy, evidence.Shut, "denied")
	p.labelled("", ", "+owned+": loop")
	good := p.deployed("Ours", p.toProduction()...)
	p.cell(good.Commit, evidence.LockPolicy, evidence.Open, "allowed")
	p.serves(good.Commit)
	p.labelled(", "+owned+": loop", "")
}

// step7PolicyJudgesAtTheControlPlane: the API server refuses what a person applies by
// the same policies, and what lives already and violates a new one is found; the lock
// policy opens, and shuts with the next deployment.
func step7PolicyJudgesAtTheControlPlane(t *testing.T) {
	p := step(t)
	p.inForce()
	_, err := p.apply(p.name, podOf("peeks", "privileged: true"))
	if !slices.ContainsFunc(refs(err), func(r vap.Ref) bool { return r.Assignment == policy.Baseline }) {
		t.Errorf("a privileged pod: %v", err)
	}
	p.decided("the refusal", func(d policy.Decision) bool {
		return !d.Allowed && slices.ContainsFunc(d.Objects, func(o policy.Judged) bool { return o.Name == "peeks" })
	}, "--point", policy.PointAdmission, "--refused")

	run := p.deployed("Lives", p.toProduction()...)
	p.cell(run.Commit, evidence.LockPolicy, evidence.Open, "allowed")
	t.Cleanup(func() { p.must("policy", "unassign", "loop-team") })
	p.demand("loop-team", owned)
	p.audited(p.name, "Deployment", "app", "loop-team/pod-enforce-labels", rule.Denied)
	// What lives is not taken away; the Path tells of it when it is deployed again.
	p.serves(run.Commit)
	again, _ := p.refused("Judged again", p.toProduction()...)
	p.cell(again.Commit, evidence.LockPolicy, evidence.Shut, "denied")
}

// step8TelemetryShowsHealth: lines, metrics and alerts of what runs are there; the lock
// health opens, shuts and opens again.
func step8TelemetryShowsHealth(t *testing.T) {
	p := step(t)
	run := p.deployed("Watched", p.toProduction()...)
	p.serves(run.Commit)
	p.cell(run.Commit, evidence.LockHealth, evidence.Open, "")
	p.eventually("a line is written", func() error { return p.visits("/say?level=WARN&text=loop-marker") })
	p.wants(`ContainerLogV2 | where tostring(LogMessage) has "loop-marker" | project Project, Environment, LogLevel`, p.name, "production", "WARNING")
	p.wants(`Perf | where ObjectName == "K8SContainer" and CounterName == "memoryWorkingSetBytes" | summarize Most = max(CounterValue) by CounterName | where Most > 0 | project CounterName`, "memoryWorkingSetBytes")

	const crash = "KubePodCrashLooping"
	p.must("alert", "rule", "tune", crash, "--for", "10s", "--every", "5s")
	if _, err := p.kubectl("-n", p.name, "set", "env", "deployment/cart", "CRASH=true"); err != nil {
		t.Fatal(err)
	}
	p.cell(run.Commit, evidence.LockHealth, evidence.Shut, "")
	fired := p.alerted(crash, alert.Firing)
	if !strings.HasPrefix(fired.Pod, "cart-") || fired.Environment != "production" {
		t.Errorf("the alert is %+v", fired)
	}
	if _, err := p.kubectl("-n", p.name, "set", "env", "deployment/cart", "CRASH-"); err != nil {
		t.Fatal(err)
	}
	p.alerted(crash, alert.Resolved)
	p.cell(run.Commit, evidence.LockHealth, evidence.Open, "")
}

// step9InsightsFeedTheNextPlan: a regression that traffic shows becomes one item of the
// current sprint, with its suspect; the lock backlog is not open until the mend serves.
func step9InsightsFeedTheNextPlan(t *testing.T) {
	p := step(t)
	today := time.Now().UTC()
	p.must("sprint", "create", "Loop 1", "--project", p.name, "--start", today.Format(time.DateOnly), "--end", today.AddDate(0, 0, 13).Format(time.DateOnly), "--capacity", "20")
	p.must("sprint", "edit", "Loop 1", "--active", "--project", p.name)
	good := p.deployed("Well", p.toProduction()...)
	p.must("env", "edit", "production", "--project", p.name, "--strategy", quickSteps)
	stop := p.shoppers("/")
	defer stop()
	bad, _ := p.refused("Fails at times", p.toProduction("faulty=true")...)
	p.trial(bad.Commit, canary.Rejected)
	var about []work.Detail
	p.soon("an item suspects the commit", func() bool {
		about = nil
		for _, i := range p.items() {
			d, err := p.item(i.Number)
			if err == nil && slices.ContainsFunc(d.Links, func(l work.Link) bool { return l.Rel == "suspects" && l.Subject == "commit:"+bad.Commit }) {
				about = append(about, d)
			}
		}
		return len(about) > 0
	})
	if len(about) != 1 || about[0].Sprint != "Loop 1" {
		t.Fatalf("the items about it are %+v, want one in the sprint", about)
	}
	c := p.cause(about[0].Number)
	if c.From != good.Commit || c.To != bad.Commit || len(c.Suspects) != 1 {
		t.Errorf("its cause is %+v", c)
	}
	p.eventually("the backlog is not open on the Path", func() error {
		row, err := p.path(bad.Commit)
		if err == nil {
			if s := row.Cells[slices.Index(evidence.Locks(), evidence.LockBacklog)].State; s != evidence.Held && s != evidence.Shut {
				err = fmt.Errorf("it is %s", s)
			}
		}
		return err
	})
	mend := p.deployed("Fails no more", p.toProduction()...)
	p.trial(mend.Commit, canary.Promoted)
	p.becomes(about[0].Number, false)
	p.cell(bad.Commit, evidence.LockBacklog, evidence.Open, "closed")
	wantItemChain(p, about[0].Number, bad.Commit, mend.Commit)
}

// wantItemChain wants that the chain of an item leads to commits.
func wantItemChain(p *project, item int64, commits ...string) {
	p.t.Helper()
	p.eventually("the chain of the item", func() error {
		var chain evidence.Chain
		if err := p.read(&chain, "trace", fmt.Sprintf("item/%d", item)); err != nil {
			return err
		}
		for _, c := range commits {
			if !slices.ContainsFunc(chain.Stations, func(s evidence.Station) bool { return s.Subject.ID() == c }) {
				return errors.New("it does not lead to " + c)
			}
		}
		return nil
	})
}
