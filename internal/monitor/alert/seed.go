package alert

import (
	"context"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert/recommended"
	"towpath.dev/towpath/internal/store"
)

// system is who acts when nobody asked.
func system() string { return identity.SystemActor("alert").String() }

// Seed stores the recommended rules of this version: new ones enabled, changed ones with
// what an administrator tuned, and removes those that are no more. It is called at every
// start, before Run.
func (s *Service) Seed(ctx context.Context) error {
	shipped, err := recommended.Rules()
	if err != nil {
		return err
	}
	have, err := bodies[Rule](ctx, s.DB, `SELECT body FROM alert_rule WHERE origin = ?`, Recommended)
	if err != nil {
		return err
	}
	old := map[string]Rule{}
	for _, r := range have {
		old[r.Name] = r
	}
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		var facts []event.Fact
		for _, sr := range shipped {
			before, known := old[sr.Name]
			delete(old, sr.Name)
			r := s.shipped(sr)
			what := "created"
			if known {
				what = "changed"
				r.ID, r.Created, r.Changed, r.By = before.ID, before.Created, before.Changed, before.By
				r = tunedAs(r, before)
				if same(r, before) {
					continue
				}
				r.Changed, r.By = s.Clock.Now(), system()
			}
			if err := writeRule(ctx, tx, r); err != nil {
				return err
			}
			facts = append(facts, ruleFact(r, what, system()))
		}
		for _, gone := range old {
			f, err := s.drop(ctx, tx, gone, "the rule is no longer recommended", system())
			if err != nil {
				return err
			}
			facts = append(facts, f...)
		}
		if len(facts) == 0 {
			return nil
		}
		return s.Log.Append(ctx, tx, facts...)
	})
}

// shipped makes a rule of one that is recommended.
func (s *Service) shipped(r recommended.Rule) Rule {
	now := s.Clock.Now()
	return Rule{
		ID: s.Clock.NewID(), Name: r.Name, Kind: Metric, Origin: Recommended, Query: r.Expr, Severity: r.Severity, Enabled: true,
		Summary: r.Summary, Description: r.Description, NextStep: r.NextStep, Correction: r.Correction,
		Every: Duration(s.opts.Every), For: Duration(r.For), Created: now, Changed: now, By: system(),
	}
}

// tunable are the fields of a recommended rule that may be changed.
func tunable() map[string]struct {
	get func(Rule) string
	set func(to *Rule, from Rule)
} {
	type field = struct {
		get func(Rule) string
		set func(to *Rule, from Rule)
	}
	return map[string]field{
		"enabled":         {func(r Rule) string { return map[bool]string{true: "true", false: "false"}[r.Enabled] }, func(to *Rule, from Rule) { to.Enabled = from.Enabled }},
		"severity":        {func(r Rule) string { return r.Severity }, func(to *Rule, from Rule) { to.Severity = from.Severity }},
		"every":           {func(r Rule) string { return r.Every.String() }, func(to *Rule, from Rule) { to.Every = from.Every }},
		"for":             {func(r Rule) string { return r.For.String() }, func(to *Rule, from Rule) { to.For = from.For }},
		"keep_firing_for": {func(r Rule) string { return r.KeepFiringFor.String() }, func(to *Rule, from Rule) { to.KeepFiringFor = from.KeepFiringFor }},
	}
}

// tunedAs returns a shipped rule with what was tuned of another version of it.
func tunedAs(shipped, before Rule) Rule {
	out := shipped
	out.MutedUntil = before.MutedUntil
	for name, f := range tunable() {
		if _, tuned := before.Tuned[name]; !tuned {
			continue
		}
		f.set(&out, before)
		if f.get(out) != f.get(shipped) {
			if out.Tuned == nil {
				out.Tuned = map[string]string{}
			}
			out.Tuned[name] = f.get(shipped)
		}
	}
	return out
}

// tune returns a recommended rule changed as somebody wants it, with what was shipped noted.
func tune(before, want Rule) Rule {
	out := before
	out.Tuned = map[string]string{}
	for name, f := range tunable() {
		shipped, tuned := before.Tuned[name]
		if !tuned {
			shipped = f.get(before)
		}
		f.set(&out, want)
		if f.get(out) != shipped {
			out.Tuned[name] = shipped
		}
	}
	return out
}

func same(a, b Rule) bool {
	x, err1 := encode(a)
	y, err2 := encode(b)
	return err1 == nil && err2 == nil && x == y
}

func ruleFact(r Rule, what, actor string) event.Fact {
	return event.Fact{Type: event.TypeAlertRuleChanged, Subject: event.Of(event.KindProject, r.Project), Project: r.Project, Actor: actor,
		Payload: event.AlertRuleChanged{V: 1, Rule: r.Name, What: what}}
}
