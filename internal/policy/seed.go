package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
)

// Names of the assignments that every installation begins with.
const (
	Baseline    = "baseline"
	SupplyChain = "supply-chain"
)

// excluded are the namespaces of Kubernetes and of the platform, which must start before
// anything can judge.
var excluded = []any{"kube-system", "kube-public", "kube-node-lease", "towpath-system"}

// Seed puts what is stored in force; at the very first start it makes the assignments
// baseline (refuses) and supply-chain (says so only) before. An administrator who removes
// them has removed them: they do not come back. It must be called before anything asks.
func (s *Service) Seed(ctx context.Context) error {
	err := s.DB.Tx(ctx, func(tx *store.Tx) error {
		r, err := tx.Exec(ctx, `INSERT INTO policy_seed (name, made) VALUES ('assignments', ?) ON CONFLICT (name) DO NOTHING`, s.Clock.Now().UnixMilli())
		if err != nil {
			return fmt.Errorf("making the first assignments: %w", err)
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return err
		}
		actor := identity.SystemActor("policy").String()
		for _, a := range s.firstAssignments() {
			doc, err := s.first(a, actor)
			if err != nil {
				return err
			}
			if err := put(ctx, tx, doc); err != nil {
				return err
			}
			fact := event.Fact{Type: event.TypePolicyChanged, Subject: event.Of(event.KindProject, ""), Actor: actor,
				Payload: event.PolicyChanged{V: 1, Kind: azure.KindAssignment, Name: doc.name, Action: Created}}
			if err := s.Log.Append(ctx, tx, fact); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.Reload(ctx)
}

func (s *Service) firstAssignments() []map[string]any {
	value := func(v any) map[string]any { return map[string]any{"value": v} }
	registries := make([]any, len(s.opts.Registries))
	for i, r := range s.opts.Registries {
		registries[i] = r
	}
	return []map[string]any{
		{"name": Baseline, "properties": map[string]any{
			"displayName": "Pod Security Standards, baseline", "description": "What no workload may do that the platform has no reason to trust.",
			"policyDefinitionId": "/providers/Microsoft.Authorization/policySetDefinitions/baseline", "scope": rule.Platform,
			"parameters": map[string]any{"effect": value("Deny"), "excludedNamespaces": value(excluded)},
		}},
		{"name": SupplyChain, "properties": map[string]any{
			"displayName": "Supply chain", "description": "Images of this installation's registry, by digest, signed by its pipelines, scanned, without a critical finding that has a fix.",
			"policyDefinitionId": "/providers/Microsoft.Authorization/policySetDefinitions/supply-chain", "scope": rule.Platform,
			"parameters": map[string]any{"effect": value("Audit"), "excludedNamespaces": value(excluded), "registries": value(registries)},
		}},
	}
}

func (s *Service) first(a map[string]any, actor string) (document, error) {
	raw, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return document{}, fmt.Errorf("encoding an assignment: %w", err)
	}
	now := s.Clock.Now()
	doc := document{kind: azure.KindAssignment, raw: raw, created: now, changed: now, actor: actor}
	return doc, doc.parse()
}

// sweep is how often expiry is looked for when nothing is known to expire sooner: other
// processes may have added some.
const sweep = time.Minute

// retry is when a set that did not compile is tried again.
const retry = time.Second

// Run compiles the set again when places have changed, and watches exemptions expire, until ctx
// ends: the set is compiled without them, and the logbook says so. Between two compilations the
// engine does not honour them either.
func (s *Service) Run(ctx context.Context) error {
	for {
		changed := s.Changed()
		wait, err := s.expire(ctx)
		if err != nil && ctx.Err() == nil {
			s.Logger.Error("looking for exemptions that have expired", "error", err)
			wait = sweep
		}
		if s.moved.Swap(false) {
			if err := s.Reload(ctx); err != nil && ctx.Err() == nil {
				s.Logger.Error("compiling the policies for the places as they are now", "error", err, "retry_in", retry)
				s.moved.Store(true)
				wait = retry
			}
		}
		t := time.NewTimer(min(wait, sweep))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-changed:
			t.Stop()
		case <-s.look:
			t.Stop()
		case <-t.C:
		}
	}
}

// expire takes out the exemptions that have expired and returns how long it is to the next.
func (s *Service) expire(ctx context.Context) (next time.Duration, err error) {
	s.change.Lock()
	defer s.change.Unlock()
	docs, err := s.documents(ctx, s.DB)
	if err != nil {
		return 0, err
	}
	now := s.Clock.Now()
	next = sweep
	after := maps.Clone(docs)
	var gone []document
	var facts []fact
	for k, doc := range docs {
		e := doc.parsed.exemption
		if k.kind != azure.KindExemption || doc.ended || e.Expires.IsZero() {
			continue
		}
		if !expired(e, now) {
			next = min(next, e.Expires.Sub(now))
			continue
		}
		doc.ended = true
		after[k] = doc
		gone = append(gone, doc)
		facts = append(facts, s.said(doc, docs, Expired, identity.SystemActor("policy").String()))
	}
	if len(gone) == 0 {
		return next, nil
	}
	_, err = s.commit(ctx, after, func(tx *store.Tx) error {
		for _, doc := range gone {
			if err := put(ctx, tx, doc); err != nil {
				return err
			}
		}
		return nil
	}, facts)
	return next, err
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
