package enforce

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"towpath.dev/towpath/internal/policy/vap"
)

// TestConfiguration pins what the API server asks us about: nothing without which a cluster
// cannot start, whatever the rules match.
func TestConfiguration(t *testing.T) {
	find := func(gk schema.GroupKind) (vap.Resource, bool) {
		if r, ok := vap.Builtin(gk); ok {
			return r, true
		}
		return vap.Resource{Group: gk.Group, Versions: []string{"v1", "v1beta1"}, Plural: strings.ToLower(gk.Kind) + "s"}, true
	}
	matched := []schema.GroupKind{
		{Kind: "Service"}, {Kind: "Pod"}, {Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}, {Group: "example.org", Kind: "Widget"},
		{Kind: "Node"}, {Kind: "Event"}, {Group: "coordination.k8s.io", Kind: "Lease"}, {Group: "certificates.k8s.io", Kind: "CertificateSigningRequest"},
		{Group: "authentication.k8s.io", Kind: "TokenReview"}, {Group: "authorization.k8s.io", Kind: "SubjectAccessReview"},
		{Group: "admissionregistration.k8s.io", Kind: "ValidatingAdmissionPolicy"},
	}
	c := configuration(Endpoint{URL: "https://127.0.0.1:1/admit/x", CA: []byte("ca")}, matched, find)
	if len(c.Webhooks) != 1 {
		t.Fatalf("%d webhooks", len(c.Webhooks))
	}
	w := c.Webhooks[0]
	got := map[string][]string{}
	for _, r := range w.Rules {
		if len(r.APIGroups) != 1 || len(r.APIVersions) != 1 || *r.Scope == admissionv1.AllScopes {
			t.Errorf("rule %+v", r)
		}
		if diff := cmp.Diff([]admissionv1.OperationType{"CREATE", "UPDATE"}, r.Operations); diff != "" {
			t.Errorf("operations (-want +got):\n%s", diff)
		}
		for _, n := range r.Resources {
			if strings.Contains(n, "*") {
				t.Errorf("a wildcard: %+v", r)
			}
		}
		got[r.APIGroups[0]] = append(got[r.APIGroups[0]], r.Resources...)
	}
	want := map[string][]string{
		"":                          {"pods", "pods/ephemeralcontainers", "pods/resize", "replicationcontrollers", "services"},
		"apps":                      {"daemonsets", "deployments", "replicasets", "statefulsets"},
		"batch":                     {"cronjobs", "jobs"},
		"example.org":               {"widgets"},
		"rbac.authorization.k8s.io": {"clusterroles"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
	if *w.FailurePolicy != admissionv1.Ignore || *w.MatchPolicy != admissionv1.Equivalent || *w.SideEffects != admissionv1.SideEffectClassNone || *w.TimeoutSeconds != 2 ||
		len(w.ObjectSelector.MatchLabels)+len(w.ObjectSelector.MatchExpressions) != 0 {
		t.Errorf("webhook %+v", w)
	}
	s := w.NamespaceSelector
	if len(s.MatchLabels) != 0 || len(s.MatchExpressions) != 1 || s.MatchExpressions[0].Key != "kubernetes.io/metadata.name" || s.MatchExpressions[0].Operator != "NotIn" {
		t.Errorf("namespaces %+v", s)
	}
}
