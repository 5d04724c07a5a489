package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/rule"
)

// sharer is a Deployment whose pods share the host's processes.
func sharer(name string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 1
      hostPID: true
      containers: [{name: app, image: "%[2]s"}]
`, name, pause)
}

// TestExemption exempts one Deployment for a while: it and its pods come in, nothing else
// does, and when the time is over they do not either.
func TestExemption(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "exempt")
	p.must("project", "create", "exempt")
	p.own("production", "exempt")
	p.inForce()
	const by = "host-namespaces"
	_, err := p.apply("exempt", sharer("legacy"))
	wantRefused(t, "the Deployment before it is exempt", err, policy.Baseline, by)

	exempt := func(lasts string) {
		p.must("policy", "exempt", policy.Baseline, "--name", "exempt-legacy", "--rule", by, "--object", "Deployment.apps/exempt/legacy",
			"--category", rule.Waiver, "--reason", "it goes next week", "--for", lasts)
	}
	exempt("1h")
	p.eventually("the exempt Deployment is let in", func() error {
		_, err := p.apply("exempt", sharer("legacy"))
		return err
	})
	p.eventually("it has its pod", func() error {
		if n := len(p.pods("exempt")); n != 1 {
			return fmt.Errorf("%d pods", n)
		}
		return nil
	})
	if o := p.audited("exempt", "Deployment", "legacy", policy.Baseline+"/"+by, rule.Exempt); o.Exemption != "exempt-legacy" {
		t.Errorf("the audit says %+v", o)
	}
	p.audited("exempt", "Pod", "legacy-*", policy.Baseline+"/"+by, rule.Exempt)

	t.Run("NothingElse", func(t *testing.T) {
		p := p.in(t)
		alone := strings.Replace(podOf("legacy", ""), "spec:\n", "spec:\n  hostPID: true\n", 1)
		forged := strings.Replace(alone, "  name: legacy\n", `  name: legacy-forged
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: legacy-5f7b9c6d8, uid: 7b0b6a0e-6a1f-4e0e-8d5b-0f5f3d6e7a10, controller: true}]
`, 1)
		for what, manifest := range map[string]string{
			"another Deployment": sharer("other"), "one whose name begins so": sharer("legacy-too"),
			"a pod of that name": alone, "a pod that claims to belong to it": forged,
		} {
			_, err := p.apply("exempt", manifest, "--dry-run=server")
			wantRefused(t, what, err, policy.Baseline, by)
		}
		privileged := strings.Replace(sharer("legacy"), `containers: [{name: app,`, `containers: [{name: app, securityContext: {privileged: true},`, 1)
		_, err := p.apply("exempt", privileged, "--dry-run=server")
		wantRefused(t, "the exempt Deployment by another rule", err, policy.Baseline, "privileged")
	})

	// Nobody does anything when the time is over.
	exempt("8s")
	o := p.audited("exempt", "Deployment", "legacy", policy.Baseline+"/"+by, rule.Denied)
	if o.Exemption != "" {
		t.Errorf("the audit says %+v", o)
	}
	p.refusedSoon("the Deployment after its exemption", func() error {
		_, err := p.kubectl("-n", "exempt", "annotate", "--overwrite", "deployment", "legacy", "touched=yes")
		return err
	}, policy.Baseline, by)
	old := p.pods("exempt")
	if _, err := p.kubectl("-n", "exempt", "delete", "pods", "--all", "--grace-period=0", "--force"); err != nil {
		t.Fatal(err)
	}
	p.decided("the refused pod of the Deployment", func(d policy.Decision) bool {
		return refuses(d, policy.Baseline, by) && d.Objects[0].Kind == "Pod" && strings.HasPrefix(d.Objects[0].Name, "legacy-")
	}, "--refused", "--point", policy.PointAdmission)
	for uid, name := range p.pods("exempt") {
		if old[uid] == "" {
			t.Errorf("pod %s came in", name)
		}
	}
}
