package policy

import (
	"context"
	"slices"

	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// known refuses whoever did not say who he is.
func (s *Service) known(ctx context.Context, actor identity.Actor) error {
	if actor.Known() {
		return nil
	}
	return s.Auth.RequireAdmin(ctx, actor)
}

// Definitions returns all definitions, built-in ones too, by name. Anybody who is signed
// in may read them.
func (s *Service) Definitions(ctx context.Context, actor identity.Actor) ([]Definition, error) {
	if err := s.known(ctx, actor); err != nil {
		return nil, err
	}
	docs, err := s.documents(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	l := docs.library(s.library)
	used, err := s.users(ctx, actor, docs, l)
	if err != nil {
		return nil, err
	}
	out := []Definition{}
	for _, name := range sortedKeys(l.Definitions) {
		d, err := s.showDefinition(l, docs, l.Definitions[name])
		if err != nil {
			return nil, err
		}
		d.UsedBy = used[documentKey{azure.KindDefinition, name}]
		out = append(out, d)
	}
	return out, nil
}

// Definition returns one definition.
func (s *Service) Definition(ctx context.Context, actor identity.Actor, name string) (Definition, error) {
	all, err := s.Definitions(ctx, actor)
	if err != nil {
		return Definition{}, err
	}
	return find(all, azure.KindDefinition, name, func(d Definition) string { return d.Name })
}

func find[T any](all []T, kind, name string, of func(T) string) (out T, err error) {
	for _, v := range all {
		if of(v) == name {
			return v, nil
		}
	}
	return out, fault.New(fault.NotFound, "There is no %s %q.", kind, name)
}

func (s *Service) showDefinition(l azure.Library, docs documents, d azure.Definition) (Definition, error) {
	out := Definition{Definition: d, Document: d.Raw}
	doc, added := docs[documentKey{azure.KindDefinition, d.Name}]
	out.BuiltIn, out.Changed, out.By = !added, doc.changed, doc.actor
	t, err := l.TemplateOf(d)
	if err != nil {
		// It is shown without its program; Apply let none in without, but the catalogue
		// of another version may have had it.
		return out, nil
	}
	text, err := yaml.JSONToYAML(t.Raw)
	out.Kind, out.Engine, out.Digest, out.Program, out.Referential = t.Kind, t.Engine, t.Digest, string(text), t.Referential
	return out, err
}

// Initiatives returns all initiatives, built-in ones too, by name. Anybody who is signed
// in may read them.
func (s *Service) Initiatives(ctx context.Context, actor identity.Actor) ([]Initiative, error) {
	if err := s.known(ctx, actor); err != nil {
		return nil, err
	}
	docs, err := s.documents(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	l := docs.library(s.library)
	used, err := s.users(ctx, actor, docs, l)
	if err != nil {
		return nil, err
	}
	out := []Initiative{}
	for _, name := range sortedKeys(l.Initiatives) {
		i := l.Initiatives[name]
		doc, added := docs[documentKey{azure.KindInitiative, name}]
		out = append(out, Initiative{Initiative: i, BuiltIn: !added, Changed: doc.changed, By: doc.actor, Document: i.Raw, UsedBy: used[documentKey{azure.KindInitiative, name}]})
	}
	return out, nil
}

// Initiative returns one initiative.
func (s *Service) Initiative(ctx context.Context, actor identity.Actor, name string) (Initiative, error) {
	all, err := s.Initiatives(ctx, actor)
	if err != nil {
		return Initiative{}, err
	}
	return find(all, azure.KindInitiative, name, func(i Initiative) string { return i.Name })
}

// users tells which assignments that the actor may see use which definitions and
// initiatives.
func (s *Service) users(ctx context.Context, actor identity.Actor, docs documents, l azure.Library) (map[documentKey][]string, error) {
	out := map[documentKey][]string{}
	for _, doc := range docs.of(azure.KindAssignment) {
		a := doc.parsed.assignment
		visible, err := s.visible(ctx, actor, a.Scope)
		if err != nil {
			return nil, err
		}
		if !visible {
			continue
		}
		members := []azure.Member{{Definition: a.Target}}
		if i, ok := l.Initiatives[a.Target]; ok && a.Kind != azure.KindDefinition {
			k := documentKey{azure.KindInitiative, i.Name}
			out[k], members = append(out[k], a.Name), i.Members
		}
		for _, m := range members {
			k := documentKey{azure.KindDefinition, m.Definition}
			if !slices.Contains(out[k], a.Name) {
				out[k] = append(out[k], a.Name)
			}
		}
	}
	return out, nil
}

// visible reports whether an actor may see what has a scope: the platform's and the
// clusters' everybody who is signed in, a project's those who may read it.
func (s *Service) visible(ctx context.Context, actor identity.Actor, scope rule.Scope) (bool, error) {
	project := scope.Of()
	if project == "" {
		return true, nil
	}
	err := s.Auth.Require(ctx, actor, project, identity.Read)
	switch fault.KindOf(err) {
	case "":
		return true, nil
	case fault.NotFound, fault.Denied, fault.Unauthentic:
		return false, nil
	}
	return false, err
}

// Assignments returns the assignments that may concern a project: its own, the platform's
// and the clusters', by name. With no project it returns all that the actor may see.
func (s *Service) Assignments(ctx context.Context, actor identity.Actor, project string) ([]Assignment, error) {
	docs, err := s.readable(ctx, actor, project)
	if err != nil {
		return nil, err
	}
	set := s.Current()
	out := []Assignment{}
	for _, doc := range docs.of(azure.KindAssignment) {
		ok, err := s.concerns(ctx, actor, doc.parsed.assignment.Scope, project)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, showAssignment(doc, set))
		}
	}
	return out, nil
}

// readable returns all documents for somebody who may read the project.
func (s *Service) readable(ctx context.Context, actor identity.Actor, project string) (documents, error) {
	err := s.known(ctx, actor)
	if err == nil && project != "" {
		err = s.Auth.Require(ctx, actor, project, identity.Read)
	}
	if err != nil {
		return nil, err
	}
	return s.documents(ctx, s.DB)
}

// concerns reports whether a scope may concern a project, or, with none, may be seen.
func (s *Service) concerns(ctx context.Context, actor identity.Actor, scope rule.Scope, project string) (bool, error) {
	if project == "" {
		return s.visible(ctx, actor, scope)
	}
	return scope.Of() == "" || scope.Of() == project, nil
}

// Assignment returns one assignment.
func (s *Service) Assignment(ctx context.Context, actor identity.Actor, name string) (Assignment, error) {
	all, err := s.Assignments(ctx, actor, "")
	if err != nil {
		return Assignment{}, err
	}
	return find(all, azure.KindAssignment, name, func(a Assignment) string { return a.Name })
}

func showAssignment(doc document, set *engine.Set) Assignment {
	out := Assignment{Assignment: doc.parsed.assignment, Rules: []RuleView{}, Effect: rule.Disabled, Created: doc.created, Changed: doc.changed, By: doc.actor, Document: doc.raw}
	for _, r := range set.Rules() {
		if r.Assignment != doc.name {
			continue
		}
		out.Policy = r.Policy
		if r.Effect == rule.Deny || out.Effect == rule.Disabled {
			out.Effect = r.Effect
		}
		out.Rules = append(out.Rules, RuleView{
			Reference: r.Reference, Definition: r.Definition, Version: r.Version, Title: r.Title, Effect: r.Effect, Enforced: r.Enforced, Engine: r.Template.Engine,
			Referential: r.Template.Referential, Match: r.Match, Parameters: r.Parameters, Fix: r.Fix,
		})
	}
	return out
}

// Exemptions returns the exemptions of the assignments that may concern a project, expired
// ones too, by name. With no project it returns all that the actor may see.
func (s *Service) Exemptions(ctx context.Context, actor identity.Actor, project string) ([]Exemption, error) {
	docs, err := s.readable(ctx, actor, project)
	if err != nil {
		return nil, err
	}
	out := []Exemption{}
	for _, doc := range docs.of(azure.KindExemption) {
		e := doc.parsed.exemption
		a := docs[documentKey{azure.KindAssignment, e.Assignment}].parsed.assignment
		if !e.HasScope {
			e.Scope = a.Scope
		}
		// It is seen by those who see the assignment and what is exempt from it.
		ok := true
		for _, scope := range []rule.Scope{a.Scope, e.Scope} {
			seen, err := s.concerns(ctx, actor, scope, project)
			if err != nil {
				return nil, err
			}
			ok = ok && seen
		}
		if ok {
			out = append(out, Exemption{Exemption: e, Expired: expired(e, s.Clock.Now()), Created: doc.created, Changed: doc.changed, By: doc.actor, Document: doc.raw})
		}
	}
	return out, nil
}
