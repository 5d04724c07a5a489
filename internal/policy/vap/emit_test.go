package vap_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/policy/catalog/catalogtest"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/policy/vap"
)

// Where a rule holds, by scope, lists of namespaces and labels: both judges agree on every
// namespace.
func TestReach(t *testing.T) {
	places := []rule.Place{
		{Cluster: "embedded", Namespace: "shop-production", Project: "shop", Environment: "production"},
		{Cluster: "embedded", Namespace: "shop-test", Project: "shop", Environment: "test"},
		{Cluster: "embedded", Namespace: "mail", Project: "mail", Environment: "production"},
		{Cluster: "far", Namespace: "free", Project: "shop", Environment: "far"},
	}
	namespaces := []string{"shop-production", "shop-test", "mail", "free", "kube-system"}
	for _, c := range []struct {
		name       string
		scope      string
		not        []rule.Scope
		parameters map[string]any
		labels     map[string]string
		want       []string
	}{
		{name: "platform", scope: "platform", want: []string{"shop-production", "shop-test", "mail", "free"}},
		{name: "this cluster", scope: "cluster:embedded", want: []string{"shop-production", "shop-test", "mail", "free"}},
		{name: "another cluster", scope: "cluster:far"},
		{name: "project", scope: "project:shop", want: []string{"shop-production", "shop-test"}},
		{name: "environment", scope: "environment:shop/test", want: []string{"shop-test"}},
		{name: "unknown project", scope: "project:none"},
		{name: "platform but a project", scope: "platform", not: []rule.Scope{{Kind: rule.Project, Name: "shop"}}, want: []string{"mail", "free"}},
		{name: "project but an environment", scope: "project:shop", not: []rule.Scope{{Kind: rule.Environment, Name: "shop/test"}}, want: []string{"shop-production"}},
		{name: "platform but this cluster", scope: "platform", not: []rule.Scope{{Kind: rule.Cluster, Name: "embedded"}}},
		{name: "a list", scope: "platform", parameters: map[string]any{"namespaces": []any{"mail", "free"}}, want: []string{"mail", "free"}},
		{name: "a list in a project", scope: "project:shop", parameters: map[string]any{"namespaces": []any{"mail", "shop-test"}}, want: []string{"shop-test"}},
		{name: "asterisks", scope: "platform", parameters: map[string]any{"namespaces": []any{"shop-*", "mail"}}, want: []string{"shop-production", "shop-test", "mail"}},
		{name: "asterisks in a project", scope: "project:shop", parameters: map[string]any{"namespaces": []any{"*-test"}}, want: []string{"shop-test"}},
		{name: "left out", scope: "platform", parameters: map[string]any{"excludedNamespaces": []any{"free", "*-*"}}, want: []string{"mail"}},
		{name: "labels", scope: "platform", parameters: map[string]any{"labelSelector": map[string]any{"matchLabels": map[string]any{"tier": "web"}}}, labels: map[string]string{"tier": "web"}, want: []string{"shop-production", "shop-test", "mail", "free"}},
		{name: "other labels", scope: "platform", parameters: map[string]any{"labelSelector": map[string]any{"matchExpressions": []any{map[string]any{"key": "tier", "operator": "NotIn", "values": []any{"web"}}}}}, labels: map[string]string{"tier": "web"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules := catalogtest.Assign(t, "a", "container-no-privilege", c.scope, c.parameters)
			rules[0].NotScopes = c.not
			set, err := engine.Compile(context.Background(), rules, nil, places, func() time.Time { return now })
			if err != nil {
				t.Fatal(err)
			}
			pairs := emit(t, rules, nil, places, now)
			w := &world{rules: rules, pairs: pairs, set: set, server: newServer(t, pairs, namespaces...)}
			defer w.server.stop()
			var byEngine, byServer []string
			for _, n := range namespaces {
				pod := badPod("p", nil)
				pod.Namespace, pod.Labels = n, c.labels
				e, s := w.both(t, request{object: pod, namespace: n, operation: admission.Create})
				if e != "" {
					byEngine = append(byEngine, n)
				}
				if s != "" {
					byServer = append(byServer, n)
				}
			}
			if diff := cmp.Diff(c.want, byEngine); diff != "" {
				t.Errorf("the evaluator refuses elsewhere:\n%s", diff)
			}
			if diff := cmp.Diff(c.want, byServer); diff != "" {
				t.Errorf("the API server refuses elsewhere:\n%s", diff)
			}
		})
	}
}

// custom is a rule with a template of somebody else.
func custom(t testing.TB, reference, source string, parameters map[string]any) rule.Rule {
	t.Helper()
	raw := fmt.Sprintf(`{"apiVersion":"templates.gatekeeper.sh/v1","kind":"ConstraintTemplate","metadata":{"name":"custom%[1]s"},"spec":{
	"crd":{"spec":{"names":{"kind":"Custom%[1]s"},"validation":{"openAPIV3Schema":{"type":"object","properties":{
		"words":{"type":"array","items":{"type":"string"}},"limit":{"type":"integer","default":3},"ratio":{"type":"number"},"deep":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}}}},
	"targets":[{"target":"admission.k8s.gatekeeper.sh","code":[{"engine":"K8sNativeValidation","source":%[2]s}]}]}}`, reference, source)
	template, err := engine.ParseTemplate([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return rule.Rule{
		Assignment: "custom", Reference: reference, Definition: reference, Policy: "sha256:" + strings.Repeat("ab", 32), Scope: rule.Scope{Kind: rule.Platform},
		Effect: rule.Deny, Enforced: true, Source: rule.Original, Template: template, Parameters: parameters,
		Match: rule.Match{Kinds: []rule.GroupKinds{{Groups: []string{""}, Kinds: []string{"ConfigMap"}}}},
	}
}

// Templates of others: names that clash, parameters of every sort and defaults mean the
// same to both.
func TestProgramsOfOthers(t *testing.T) {
	parameters := map[string]any{"words": []any{"a", `b"'\\` + "\n\x00\u00e9"}, "ratio": 0.5, "deep": map[string]any{"n": []any{1.0, "x", true, nil, map[string]any{}}, "e": []any{}}}
	rules := []rule.Rule{
		custom(t, "first", `{"variables":[{"name":"found","expression":"variables.params.words.filter(w, w in object.data)"}],
			"validations":[{"expression":"size(variables.found) == 0","messageExpression":"'data: \"variables.found\" is ' + variables.found.join(', ')"}]}`, parameters),
		custom(t, "second", `{"variables":[{"name":"found","expression":"variables . params.limit"},{"name":"unused","expression":"variables.found / 0"}],
			"validations":[{"expression":"// of variables.nothing\nsize(object.data) <= variables.found","message":"data: too many"}]}`, map[string]any{}),
		custom(t, "third", `{"validations":[{"expression":"variables.params.limit == 3 && !has(variables.params.words) && variables.anyObject.data.size() < 9"}]}`, nil),
		custom(t, "fourth", `{"validations":[{"expression":"variables.params.deep.n[0] == 1 && variables.params.deep.n[1] == 'x' && variables.params.deep.n[2] && variables.params.deep.n[3] == null && variables.params.ratio == 0.5 && variables.params.limit == 3 && size(variables.params.words[1]) == 8 && !('bad' in object.data)"}]}`, parameters),
		custom(t, "fifth", `{"validations":[{"expression":"object.data.broken == ''","message":"never said"}]}`, nil),
	}
	set, err := engine.Compile(context.Background(), rules, nil, nil, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		data map[string]string
		want []string
	}{
		{map[string]string{"broken": ""}, nil},
		{map[string]string{"broken": "", "a": ""}, []string{"first"}},
		{map[string]string{"broken": "", "b": "", "c": "", "d": ""}, []string{"second"}},
		{map[string]string{"broken": "", "1": "", "2": "", "3": "", "4": "", "5": "", "6": "", "7": "", "8": "", "9": ""}, []string{"second", "third"}},
		{map[string]string{"broken": "", "bad": ""}, []string{"fourth"}},
		{map[string]string{"x": ""}, []string{"fifth"}},
	} {
		object := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "c"}, "data": catalogtest.Object(t, c.data)}
		verdicts, err := set.Review(t.Context(), rule.Review{Object: object, Operation: "CREATE", Resource: "configmaps", Place: rule.Place{Cluster: "embedded", Namespace: "n"}}, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var byEngine, byServer []string
		for _, v := range verdicts {
			if v.Refuses {
				byEngine = append(byEngine, v.Reference)
			}
		}
		// The API server says the first refusal only, so that each rule is asked alone,
		// beside others that never refuse.
		for i := range rules {
			asked := slices.Clone(rules)
			for j := range asked {
				asked[j].Enforced = i == j
			}
			s := newServer(t, emit(t, asked, nil, nil, now), "n")
			if err := s.ask(t, request{object: configMap(c.data), namespace: "n", operation: admission.Create}); err != nil {
				byServer = append(byServer, rules[i].Reference)
			}
			s.stop()
		}
		if !cmp.Equal(byEngine, c.want) || !cmp.Equal(byServer, c.want) {
			t.Errorf("%v must violate %v; the evaluator said %v, the API server %v", c.data, c.want, byEngine, byServer)
		}
	}
}

func TestEmit(t *testing.T) {
	of := func(assignment, effect string, enforced, warn bool) rule.Rule {
		r := catalogtest.Assign(t, assignment, "container-no-privilege", "platform", nil)[0]
		r.Effect, r.Enforced, r.Warn = effect, enforced, warn
		return r
	}
	rego := catalogtest.Assign(t, "b", "container-image-verdict", "platform", map[string]any{"registries": []any{"r.example"}})[0]
	unserved := of("b", rule.Deny, true, false)
	unserved.Match.Kinds = []rule.GroupKinds{{Groups: []string{"example.com"}, Kinds: []string{"Widget"}}}
	generated := of("b", rule.Deny, true, false)
	generated.Source = rule.Generated
	rules := []rule.Rule{
		of("b", rule.Deny, true, false), of("b", rule.Audit, true, true), of("b", rule.Deny, false, false),
		of("b-2", rule.Deny, true, true), of("Not A Name", rule.Deny, true, false), rego, unserved, generated,
	}
	pairs, skipped, err := vap.Emit(rules, nil, vap.Options{Cluster: "embedded", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]admissionv1.ValidationAction{}
	for _, p := range pairs {
		if p.Binding.Name != p.Policy.Name || p.Binding.Spec.PolicyName != p.Policy.Name || p.Policy.Labels[vap.Managed] != "true" || p.Binding.Labels[vap.Managed] != "true" {
			t.Errorf("policy and binding of %s do not belong together", p.Policy.Name)
		}
		if p.Policy.Spec.ParamKind != nil || p.Binding.Spec.ParamRef != nil || *p.Policy.Spec.FailurePolicy != admissionv1.Fail || *p.Policy.Spec.MatchConstraints.MatchPolicy != admissionv1.Equivalent {
			t.Errorf("%s can let a request pass unjudged", p.Policy.Name)
		}
		got[p.Policy.Name] = p.Binding.Spec.ValidationActions
	}
	deny, audit, warn := []admissionv1.ValidationAction{"Deny", "Audit"}, []admissionv1.ValidationAction{"Audit"}, []admissionv1.ValidationAction{"Warn", "Audit"}
	want := map[string][]admissionv1.ValidationAction{"towpath-b": deny, "towpath-b-3": warn, "towpath-b-4": audit, "towpath-b-2": deny, "towpath-assignment-6c4ac905c4627de9": deny}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
	var why []string
	for _, s := range skipped {
		why = append(why, s.Why)
	}
	if len(why) != 3 || !strings.Contains(why[0], "rego") || !strings.Contains(why[1], "serves none") || !strings.Contains(why[2], "workloads would make") {
		t.Errorf("skipped because of %q", why)
	}
	again, _, err := vap.Emit(rules, nil, vap.Options{Cluster: "embedded", Now: now.Add(time.Hour)})
	if err != nil || !cmp.Equal(pairs, again) {
		t.Errorf("the same rules gave other policies: %v %s", err, cmp.Diff(pairs, again))
	}
}

var update = flag.Bool("update", false, "write the files of testdata anew")

// What the initiatives look like in a cluster, to be read by people.
func TestGolden(t *testing.T) {
	w := shared(t)
	for _, p := range w.pairs {
		if p.Policy.Name != "towpath-supply-chain" {
			continue
		}
		// The digest of the policy follows every word of the catalogue.
		p.Policy = p.Policy.DeepCopy()
		p.Policy.Annotations, p.Policy.CreationTimestamp = nil, metav1.Time{}
		for i := range p.Policy.Spec.Validations {
			v := &p.Policy.Spec.Validations[i]
			v.Message, v.MessageExpression = undated(v.Message), undated(v.MessageExpression)
		}
		raw, err := json.Marshal(p.Policy)
		if err != nil {
			t.Fatal(err)
		}
		text, err := yaml.JSONToYAML(raw)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", p.Policy.Name+".yaml")
		if *update {
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func undated(s string) string {
	if i := strings.Index(s, "sha256:"); i >= 0 && i+19 <= len(s) && strings.Contains(s[:i], "policy ") {
		return s[:i+7] + "000000000000" + s[i+19:]
	}
	return s
}

func TestParseMessage(t *testing.T) {
	const kubectl = `Error from server: error when creating "pod.yaml": pods "web" is forbidden: ValidatingAdmissionPolicy 'towpath-baseline' with binding 'towpath-baseline' denied request: `
	for _, c := range []struct {
		name, text string
		want       []vap.Ref
	}{
		{"refusal", kubectl + `spec.a[name=b].c: must be x, it is "y; z"; spec.d: must be e [assignment baseline, rule privileged, policy sha256:0123456789ab] Remove it.`, []vap.Ref{{
			Object: "towpath-baseline", Assignment: "baseline", Rule: "privileged", Policy: "sha256:0123456789ab", Fix: "Remove it.",
			Violations: []rule.Violation{{Path: "spec.a[name=b].c", Message: `must be x, it is "y; z"`}, {Path: "spec.d", Message: "must be e"}}}}},
		{"audit annotation", "Privileged containers are not allowed. [assignment a, rule b, policy sha256:0123456789ab]", []vap.Ref{{
			Assignment: "a", Rule: "b", Policy: "sha256:0123456789ab", Violations: []rule.Violation{{Message: "Privileged containers are not allowed."}}}}},
		{"two lines", kubectl + "spec.a: b [assignment x, rule y, policy sha256:0123456789ab] Do this.\nWarning: Validation failed for ValidatingAdmissionPolicy 'towpath-z' with binding 'towpath-z': spec.c: d [assignment z, rule y, policy sha256:ba9876543210]", []vap.Ref{
			{Object: "towpath-baseline", Assignment: "x", Rule: "y", Policy: "sha256:0123456789ab", Fix: "Do this.", Violations: []rule.Violation{{Path: "spec.a", Message: "b"}}},
			{Object: "towpath-z", Assignment: "z", Rule: "y", Policy: "sha256:ba9876543210", Violations: []rule.Violation{{Path: "spec.c", Message: "d"}}}}},
		{"nothing of ours", "pods is forbidden: User ada cannot create pods", []vap.Ref{}},
	} {
		if diff := cmp.Diff(c.want, vap.ParseMessages(c.text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	ref, ok := vap.ParseMessage(kubectl + "expression 'x' resulted in error: no such key: y")
	if !ok || ref.Object != "towpath-baseline" || ref.Assignment != "" {
		t.Errorf("a policy that could not judge reads as %+v %v", ref, ok)
	}
	if ref, ok := vap.ParseMessage("ValidatingAdmissionPolicy 'theirs' denied request: no"); ok {
		t.Errorf("a policy of somebody else reads as %+v", ref)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add("ValidatingAdmissionPolicy 'towpath-a' with binding 'towpath-a' denied request: spec.a: b [assignment a, rule b, policy sha256:0123456789ab] c")
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range vap.ParseMessages(text) {
			if r.Assignment == "" || r.Rule == "" || !strings.HasPrefix(r.Policy, "sha256:") {
				t.Errorf("%q reads as %+v", text, r)
			}
		}
	})
}

// TestOwners keeps installations that share a cluster apart: no name of one is a name of
// the other, and each finds its own by the label's value.
func TestOwners(t *testing.T) {
	rules := catalogtest.Assign(t, "baseline", "baseline", rule.Platform, nil)
	of := func(owner string) map[string]string {
		pairs, _, err := vap.Emit(rules, nil, vap.Options{Cluster: "adopted", Owner: owner})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, p := range pairs {
			if p.Binding.Spec.PolicyName != p.Policy.Name || p.Binding.Name != p.Policy.Name {
				t.Errorf("binding %s of %s stands beside policy %s", p.Binding.Name, p.Binding.Spec.PolicyName, p.Policy.Name)
			}
			out[p.Policy.Name] = p.Policy.Labels[vap.Managed]
		}
		return out
	}
	alone, one, two := of(""), of("01aa"), of("01bb")
	for name, mark := range one {
		if _, ok := two[name]; ok || mark != "01aa" {
			t.Errorf("%s of 01aa is marked %q, and 01bb has it too: %t", name, mark, ok)
		}
		if _, ok := alone[name]; ok {
			t.Errorf("%s of 01aa is also written without an owner", name)
		}
	}
	for name, mark := range alone {
		if mark != "true" {
			t.Errorf("%s without an owner is marked %q", name, mark)
		}
	}
}
