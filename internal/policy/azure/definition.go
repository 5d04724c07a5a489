package azure

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// ParseDefinition reads a policy definition.
func ParseDefinition(raw []byte) (Definition, error) {
	p, name, err := document(raw, "displayName", "policyType", "mode", "description", "metadata", "version", "versions", "parameters", "policyRule")
	if err != nil {
		return Definition{}, err
	}
	mode, err := p.need("mode")
	if err != nil {
		return Definition{}, err
	}
	if !strings.EqualFold(mode, Mode) {
		return Definition{}, node{path: p.child("mode")}.wrong("the mode %q is not supported; %s is", mode, Mode)
	}
	a, err := describe(p)
	if err != nil {
		return Definition{}, err
	}
	out := Definition{Name: name, Title: a.title, Description: a.description, Version: a.version, Category: a.category, Fix: a.fix, Raw: raw}
	if out.Version == "" {
		return out, node{path: p.child("version")}.wrong("the field is missing")
	}
	if out.Title == "" {
		out.Title = name
	}
	if out.Parameters, err = parameters(p); err != nil {
		return out, err
	}
	rule, has, err := p.object("policyRule", "if", "then")
	if err != nil || !has {
		return out, orMissing(err, rule)
	}
	if err := condition(rule); err != nil {
		return out, err
	}
	then, has, err := rule.object("then", "effect", "details")
	if err != nil || !has {
		return out, orMissing(err, then)
	}
	effect, has := then.get("effect")
	if !has {
		return out, effect.wrong("the field is missing")
	}
	word, err := effect.text()
	if err != nil {
		return out, err
	}
	out.Effect = word
	if !isExpression(word) {
		if _, err := effectOf(effect); err != nil {
			return out, err
		}
	}
	out.Details, err = details(then)
	return out, err
}

// orMissing is err, or that the field is missing.
func orMissing(err error, f fields) error {
	if err != nil {
		return err
	}
	return f.wrong("the field is missing")
}

// condition checks policyRule.if. In this mode it selects the kinds of clusters and
// nothing else, so that it decides nothing here.
func condition(rule fields) error {
	f, has, err := rule.object("if", "field", "in", "equals")
	if err != nil || !has {
		return orMissing(err, f)
	}
	on, err := f.need("field")
	if err != nil {
		return err
	}
	if !strings.EqualFold(on, "type") {
		return node{path: f.child("field")}.wrong("in mode %s the condition selects clusters by \"type\" only; select objects with apiGroups, kinds, namespaces and labelSelector in then.details", Mode)
	}
	in, err := f.texts("in")
	if err != nil {
		return err
	}
	one, err := f.text("equals")
	if err != nil {
		return err
	}
	if (one == "") == (len(in) == 0) {
		return f.wrong("one of equals and in is needed")
	}
	return nil
}

func details(then fields) (Details, error) {
	n, has := then.get("details")
	if !has {
		return Details{}, n.wrong("the field is missing")
	}
	if m, ok := n.value.(map[string]any); ok {
		if _, ok := m["mutationInfo"]; ok {
			return Details{}, node{path: n.child("mutationInfo")}.wrong("the effect mutate is not supported yet")
		}
		for _, old := range []string{"constraintTemplate", "constraint"} {
			if _, ok := m[old]; ok {
				return Details{}, node{path: n.child(old)}.wrong("the deprecated form with constraintTemplate and constraint is not supported; use templateInfo with apiGroups, kinds and values")
			}
		}
	}
	d, err := n.object("templateInfo", "constraintInfo", "apiGroups", "kinds", "namespaces", "excludedNamespaces", "labelSelector", "values", "warn", "source")
	if err != nil {
		return Details{}, err
	}
	out := Details{}
	if out.Template, err = templateInfo(d); err != nil {
		return out, err
	}
	if _, explicit := d.get("constraintInfo"); explicit {
		return out, constraintInfo(d, &out)
	}
	for _, f := range []struct {
		key  string
		to   *any
		need bool
	}{
		{"apiGroups", &out.APIGroups, true}, {"kinds", &out.Kinds, true}, {"namespaces", &out.Namespaces, false},
		{"excludedNamespaces", &out.ExcludedNamespaces, true}, {"labelSelector", &out.LabelSelector, false},
		{"warn", &out.Warn, false}, {"source", &out.Source, false},
	} {
		v, has := d.get(f.key)
		if !has && f.need {
			return out, v.wrong("the field is missing")
		}
		*f.to = v.value
	}
	if values, has, err := d.object("values"); err != nil {
		return out, err
	} else if has {
		out.Values = values.m
	}
	// What is no expression is checked now, the rest when the parameters are known.
	return out, out.checkLiterals()
}

// key is the end of a template's address: ".../container-no-privilege/v2/template.yaml".
var key = regexp.MustCompile(`([^/]+/v[0-9]+)/template\.ya?ml$`)

func templateInfo(d fields) (TemplateInfo, error) {
	f, has, err := d.object("templateInfo", "sourceType", "url", "content")
	if err != nil || !has {
		return TemplateInfo{}, orMissing(err, f)
	}
	kind, err := f.need("sourceType")
	if err != nil {
		return TemplateInfo{}, err
	}
	switch strings.ToLower(kind) {
	case "publicurl":
		address, err := f.need("url")
		if err != nil {
			return TemplateInfo{}, err
		}
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return TemplateInfo{}, node{path: f.child("url")}.wrong("%q is not an https address", address)
		}
		m := key.FindStringSubmatch(u.Path)
		if m == nil {
			return TemplateInfo{}, node{path: f.child("url")}.wrong("the address must end in NAME/vNUMBER/template.yaml, this is %q", address)
		}
		return TemplateInfo{URL: address, Key: m[1]}, nil
	case "base64encoded":
		content, err := f.decoded()
		return TemplateInfo{Content: content}, err
	}
	return TemplateInfo{}, node{path: f.child("sourceType")}.wrong("%q is not supported; PublicURL and Base64Encoded are", kind)
}

// decoded returns the field content out of base64.
func (f fields) decoded() ([]byte, error) {
	text, err := f.need("content")
	if err != nil {
		return nil, err
	}
	out, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, node{path: f.child("content")}.wrong("the text is not base64")
	}
	return out, nil
}

// constraintInfo reads an explicit constraint, which takes the place of apiGroups, kinds
// and what goes with them.
func constraintInfo(d fields, out *Details) error {
	for _, k := range []string{"apiGroups", "kinds", "namespaces", "excludedNamespaces", "labelSelector", "values", "source"} {
		if n, has := d.get(k); has {
			return n.wrong("the field cannot stand beside constraintInfo, which says it already")
		}
	}
	f, _, err := d.object("constraintInfo", "sourceType", "content", "url")
	if err != nil {
		return err
	}
	kind, err := f.need("sourceType")
	if err != nil {
		return err
	}
	if !strings.EqualFold(kind, "Base64Encoded") {
		return node{path: f.child("sourceType")}.wrong("%q is not supported for constraints, nothing is fetched; Base64Encoded is", kind)
	}
	content, err := f.decoded()
	if err != nil {
		return err
	}
	at := node{path: f.child("content")}
	if len(content) > MaxDocument {
		return at.wrong("the constraint is larger than %d bytes", MaxDocument)
	}
	if err := yaml.Unmarshal(content, &out.Constraint); err != nil {
		return at.wrong("the constraint is not YAML: %s", err)
	}
	if warn, has := d.get("warn"); has {
		out.Warn = warn.value
	}
	return fromConstraint(node{path: at.path, value: out.Constraint}, out)
}

// fromConstraint takes match and parameters out of a constraint.
func fromConstraint(n node, out *Details) error {
	f, err := n.object("apiVersion", "kind", "metadata", "spec")
	if err != nil {
		return err
	}
	if _, err := f.need("kind"); err != nil {
		return err
	}
	spec, has, err := f.object("spec", "match", "parameters", "enforcementAction")
	if err != nil || !has {
		return orMissing(err, spec)
	}
	match, has, err := spec.object("match", "kinds", "namespaces", "excludedNamespaces", "labelSelector", "source")
	if err != nil || !has {
		return orMissing(err, match)
	}
	if params, has, err := spec.object("parameters"); err != nil {
		return err
	} else if has {
		out.Values = params.m
	}
	out.Namespaces, out.ExcludedNamespaces = match.m["namespaces"], match.m["excludedNamespaces"]
	out.LabelSelector, out.Source = match.m["labelSelector"], match.m["source"]
	kinds, has := match.get("kinds")
	if !has {
		return kinds.wrong("the field is missing")
	}
	items, err := kinds.items()
	if err != nil {
		return err
	}
	if len(items) != 1 {
		return kinds.wrong("one entry is supported, these are %d", len(items))
	}
	pair, err := items[0].object("apiGroups", "kinds")
	if err != nil {
		return err
	}
	out.APIGroups, out.Kinds = pair.m["apiGroups"], pair.m["kinds"]
	return out.checkLiterals()
}
