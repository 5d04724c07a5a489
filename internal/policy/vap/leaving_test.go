package vap_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"

	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// noData refuses every ConfigMap that has data.
const noData = `{"apiVersion":"templates.gatekeeper.sh/v1","kind":"ConstraintTemplate","metadata":{"name":"nodata"},"spec":{"crd":{"spec":{"names":{"kind":"NoData"}}},
	"targets":[{"target":"admission.k8s.gatekeeper.sh","code":[{"engine":"K8sNativeValidation","source":{"validations":[{"expression":"!has(object.data)","message":"data: must be absent"}]}}]}]}}`

// Objects without a spec can be let go of as well, and no part of them can change meanwhile.
func TestLettingGoWithoutASpec(t *testing.T) {
	template, err := engine.ParseTemplate([]byte(noData))
	if err != nil {
		t.Fatal(err)
	}
	rules := []rule.Rule{{
		Assignment: "no-data", Reference: "no-data", Definition: "no-data", Policy: "sha256:p", Scope: rule.Scope{Kind: rule.Platform}, Effect: rule.Deny, Enforced: true,
		Source: rule.Original, Match: rule.Match{Kinds: []rule.GroupKinds{{Groups: []string{""}, Kinds: []string{"ConfigMap"}}}}, Template: template,
	}}
	set, err := engine.Compile(t.Context(), rules, nil, nil, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	pairs := emit(t, rules, nil, nil, now)
	w := &world{rules: rules, pairs: pairs, set: set, server: newServer(t, pairs, "n")}
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
