package vap_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// A manifest may say null where it could say nothing. The API server decodes it before it
// judges; the evaluator, which has it as it was written, gives the same verdict.
func TestNullsInManifests(t *testing.T) {
	w := shared(t)
	for name, c := range map[string]struct {
		manifest string
		refused  bool
	}{
		"a security context":       {`{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {securityContext: null, containers: [{name: c, image: i, securityContext: null}]}}`, false},
		"lists":                    {`{apiVersion: v1, kind: Pod, metadata: {name: a, ownerReferences: null}, spec: {volumes: null, initContainers: null, ephemeralContainers: null, containers: [{name: c, image: i, ports: null}]}}`, false},
		"everything of a context":  {`{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {hostPID: null, hostNetwork: null, securityContext: {sysctls: null, seLinuxOptions: null, seccompProfile: null}, containers: [{name: c, image: i, securityContext: {privileged: null, capabilities: {add: null, drop: null}, procMount: null, appArmorProfile: null}}]}}`, false},
		"an annotation":            {`{apiVersion: v1, kind: Pod, metadata: {name: a, annotations: {container.apparmor.security.beta.kubernetes.io/c: null}}, spec: {containers: [{name: c, image: i}]}}`, false},
		"a volume's source":        {`{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {volumes: [{name: v, hostPath: null, emptyDir: {}}], containers: [{name: c, image: i}]}}`, false},
		"a template's":             {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {selector: null, template: {metadata: null, spec: {securityContext: null, containers: [{name: c, image: i, securityContext: null}]}}}}`, false},
		"beside a privileged one":  {`{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {securityContext: null, containers: [{name: b, image: i, securityContext: null}, {name: c, image: i, securityContext: {privileged: true, capabilities: null}}]}}`, true},
		"beside a host path":       {`{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}, spec: {jobTemplate: {metadata: null, spec: {template: {spec: {volumes: [{name: v, hostPath: {path: /}, emptyDir: null}], containers: [{name: c, image: i}]}}}}}}`, true},
		"a profile that is no one": {`{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i, securityContext: {seccompProfile: {type: Unconfined, localhostProfile: null}}}]}}`, true},
	} {
		text, err := yaml.YAMLToJSON([]byte(c.manifest))
		if err != nil {
			t.Fatal(err)
		}
		object, _, err := serializer.NewCodecFactory(scheme.Scheme).UniversalDeserializer().Decode(text, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var written map[string]any
		if err := yaml.Unmarshal([]byte(c.manifest), &written); err != nil {
			t.Fatal(err)
		}
		verdicts, err := w.set.Review(t.Context(), rule.Review{Object: written, Place: rule.Place{Cluster: "embedded", Namespace: "baseline"}}, engine.Options{})
		if err != nil || len(verdicts) == 0 {
			t.Errorf("%s: %d verdicts, %v", name, len(verdicts), err)
		}
		byEngine := false
		for _, v := range verdicts {
			byEngine = byEngine || v.Refuses
			if v.Outcome == rule.Error {
				t.Errorf("%s: the evaluator could not judge by %s: %s", name, v.Reference, v.Why)
			}
		}
		byServer := w.server.ask(t, request{object: object, namespace: "baseline", operation: admission.Create})
		if byEngine != c.refused || (byServer != nil) != c.refused {
			t.Errorf("%s: refused must be %v; the evaluator: %v, the API server: %v", name, c.refused, byEngine, byServer)
		}
	}
}
