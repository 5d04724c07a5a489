package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/rule"
)

// byKubectl asks the cluster itself, while the server answers nobody.
func (p *project) byKubectl(args ...string) (string, error) {
	all := append([]string{"kubectl", "--kubeconfig", filepath.Join(p.data, "kube", "admin.kubeconfig")}, args...)
	out, err := exec.CommandContext(p.t.Context(), filepath.Join(p.bin, "towpath-kube"), all...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// TestServerAway halts the server while its cluster goes on, then kills it and starts
// everything anew. The embedded cluster ends with its server, so that is the only way in
// which the one is there without the other.
func TestServerAway(t *testing.T) {
	p := newProject(t, shared, "away")
	run := p.deployed("Good", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(run.Commit)
	p.must("policy", "assign", "--initiative", policy.SupplyChain, "--name", "away-strict", "--scope", "environment:away/production", "--effect", "Deny",
		"--parameter", `registries=["`+p.registry()+`"]`)
	p.inForce()
	// In our registry and by digest, so that the API server has nothing against it; that no
	// pipeline built it is known to the webhook alone.
	unknown := strings.Replace(podOf("unknown", ""), pause, p.registry()+"/away/app@sha256:"+strings.Repeat("ab", 32), 1)
	p.refusedSoon("an image that nobody built", func() error {
		_, err := p.apply("away", unknown)
		return err
	}, "away-strict", "verdict")

	// The API server names the first assignment that refuses: nothing else is wrong with it.
	bad := strings.Replace(podOf("bad", "privileged: true"), pause, p.registry()+"/away/app@"+run.Stages[0].Jobs[0].Outputs["app.digest"], 1)

	manifests := map[string]string{"bad": p.file(bad), "unknown": p.file(unknown)}
	if err := p.running.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	_, err := p.byKubectl("-n", "away", "apply", "-f", manifests["bad"])
	wantRefused(t, "a privileged pod while the server is halted", err, policy.Baseline, "privileged")
	if _, err := p.byKubectl("-n", "away", "apply", "-f", manifests["unknown"]); err != nil {
		t.Errorf("the webhook stands in the way while the server is halted: %v", err)
	}
	if err := p.stop(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := p.start(); err != nil {
		t.Fatalf("the cold start: %v", err)
	}
	t.Logf("ready again after %.1f s", time.Since(start).Seconds())
	p.serves(run.Commit)

	// What came in meanwhile is found, and what was refused meanwhile is known.
	p.audited("away", "Pod", "unknown", "away-strict/verdict", rule.Denied)
	p.decided("the pod that came in unjudged", func(d policy.Decision) bool {
		return refuses(d, "away-strict", "verdict") && d.Objects[0].Name == "unknown" && d.Environment == "production"
	}, "--refused", "--point", policy.PointAudit)
	p.decided("the refusal while the server was halted", func(d policy.Decision) bool {
		return refuses(d, policy.Baseline, "privileged") && d.Objects[0].Name == "bad"
	}, "--refused", "--point", policy.PointAdmission)

	_, err = p.apply("away", bad)
	wantRefused(t, "a privileged pod after the cold start", err, policy.Baseline, "privileged")
	if _, err := p.kubectl("-n", "away", "delete", "pod", "unknown", "--grace-period=0", "--force"); err != nil {
		t.Error(err)
	}
	p.refusedSoon("the image that nobody built, after the cold start", func() error {
		_, err := p.apply("away", unknown)
		return err
	}, "away-strict", "verdict")
	next := p.deployed("Better", p.imageStage(), p.helmStage(p.byDigest()))
	p.serves(next.Commit)
	wholeLog(t, p)
}
