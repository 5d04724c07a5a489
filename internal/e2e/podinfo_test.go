//go:build prove

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/deploy/canary"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/policy"
)

// podinfo is the module that holds podinfo's program and its chart (Apache-2.0); the sum is
// that of go.sum. It is fetched as modules are, and nothing of it is kept in this repository.
const (
	podinfo    = "github.com/stefanprodan/podinfo@v1.8.1-0.20250910200901-e86405a8674e"
	podinfoSum = "h1:ikpMMm5HbQT/1DehrPM+Lpwk3WAw/1Hg540eR+jsXus="
)

// podinfoImage is what podinfo's own Dockerfile makes, without the Linux distribution
// around it. The chart wants ./podinfo in the working directory and podcli in the path.
const podinfoImage = `FROM scratch
COPY --chmod=0755 podinfo /home/app/podinfo
COPY --chmod=0755 podcli /usr/local/bin/podcli
COPY ui /home/app/ui
ENV PATH=/usr/local/bin
WORKDIR /home/app
USER 65532:65532
CMD ["./podinfo"]
`

// newPodinfo lays out a project with podinfo's chart, as it is, and its programs.
func newPodinfo(t *testing.T) *project {
	t.Helper()
	p := &project{installation: shared, t: t, name: "podinfo", dir: filepath.Join(t.TempDir(), "app")}
	var module struct{ Dir, Sum, Error string }
	fetch := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", podinfo)
	fetch.Dir, fetch.Env = t.TempDir(), append(os.Environ(), "GOFLAGS=")
	out, err := fetch.Output()
	if jerr := json.Unmarshal(out, &module); jerr != nil || module.Dir == "" {
		t.Fatalf("fetching %s: %v: %s", podinfo, err, module.Error)
	}
	if module.Sum != podinfoSum {
		t.Fatalf("%s is %s, not %s", podinfo, module.Sum, podinfoSum)
	}
	source := filepath.Join(t.TempDir(), "podinfo")
	if err := os.CopyFS(source, os.DirFS(module.Dir)); err != nil { // The module's own folder is read-only.
		t.Fatal(err)
	}
	for to, from := range map[string]string{"charts/podinfo": "charts/podinfo", "ui": "ui"} {
		if err := os.CopyFS(filepath.Join(p.dir, to), os.DirFS(filepath.Join(module.Dir, from))); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", p.dir+"/", "./cmd/podinfo", "./cmd/podcli")
	build.Dir, build.Env = source, append(os.Environ(), goEnv(t)...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building podinfo: %v: %s", err, out)
	}
	p.write("Dockerfile", podinfoImage)
	p.initGit()
	return p
}

// podinfoStage deploys the chart with values that any user of it has to give, and more.
func (p *project) podinfoStage(values ...string) string {
	stage := p.helmStage("", append([]string{
		"image.repository=$(Towpath.Registry)/podinfo/app", "image.tag=$(Build.BuildId)", "ingress.enabled=true",
		"ingress.hosts[0].host=" + p.host(), "ingress.hosts[0].paths[0].path=/", "ingress.hosts[0].paths[0].pathType=Prefix",
		"ui.message=$(Build.SourceVersion)", "probes.readiness.periodSeconds=1", "securityContext.allowPrivilegeEscalation=false",
		"securityContext.runAsNonRoot=true", "securityContext.capabilities.drop={ALL}", "securityContext.seccompProfile.type=RuntimeDefault",
	}, values...)...)
	stage = strings.Replace(stage, "image=\n                      host="+p.host()+"\n                      ", "", 1)
	return strings.NewReplacer("chartPath: chart\n", "chartPath: charts/podinfo\n", "releaseName: app\n", "releaseName: podinfo\n").Replace(stage)
}

// TestPodinfo takes the chart of somebody else, not changed, the whole way: pipeline,
// image, policy's decision, canary, a bad version that is rolled back, a good one that is
// promoted.
func TestPodinfo(t *testing.T) {
	t.Parallel()
	p := newPodinfo(t)
	greets := func(commit string) {
		t.Helper()
		p.soon("podinfo greets with "+commit, func() bool {
			got, err := p.plain("/api/info")
			return err == nil && strings.Contains(got, commit)
		})
	}
	first := p.deployed("First", p.imageStage(), p.podinfoStage())
	greets(first.Commit)
	digest := digestOf(first)
	if r := p.latest(); !slices.Contains(r.Images, p.registry()+"/podinfo/app@"+digest) || !strings.HasPrefix(r.Chart, "podinfo") {
		t.Errorf("the release is %+v, want podinfo's chart with image %s", r, digest)
	}
	d := p.decided("the deployment", func(d policy.Decision) bool { return d.Point == policy.PointDeploy })
	if !d.Allowed || d.Run != first.Number || len(d.Objects) == 0 {
		t.Errorf("policy decided %+v", d)
	}

	p.must("env", "edit", "production", "--project", p.name, "--strategy", quickSteps)
	stop := p.shoppers("/api/info")
	defer stop()
	good := p.deployed("Good", p.imageStage(), p.podinfoStage())
	p.trial(good.Commit, canary.Promoted)
	greets(good.Commit)

	// podinfo's own faults: every second it draws how long all answers take, up to five.
	bad, said := p.refused("Bad", p.imageStage(), p.podinfoStage("faults.delay=true", "probes.readiness.timeoutSeconds=6", "probes.liveness.timeoutSeconds=6"))
	v := p.trial(bad.Commit, canary.Rejected)
	if !strings.Contains(v.Why, "p95") || !strings.Contains(said, v.Why) {
		t.Errorf("the canary was rejected because %q; the log says\n%s", v.Why, said)
	}
	if r := p.latest(); r.Result != deploy.RolledBack {
		t.Errorf("the release is %s", r.Result)
	}
	greets(good.Commit)
	p.cell(bad.Commit, evidence.LockDeploy, evidence.Shut, "rolled-back")

	next := p.deployed("Good again", p.imageStage(), p.podinfoStage())
	p.trial(next.Commit, canary.Promoted)
	greets(next.Commit)
	p.cell(next.Commit, evidence.LockDeploy, evidence.Open, "")
	wantChain(t, p, next.Commit, "image:"+digestOf(next), "release:podinfo/production/4")
}

// digestOf is the image that a run pushed first.
func digestOf(run pipeline.Detail) string { return run.Stages[0].Jobs[0].Outputs["app.digest"] }

// wantChain wants that the chain of a commit leads to subjects.
func wantChain(t *testing.T, p *project, commit string, subjects ...string) {
	t.Helper()
	p.eventually("the chain of "+commit, func() error {
		var chain evidence.Chain
		if err := p.read(&chain, "trace", "commit/"+commit); err != nil {
			return err
		}
		for _, want := range subjects {
			if !slices.ContainsFunc(chain.Stations, func(s evidence.Station) bool { return string(s.Subject) == want }) {
				return fmt.Errorf("it does not lead to %s", want)
			}
		}
		return nil
	})
}
