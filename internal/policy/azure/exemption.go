package azure

import (
	"strings"
	"time"

	"towpath.dev/towpath/internal/policy/rule"
)

// ParseExemption reads a policy exemption. Beside Azure's fields it takes scope, the
// assignment's when it is missing, and objects, a list of {apiGroup, kind, namespace,
// name}.
func ParseExemption(raw []byte) (Exemption, error) {
	p, name, err := document(raw, "displayName", "description", "metadata", "policyAssignmentId", "policyDefinitionReferenceIds", "exemptionCategory",
		"expiresOn", "assignmentScopeValidation", "resourceSelectors", "scope", "objects")
	if err != nil {
		return Exemption{}, err
	}
	a, err := describe(p)
	if err != nil {
		return Exemption{}, err
	}
	out := Exemption{Name: name, Title: a.title, Description: a.description, Raw: raw}
	if n, has := p.get("resourceSelectors"); has {
		if items, err := n.items(); err != nil || len(items) > 0 {
			return out, n.wrong("selectors of Azure resources are not supported; use scope and objects")
		}
	}
	for _, f := range []struct {
		key string
		to  *string
	}{{"requestedBy", &out.RequestedBy}, {"approvedBy", &out.ApprovedBy}, {"ticketRef", &out.Ticket}} {
		if *f.to, err = a.metadata.text(f.key); err != nil {
			return out, err
		}
	}
	id, err := p.need("policyAssignmentId")
	if err != nil {
		return out, err
	}
	out.Assignment = last(id)
	if out.References, err = p.texts("policyDefinitionReferenceIds"); err != nil {
		return out, err
	}
	if out.Category, err = category(p); err != nil {
		return out, err
	}
	if out.Expires, err = expiry(p); err != nil {
		return out, err
	}
	if n, has := p.get("scope"); has {
		if out.Scope, err = scope(n); err != nil {
			return out, err
		}
		out.HasScope = true
	}
	out.Objects, err = objects(p)
	return out, err
}

func category(p fields) (string, error) {
	word, err := p.need("exemptionCategory")
	if err != nil {
		return "", err
	}
	for _, c := range []string{rule.Waiver, rule.Mitigated} {
		if strings.EqualFold(word, c) {
			return c, nil
		}
	}
	return "", node{path: p.child("exemptionCategory")}.wrong("%q is not known; %s and %s are", word, rule.Waiver, rule.Mitigated)
}

func expiry(p fields) (time.Time, error) {
	text, err := p.text("expiresOn")
	if err != nil || text == "" {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, node{path: p.child("expiresOn")}.wrong("%q is not a time like 2026-05-31T23:59:00Z", text)
	}
	return t.UTC(), nil
}

func objects(p fields) ([]rule.ObjectRef, error) {
	n, has := p.get("objects")
	if !has {
		return nil, nil
	}
	items, err := n.items()
	if err != nil {
		return nil, err
	}
	// An empty list would mean everything, which nobody who writes it means.
	if len(items) == 0 || len(items) > maxObjects {
		return nil, n.wrong("%d objects; from 1 to %d are allowed, without the field the exemption holds for everything in its scope", len(items), maxObjects)
	}
	var out []rule.ObjectRef
	for _, item := range items {
		f, err := item.object("apiGroup", "kind", "namespace", "name")
		if err != nil {
			return nil, err
		}
		var o rule.ObjectRef
		if o.Kind, err = f.need("kind"); err != nil {
			return nil, err
		}
		for _, t := range []struct {
			key string
			to  *string
		}{{"apiGroup", &o.Group}, {"namespace", &o.Namespace}, {"name", &o.Name}} {
			if *t.to, err = f.text(t.key); err != nil {
				return nil, err
			}
		}
		out = append(out, o)
	}
	return out, nil
}
