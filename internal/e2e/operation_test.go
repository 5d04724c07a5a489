package e2e_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/rule"
)

// TestOperations goes through what can be done to a pod: it is judged however it comes to
// be what it is, and may always go.
func TestOperations(t *testing.T) {
	t.Parallel()
	p := newProject(t, shared, "ops")
	p.must("project", "create", "ops")
	p.own("production", "ops")
	p.inForce()
	patch := func(sub, change string) error {
		args := []string{"-n", "ops", "patch", "pod", "app", "--type", "strategic", "-p", change}
		if sub != "" {
			args = append(args, "--subresource", sub)
		}
		_, err := p.kubectl(args...)
		return err
	}
	t.Run("Create", func(t *testing.T) {
		p := p.in(t)
		_, err := p.apply("ops", podOf("bad", "privileged: true"))
		wantRefused(t, "a privileged pod", err, policy.Baseline, "privileged")
		if _, err := p.apply("ops", podOf("app", "")); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("EphemeralContainers", func(t *testing.T) {
		p := p.in(t)
		debug := func(name, security string) error {
			return patch("ephemeralcontainers", `{"spec":{"ephemeralContainers":[{"name":"`+name+`","image":"`+pause+`","securityContext":{`+security+`}}]}}`)
		}
		wantRefused(t, "a privileged ephemeral container", debug("bad", `"privileged":true`), policy.Baseline, "privileged")
		d := p.decided("the refused ephemeral container", func(d policy.Decision) bool {
			return refuses(d, policy.Baseline, "privileged") && d.Objects[0].Sub == "ephemeralcontainers"
		}, "--point", policy.PointAdmission, "--refused")
		if v := d.Objects[0].Verdicts[0]; d.Objects[0].Name != "app" || d.Environment != "production" || len(v.Violations) != 1 ||
			!strings.Contains(v.Violations[0].Path, "ephemeralContainers[name=bad]") {
			t.Errorf("recorded %+v", d)
		}
		if err := debug("good", ""); err != nil {
			t.Errorf("a harmless ephemeral container: %v", err)
		}
	})
	t.Run("Resize", func(t *testing.T) {
		p := p.in(t)
		p.must("policy", "assign", "--definition", "container-resource-limits", "--name", "ops-limits", "--scope", "environment:ops/production",
			"--parameter", "cpu=100m", "--parameter", "memory=64Mi")
		t.Cleanup(func() { p.must("policy", "unassign", "ops-limits") })
		resize := func(cpu string) error {
			return patch("resize", `{"spec":{"containers":[{"name":"app","resources":{"limits":{"cpu":"`+cpu+`"}}}]}}`)
		}
		d := p.refusedSoon("a resize above the limit", func() error { return resize("1500m") }, "ops-limits", "container-resource-limits")
		if d.Objects[0].Sub != "resize" {
			t.Errorf("recorded %+v", d)
		}
		if err := resize("60m"); err != nil {
			t.Errorf("a resize below the limit: %v", err)
		}
	})
	t.Run("UpdateAndDelete", func(t *testing.T) {
		p := p.in(t)
		// It comes in by an exemption that is taken back.
		p.must("policy", "exempt", policy.Baseline, "--name", "ops-old", "--object", "Pod/ops/old", "--category", rule.Waiver, "--reason", "test", "--for", "1h")
		p.eventually("the exempt pod is let in", func() error {
			_, err := p.apply("ops", podOf("old", "privileged: true"))
			return err
		})
		p.must("policy", "unexempt", "ops-old")
		p.eventually("an update of what breaks a rule is refused", func() error {
			_, err := p.kubectl("-n", "ops", "label", "--overwrite", "pod", "old", "touched=yes")
			if refusedBy(err, policy.Baseline, "privileged") {
				return nil
			}
			return errorOr(err, "it was let in")
		})
		p.audited("ops", "Pod", "old", policy.Baseline+"/privileged", rule.Denied)
		for _, name := range []string{"old", "app"} {
			if _, err := p.kubectl("-n", "ops", "delete", "pod", name, "--grace-period=0", "--force"); err != nil {
				t.Errorf("deleting is always allowed: %v", err)
			}
		}
	})
}
