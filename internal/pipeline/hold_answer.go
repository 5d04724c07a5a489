package pipeline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/store"
)

// Hold is a check at the gate of a stage, as people see it.
type Hold struct {
	check.Entry
	Name   string   `json:"name"`            // of the check, for people
	For    string   `json:"for"`             // the resource: "environment/production"
	Waits  []string `json:"waits,omitempty"` // for whom or what: "user:ada", "role:maintain"
	Mine   bool     `json:"mine,omitempty"`  // the actor who asks may answer now
	Repo   string   `json:"repo"`
	Ref    string   `json:"ref"`
	Commit string   `json:"commit"`
	RunOf  string   `json:"change"` // first line of the commit's message
}

// Holds lists what holds stages of a project's runs now, oldest first, at most 500. It
// needs the read role.
func (s *Service) Holds(ctx context.Context, a identity.Actor, project string) ([]Hold, error) {
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	entries, err := loadEntries(ctx, s.db, `id IN (SELECT id FROM pipeline_entry WHERE project = ? AND status = ? ORDER BY id LIMIT 500)`, project, string(check.Waiting))
	if err != nil {
		return nil, err
	}
	return s.showHolds(ctx, a, project, entries)
}

// RunChecks lists every check that has stood at a gate of a run, also those that are over,
// in the order in which they came. It needs the read role.
func (s *Service) RunChecks(ctx context.Context, a identity.Actor, n int64) ([]Hold, error) {
	r, err := s.authorized(ctx, a, n, identity.Read)
	if err != nil {
		return nil, err
	}
	entries, err := loadEntries(ctx, s.db, `run = ?`, n)
	if err != nil {
		return nil, err
	}
	return s.showHolds(ctx, a, r.Project, entries)
}

// heldBy is whom or what the checks of a held stage wait for.
func (s *Service) heldBy(ctx context.Context, n int64, st stageRow) ([]string, error) {
	entries, err := loadEntries(ctx, s.db, `run = ? AND stage = ? AND attempt = ? AND status = ?`, n, st.name, st.attempt, string(check.Waiting))
	if err != nil {
		return nil, err
	}
	out := []string{}
	for _, e := range entries {
		for _, who := range e.Waits(s.clock.Now()) {
			if !slices.Contains(out, who) {
				out = append(out, who)
			}
		}
	}
	return out, nil
}

func (s *Service) showHolds(ctx context.Context, a identity.Actor, project string, entries []*check.Entry) ([]Hold, error) {
	now, voter := s.clock.Now(), s.voter(ctx, a, project)
	runs := map[int64]*runRow{}
	out := make([]Hold, 0, len(entries))
	for _, e := range entries {
		r := runs[e.Run]
		if r == nil {
			row, err := scanRun(s.db.QueryRow(ctx, `SELECT `+runColumns+` FROM pipeline_run WHERE number = ?`, e.Run))
			if err != nil {
				return nil, fmt.Errorf("reading run %d: %w", e.Run, err)
			}
			r = &row
			runs[e.Run] = r
		}
		h := Hold{
			Entry: *e, Name: e.Name(), For: e.Resource.Path(), Waits: e.Waits(now), Repo: r.Repo, Ref: r.Ref, Commit: r.Commit, RunOf: r.Title,
		}
		switch {
		case e.Type == check.Permission && e.Status == check.Waiting:
			h.Mine = s.auth.Require(ctx, a, e.Resource.Project, identity.Maintain) == nil
		case a.Kind == identity.KindUser && a.Cap >= identity.Write:
			h.Mine = e.May(voter, now)
		}
		out = append(out, h)
	}
	return out, nil
}

// voter is an actor as approvals see him. His token's scope has been looked at before.
func (s *Service) voter(ctx context.Context, a identity.Actor, project string) check.Voter {
	a.Cap = identity.Admin
	return check.Voter{Name: a.Name, Has: func(r identity.Role) bool { return s.auth.Require(ctx, a, project, r) == nil }}
}

// Approve says yes to an approval that holds a stage. When until is set the yes counts from
// then on. The actor is a user among those for whom it waits; a run cannot approve.
func (s *Service) Approve(ctx context.Context, a identity.Actor, entry, comment string, until time.Time) (Hold, error) {
	action := "approved"
	if !until.IsZero() {
		action = "deferred"
	}
	return s.answer(ctx, a, entry, action, func(e *check.Entry, v check.Voter, now time.Time) error { return e.Approve(v, now, until, comment) })
}

// Reject says no to an approval, which fails the stage. The actor is one of those for whom
// it waits.
func (s *Service) Reject(ctx context.Context, a identity.Actor, entry, comment string) (Hold, error) {
	return s.answer(ctx, a, entry, "rejected", func(e *check.Entry, v check.Voter, now time.Time) error { return e.Reject(v, now, comment) })
}

// Reassign has another user of the project asked in the place of from ("user:ada",
// "role:maintain"; "" means the actor himself). Only administrators of the project give away
// what is not theirs.
func (s *Service) Reassign(ctx context.Context, a identity.Actor, entry, from, to string) (Hold, error) {
	return s.answer(ctx, a, entry, "reassigned", func(e *check.Entry, v check.Voter, now time.Time) error {
		if err := e.Reassign(v, v.Has(identity.Admin) && a.Cap >= identity.Admin, from, to, now); err != nil {
			return err
		}
		other := identity.Actor{Kind: identity.KindUser, Name: to, Cap: identity.Admin}
		if s.auth.Require(ctx, other, e.Resource.Project, identity.Read) != nil {
			return fault.New(fault.Invalid, "%s is no member of the project %s.", to, e.Resource.Project)
		}
		return nil
	})
}

// answer changes an entry as somebody says, and brings its run on.
func (s *Service) answer(ctx context.Context, a identity.Actor, id, action string, change func(*check.Entry, check.Voter, time.Time) error) (Hold, error) {
	project, err := s.mayAnswer(ctx, a, id)
	if err != nil {
		return Hold{}, err
	}
	voter := s.voter(ctx, a, project)
	var after *check.Entry
	err = s.again(ctx, func(tx *store.Tx) error {
		e, err := lockEntry(ctx, tx, id)
		if err != nil {
			return err
		}
		r, err := s.loadRun(ctx, tx, e.Run)
		if err != nil {
			return err
		}
		now := s.clock.Now()
		if e.Status == check.Waiting && !now.Before(e.Deadline) {
			return fault.New(fault.Conflict, "%s of the %s has timed out.", e.Definition.Name(), e.Resource).WithNext("start the stage again: towpath run retry %d %s", e.Run, e.Stage)
		}
		if err := change(e, voter, now); err != nil {
			return err
		}
		if err := writeEntry(ctx, tx, e); err != nil {
			return err
		}
		sc := &schedule{s: s, ctx: ctx, tx: tx, run: r, now: now}
		fact := sc.checkFact(event.TypeCheckAnswered, &stageRow{name: e.Stage}, e, action)
		fact.Actor = a.String()
		if err := s.log.Append(ctx, tx, fact); err != nil {
			return err
		}
		if err := s.advance(ctx, tx, r); err != nil {
			return err
		}
		after, err = loadEntry(ctx, tx, id)
		return err
	})
	if err != nil {
		return Hold{}, err
	}
	list, err := s.showHolds(ctx, a, project, []*check.Entry{after})
	if err != nil {
		return Hold{}, err
	}
	return list[0], nil
}

// mayAnswer refuses who cannot be an approver, whatever a list says, and returns the
// project of the entry. An entry of a project that the actor may not read does not exist.
func (s *Service) mayAnswer(ctx context.Context, a identity.Actor, id string) (string, error) {
	none := fault.New(fault.NotFound, "There is no approval %q.", clip(id)).WithNext("list them with: towpath approval list")
	var project string
	err := s.db.QueryRow(ctx, `SELECT project FROM pipeline_entry WHERE id = ?`, id).Scan(&project)
	if errors.Is(err, sql.ErrNoRows) {
		return "", none
	}
	if err != nil {
		return "", fmt.Errorf("finding an approval: %w", err)
	}
	if err := s.auth.Require(ctx, a, project, identity.Read); fault.Is(err, fault.NotFound) {
		return "", none
	} else if err != nil {
		return "", err
	}
	switch {
	case a.Kind != identity.KindUser:
		return "", fault.New(fault.Denied, "%s cannot approve: approvals are given by people.", a)
	case a.Cap < identity.Write:
		return "", fault.New(fault.Denied, "This needs a token with the scope %q; this one has %q.", identity.Write, a.Cap).WithNext("create a token with that scope")
	}
	return project, nil
}

// lockEntry reads an entry for a change: two who answer at once do so one after the other.
func lockEntry(ctx context.Context, tx *store.Tx, id string) (*check.Entry, error) {
	e, err := loadEntry(ctx, tx, id)
	if err == nil && e == nil {
		err = fault.New(fault.NotFound, "There is no approval %q.", clip(id))
	}
	if err == nil {
		err = lockGates(ctx, tx, e.Run)
	}
	if err != nil {
		return nil, err
	}
	return loadEntry(ctx, tx, id)
}

// Permit lets the pipeline that a permission holds use the resource, from now on. It needs
// the maintain role in the project of the resource.
func (s *Service) Permit(ctx context.Context, a identity.Actor, entry string) (Hold, error) {
	project, err := s.mayAnswer(ctx, a, entry)
	if err != nil {
		return Hold{}, err
	}
	e, err := loadEntry(ctx, s.db, entry)
	if err != nil {
		return Hold{}, err
	}
	if e == nil || e.Type != check.Permission {
		return Hold{}, fault.New(fault.Conflict, "This is no permission that could be given.").WithNext("list them with: towpath approval list")
	}
	if err := s.checks.Permit(ctx, a, e.Resource, e.Pipeline, true); err != nil {
		return Hold{}, err
	}
	err = s.again(ctx, func(tx *store.Tx) error {
		r, err := s.loadRun(ctx, tx, e.Run)
		if err != nil || r.Status == plan.Completed {
			return err
		}
		return s.advance(ctx, tx, r)
	})
	if err != nil {
		return Hold{}, err
	}
	if e, err = loadEntry(ctx, s.db, entry); err != nil {
		return Hold{}, err
	}
	list, err := s.showHolds(ctx, a, project, []*check.Entry{e})
	if err != nil {
		return Hold{}, err
	}
	return list[0], nil
}

// clip shortens foreign text for a message.
func clip(s string) string { return s[:min(len(s), 64)] }
