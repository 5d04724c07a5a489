package azure

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// Library is what an assignment is resolved with.
type Library struct {
	Definitions map[string]Definition
	Initiatives map[string]Initiative
	Catalogue   Catalogue
}

// Resolve turns an assignment into its rules, with every parameter and expression worked
// out; disabled ones are left out. Each rule carries the digest of the whole assignment as
// resolved. An error names assignment, rule and cause.
func (l Library) Resolve(a Assignment) ([]rule.Rule, error) {
	members, params, err := l.members(a)
	if err != nil {
		return nil, a.wrong("", err)
	}
	if err := a.knows(members); err != nil {
		return nil, a.wrong("", err)
	}
	out := []rule.Rule{}
	for _, m := range members {
		r, on, err := l.rule(a, m, params)
		if err != nil {
			return nil, a.wrong(m.Reference, err)
		}
		if on {
			out = append(out, r)
		}
	}
	digest, err := sum(out)
	if err != nil {
		return nil, a.wrong("", err)
	}
	for i := range out {
		out[i].Policy = digest
	}
	return out, nil
}

// wrong says which assignment and rule an error is about, and keeps its kind.
func (a Assignment) wrong(reference string, err error) error {
	about := "Assignment " + a.Name
	if reference != "" {
		about += ", rule " + reference
	}
	if !fault.Is(err, fault.Invalid) {
		return fmt.Errorf("%s: %w", about, err)
	}
	message, next := fault.Public(err)
	return fault.New(fault.Invalid, "%s: %s", about, message).WithNext("%s", next)
}

// members returns the definitions that an assignment uses, with the initiative's
// parameters bound; for a definition alone it is its only member.
func (l Library) members(a Assignment) ([]Member, map[string]any, error) {
	initiative, found := l.Initiatives[a.Target]
	if found && a.Kind != KindDefinition {
		if err := pinned(a.Version, initiative.Version, "initiative "+a.Target); err != nil {
			return nil, nil, err
		}
		params, err := bind(initiative.Parameters, a.Parameters, "parameters")
		return initiative.Members, params, err
	}
	if _, found := l.Definitions[a.Target]; !found || a.Kind == KindInitiative {
		what := "definition or initiative"
		if a.Kind != "" {
			what = a.Kind
		}
		return nil, nil, fault.New(fault.Invalid, "There is no %s %q.", what, a.Target).WithNext("add it first: towpath policy apply FILE")
	}
	return []Member{{Reference: a.Target, Definition: a.Target, Version: a.Version, Parameters: a.Parameters}}, map[string]any{}, nil
}

// knows checks that every reference that the assignment names exists.
func (a Assignment) knows(members []Member) error {
	check := func(path, ref string) error {
		if slices.ContainsFunc(members, func(m Member) bool { return m.Reference == ref }) {
			return nil
		}
		return node{path: path}.wrong("there is no rule %q in %s", ref, a.Target)
	}
	for i, m := range a.Messages {
		if m.Reference == "" {
			continue
		}
		if err := check(fmt.Sprintf("nonComplianceMessages[%d].policyDefinitionReferenceId", i), m.Reference); err != nil {
			return err
		}
	}
	for i, o := range a.Overrides {
		for _, ref := range append(slices.Clone(o.References), o.Not...) {
			if err := check(fmt.Sprintf("overrides[%d].selectors", i), ref); err != nil {
				return err
			}
		}
	}
	return nil
}

// References lists the references of the rules of an assignment, in order; nil when its
// target does not exist.
func (l Library) References(a Assignment) []string {
	if i, ok := l.Initiatives[a.Target]; ok && a.Kind != KindDefinition {
		out := make([]string, len(i.Members))
		for n, m := range i.Members {
			out[n] = m.Reference
		}
		return out
	}
	if _, ok := l.Definitions[a.Target]; ok {
		return []string{a.Target}
	}
	return nil
}

// TemplateOf finds the template of a definition: in the definition itself or in the
// catalogue.
func (l Library) TemplateOf(d Definition) (rule.Template, error) { return l.template(d) }

// rule resolves one member; on is false when it is disabled.
func (l Library) rule(a Assignment, m Member, outer map[string]any) (r rule.Rule, on bool, err error) {
	d, found := l.Definitions[m.Definition]
	if !found {
		return r, false, fault.New(fault.Invalid, "There is no definition %q.", m.Definition).WithNext("add it first: towpath policy apply FILE")
	}
	if err := pinned(m.Version, d.Version, "definition "+d.Name); err != nil {
		return r, false, err
	}
	given := m.Parameters
	// Of a definition assigned by itself the values are literals already.
	if len(given) > 0 && a.Target != m.Definition {
		v, err := evaluate(node{path: "parameters", value: given}, outer)
		if err != nil {
			return r, false, err
		}
		given, _ = v.(map[string]any)
	}
	params, err := bind(d.Parameters, given, "parameters")
	if err != nil {
		return r, false, err
	}
	effect, err := a.effect(m.Reference, d, params)
	if err != nil || effect == rule.Disabled {
		return r, false, err
	}
	r = rule.Rule{
		Assignment: a.Name, Reference: m.Reference, Definition: d.Name, Version: d.Version, Title: d.Title, Scope: a.Scope, NotScopes: a.NotScopes,
		Effect: effect, Enforced: a.Enforcement != DoNotEnforce, Message: a.message(m.Reference), Fix: d.Fix,
	}
	if err := d.Details.resolve(&r, params); err != nil {
		return r, false, err
	}
	r.Template, err = l.template(d)
	if err == nil && d.Details.Constraint != nil && d.Details.Constraint["kind"] != r.Template.Kind {
		err = node{path: "constraintInfo"}.wrong("the constraint is of kind %v, the template of kind %s", d.Details.Constraint["kind"], r.Template.Kind)
	}
	return r, err == nil, err
}

// effect is the definition's effect with the parameters, or that of the last override that
// names the rule.
func (a Assignment) effect(reference string, d Definition, params map[string]any) (string, error) {
	at := node{path: "policyRule.then.effect", value: d.Effect}
	v, err := evaluate(at, params)
	if err != nil {
		return "", err
	}
	effect, err := effectOf(node{path: at.path, value: v})
	if err != nil {
		return "", err
	}
	for _, o := range a.Overrides {
		if (len(o.References) == 0 || slices.Contains(o.References, reference)) && !slices.Contains(o.Not, reference) {
			effect = o.Effect
		}
	}
	return effect, nil
}

// effectOf reads an effect, without regard to case.
func effectOf(n node) (string, error) {
	word, err := n.text()
	if err != nil {
		return "", err
	}
	lower := strings.ToLower(word)
	switch lower {
	case rule.Audit, rule.Deny, rule.Disabled:
		return lower, nil
	case "mutate":
		return "", n.wrong("the effect mutate is not supported yet")
	}
	return "", n.wrong("the effect %q is not known; audit, deny and disabled are", word)
}

func (a Assignment) message(reference string) string {
	out := ""
	for _, m := range a.Messages {
		switch m.Reference {
		case reference:
			return m.Message
		case "":
			out = m.Message
		}
	}
	return out
}

// template finds the template of a definition.
func (l Library) template(d Definition) (rule.Template, error) {
	info := d.Details.Template
	if info.Key == "" {
		t, err := engine.ParseTemplate(info.Content)
		if err != nil {
			return t, node{path: "policyRule.then.details.templateInfo.content"}.wrong("%s", err)
		}
		return t, nil
	}
	if l.Catalogue != nil {
		if t, ok := l.Catalogue.Template(info.Key); ok {
			return t, nil
		}
	}
	return rule.Template{}, fault.New(fault.Invalid, "The template %q of definition %s (%s) is not in the catalogue; templates are never fetched.", info.Key, d.Name, info.URL).
		WithNext("give the template in the definition: templateInfo with sourceType Base64Encoded and content")
}

// pinned checks a version pin, "9.*.*" or "1.2.*" with an optional suffix "-preview".
func pinned(pin, version, what string) error {
	if pin == "" {
		return nil
	}
	want, wantSuffix, _ := strings.Cut(pin, "-")
	have, haveSuffix, _ := strings.Cut(version, "-")
	w, h := strings.Split(want, "."), strings.Split(have, ".")
	ok := len(w) == 3 && len(h) == 3 && (wantSuffix == haveSuffix || wantSuffix == "")
	for i := 0; ok && i < 3; i++ {
		ok = w[i] == "*" || w[i] == h[i]
	}
	if ok {
		return nil
	}
	return node{path: "definitionVersion"}.wrong("%q does not select the version %q of %s", pin, version, what)
}

// sum is the digest of an assignment as resolved.
func sum(rules []rule.Rule) (string, error) {
	text, err := json.Marshal(rules)
	if err != nil {
		return "", fmt.Errorf("making the digest of the assignment: %w", err)
	}
	d := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(d[:]), nil
}
