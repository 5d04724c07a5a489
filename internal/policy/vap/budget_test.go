package vap_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/admission"

	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// costly is a template of variables that cost some 800,000 each, of the 10,000,000 that the
// API server lets a policy spend on validations and messages.
func costly(t *testing.T, kind string, variables int, message bool) rule.Template {
	t.Helper()
	var declared []map[string]string
	var all []string
	for i := range variables {
		declared = append(declared, map[string]string{"name": fmt.Sprint("v", i), "expression": fmt.Sprintf(`object.data.big.contains(object.data.big + "%d")`, i)})
		all = append(all, fmt.Sprint("variables.v", i))
	}
	validation := map[string]string{"expression": "!(" + strings.Join(all, " || ") + ")"}
	if message {
		validation["messageExpression"] = strings.Join(all, " || ") + ` ? "data: a" : "data: b"`
	}
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "templates.gatekeeper.sh/v1", "kind": "ConstraintTemplate", "metadata": map[string]any{"name": strings.ToLower(kind)},
		"spec": map[string]any{"crd": map[string]any{"spec": map[string]any{"names": map[string]any{"kind": kind}}}, "targets": []any{map[string]any{
			"target": "admission.k8s.gatekeeper.sh", "code": []any{map[string]any{"engine": "K8sNativeValidation", "source": map[string]any{"variables": declared, "validations": []any{validation}}}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := engine.ParseTemplate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The evaluator computes once what rules share, and counts it for each of them, so that it
// refuses for its cost what the API server refuses for it.
func TestCostsAreCountedAsInTheAPIServer(t *testing.T) {
	for _, c := range []struct {
		name     string
		template rule.Template
		refused  bool
	}{
		{"too much", costly(t, "TooMuch", 16, false), true},
		{"not too much", costly(t, "Much", 10, false), false},
		{"too much with messages", costly(t, "MuchTwice", 10, true), true},
		{"not too much with messages", costly(t, "SomeTwice", 5, true), false},
	} {
		var rules []rule.Rule
		for _, assignment := range []string{"first", "second"} {
			rules = append(rules, rule.Rule{
				Assignment: assignment, Reference: "cost", Definition: "cost", Policy: "sha256:p", Scope: rule.Scope{Kind: rule.Platform}, Effect: rule.Deny, Enforced: true,
				Source: rule.Original, Match: rule.Match{Kinds: []rule.GroupKinds{{Groups: []string{""}, Kinds: []string{"ConfigMap"}}}}, Template: c.template,
			})
		}
		set, err := engine.Compile(t.Context(), rules, nil, nil, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		pairs := emit(t, rules, nil, nil, now)
		w := &world{rules: rules, pairs: pairs, set: set, server: newServer(t, pairs, "n")}
		byEngine, byServer := w.both(t, request{object: configMap(map[string]string{"big": strings.Repeat("b", 9000)}), namespace: "n", operation: admission.Create})
		w.server.stop()
		for who, said := range map[string]string{"the evaluator": byEngine, "the API server": byServer} {
			if (said != "") != c.refused || c.refused && !strings.Contains(said, "cost budget") {
				t.Errorf("%s: refused must be %v; %s said %.300q", c.name, c.refused, who, said)
			}
		}
		if n := strings.Count(byEngine, "cost budget"); c.refused && n != 2 {
			t.Errorf("%s: %d of two rules ran out of their budget", c.name, n)
		}
	}
}
