package policy

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/policy/rule"
	"towpath.dev/towpath/internal/store"
)

// Limits of what is recorded.
const (
	maxBody     = 1 << 20 // of a decision; larger ones are kept without compliant verdicts
	maxVerdicts = 50      // in an event
	maxText     = 600     // of a message in an event
)

// RecordRefusal records a refusal that somebody else made (the API server by itself) under
// a key, once: with a key that is known it returns the decision recorded then, and false.
func (s *Service) RecordRefusal(ctx context.Context, key string, d Decision) (Decision, bool, error) {
	if key == "" {
		return Decision{}, false, fmt.Errorf("recording a refusal: it has no key")
	}
	if d.Time.IsZero() {
		d.Time = s.Clock.Now()
	}
	if d.Set == "" {
		d.Set = s.Current().Digest()
	}
	return s.record(ctx, "key:"+key, d)
}

// record stores a decision with its event, and reports whether it did: a decision under
// the same key is recorded once.
func (s *Service) record(ctx context.Context, key string, d Decision) (Decision, bool, error) {
	d.ID = s.Clock.NewID()
	if key == "" {
		key = "id:" + d.ID
	}
	body, err := bodyOf(d)
	if err != nil {
		return Decision{}, false, err
	}
	fresh := true
	err = s.DB.Tx(ctx, func(tx *store.Tx) error {
		r, err := tx.Exec(ctx, `INSERT INTO policy_decision (id, once, made, point, allowed, project, environment, run, commit_sha, pull, body)
			VALUES (?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (once) DO NOTHING`, d.ID, key, d.Time.UnixMilli(), d.Point, flag(d.Allowed), d.Project, d.Environment,
			d.Run, d.Commit, d.Pull, body)
		if err != nil {
			return fmt.Errorf("recording decision %s: %w", d.ID, err)
		}
		n, err := r.RowsAffected()
		if err != nil {
			return fmt.Errorf("recording decision %s: %w", d.ID, err)
		}
		if fresh = n > 0; !fresh {
			return nil
		}
		return s.Log.Append(ctx, tx, decided(d))
	})
	if err != nil || fresh {
		return d, fresh, err
	}
	known, err := s.decision(ctx, `once = ?`, key)
	return known, false, err
}

// bodyOf encodes a decision; a very large one without its compliant verdicts.
func bodyOf(d Decision) (string, error) {
	text, err := json.Marshal(d)
	if err == nil && len(text) > maxBody {
		objects := make([]Judged, len(d.Objects))
		for i, o := range d.Objects {
			objects[i] = o
			objects[i].Verdicts = []Located{}
			for _, v := range o.Verdicts {
				if v.Outcome != rule.Compliant {
					objects[i].Verdicts = append(objects[i].Verdicts, v)
				}
			}
		}
		d.Objects = objects
		text, err = json.Marshal(d)
	}
	if err != nil {
		return "", fmt.Errorf("encoding decision %s: %w", d.ID, err)
	}
	return string(text), nil
}

// decided makes the event of a decision.
func decided(d Decision) event.Fact {
	p := event.DecisionMade{
		V: 1, Decision: d.ID, Point: d.Point, Allowed: d.Allowed, Environment: d.Environment, Input: d.Input, Set: d.Set, Run: d.Run, Commit: d.Commit, Pull: d.Pull,
		Object: fmt.Sprintf("%d objects", len(d.Objects)),
	}
	if len(d.Objects) == 1 {
		p.Object = d.Objects[0].title()
	}
	// What refuses comes first, so that the limit never hides it.
	for _, refuses := range []bool{true, false} {
		for _, o := range d.Objects {
			for _, v := range o.Verdicts {
				if v.Refuses == refuses && v.Outcome != rule.Compliant {
					p.Verdicts = append(p.Verdicts, said(o, v)...)
				}
			}
		}
	}
	if len(p.Verdicts) > maxVerdicts {
		p.Verdicts = p.Verdicts[:maxVerdicts]
	}
	f := event.Fact{Type: event.TypeDecisionMade, Subject: event.Of(event.KindDecision, d.ID), Project: d.Project, Actor: d.Actor, Payload: p}
	if f.Actor == "" {
		f.Actor = identity.SystemActor("policy").String()
	}
	for _, j := range d.Judges {
		f.Links = append(f.Links, event.Link{Rel: event.RelJudges, To: j})
	}
	return f
}

// title names an object: "Deployment shop/cart".
func (j Judged) title() string {
	if j.Namespace == "" {
		return j.Kind + " " + j.Name
	}
	return j.Kind + " " + j.Namespace + "/" + j.Name
}

// said turns a verdict into an event's, one for each violation.
func said(o Judged, v Located) []event.Verdict {
	base := event.Verdict{Assignment: v.Assignment, Rule: v.Reference, Policy: v.Policy, Outcome: v.Outcome, Object: o.title(), Message: clip(v.Why), Fix: clip(v.Fix)}
	if len(v.Violations) == 0 {
		return []event.Verdict{base}
	}
	out := make([]event.Verdict, len(v.Violations))
	for i, x := range v.Violations {
		out[i] = base
		out[i].Path, out[i].Message = clip(x.Path), clip(x.Message)
		if i < len(v.At) {
			out[i].File, out[i].Line = clip(v.At[i].File), v.At[i].Line
		}
	}
	return out
}

func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

// Decision returns one recorded decision. A project's needs read of the project, others an
// administrator of the installation.
func (s *Service) Decision(ctx context.Context, actor identity.Actor, id string) (Decision, error) {
	if !actor.Known() {
		return Decision{}, s.Auth.RequireAdmin(ctx, actor)
	}
	d, err := s.decision(ctx, `id = ?`, id)
	if err != nil {
		return Decision{}, err
	}
	if err := s.maySee(ctx, actor, d.Project); err != nil {
		return Decision{}, noDecision(id)
	}
	return d, nil
}

func noDecision(id string) error { return fault.New(fault.NotFound, "There is no decision %q.", id) }

// maySee asks for read of a project, or for an administrator where there is none.
func (s *Service) maySee(ctx context.Context, actor identity.Actor, project string) error {
	if project == "" {
		return s.Auth.RequireAdmin(ctx, actor)
	}
	return s.Auth.Require(ctx, actor, project, identity.Read)
}

func (s *Service) decision(ctx context.Context, where, arg string) (Decision, error) {
	var body string
	err := s.DB.QueryRow(ctx, `SELECT body FROM policy_decision WHERE `+where, arg).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return Decision{}, noDecision(arg)
	}
	var d Decision
	if err == nil {
		err = json.Unmarshal([]byte(body), &d)
	}
	if err != nil {
		return Decision{}, fmt.Errorf("reading decision %s: %w", arg, err)
	}
	return d, nil
}

// Decisions returns recorded decisions, newest first. Those of a project need read of it,
// all of them an administrator of the installation.
func (s *Service) Decisions(ctx context.Context, actor identity.Actor, f DecisionFilter) ([]Decision, error) {
	if err := s.maySee(ctx, actor, f.Project); err != nil {
		return nil, err
	}
	where, args := f.where()
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	rows, err := s.DB.Query(ctx, `SELECT body FROM policy_decision WHERE `+where+` ORDER BY id DESC LIMIT ?`, append(args, min(limit, 500))...)
	if err != nil {
		return nil, fmt.Errorf("reading decisions: %w", err)
	}
	defer rows.Close()
	out := []Decision{}
	for rows.Next() {
		var body string
		if err := rows.Scan(&body); err != nil {
			return nil, fmt.Errorf("reading decisions: %w", err)
		}
		var d Decision
		if err := json.Unmarshal([]byte(body), &d); err != nil {
			return nil, fmt.Errorf("reading decisions: %w", err)
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

func (f DecisionFilter) where() (string, []any) {
	where, args := "1 = 1", []any{}
	add := func(cond string, arg any) {
		where += " AND " + cond
		args = append(args, arg)
	}
	for _, c := range []struct{ col, val string }{{"project", f.Project}, {"environment", f.Environment}, {"point", f.Point}, {"commit_sha", f.Commit}} {
		if c.val != "" {
			add(c.col+" = ?", c.val)
		}
	}
	for _, c := range []struct {
		col string
		val int64
	}{{"run", f.Run}, {"pull", f.Pull}} {
		if c.val != 0 {
			add(c.col+" = ?", c.val)
		}
	}
	if f.Allowed != nil {
		add("allowed = ?", flag(*f.Allowed))
	}
	if f.Before != "" {
		add("id < ?", f.Before)
	}
	return where, args
}
