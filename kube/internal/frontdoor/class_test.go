package frontdoor

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestClassOfAnIngress(t *testing.T) {
	named := func(class string) *networkingv1.Ingress {
		return &networkingv1.Ingress{Spec: networkingv1.IngressSpec{IngressClassName: &class}}
	}
	noted := func(class string) *networkingv1.Ingress {
		return &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{legacyClass: class}}}
	}
	for name, c := range map[string]struct {
		ingress *networkingv1.Ingress
		want    bool
	}{
		"our class":                {named("towpath"), true},
		"another class":            {named("nginx"), false},
		"an empty class":           {named(""), false},
		"no class":                 {&networkingv1.Ingress{}, true},
		"our class, the old way":   {noted("towpath"), true},
		"another one, the old way": {noted("nginx"), false},
	} {
		if got := ours(c.ingress); got != c.want {
			t.Errorf("%s: served %v, want %v", name, got, c.want)
		}
	}
}
