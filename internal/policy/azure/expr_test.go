package azure_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/rule"
)

// value resolves a definition with an expression as one of its values.
func value(t *testing.T, expression string) (any, error) {
	t.Helper()
	quoted, err := json.Marshal(expression)
	if err != nil {
		t.Fatal(err)
	}
	d, err := azure.ParseDefinition(fmt.Appendf(nil, `{"name":"d","mode":"Microsoft.Kubernetes.Data","version":"1.0.0",
		"parameters":{"effect":{"type":"String","defaultValue":"Deny"},"list":{"type":"Array","defaultValue":["a","b"]},"number":{"type":"Integer","defaultValue":3},
			"flag":{"type":"Boolean","defaultValue":true},"object":{"type":"Object","defaultValue":{"inner":{"deep":[1]}}}},
		"policyRule":{"if":{"field":"type","equals":"x"},"then":{"effect":"[parameters('effect')]","details":{
			"templateInfo":{"sourceType":"PublicURL","url":"https://catalog.towpath.dev/container-no-privilege/v2/template.yaml"},
			"apiGroups":[""],"kinds":["Pod"],"excludedNamespaces":[],"values":{"v":%s}}}}}`, quoted))
	if err != nil {
		return nil, err
	}
	l := azure.Library{Definitions: map[string]azure.Definition{"d": d}, Catalogue: known(t)}
	rules, err := l.Resolve(azure.Assignment{Name: "a", Target: "d", Scope: rule.Scope{Kind: rule.Platform}})
	if err != nil {
		return nil, err
	}
	return rules[0].Parameters["v"], nil
}

func TestExpressions(t *testing.T) {
	for expression, want := range map[string]any{
		"plain":                                            "plain",
		"[[not one]":                                       "[not one]",
		"[parameters('effect')]":                           "Deny",
		"[ Parameters( 'EFFECT' ) ]":                       "Deny",
		"[parameters('list')]":                             []any{"a", "b"},
		"[parameters('object').inner.deep]":                []any{1.0},
		"[concat('a', parameters('effect'))]":              "aDeny",
		"[concat(parameters('list'), parameters('list'))]": []any{"a", "b", "a", "b"},
		"[if(equals(parameters('effect'),'Disabled'),'Disabled','DeployIfNotExists')]": "DeployIfNotExists",
		"[if(equals(parameters('effect'), 'Deny'), parameters('number'), 0)]":          3.0,
		"[if(parameters('flag'), 'it''s', '')]":                                        "it's",
		"[equals(parameters('list'), concat(parameters('list')))]":                     true,
		"[equals(true(), false())]":                                                    false,
		"[-2]":                                                                         -2.0,
	} {
		got, err := value(t, expression)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", expression, err, diff)
		}
	}
	for expression, want := range map[string]string{
		"[parameters('nothing')]":           `no parameter "nothing"`,
		"[toLower('A')]":                    "function toLower is not supported",
		"[parameters('effect')":             "", // No expression: a text that begins with a bracket.
		"[parameters('effect') x]":          "left over",
		"[parameters('effect']":             "closing parenthesis is missing",
		"[parameters(1)]":                   "parameters takes one text",
		"[if('a','b','c')]":                 "if takes a boolean",
		"[equals('a')]":                     "equals takes two values",
		"[concat('a', parameters('list'))]": "not both",
		"[concat(1)]":                       "concat takes texts",
		"['a]":                              "no closing quote",
		"[effect]":                          "is not a call",
		"[]":                                "a value is missing",
		"[parameters('object').nothing]":    `no property "nothing"`,
		"[parameters('effect').x]":          "is asked of a text",
		"[" + strings.Repeat("concat(", 50) + "'a'" + strings.Repeat(")", 50) + "]": "nested more than",
	} {
		got, err := value(t, expression)
		switch {
		case want == "" && err == nil && got == expression:
		case err == nil:
			t.Errorf("%s = %v", expression, got)
		case !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "policyRule.then.details.values.v"):
			t.Errorf("%s: %v does not say %q", expression, err, want)
		}
	}
}
