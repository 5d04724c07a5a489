package enforce

import (
	"cmp"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"towpath.dev/towpath/internal/policy/vap"
)

// WebhookName is the name of the webhook and of its configuration.
const WebhookName = "admission.policy.towpath.dev"

// timeoutSeconds is how long the API server waits for the webhook.
const timeoutSeconds = 2

// systemNamespaces are never sent to the webhook: what the cluster itself needs to run must
// not wait for a program outside of it.
func systemNamespaces() []string {
	return []string{"kube-system", "kube-public", "kube-node-lease", "towpath-system"}
}

// always are the kinds that the webhook sees whatever the rules are, to learn who applies
// workloads.
func always() []schema.GroupKind {
	return []schema.GroupKind{
		{Kind: "Pod"}, {Kind: "ReplicationController"},
		{Group: "apps", Kind: "Deployment"}, {Group: "apps", Kind: "ReplicaSet"}, {Group: "apps", Kind: "StatefulSet"}, {Group: "apps", Kind: "DaemonSet"},
		{Group: "batch", Kind: "Job"}, {Group: "batch", Kind: "CronJob"},
	}
}

// never are kinds without which no node can join and no component can lead. Nothing makes
// us be asked about them.
func never(gk schema.GroupKind) bool {
	switch gk {
	case schema.GroupKind{Kind: "Node"}, schema.GroupKind{Kind: "Binding"}, schema.GroupKind{Kind: "Event"}:
		return true
	}
	switch gk.Group {
	case "coordination.k8s.io", "certificates.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "events.k8s.io", "admissionregistration.k8s.io":
		return true
	}
	return false
}

// configuration returns the webhook's configuration for the kinds that the rules match.
// Versions are those that the cluster prefers: matchPolicy Equivalent brings the others.
func configuration(e Endpoint, matched []schema.GroupKind, find func(schema.GroupKind) (vap.Resource, bool)) *admissionv1.ValidatingWebhookConfiguration {
	var rules []admissionv1.RuleWithOperations
	seen := map[schema.GroupKind]bool{}
	for _, gk := range append(always(), matched...) {
		r, ok := find(gk)
		if !ok || seen[gk] || never(gk) || len(r.Versions) == 0 {
			continue
		}
		seen[gk] = true
		names := []string{r.Plural}
		for _, sub := range r.Subresources {
			names = append(names, r.Plural+"/"+sub)
		}
		scope := admissionv1.NamespacedScope
		if !r.Namespaced {
			scope = admissionv1.ClusterScope
		}
		rules = append(rules, admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
			Rule:       admissionv1.Rule{APIGroups: []string{r.Group}, APIVersions: r.Versions[:1], Resources: names, Scope: &scope},
		})
	}
	slices.SortStableFunc(rules, func(a, b admissionv1.RuleWithOperations) int {
		return cmp.Or(cmp.Compare(a.APIGroups[0], b.APIGroups[0]), cmp.Compare(a.Resources[0], b.Resources[0]))
	})
	c := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: WebhookName}}
	if len(rules) == 0 {
		return c
	}
	c.Webhooks = []admissionv1.ValidatingWebhook{{
		Name:         WebhookName,
		ClientConfig: admissionv1.WebhookClientConfig{URL: new(e.URL), CABundle: e.CA},
		Rules:        rules,
		// What passes while this program is away is found by the audit; what the API server
		// can judge by itself never passes.
		FailurePolicy: new(admissionv1.Ignore),
		MatchPolicy:   new(admissionv1.Equivalent),
		NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
			Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: systemNamespaces(),
		}}},
		ObjectSelector:          &metav1.LabelSelector{},
		SideEffects:             new(admissionv1.SideEffectClassNone),
		TimeoutSeconds:          new(int32(timeoutSeconds)),
		AdmissionReviewVersions: []string{"v1"},
		// A node's mirror pods tell of static pods that run already.
		MatchConditions: []admissionv1.MatchCondition{{
			Name: "not-by-a-node", Expression: "!('system:nodes' in request.userInfo.groups)",
		}},
	}}
	return c
}
