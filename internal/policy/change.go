package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/store"
)

// Actions on documents, as events say them.
const (
	Created   = "created"
	Changed   = "changed"
	Deleted   = "deleted"
	Expired   = "expired"
	Unchanged = "unchanged"
)

// Apply stores a document of any of the four kinds: it is told by its fields. Definitions
// and initiatives are programs and need an administrator of the installation; for the
// others see Assign and Exempt. When the policies do not compile with it nothing is
// stored, and the error names what is wrong.
func (s *Service) Apply(ctx context.Context, actor identity.Actor, raw json.RawMessage) (Applied, error) {
	if !actor.Known() {
		return Applied{}, s.Auth.RequireAdmin(ctx, actor)
	}
	kind, err := azure.KindOf(raw)
	if err != nil {
		return Applied{}, err
	}
	return s.store(ctx, actor, kind, raw)
}

// Assign stores an assignment. One for the platform or a cluster needs an administrator of
// the installation, one for a project or an environment the role maintain in the project;
// to change one, the same is needed for the scope that it has.
func (s *Service) Assign(ctx context.Context, actor identity.Actor, raw json.RawMessage) (Applied, error) {
	return s.store(ctx, actor, azure.KindAssignment, raw)
}

// Exempt stores an exemption. For an assignment of a project it needs the role admin in
// the project, for one of the platform or a cluster an administrator of the installation.
func (s *Service) Exempt(ctx context.Context, actor identity.Actor, raw json.RawMessage) (Applied, error) {
	return s.store(ctx, actor, azure.KindExemption, raw)
}

// Unassign removes an assignment with its exemptions.
func (s *Service) Unassign(ctx context.Context, actor identity.Actor, name string) error {
	return s.drop(ctx, actor, azure.KindAssignment, name)
}

// Unexempt removes an exemption.
func (s *Service) Unexempt(ctx context.Context, actor identity.Actor, name string) error {
	return s.drop(ctx, actor, azure.KindExemption, name)
}

// Remove removes a definition or an initiative (the kind) that was added; fault.Conflict
// while something uses it.
func (s *Service) Remove(ctx context.Context, actor identity.Actor, kind, name string) error {
	return s.drop(ctx, actor, kind, name)
}

// store is the one way in which a document comes in: read, authorised, compiled, stored
// with its event, put in force.
func (s *Service) store(ctx context.Context, actor identity.Actor, kind string, raw json.RawMessage) (Applied, error) {
	if !actor.Known() {
		return Applied{}, s.Auth.RequireAdmin(ctx, actor)
	}
	now := s.Clock.Now()
	doc := document{kind: kind, raw: raw, created: now, changed: now, actor: actor.String()}
	if err := doc.parse(); err != nil {
		return Applied{}, err
	}
	s.change.Lock()
	defer s.change.Unlock()
	docs, err := s.documents(ctx, s.DB)
	if err != nil {
		return Applied{}, err
	}
	before, exists := docs[documentKey{kind, doc.name}]
	if exists {
		if err := s.mayWrite(ctx, actor, before, docs); err != nil {
			return Applied{}, err
		}
		doc.created = before.created
	}
	if err := s.mayWrite(ctx, actor, doc, docs); err != nil {
		return Applied{}, err
	}
	if err := s.sound(ctx, doc, docs); err != nil {
		return Applied{}, err
	}
	out := Applied{Kind: kind, Name: doc.name, Action: Created, Set: s.Current().Digest()}
	if exists {
		out.Action = Changed
	}
	if exists && same(before.raw, raw) {
		out.Action = Unchanged
		return out, nil
	}
	out.Set, err = s.commit(ctx, docs.with(doc), func(tx *store.Tx) error { return put(ctx, tx, doc) }, []fact{s.said(doc, docs, out.Action, actor.String())})
	return out, err
}

func (s *Service) drop(ctx context.Context, actor identity.Actor, kind, name string) error {
	if !actor.Known() {
		return s.Auth.RequireAdmin(ctx, actor)
	}
	s.change.Lock()
	defer s.change.Unlock()
	docs, err := s.documents(ctx, s.DB)
	if err != nil {
		return err
	}
	doc, ok := docs[documentKey{kind, name}]
	if !ok {
		return fault.New(fault.NotFound, "There is no %s %q that was added.", kind, name)
	}
	if err := s.mayWrite(ctx, actor, doc, docs); err != nil {
		return err
	}
	gone := []document{doc}
	if kind == azure.KindAssignment {
		// An exemption must not wait for another assignment of the same name.
		for _, e := range docs.of(azure.KindExemption) {
			if e.parsed.exemption.Assignment == name {
				gone = append(gone, e)
			}
		}
	}
	after := maps.Clone(docs)
	var facts []fact
	for _, d := range gone {
		delete(after, documentKey{d.kind, d.name})
		facts = append(facts, s.said(d, docs, Deleted, actor.String()))
	}
	_, err = s.commit(ctx, after, func(tx *store.Tx) error {
		for _, d := range gone {
			if err := remove(ctx, tx, documentKey{d.kind, d.name}); err != nil {
				return err
			}
		}
		return nil
	}, facts)
	if kind != azure.KindAssignment && kind != azure.KindExemption && fault.Is(err, fault.Invalid) {
		message, _ := fault.Public(err)
		return fault.New(fault.Conflict, "The %s %s is in use. %s", kind, name, message).WithNext("remove what uses it first")
	}
	return err
}

// fact is an event that is yet to learn the digest of the new set.
type fact struct {
	payload event.PolicyChanged
	project string
	actor   string
}

// said makes the event of a change.
func (s *Service) said(d document, docs documents, action, actor string) fact {
	project, _ := owner(d, docs)
	return fact{payload: event.PolicyChanged{V: 1, Kind: d.kind, Name: d.name, Action: action}, project: project, actor: actor}
}

// commit compiles documents, stores them with their events, and puts the set in force.
func (s *Service) commit(ctx context.Context, after documents, write func(tx *store.Tx) error, facts []fact) (digest string, err error) {
	set, err := s.compile(ctx, after)
	if err != nil {
		return "", err
	}
	err = s.DB.Tx(ctx, func(tx *store.Tx) error {
		if err := write(tx); err != nil {
			return err
		}
		out := make([]event.Fact, len(facts))
		for i, f := range facts {
			f.payload.Set = set.Digest()
			out[i] = event.Fact{Type: event.TypePolicyChanged, Subject: event.Of(event.KindProject, f.project), Project: f.project, Actor: f.actor, Payload: f.payload}
		}
		return s.Log.Append(ctx, tx, out...)
	})
	if err != nil {
		return "", err
	}
	// It is stored: it must come into force whatever becomes of the caller.
	return set.Digest(), s.swap(context.WithoutCancel(ctx), set)
}

// owner returns the project that a document belongs to, "" for the platform, and whether
// it can be told: an exemption of an assignment that does not exist belongs to nobody.
func owner(d document, docs documents) (project string, ok bool) {
	switch d.kind {
	case azure.KindAssignment:
		return d.parsed.assignment.Scope.Of(), true
	case azure.KindExemption:
		a, ok := docs[documentKey{azure.KindAssignment, d.parsed.exemption.Assignment}]
		return a.parsed.assignment.Scope.Of(), ok
	}
	return "", true
}

// mayWrite asks whether an actor may make, change or remove a document.
func (s *Service) mayWrite(ctx context.Context, actor identity.Actor, d document, docs documents) error {
	project, ok := owner(d, docs)
	switch {
	case !ok:
		if err := s.Auth.RequireAdmin(ctx, actor); err != nil {
			return err
		}
		return fault.New(fault.NotFound, "There is no assignment %q.", d.parsed.exemption.Assignment)
	case project == "":
		return s.Auth.RequireAdmin(ctx, actor)
	case d.kind == azure.KindExemption:
		return s.Auth.Require(ctx, actor, project, identity.Admin)
	}
	return s.Auth.Require(ctx, actor, project, identity.Maintain)
}

// sound checks what a document says of others.
func (s *Service) sound(ctx context.Context, d document, docs documents) error {
	_, definition := s.library.Definitions[d.name]
	_, initiative := s.library.Initiatives[d.name]
	switch {
	case d.kind == azure.KindDefinition && definition, d.kind == azure.KindInitiative && initiative:
		return fault.New(fault.Conflict, "The %s %s comes with the platform and cannot be changed.", d.kind, d.name).WithNext("give yours another name")
	case d.kind == azure.KindExemption:
		return s.soundExemption(d.parsed.exemption, docs)
	case d.kind == azure.KindDefinition:
		// A definition that nobody uses yet must compile as well.
		return s.soundDefinition(ctx, d.parsed.definition)
	}
	return nil
}

func (s *Service) soundDefinition(ctx context.Context, d azure.Definition) error {
	t, err := s.library.TemplateOf(d)
	if err == nil {
		err = engine.Check(ctx, t)
	}
	if err == nil {
		return nil
	}
	message, next := err.Error(), ""
	if fault.Is(err, fault.Invalid) {
		message, next = fault.Public(err)
	}
	return fault.New(fault.Invalid, "Definition %s: %s", d.Name, message).WithNext("%s", next)
}

func (s *Service) soundExemption(e azure.Exemption, docs documents) error {
	if expired(e, s.Clock.Now()) {
		return fault.New(fault.Invalid, "expiresOn: %s is over.", e.Expires.Format("2006-01-02 15:04 MST"))
	}
	a := docs[documentKey{azure.KindAssignment, e.Assignment}].parsed.assignment
	references := docs.library(s.library).References(a)
	for _, ref := range e.References {
		if !slices.Contains(references, ref) {
			return fault.New(fault.Invalid, "policyDefinitionReferenceIds: there is no rule %q in assignment %s.", ref, e.Assignment)
		}
	}
	return nil
}

// same reports whether two documents are the same JSON.
func same(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	if json.Compact(&x, a) != nil || json.Compact(&y, b) != nil {
		return bytes.Equal(a, b)
	}
	return bytes.Equal(x.Bytes(), y.Bytes())
}
