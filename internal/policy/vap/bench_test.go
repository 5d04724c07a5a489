package vap_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/admission"

	"towpath.dev/towpath/internal/policy/catalog/catalogtest"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// BenchmarkReview measures one pod of three containers against each initiative, by the API
// server's plugin and by the evaluator.
func BenchmarkReview(b *testing.B) {
	w := shared(b)
	pod := onePod("localhost:7080/shop/web" + digest)
	c := pod.Spec.Containers[0]
	c.SecurityContext = &corev1.SecurityContext{
		AllowPrivilegeEscalation: pointer(false), RunAsNonRoot: pointer(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	side, first := c, c
	side.Name, first.Name = "side", "first"
	pod.Spec.Containers, pod.Spec.InitContainers = []corev1.Container{c, side}, []corev1.Container{first}
	for _, namespace := range []string{"baseline", "restricted"} {
		r := request{object: pod, namespace: namespace, operation: admission.Create}
		b.Run(namespace+"/server", func(b *testing.B) {
			for b.Loop() {
				if err := w.server.ask(b, r); err != nil {
					b.Fatal(err)
				}
			}
		})
		pod.Kind, pod.APIVersion = "Pod", "v1"
		rev := rule.Review{Object: catalogtest.Object(b, pod), Operation: "CREATE", Resource: "pods", Place: rule.Place{Cluster: "embedded", Namespace: namespace}}
		b.Run(namespace+"/evaluator", func(b *testing.B) {
			for b.Loop() {
				if _, err := w.set.Review(b.Context(), rev, engine.Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
