package azure

// Limits of documents.
const (
	maxMembers   = 1000
	maxOverrides = 10
	maxObjects   = 50
)

// ParseInitiative reads a policy set definition.
func ParseInitiative(raw []byte) (Initiative, error) {
	p, name, err := document(raw, "displayName", "policyType", "description", "metadata", "version", "versions", "parameters", "policyDefinitions", "policyDefinitionGroups")
	if err != nil {
		return Initiative{}, err
	}
	a, err := describe(p)
	if err != nil {
		return Initiative{}, err
	}
	out := Initiative{Name: name, Title: a.title, Description: a.description, Version: a.version, Category: a.category, Raw: raw}
	if out.Title == "" {
		out.Title = name
	}
	if out.Parameters, err = parameters(p); err != nil {
		return out, err
	}
	list, has := p.get("policyDefinitions")
	if !has {
		return out, list.wrong("the field is missing")
	}
	items, err := list.items()
	if err != nil {
		return out, err
	}
	if len(items) == 0 || len(items) > maxMembers {
		return out, list.wrong("%d definitions; from 1 to %d are allowed", len(items), maxMembers)
	}
	seen := map[string]bool{}
	for _, item := range items {
		m, err := member(item)
		if err != nil {
			return out, err
		}
		if seen[m.Reference] {
			return out, node{path: item.child("policyDefinitionReferenceId")}.wrong("the reference %q is there twice", m.Reference)
		}
		seen[m.Reference] = true
		out.Members = append(out.Members, m)
	}
	return out, nil
}

func member(n node) (Member, error) {
	f, err := n.object("policyDefinitionReferenceId", "policyDefinitionId", "definitionVersion", "parameters", "groupNames", "latestDefinitionVersion", "effectiveDefinitionVersion", "defaultVersion")
	if err != nil {
		return Member{}, err
	}
	id, err := f.need("policyDefinitionId")
	if err != nil {
		return Member{}, err
	}
	out := Member{Definition: last(id)}
	if out.Reference, err = f.text("policyDefinitionReferenceId"); err != nil {
		return out, err
	}
	if out.Reference == "" {
		out.Reference = out.Definition
	}
	if out.Version, err = f.text("definitionVersion"); err != nil {
		return out, err
	}
	out.Parameters, err = values(f)
	return out, err
}

// values reads parameters as they are given: {"effect": {"value": "Deny"}}.
func values(f fields) (map[string]any, error) {
	all, has, err := f.object("parameters")
	if err != nil || !has {
		return nil, err
	}
	out := map[string]any{}
	for name := range all.m {
		n, _ := all.get(name)
		v, err := n.object("value")
		if err != nil {
			return nil, err
		}
		value, has := v.get("value")
		if !has {
			return nil, value.wrong("the field is missing")
		}
		out[name] = value.value
	}
	return out, nil
}
