package work

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"time"

	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Burndown computes what a sprint had left at the end of each of its days, from the
// history of the items that are or were in it. It needs read.
func (s *Service) Burndown(ctx context.Context, a identity.Actor, project, ref string) (Burndown, error) {
	p, err := s.Sprint(ctx, a, project, ref)
	if err != nil {
		return Burndown{}, err
	}
	lives, err := s.lives(ctx, p.ID)
	if err != nil {
		return Burndown{}, err
	}
	out := Burndown{Sprint: p}
	now := s.now()
	until := now
	if !p.Closed.IsZero() {
		until = p.Closed // What was carried over when it closed was its own until then.
	}
	for day := p.Start; !day.After(p.End); day = day.AddDate(0, 0, 1) {
		d := BurnDay{Day: day.Format(time.DateOnly), Known: !day.After(until)}
		if d.Known {
			at := day.AddDate(0, 0, 1).Add(-time.Millisecond)
			if !at.Before(until) {
				at = until.Add(-time.Millisecond)
				if p.Closed.IsZero() {
					at = now
				}
			}
			for _, l := range lives {
				l.add(&d, p.ID, at)
			}
		}
		out.Days = append(out.Days, d)
	}
	ideal(out.Days)
	return out, nil
}

// ideal draws the line from the scope of the first day to nothing on the last.
func ideal(days []BurnDay) {
	if len(days) == 0 {
		return
	}
	from := days[0].Scope
	for i := range days {
		left := 1.0
		if len(days) > 1 {
			left = 1 - float64(i)/float64(len(days)-1)
		}
		days[i].Ideal = points(hundredths(from * left))
	}
}

// life is what a burndown looks at of one item, and how it came to be so.
type life struct {
	created          time.Time
	sprint, category string
	points           float64
	changes          []Change // newest first
}

// add counts the item as it was at a moment.
func (l life) add(d *BurnDay, sprint string, at time.Time) {
	if l.created.After(at) {
		return
	}
	for _, c := range l.changes {
		if !c.Time.After(at) {
			break
		}
		switch c.Field {
		case fieldSprintID:
			l.sprint = c.From
		case fieldCategory:
			l.category = c.From
		case "points":
			l.points, _ = strconv.ParseFloat(c.From, 64) // We wrote it ourselves; else it is 0.
		}
	}
	if l.sprint != sprint || l.category == Removed {
		return
	}
	d.Scope += l.points
	if l.category == Proposed || l.category == InProgress {
		d.Remaining += l.points
		d.Items++
	}
}

// lives reads the items that are or were in a sprint.
func (s *Service) lives(ctx context.Context, sprint string) (map[int64]*life, error) {
	const of = `IN (SELECT item FROM work_history WHERE field = 'sprint-id' AND was = ? UNION SELECT item FROM work_history WHERE field = 'sprint-id' AND became = ?)`
	out := map[int64]*life{}
	rows, err := list(ctx, s.DB, `WHERE i.number `+of, sprint, sprint)
	if err != nil {
		return nil, err
	}
	for _, it := range rows {
		out[it.Number] = &life{created: it.Created, sprint: it.SprintID, category: it.Category, points: it.Points}
	}
	type entry struct {
		item int64
		Change
	}
	entries, err := query(ctx, s.DB, func(r *sql.Rows) (entry, error) {
		var e entry
		var made int64
		err := r.Scan(&e.item, &made, &e.Field, &e.From, &e.To)
		e.Time = moment(made)
		return e, err
	}, `SELECT item, made, field, was, became FROM work_history WHERE field IN ('sprint-id', 'category', 'points') AND item `+of+` ORDER BY id DESC`, sprint, sprint)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if l := out[e.item]; l != nil {
			l.changes = append(l.changes, e.Change)
		}
	}
	return out, nil
}

// Velocity returns what the last closed sprints have done, with the average of the last
// three. It needs read.
func (s *Service) Velocity(ctx context.Context, a identity.Actor, project string) (Velocity, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return Velocity{}, err
	}
	return s.velocity(ctx, s.DB, project)
}

func (s *Service) velocity(ctx context.Context, h store.Handle, project string) (Velocity, error) {
	list, err := s.sprints(ctx, h, project)
	if err != nil {
		return Velocity{}, err
	}
	v := Velocity{Sprints: []Sprint{}}
	for _, p := range list {
		if p.State == SprintClosed {
			v.Sprints = append(v.Sprints, p.Sprint)
		}
	}
	slices.SortStableFunc(v.Sprints, func(a, b Sprint) int { return b.Closed.Compare(a.Closed) })
	v.Sprints = v.Sprints[:min(len(v.Sprints), 6)]
	recent := v.Sprints[:min(len(v.Sprints), 3)]
	for _, p := range recent {
		v.Average += p.Done / float64(len(recent))
	}
	v.Average = points(hundredths(v.Average))
	return v, nil
}
