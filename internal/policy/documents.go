package policy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
)

// document is one definition, initiative, assignment or exemption as it is stored.
type document struct {
	kind, name string
	raw        json.RawMessage
	created    time.Time
	changed    time.Time
	actor      string
	ended      bool // of an exemption: its expiry was said
	parsed     parsed
}

// parsed is a document read; the field of its kind is set.
type parsed struct {
	definition azure.Definition
	initiative azure.Initiative
	assignment azure.Assignment
	exemption  azure.Exemption
}

func (d *document) parse() error {
	var err error
	switch d.kind {
	case azure.KindDefinition:
		d.parsed.definition, err = azure.ParseDefinition(d.raw)
		d.name = d.parsed.definition.Name
	case azure.KindInitiative:
		d.parsed.initiative, err = azure.ParseInitiative(d.raw)
		d.name = d.parsed.initiative.Name
	case azure.KindAssignment:
		d.parsed.assignment, err = azure.ParseAssignment(d.raw)
		d.name = d.parsed.assignment.Name
	case azure.KindExemption:
		d.parsed.exemption, err = azure.ParseExemption(d.raw)
		d.name = d.parsed.exemption.Name
	default:
		err = fmt.Errorf("the kind %q of a policy document is not known", d.kind)
	}
	return err
}

type documentKey struct{ kind, name string }

// documents are all that is stored.
type documents map[documentKey]document

// documents reads everything that is stored.
func (s *Service) documents(ctx context.Context, h store.Handle) (documents, error) {
	rows, err := h.Query(ctx, `SELECT kind, name, raw, created, changed, actor, ended FROM policy_document`)
	if err != nil {
		return nil, fmt.Errorf("reading the policies: %w", err)
	}
	defer rows.Close()
	out := documents{}
	for rows.Next() {
		var d document
		var raw string
		var created, changed, ended int64
		if err := rows.Scan(&d.kind, &d.name, &raw, &created, &changed, &d.actor, &ended); err != nil {
			return nil, fmt.Errorf("reading the policies: %w", err)
		}
		d.raw, d.created, d.changed, d.ended = json.RawMessage(raw), time.UnixMilli(created).UTC(), time.UnixMilli(changed).UTC(), ended != 0
		name := d.name
		if err := d.parse(); err != nil {
			return nil, fmt.Errorf("reading the stored %s %s: %w", d.kind, name, err)
		}
		out[documentKey{d.kind, name}] = d
	}
	return out, rows.Err()
}

// of returns the documents of a kind by name.
func (d documents) of(kind string) []document {
	var out []document
	for k, doc := range d {
		if k.kind == kind {
			out = append(out, doc)
		}
	}
	slices.SortFunc(out, func(a, b document) int { return cmp.Compare(a.name, b.name) })
	return out
}

// library is what comes with the platform and what was added.
func (d documents) library(builtIn azure.Library) azure.Library {
	out := azure.Library{Definitions: maps.Clone(builtIn.Definitions), Initiatives: maps.Clone(builtIn.Initiatives), Catalogue: builtIn.Catalogue}
	for _, doc := range d.of(azure.KindDefinition) {
		out.Definitions[doc.name] = doc.parsed.definition
	}
	for _, doc := range d.of(azure.KindInitiative) {
		out.Initiatives[doc.name] = doc.parsed.initiative
	}
	return out
}

// inForce returns the exemptions that hold at a time, of assignments that exist.
func (d documents) inForce(at time.Time) []rule.Exemption {
	out := []rule.Exemption{}
	for _, doc := range d.of(azure.KindExemption) {
		e := doc.parsed.exemption
		a, ok := d[documentKey{azure.KindAssignment, e.Assignment}]
		if !ok || expired(e, at) {
			continue
		}
		scope := e.Scope
		if !e.HasScope {
			scope = a.parsed.assignment.Scope
		}
		out = append(out, rule.Exemption{
			Name: e.Name, Assignment: e.Assignment, References: e.References, Category: e.Category, Expires: e.Expires,
			Scope: scope, Objects: e.Objects, Reason: e.Description,
		})
	}
	return out
}

func expired(e azure.Exemption, at time.Time) bool {
	return !e.Expires.IsZero() && !at.Before(e.Expires)
}

func (d documents) with(doc document) documents {
	out := maps.Clone(d)
	out[documentKey{doc.kind, doc.name}] = doc
	return out
}

func put(ctx context.Context, tx *store.Tx, d document) error {
	_, err := tx.Exec(ctx, `INSERT INTO policy_document (kind, name, raw, created, changed, actor, ended) VALUES (?,?,?,?,?,?,?)
		ON CONFLICT (kind, name) DO UPDATE SET raw = excluded.raw, changed = excluded.changed, actor = excluded.actor, ended = excluded.ended`,
		d.kind, d.name, string(d.raw), d.created.UnixMilli(), d.changed.UnixMilli(), d.actor, flag(d.ended))
	if err != nil {
		return fmt.Errorf("storing the %s %s: %w", d.kind, d.name, err)
	}
	return nil
}

func remove(ctx context.Context, tx *store.Tx, k documentKey) error {
	if _, err := tx.Exec(ctx, `DELETE FROM policy_document WHERE kind = ? AND name = ?`, k.kind, k.name); err != nil {
		return fmt.Errorf("removing the %s %s: %w", k.kind, k.name, err)
	}
	return nil
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func sameImage(a, b rule.Image) bool {
	return a.Signed == b.Signed && a.Scanned == b.Scanned && slices.Equal(a.Repositories, b.Repositories) && slices.Equal(a.Fixable, b.Fixable)
}
