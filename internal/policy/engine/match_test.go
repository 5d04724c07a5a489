package engine_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/open-policy-agent/gatekeeper/v3/pkg/target"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"towpath.dev/towpath/internal/policy/rule"
)

// Matching is done once for both engines; it is what Gatekeeper's target matches.
func TestMatchingIsGatekeepers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	template := base(t, "nopriv-cel")
	matched := 0
	for range 150 {
		m := rule.Match{Kinds: []rule.GroupKinds{{Groups: []string{pick("", "apps")}, Kinds: []string{pick("Pod", "Deployment"), "Service"}}}}
		if rnd.IntN(2) == 0 {
			m.Namespaces = []string{pick("shop", "shop-*", "*-dev", "blog")}
		}
		if rnd.IntN(2) == 0 {
			m.ExcludedNamespaces = []string{pick("shop", "shop-*", "kube-*")}
		}
		if rnd.IntN(2) == 0 {
			m.LabelSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: metav1.LabelSelectorOperator(pick("Exists", "DoesNotExist"))}}}
		}
		set := compile(t, []rule.Rule{with(template, func(r *rule.Rule) { r.Match = m })})
		for range 20 {
			namespace, labels := pick("shop", "shop-dev", "blog", "kube-system"), pick("{}", "{tier: front}")
			text := pick(`{apiVersion: v1, kind: Pod`, `{apiVersion: apps/v1, kind: Deployment`, `{apiVersion: v1, kind: Service`) +
				fmt.Sprintf(`, metadata: {name: a, namespace: %s, labels: %s}, spec: {}}`, namespace, labels)
			r := review(t, namespace, text)
			got := len(judge(t, set, r)) == 1
			if want := gatekeeper(t, m, r); got != want {
				t.Fatalf("match %+v of %s: %v, Gatekeeper says %v", m, text, got, want)
			}
			if got {
				matched++
			}
		}
	}
	if matched == 0 {
		t.Error("nothing ever matched: the test tests nothing")
	}
}

// gatekeeper asks the target's own matcher.
func gatekeeper(t *testing.T, m rule.Match, r rule.Review) bool {
	t.Helper()
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&struct {
		Match rule.Match `json:"match"`
	}{m})
	if err != nil {
		t.Fatal(err)
	}
	h := &target.K8sValidationTarget{}
	matcher, err := h.ToMatcher(&unstructured.Unstructured{Object: map[string]any{"spec": raw}})
	if err != nil {
		t.Fatal(err)
	}
	_, review, err := h.HandleReview(target.AugmentedUnstructured{
		Object: unstructured.Unstructured{Object: r.Object}, Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.Place.Namespace}}, Source: "Original",
	})
	if err != nil {
		t.Fatal(err)
	}
	ok, err := matcher.Match(review)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}
