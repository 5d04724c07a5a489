package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/audit"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/policy/vap"
)

// in returns the project for a subtest.
func (p *project) in(t *testing.T) *project {
	q := *p
	q.t = t
	return &q
}

// own makes an environment of the project and its namespace in the cluster, for tests that
// write to it by hand. The project must exist.
func (p *project) own(environment, namespace string) {
	p.t.Helper()
	p.must("env", "create", environment, namespace, "--project", p.name)
	if _, err := p.kubectl("create", "namespace", namespace); err != nil {
		p.t.Fatal(err)
	}
}

// must runs towpath and wants success.
func (p *project) must(args ...string) string {
	p.t.Helper()
	out, err := p.command(nil, args...)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// file writes a manifest for kubectl and returns its path.
func (p *project) file(content string) string {
	p.t.Helper()
	path := filepath.Join(p.t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// apply applies a manifest to a namespace.
func (p *project) apply(namespace, manifest string, more ...string) (string, error) {
	p.t.Helper()
	return p.kubectl(append([]string{"-n", namespace, "apply", "-f", p.file(manifest)}, more...)...)
}

// inForce waits until the API server was told of the policy set in force.
func (p *project) inForce() {
	p.t.Helper()
	p.eventually("the API server has the policies", func() error {
		var s struct {
			Set         string
			Enforcement struct{ Set, Error string }
		}
		if err := p.read(&s, "policy", "status"); err != nil {
			return err
		}
		if s.Enforcement.Set != s.Set || s.Enforcement.Error != "" {
			return fmt.Errorf("it has %q of %q: %s", s.Enforcement.Set, s.Set, s.Enforcement.Error)
		}
		return nil
	})
}

// refs are the rules that a refusal or a warning of the API server names.
func refs(err error) []vap.Ref {
	if err == nil {
		return nil
	}
	return vap.ParseMessages(err.Error())
}

// wantRefused wants that an error is a refusal by a rule of an assignment.
func wantRefused(t *testing.T, what string, err error, assignment, reference string) {
	t.Helper()
	if !refusedBy(err, assignment, reference) {
		t.Errorf("%s: got %v, want a refusal by rule %s of assignment %s", what, err, reference, assignment)
	}
}

func refusedBy(err error, assignment, reference string) bool {
	return slices.ContainsFunc(refs(err), func(r vap.Ref) bool { return r.Assignment == assignment && r.Rule == reference })
}

// decided waits for the record of a decision of the project.
func (p *project) decided(what string, is func(policy.Decision) bool, filter ...string) policy.Decision {
	p.t.Helper()
	var found policy.Decision
	p.eventually("the record of "+what, func() error {
		var all []policy.Decision
		if err := p.read(&all, append([]string{"policy", "decisions", "--project", p.name}, filter...)...); err != nil {
			return err
		}
		i := slices.IndexFunc(all, is)
		if i < 0 {
			return fmt.Errorf("there is none among %d", len(all))
		}
		found = all[i]
		return nil
	})
	return found
}

// refuses reports whether a decision refuses by a rule of an assignment.
func refuses(d policy.Decision, assignment, reference string) bool {
	if d.Allowed {
		return false
	}
	for _, o := range d.Objects {
		for _, v := range o.Verdicts {
			if v.Refuses && v.Assignment == assignment && v.Reference == reference {
				return true
			}
		}
	}
	return false
}

// live returns what the audit says of an object, by assignment and rule.
func (p *project) live(namespace, kind, name string) (map[string]audit.Object, error) {
	var r audit.Report
	if err := p.read(&r, "policy", "compliance", "--namespace", namespace, "--kind", kind, "--limit", "2000"); err != nil {
		return nil, err
	}
	out := map[string]audit.Object{}
	for _, o := range r.Objects {
		if o.Name == name || strings.HasPrefix(o.Name, strings.TrimSuffix(name, "*")) && strings.HasSuffix(name, "*") {
			out[o.Assignment+"/"+o.Rule] = o
		}
	}
	return out, nil
}

// audited waits until the audit gives an object an outcome by a rule.
func (p *project) audited(namespace, kind, name, by, outcome string) audit.Object {
	p.t.Helper()
	var found audit.Object
	p.eventually(fmt.Sprintf("%s %s/%s is %s by %s", kind, namespace, name, outcome, by), func() error {
		all, err := p.live(namespace, kind, name)
		if err != nil {
			return err
		}
		found = all[by]
		if found.Outcome != outcome {
			return fmt.Errorf("it is %q; there are %d verdicts", found.Outcome, len(all))
		}
		return nil
	})
	return found
}

// onPods stores a definition in CEL that judges pods as they are and nothing that makes
// them, and assigns it to an environment of the project.
func (p *project) onPods(name, environment, expression, message string) {
	p.t.Helper()
	template := fmt.Sprintf(`apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata:
  name: %[1]s
spec:
  crd:
    spec:
      names:
        kind: %[2]s
  targets:
    - target: admission.k8s.gatekeeper.sh
      code:
        - engine: K8sNativeValidation
          source:
            validations:
              - expression: %[3]q
                message: %[4]q
`, name, strings.ToUpper(name[:1])+name[1:], expression, message)
	raw, err := json.Marshal(map[string]any{
		"name": name, "type": "Microsoft.Authorization/policyDefinitions",
		"properties": map[string]any{
			"displayName": message, "version": "1.0.0", "mode": "Microsoft.Kubernetes.Data", "metadata": map[string]any{"fix": "Leave it out."},
			"policyRule": map[string]any{
				"if": map[string]any{"field": "type", "in": []string{"Microsoft.Kubernetes/connectedClusters"}},
				"then": map[string]any{"effect": "deny", "details": map[string]any{
					"templateInfo": map[string]any{"sourceType": "Base64Encoded", "content": base64.StdEncoding.EncodeToString([]byte(template))},
					"apiGroups":    []string{""}, "kinds": []string{"Pod"}, "excludedNamespaces": []string{"kube-system"}, "source": rule.Original,
				}},
			},
		},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.must("policy", "apply", p.file(string(raw)))
	p.must("policy", "assign", "--definition", name, "--name", name, "--scope", "environment:"+p.name+"/"+environment)
}

// pause is an image that need not be there: what is judged is the pod.
const pause = "registry.k8s.io/pause:3.10"

// podOf is a pod of one container with a piece of its security context.
func podOf(name, security string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata:
  name: %s
spec:
  automountServiceAccountToken: false
  containers:
    - name: app
      image: %s
      securityContext: {%s}
      resources:
        requests: {cpu: 5m, memory: 8Mi}
        limits: {cpu: 50m, memory: 32Mi}
`, name, pause, security)
}

// errorOr returns the error, or one that says what was instead.
func errorOr(err error, what string) error {
	if err == nil {
		return errors.New(what)
	}
	return err
}

// refusedSoon repeats what a rule, assigned a moment ago, must refuse, and returns the
// record of it.
func (p *project) refusedSoon(what string, try func() error, assignment, reference string) policy.Decision {
	p.t.Helper()
	p.eventually(what+" is refused", func() error {
		err := try()
		if refusedBy(err, assignment, reference) {
			return nil
		}
		return errorOr(err, "it was let in")
	})
	return p.decided(what, func(d policy.Decision) bool { return refuses(d, assignment, reference) }, "--point", policy.PointAdmission, "--refused")
}
