package vap_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"

	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// noData refuses every ConfigMap that has data.
const noData = `{"apiVersion":"templates.gatekeeper.sh/v1","kind":"ConstraintTemplate","metadata":{"name":"nodata"},"spec":{"crd":{"spec":{"names":{"kind":"NoData"}}},
	"targets":[{"target":"admission.k8s.gatekeeper.sh","code":[{"engine":"K8sNativeValidation","source":{"validations":[{"expression":"!has(object.data)","message":"data: must be absent"}]}}]}]}}`

// denying is a world in which one rule refuses what breaks it.
func denying(t *testing.T, name, template string, source string, kinds ...rule.GroupKinds) *world {
	t.Helper()
	parsed, err := engine.ParseTemplate([]byte(template))
	if err != nil {
		t.Fatal(err)
	}
	rules := []rule.Rule{{
		Assignment: name, Reference: name, Definition: name, Policy: "sha256:p", Scope: rule.Scope{Kind: rule.Platform}, Effect: rule.Deny, Enforced: true,
		Source: source, Match: rule.Match{Kinds: kinds}, Template: parsed,
	}}
	set, err := engine.Compile(t.Context(), rules, nil, nil, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	pairs := emit(t, rules, nil, nil, now)
	return &world{rules: rules, pairs: pairs, set: set, server: newServer(t, pairs, "n")}
}

// Objects without a spec can be let go of as well, and no part of them can change meanwhile.
func TestLettingGoWithoutASpec(t *testing.T) {
	w := denying(t, "no-data", noData, rule.Original, rule.GroupKinds{Groups: []string{""}, Kinds: []string{"ConfigMap"}})
	defer w.server.stop()
	deleted := func(data map[string]string, binary map[string][]byte, finalizers ...string) *corev1.ConfigMap {
		c := configMap(data)
		c.BinaryData, c.DeletionTimestamp, c.Finalizers = binary, &metav1.Time{Time: now}, finalizers
		return c
	}
	for _, c := range []struct {
		name      string
		old, is   *corev1.ConfigMap
		wantAllow bool
	}{
		{"let go", deleted(map[string]string{"a": "b"}, nil, "x/y"), deleted(map[string]string{"a": "b"}, nil), true},
		{"other data", deleted(map[string]string{"a": "b"}, nil, "x/y"), deleted(map[string]string{"a": "c"}, nil), false},
		{"one key more", deleted(map[string]string{"a": "b"}, nil, "x/y"), deleted(map[string]string{"a": "b", "c": "d"}, nil), false},
		{"one field more", deleted(map[string]string{"a": "b"}, nil, "x/y"), deleted(map[string]string{"a": "b"}, map[string][]byte{"c": []byte("d")}), false},
		{"one field less", deleted(map[string]string{"a": "b"}, map[string][]byte{"c": []byte("d")}, "x/y"), deleted(map[string]string{"a": "b"}, nil), false},
		{"not deleted", configMap(map[string]string{"a": "b"}), configMap(map[string]string{"a": "b"}), false},
	} {
		byEngine, byServer := w.both(t, request{object: c.is, old: c.old, namespace: "n", operation: admission.Update})
		if (byEngine == "") != c.wantAllow || (byServer == "") != c.wantAllow {
			t.Errorf("%s: allowed must be %v; the evaluator said %q, the API server %q", c.name, c.wantAllow, byEngine, byServer)
		}
	}
}

// noOwner refuses what makes pods without the label owner.
const noOwner = `{"apiVersion":"templates.gatekeeper.sh/v1","kind":"ConstraintTemplate","metadata":{"name":"noowner"},"spec":{"crd":{"spec":{"names":{"kind":"NoOwner"}}},
	"targets":[{"target":"admission.k8s.gatekeeper.sh","code":[{"engine":"K8sNativeValidation","source":{"validations":[{"expression":"has(object.metadata.labels) && 'owner' in object.metadata.labels","message":"owner: must be there"}]}}]}]}}`

// A rule that the old version of a workload breaks must not keep it running when the new
// one keeps the rule.
func TestAnOldVersionGetsSmaller(t *testing.T) {
	w := denying(t, "owner", noOwner, rule.All, rule.GroupKinds{Groups: []string{""}, Kinds: []string{"Pod"}}, rule.GroupKinds{Groups: []string{"apps"}, Kinds: []string{"ReplicaSet"}})
	defer w.server.stop()
	version := func(replicas int32, change ...func(*appsv1.ReplicaSet)) *appsv1.ReplicaSet {
		r := &appsv1.ReplicaSet{
			TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ReplicaSet"}, ObjectMeta: metav1.ObjectMeta{Name: "cart-1", Namespace: "n", Labels: map[string]string{"app": "cart"}},
			Spec: appsv1.ReplicaSetSpec{
				Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "cart"}},
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "cart"}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "cart", Image: "cart"}}}},
			},
		}
		for _, c := range change {
			c(r)
		}
		return r
	}
	for _, c := range []struct {
		name      string
		old, is   *appsv1.ReplicaSet
		wantAllow bool
	}{
		{"fewer pods", version(2), version(1), true},
		{"none", version(2), version(0), true},
		{"a note of the controller", version(2), version(2, func(r *appsv1.ReplicaSet) {
			r.Annotations = map[string]string{"deployment.kubernetes.io/desired-replicas": "2"}
		}), true},
		{"more pods", version(1), version(2), false},
		{"another image", version(2), version(1, func(r *appsv1.ReplicaSet) { r.Spec.Template.Spec.Containers[0].Image = "other" }), false},
		{"another delay", version(2), version(1, func(r *appsv1.ReplicaSet) { r.Spec.MinReadySeconds = 3 }), false},
		{"another label", version(2), version(1, func(r *appsv1.ReplicaSet) { r.Labels["app"] = "other" }), false},
		{"no label", version(2), version(1, func(r *appsv1.ReplicaSet) { r.Labels = nil }), false},
	} {
		byEngine, byServer := w.both(t, request{object: c.is, old: c.old, namespace: "n", operation: admission.Update})
		if (byEngine == "") != c.wantAllow || (byServer == "") != c.wantAllow {
			t.Errorf("%s: allowed must be %v; the evaluator said %q, the API server %q", c.name, c.wantAllow, byEngine, byServer)
		}
	}
	if _, byServer := w.both(t, request{object: version(1), namespace: "n", operation: admission.Create}); byServer == "" {
		t.Error("a new ReplicaSet without the label was let in")
	}
}
