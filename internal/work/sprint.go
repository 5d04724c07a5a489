package work

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// defaultSecurity is the percent of a sprint's capacity that is for security unless it
// says otherwise (reference: a budget makes the planning tray realistic).
const defaultSecurity = 20

// longestSprint is how many days a sprint may have.
const longestSprint = 366

const sprintColumns = `p.id, p.project, p.name, p.starts, p.ends, p.goal, p.capacity, p.people, p.security, p.state, p.activated, p.closed, p.scope, p.done,
	p.items, p.version`

// sprintRow is a sprint with when it was started.
type sprintRow struct {
	Sprint
	activated time.Time
}

func scanSprint(r scanner) (sprintRow, error) {
	var p sprintRow
	var starts, ends, capacity, activated, closed, scope, done int64
	var people string
	err := r.Scan(&p.ID, &p.Project, &p.Name, &starts, &ends, &p.Goal, &capacity, &people, &p.Security, &p.State, &activated, &closed, &scope, &done, &p.Items, &p.Version)
	if err != nil {
		return p, err
	}
	p.Start, p.End, p.Closed, p.activated = time.UnixMilli(starts).UTC(), time.UnixMilli(ends).UTC(), moment(closed), moment(activated)
	p.Capacity, p.Points, p.Done = points(capacity), points(scope), points(done)
	if people != "" {
		if err := json.Unmarshal([]byte(people), &p.People); err != nil {
			return p, fmt.Errorf("decoding the capacity of sprint %s: %w", p.ID, err)
		}
	}
	p.Room = room(p.Sprint)
	return p, nil
}

// room is the capacity of a sprint: what it says, or the sum over its people without their
// days off.
func room(p Sprint) float64 {
	if p.Capacity > 0 {
		return p.Capacity
	}
	days, sum := workdays(p.Start, p.End), 0.0
	for _, c := range p.People {
		if days > 0 {
			sum += c.Points * float64(max(0, days-len(c.DaysOff))) / float64(days)
		}
	}
	return points(hundredths(sum))
}

// workdays counts Monday to Friday from one day to another, both with it.
func workdays(from, to time.Time) int {
	n := 0
	for d := from; !d.After(to); d = d.AddDate(0, 0, 1) {
		if w := d.Weekday(); w != time.Saturday && w != time.Sunday {
			n++
		}
	}
	return n
}

// sprints reads the sprints of a project, the first first, with what is in them.
func (s *Service) sprints(ctx context.Context, h store.Handle, project string) ([]sprintRow, error) {
	list, err := query(ctx, h, func(r *sql.Rows) (sprintRow, error) { return scanSprint(r) },
		`SELECT `+sprintColumns+` FROM work_sprint p WHERE p.project = ? ORDER BY p.starts, p.id`, project)
	if err != nil {
		return nil, err
	}
	if err := tally(ctx, h, project, list); err != nil {
		return nil, err
	}
	if i := current(list, s.now()); i >= 0 {
		list[i].Current = true
	}
	return list, nil
}

// tally counts what is in the sprints that are not closed. It goes from the sprints to their
// items, because most items of a project are in none of them.
func tally(ctx context.Context, h store.Handle, project string, list []sprintRow) error {
	rows, err := h.Query(ctx, `SELECT sprint, category, COUNT(*), SUM(points) FROM work_item
		WHERE sprint IN (SELECT id FROM work_sprint WHERE project = ? AND state <> ?) AND sprint <> '' AND category <> ? GROUP BY sprint, category`,
		project, SprintClosed, Removed)
	if err != nil {
		return fmt.Errorf("counting the items of sprints: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, category string
		var n int
		var pts int64
		if err := rows.Scan(&id, &category, &n, &pts); err != nil {
			return fmt.Errorf("counting the items of sprints: %w", err)
		}
		i := slices.IndexFunc(list, func(p sprintRow) bool { return p.ID == id && p.State != SprintClosed })
		if i < 0 {
			continue
		}
		list[i].Items += n
		list[i].Points += points(pts)
		if category == Resolved || category == Completed {
			list[i].Done += points(pts)
		}
	}
	return rows.Err()
}

// current finds @current: the active sprint, else the first that is not closed and has
// today in it; -1 when there is none.
func current(list []sprintRow, now time.Time) int {
	if i := slices.IndexFunc(list, func(p sprintRow) bool { return p.State == SprintActive }); i >= 0 {
		return i
	}
	return slices.IndexFunc(list, func(p sprintRow) bool {
		return p.State == SprintPlanned && !now.Before(p.Start) && now.Before(p.End.AddDate(0, 0, 1))
	})
}

// Sprints returns the sprints of a project, the first first. It needs read.
func (s *Service) Sprints(ctx context.Context, a identity.Actor, project string) ([]Sprint, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	list, err := s.sprints(ctx, s.DB, project)
	out := make([]Sprint, 0, len(list))
	for _, p := range list {
		out = append(out, p.Sprint)
	}
	return out, err
}

// Sprint returns one sprint, by its name or id, or @current, @next or @previous. It needs
// read.
func (s *Service) Sprint(ctx context.Context, a identity.Actor, project, ref string) (Sprint, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return Sprint{}, err
	}
	return s.sprintOf(ctx, s.DB, project, ref)
}

// sprintOf finds a sprint of a project.
func (s *Service) sprintOf(ctx context.Context, h store.Handle, project, ref string) (Sprint, error) {
	p, err := s.sprintRowOf(ctx, h, project, ref)
	return p.Sprint, err
}

func (s *Service) sprintRowOf(ctx context.Context, h store.Handle, project, ref string) (sprintRow, error) {
	list, err := s.sprints(ctx, h, project)
	if err != nil {
		return sprintRow{}, err
	}
	i := find(list, ref, s.now())
	if i < 0 {
		return sprintRow{}, fault.New(fault.NotFound, "There is no sprint %s in %s.", clip(ref), project).
			WithNext("list them with `towpath sprint list --project %s`, or make one with `towpath sprint create`", project)
	}
	return list[i], nil
}

// find is the index of the sprint that is meant, -1 when there is none.
func find(list []sprintRow, ref string, now time.Time) int {
	at := current(list, now)
	switch strings.ToLower(ref) {
	case "@current":
		return at
	case "@next":
		return slices.IndexFunc(list, func(p sprintRow) bool {
			if p.State != SprintPlanned || at >= 0 && p.ID == list[at].ID {
				return false
			}
			return at >= 0 && !p.Start.Before(list[at].Start) || at < 0 && p.End.AddDate(0, 0, 1).After(now)
		})
	case "@previous":
		best := -1
		for i, p := range list {
			if p.State == SprintClosed && (best < 0 || !p.Closed.Before(list[best].Closed)) {
				best = i
			}
		}
		return best
	}
	return slices.IndexFunc(list, func(p sprintRow) bool { return p.ID == ref || strings.EqualFold(p.Name, ref) })
}
