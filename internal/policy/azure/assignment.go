package azure

import (
	"strings"

	"towpath.dev/towpath/internal/policy/rule"
)

// ParseAssignment reads a policy assignment. Its scope is one of ours: "platform",
// "project:shop", "cluster:embedded", "environment:shop/production".
func ParseAssignment(raw []byte) (Assignment, error) {
	p, name, err := document(raw, "displayName", "description", "metadata", "policyDefinitionId", "definitionVersion", "parameters", "scope", "notScopes",
		"enforcementMode", "nonComplianceMessages", "overrides", "resourceSelectors", "latestDefinitionVersion", "effectiveDefinitionVersion")
	if err != nil {
		return Assignment{}, err
	}
	a, err := describe(p)
	if err != nil {
		return Assignment{}, err
	}
	out := Assignment{Name: name, Title: a.title, Description: a.description, Enforcement: EnforceDefault, Raw: raw}
	if n, has := p.get("resourceSelectors"); has {
		if items, err := n.items(); err != nil || len(items) > 0 {
			return out, n.wrong("selectors of Azure resources are not supported; use scope and notScopes")
		}
	}
	id, err := p.need("policyDefinitionId")
	if err != nil {
		return out, err
	}
	out.Target, out.Kind = last(id), targetKind(id)
	if out.Version, err = p.text("definitionVersion"); err != nil {
		return out, err
	}
	if out.Parameters, err = values(p); err != nil {
		return out, err
	}
	if out.Scope, err = scopeField(p); err != nil {
		return out, err
	}
	if out.NotScopes, err = notScopes(p); err != nil {
		return out, err
	}
	if out.Enforcement, err = enforcement(p); err != nil {
		return out, err
	}
	if out.Messages, err = messages(p); err != nil {
		return out, err
	}
	out.Overrides, err = overrides(p)
	return out, err
}

// targetKind tells what a policyDefinitionId names: a definition, an initiative, or, of a
// name alone, "": the initiative of the name if there is one.
func targetKind(id string) string {
	switch lower := strings.ToLower(id); {
	case strings.Contains(lower, "policysetdefinitions/"):
		return KindInitiative
	case strings.Contains(lower, "policydefinitions/"):
		return KindDefinition
	}
	return ""
}

func enforcement(p fields) (string, error) {
	word, err := p.text("enforcementMode")
	switch {
	case err != nil:
		return "", err
	case word == "" || strings.EqualFold(word, EnforceDefault):
		return EnforceDefault, nil
	case strings.EqualFold(word, DoNotEnforce):
		return DoNotEnforce, nil
	}
	return "", node{path: p.child("enforcementMode")}.wrong("%q is not known; %s and %s are", word, EnforceDefault, DoNotEnforce)
}

// ParseScope reads a scope: "platform", "project:shop", "cluster:embedded",
// "environment:shop/production".
func ParseScope(text string) (rule.Scope, error) { return scope(node{path: "scope", value: text}) }

func scope(n node) (rule.Scope, error) {
	text, err := n.text()
	if err != nil {
		return rule.Scope{}, err
	}
	kind, name, _ := strings.Cut(text, ":")
	s := rule.Scope{Kind: kind, Name: name}
	project, environment, pair := strings.Cut(name, "/")
	switch kind {
	case rule.Platform:
		if text == rule.Platform {
			return s, nil
		}
	case rule.Project, rule.Cluster:
		if names.MatchString(name) {
			return s, nil
		}
	case rule.Environment:
		if pair && names.MatchString(project) && names.MatchString(environment) {
			return s, nil
		}
	}
	return s, n.wrong("%q is not a scope; platform, project:NAME, cluster:NAME and environment:PROJECT/NAME are", text)
}

func scopeField(p fields) (rule.Scope, error) {
	n, has := p.get("scope")
	if !has {
		return rule.Scope{}, n.wrong("the field is missing")
	}
	return scope(n)
}

func notScopes(p fields) ([]rule.Scope, error) {
	n, has := p.get("notScopes")
	if !has {
		return nil, nil
	}
	items, err := n.items()
	if err != nil {
		return nil, err
	}
	var out []rule.Scope
	for _, item := range items {
		s, err := scope(item)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func messages(p fields) ([]Message, error) {
	n, has := p.get("nonComplianceMessages")
	if !has {
		return nil, nil
	}
	items, err := n.items()
	if err != nil {
		return nil, err
	}
	var out []Message
	for _, item := range items {
		f, err := item.object("message", "policyDefinitionReferenceId")
		if err != nil {
			return nil, err
		}
		var m Message
		if m.Message, err = f.need("message"); err != nil {
			return nil, err
		}
		if m.Reference, err = f.text("policyDefinitionReferenceId"); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func overrides(p fields) ([]Override, error) {
	n, has := p.get("overrides")
	if !has {
		return nil, nil
	}
	items, err := n.items()
	if err != nil {
		return nil, err
	}
	if len(items) > maxOverrides {
		return nil, n.wrong("%d overrides; at most %d are allowed", len(items), maxOverrides)
	}
	var out []Override
	for _, item := range items {
		o, err := override(item)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

func override(n node) (Override, error) {
	f, err := n.object("kind", "value", "selectors")
	if err != nil {
		return Override{}, err
	}
	kind, err := f.need("kind")
	if err != nil {
		return Override{}, err
	}
	if !strings.EqualFold(kind, "policyEffect") {
		return Override{}, node{path: f.child("kind")}.wrong("%q is not supported; policyEffect is", kind)
	}
	value, has := f.get("value")
	if !has {
		return Override{}, value.wrong("the field is missing")
	}
	var out Override
	if out.Effect, err = effectOf(value); err != nil {
		return out, err
	}
	selectors, has := f.get("selectors")
	if !has {
		return out, nil
	}
	items, err := selectors.items()
	if err != nil {
		return out, err
	}
	for _, item := range items {
		s, err := item.object("kind", "in", "notIn")
		if err != nil {
			return out, err
		}
		word, err := s.need("kind")
		if err != nil {
			return out, err
		}
		if !strings.EqualFold(word, "policyDefinitionReferenceId") {
			return out, node{path: s.child("kind")}.wrong("%q is not supported; policyDefinitionReferenceId is", word)
		}
		in, err := s.texts("in")
		if err != nil {
			return out, err
		}
		not, err := s.texts("notIn")
		if err != nil {
			return out, err
		}
		if len(in)+len(not) == 0 {
			return out, s.wrong("one of in and notIn is needed")
		}
		out.References, out.Not = append(out.References, in...), append(out.Not, not...)
	}
	return out, nil
}
