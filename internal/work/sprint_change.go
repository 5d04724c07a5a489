package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// CreateSprint makes a sprint. It needs write.
func (s *Service) CreateSprint(ctx context.Context, a identity.Actor, project string, in SprintEdit) (Sprint, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Write); err != nil {
		return Sprint{}, err
	}
	if in.Name == nil || in.Start == nil || in.End == nil {
		return Sprint{}, invalid("A sprint needs a name, a first and a last day.")
	}
	p := sprintRow{Sprint: Sprint{ID: s.Clock.NewID(), Project: project, State: SprintPlanned, Security: defaultSecurity}}
	return s.putSprint(ctx, a, p, in, "created")
}

// ChangeSprint changes a sprint that is not closed. It needs write.
func (s *Service) ChangeSprint(ctx context.Context, a identity.Actor, project, ref string, in SprintEdit) (Sprint, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Write); err != nil {
		return Sprint{}, err
	}
	p, err := s.sprintRowOf(ctx, s.DB, project, ref)
	if err != nil {
		return Sprint{}, err
	}
	if p.State == SprintClosed {
		return Sprint{}, fault.New(fault.Conflict, "The sprint %s is closed.", p.Name).WithNext("make another one: towpath sprint create")
	}
	if in.Expect != 0 && in.Expect != p.Version {
		return Sprint{}, fault.New(fault.Conflict, "Somebody else changed the sprint %s meanwhile.", p.Name).WithNext("look at it again: towpath sprint show %q", p.Name)
	}
	return s.putSprint(ctx, a, p, in, "changed")
}

func (s *Service) putSprint(ctx context.Context, a identity.Actor, p sprintRow, in SprintEdit, what string) (Sprint, error) {
	if err := p.apply(in, s.now()); err != nil {
		return Sprint{}, err
	}
	err := s.tx(ctx, func(tx *store.Tx) error {
		var n int
		if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM work_sprint WHERE project = ?`, p.Project).Scan(&n); err != nil {
			return fmt.Errorf("counting sprints: %w", err)
		}
		if n >= maxSprints && what == "created" {
			return fault.New(fault.TooLarge, "%s has %d sprints, the most there may be.", p.Project, n)
		}
		return s.writeSprint(ctx, tx, a, p, what)
	})
	if err != nil {
		return Sprint{}, err
	}
	return s.sprintOf(ctx, s.DB, p.Project, p.ID)
}

func (s *Service) writeSprint(ctx context.Context, tx *store.Tx, a identity.Actor, p sprintRow, what string) error {
	people, err := json.Marshal(p.People)
	if err != nil {
		return fmt.Errorf("encoding the capacity of a sprint: %w", err)
	}
	scope, done, count := int64(0), int64(0), 0
	if p.State == SprintClosed {
		scope, done, count = hundredths(p.Points), hundredths(p.Done), p.Items
	}
	res, err := tx.Exec(ctx, `INSERT INTO work_sprint (id, project, name, starts, ends, goal, capacity, people, security, state, activated, closed, scope, done, items, version)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,1) ON CONFLICT (id) DO UPDATE SET name = excluded.name, starts = excluded.starts, ends = excluded.ends,
		goal = excluded.goal, capacity = excluded.capacity, people = excluded.people, security = excluded.security, state = excluded.state,
		activated = excluded.activated, closed = excluded.closed, scope = excluded.scope, done = excluded.done, items = excluded.items,
		version = work_sprint.version + 1 WHERE work_sprint.version = ?`,
		p.ID, p.Project, p.Name, p.Start.UnixMilli(), p.End.UnixMilli(), p.Goal, hundredths(p.Capacity), string(people), p.Security, p.State,
		millis(p.activated), millis(p.Closed), scope, done, count, p.Version)
	if store.Unique(err) {
		return fault.Wrap(fault.Conflict, err, "%s has a sprint %s already, or another one is active.", p.Project, p.Name).
			WithNext("choose another name, or close the active one: towpath sprint close @current --project %s", p.Project)
	}
	if err != nil {
		return fmt.Errorf("storing the sprint %s: %w", p.Name, err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fault.New(fault.Conflict, "Somebody else changed the sprint %s meanwhile.", p.Name).WithNext("look at it again"))
	}
	return s.Log.Append(ctx, tx, event.Fact{
		Type: event.TypeSprintChanged, Subject: event.Of(event.KindProject, p.Project), Project: p.Project, Actor: a.String(),
		Payload: event.SprintChanged{V: 1, Sprint: p.Name, Start: p.Start, End: p.End, What: what},
	})
}

// apply makes the changes that somebody asks for.
func (p *sprintRow) apply(in SprintEdit, now time.Time) error {
	if in.Name != nil {
		p.Name = strings.TrimSpace(*in.Name)
		if err := line("The name of a sprint", p.Name, maxName); err != nil {
			return err
		}
		if strings.HasPrefix(p.Name, "@") || strings.EqualFold(p.Name, "none") {
			return invalid("A sprint cannot be named %q: it means something else.", p.Name)
		}
	}
	for _, d := range []struct {
		at *time.Time
		to *string
	}{{&p.Start, in.Start}, {&p.End, in.End}} {
		if d.to == nil {
			continue
		}
		day, err := date(*d.to)
		if err != nil {
			return err
		}
		*d.at = day
	}
	if p.End.Before(p.Start) || p.End.Sub(p.Start) > longestSprint*24*time.Hour {
		return invalid("A sprint ends on its first day or later, and has at most %d days.", longestSprint)
	}
	if in.Goal != nil {
		if err := checkBody("The goal", *in.Goal); err != nil || len(*in.Goal) > 4*maxWhy {
			return errors.Join(err, invalid("The goal of a sprint has at most %d bytes.", 4*maxWhy))
		}
		p.Goal = *in.Goal
	}
	if err := p.applyCapacity(in); err != nil {
		return err
	}
	if in.Active == nil {
		return nil
	}
	if !*in.Active {
		p.State = SprintPlanned
		return nil
	}
	if p.State != SprintActive {
		p.activated = now
	}
	p.State = SprintActive
	return nil
}

func (p *sprintRow) applyCapacity(in SprintEdit) error {
	if in.Capacity != nil {
		if *in.Capacity < 0 || *in.Capacity > 100*maxPoints || *in.Capacity != *in.Capacity {
			return invalid("A sprint has a capacity of 0 to %d points.", 100*maxPoints)
		}
		p.Capacity = *in.Capacity
	}
	if in.Security != nil {
		if *in.Security < 0 || *in.Security > 100 {
			return invalid("The budget for security is 0 to 100 percent of the capacity.")
		}
		p.Security = *in.Security
	}
	if in.People != nil {
		p.People = *in.People
	}
	if len(p.People) > maxPeople {
		return fault.New(fault.TooLarge, "A sprint has the capacity of at most %d people.", maxPeople)
	}
	seen := map[string]bool{}
	for _, c := range p.People {
		if err := checkCapacity(c, p.Sprint); err != nil {
			return err
		}
		if seen[c.User] {
			return invalid("%s is named twice.", c.User)
		}
		seen[c.User] = true
	}
	return nil
}

func checkCapacity(c Capacity, p Sprint) error {
	if err := identity.CheckUserName(c.User); err != nil {
		return err
	}
	if err := checkPoints(c.Points); err != nil {
		return err
	}
	for i, d := range c.DaysOff {
		day, err := date(d)
		if err != nil {
			return err
		}
		if day.Before(p.Start) || day.After(p.End) || workdays(day, day) == 0 || slices.Contains(c.DaysOff[:i], d) {
			return invalid("%s is no working day of the sprint, or named twice.", d).WithNext("name days off from Monday to Friday, each once")
		}
	}
	return nil
}

func date(s string) (time.Time, error) {
	d, err := time.ParseInLocation(time.DateOnly, s, time.UTC)
	if err != nil || d.Year() < 2000 || d.Year() > 2200 {
		return d, invalid("%q is no date.", clip(s)).WithNext("write it as 2026-11-23")
	}
	return d, nil
}

// CloseSprint closes a sprint: what it has done is kept for the velocity, and what is
// still open goes to carry: a name, id, @next, or "" for the backlog. It needs write.
func (s *Service) CloseSprint(ctx context.Context, a identity.Actor, project, ref, carry string) (Sprint, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Write); err != nil {
		return Sprint{}, err
	}
	var id string
	err := s.tx(ctx, func(tx *store.Tx) error {
		p, err := s.sprintRowOf(ctx, tx, project, ref)
		if err != nil {
			return err
		}
		if p.State == SprintClosed {
			return fault.New(fault.Conflict, "The sprint %s is closed already.", p.Name)
		}
		to := Sprint{}
		if carry != "" && carry != "none" {
			if to, err = s.sprintOf(ctx, tx, project, carry); err != nil {
				return err
			}
		}
		if to.ID == p.ID || to.State == SprintClosed {
			return invalid("What is open cannot go to the sprint %s.", to.Name).WithNext("name another one with --carry, or leave it out for the backlog")
		}
		id = p.ID
		// Closed before anything is carried over: the burndown ends with what was in it.
		p.State, p.Closed = SprintClosed, s.now()
		facts, err := s.carryOver(ctx, tx, a, p, to)
		if err != nil {
			return err
		}
		if err := s.writeSprint(ctx, tx, a, p, "closed"); err != nil {
			return err
		}
		return s.say(ctx, tx, facts)
	})
	if err != nil {
		return Sprint{}, err
	}
	return s.sprintOf(ctx, s.DB, project, id)
}

func (s *Service) carryOver(ctx context.Context, tx *store.Tx, a identity.Actor, p sprintRow, to Sprint) ([]event.Fact, error) {
	open, err := list(ctx, tx, `WHERE i.sprint = ? AND i.sprint <> '' AND i.category IN (?, ?) ORDER BY i.place`, p.ID, Proposed, InProgress)
	if err != nil {
		return nil, err
	}
	var facts []event.Fact
	for _, it := range open {
		m, err := s.change(ctx, tx, a, it.Number)
		if err != nil {
			return nil, err
		}
		m.why = "carried over from " + p.Name
		m.intoSprint(to)
		said, err := m.finish(ctx)
		if err != nil {
			return nil, err
		}
		facts = append(facts, said...)
	}
	return facts, nil
}
