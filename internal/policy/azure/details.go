package azure

import (
	"encoding/json"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"towpath.dev/towpath/internal/policy/rule"
)

// resolve fills what the details say of a rule.
func (d Details) resolve(r *rule.Rule, params map[string]any) error {
	const path = "policyRule.then.details"
	groups, err := d.list("apiGroups", d.APIGroups, params)
	if err != nil {
		return err
	}
	kinds, err := d.list("kinds", d.Kinds, params)
	if err != nil {
		return err
	}
	for _, l := range []struct {
		name string
		list []string
	}{{"apiGroups", groups}, {"kinds", kinds}} {
		if len(l.list) == 0 || slices.Contains(l.list, "*") || l.name == "kinds" && slices.Contains(l.list, "") {
			return node{path: path + "." + l.name}.wrong("each must be named; an empty list and \"*\" are refused, because every request would be judged")
		}
	}
	r.Match.Kinds = []rule.GroupKinds{{Groups: groups, Kinds: kinds}}
	if r.Match.Namespaces, err = d.list("namespaces", d.Namespaces, params); err != nil {
		return err
	}
	if r.Match.ExcludedNamespaces, err = d.list("excludedNamespaces", d.ExcludedNamespaces, params); err != nil {
		return err
	}
	if r.Match.LabelSelector, err = selector(d.LabelSelector, params); err != nil {
		return err
	}
	values, err := evaluate(node{path: path + ".values", value: d.Values}, params)
	if err != nil {
		return err
	}
	if m, _ := values.(map[string]any); len(m) > 0 {
		r.Parameters = m
	}
	return d.circumstances(r, params)
}

// circumstances resolves warn and source.
func (d Details) circumstances(r *rule.Rule, params map[string]any) error {
	warn := node{path: "policyRule.then.details.warn", value: d.Warn}
	v, err := evaluate(warn, params)
	if err != nil {
		return err
	}
	ok := true
	if r.Warn, ok = v.(bool); !ok && v != nil {
		return warn.wrong("a boolean is expected, this is %s", typeName(v))
	}
	source := node{path: "policyRule.then.details.source", value: d.Source}
	if v, err = evaluate(source, params); err != nil {
		return err
	}
	r.Source = rule.Original
	if v == nil {
		return nil
	}
	word, err := node{path: source.path, value: v}.text()
	if err != nil {
		return err
	}
	for _, s := range []string{rule.Original, rule.Generated, rule.All} {
		if strings.EqualFold(word, s) {
			r.Source = s
			return nil
		}
	}
	return source.wrong("%q is not known; Original, Generated and All are", word)
}

// list resolves a list of texts of the details; nil when it is missing.
func (d Details) list(name string, v any, params map[string]any) ([]string, error) {
	n := node{path: "policyRule.then.details." + name, value: v}
	if v == nil {
		return nil, nil
	}
	v, err := evaluate(n, params)
	if err != nil {
		return nil, err
	}
	// An expression in a list may stand for a list of its own.
	if l, ok := v.([]any); ok {
		var flat []any
		for _, e := range l {
			if inner, ok := e.([]any); ok {
				flat = append(flat, inner...)
				continue
			}
			flat = append(flat, e)
		}
		v = append([]any{}, flat...)
	}
	out, err := node{path: n.path, value: v}.texts()
	if len(out) == 0 {
		out = nil
	}
	return out, err
}

// selector resolves a label selector; nil for one that selects everything.
func selector(v any, params map[string]any) (*metav1.LabelSelector, error) {
	n := node{path: "policyRule.then.details.labelSelector", value: v}
	v, err := evaluate(n, params)
	if err != nil || v == nil {
		return nil, err
	}
	n.value = v
	f, err := n.object("matchLabels", "matchExpressions")
	if err != nil || len(f.m) == 0 {
		return nil, err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, n.wrong("%s", err)
	}
	var out metav1.LabelSelector
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, n.wrong("the selector is not valid: %s", err)
	}
	if _, err := metav1.LabelSelectorAsSelector(&out); err != nil {
		return nil, n.wrong("the selector is not valid: %s", err)
	}
	return &out, nil
}

// checkLiterals checks what holds no expression as soon as the definition is read; what
// does is replaced by something good meanwhile.
func (d Details) checkLiterals() error {
	for _, f := range []struct {
		v    *any
		good any
	}{{&d.APIGroups, []any{""}}, {&d.Kinds, []any{"Pod"}}, {&d.Namespaces, nil}, {&d.ExcludedNamespaces, nil},
		{&d.LabelSelector, nil}, {&d.Warn, nil}, {&d.Source, nil}} {
		if pending(*f.v) {
			*f.v = f.good
		}
	}
	d.Values = nil
	var r rule.Rule
	return d.resolve(&r, nil)
}

// pending reports whether a value holds an expression.
func pending(v any) bool {
	switch v := v.(type) {
	case string:
		return isExpression(v)
	case []any:
		return slices.ContainsFunc(v, pending)
	case map[string]any:
		for _, e := range v {
			if pending(e) {
				return true
			}
		}
	}
	return false
}
