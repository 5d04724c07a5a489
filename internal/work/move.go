package work

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// atEnd returns a place at the end of a backlog, or at its top.
func (s *Service) atEnd(ctx context.Context, h store.Handle, project string, top bool) (string, error) {
	aggregate := "MAX"
	if top {
		aggregate = "MIN"
	}
	var at string
	if err := h.QueryRow(ctx, `SELECT COALESCE(`+aggregate+`(place), '') FROM work_item WHERE project = ?`, project).Scan(&at); err != nil {
		return "", fmt.Errorf("looking for the end of the backlog of %s: %w", project, err)
	}
	if top {
		return Between("", at)
	}
	return Between(at, "")
}

// Move places items of a project in its backlog, and into a sprint or a state, all or
// none. One row is written for each item. It needs write.
func (s *Service) Move(ctx context.Context, a identity.Actor, project string, in Move) ([]Item, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Write); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	var out []Item
	err := s.tx(ctx, func(tx *store.Tx) error {
		low, high, err := s.gap(ctx, tx, project, in)
		if err != nil {
			return err
		}
		out, err = s.changeAll(ctx, tx, a, project, in.Items, func(m *mutation) error { return m.move(ctx, in, &low, high) })
		return err
	})
	return out, err
}

// changeAll changes items of a project in the order that they are named, all or none. The
// caller has authorised it.
func (s *Service) changeAll(ctx context.Context, tx *store.Tx, a identity.Actor, project string, numbers []int64, do func(*mutation) error) ([]Item, error) {
	var out []Item
	var facts []event.Fact
	for _, number := range numbers {
		m, err := s.change(ctx, tx, a, number)
		if err != nil {
			return nil, err
		}
		if m.it.Project != project {
			return nil, noItem(number)
		}
		if err := do(m); err != nil {
			return nil, err
		}
		said, err := m.finish(ctx)
		if err != nil {
			return nil, err
		}
		facts = append(facts, said...)
		out = append(out, m.it.Item)
	}
	return out, s.say(ctx, tx, facts)
}

func (in Move) check() error {
	if len(in.Items) == 0 || len(in.Items) > maxBulk {
		return invalid("Name 1 to %d items to move.", maxBulk)
	}
	sorted := slices.Sorted(slices.Values(in.Items))
	if len(slices.Compact(sorted)) != len(in.Items) {
		return invalid("An item is named twice.").WithNext("name each once")
	}
	ways := 0
	for _, set := range []bool{in.Before != 0, in.After != 0, in.Top, in.Bottom} {
		if set {
			ways++
		}
	}
	switch {
	case ways > 1:
		return invalid("Items move before another, after another, to the top or to the bottom: only one of it.")
	case ways == 0 && in.Sprint == nil && in.State == nil:
		return invalid("It is not said where to.").WithNext("name a neighbour, the top, the bottom, a sprint or a state")
	case slices.Contains(in.Items, in.Before) || slices.Contains(in.Items, in.After):
		return invalid("An item cannot be its own neighbour.")
	}
	return nil
}

// places reports whether items get another place in the backlog.
func (in Move) places() bool { return in.Before != 0 || in.After != 0 || in.Top || in.Bottom }

// gap finds the two places between which the items go; "" is an end. When one is too long
// the places of the project are written anew first.
func (s *Service) gap(ctx context.Context, tx *store.Tx, project string, in Move) (low, high string, err error) {
	if !in.places() {
		return "", "", nil
	}
	low, high, err = neighbours(ctx, tx, project, in)
	if err != nil || max(len(low), len(high))+len(in.Items) <= maxPlace {
		return low, high, err
	}
	if err := s.anew(ctx, tx, project); err != nil {
		return "", "", err
	}
	return neighbours(ctx, tx, project, in)
}

func neighbours(ctx context.Context, tx *store.Tx, project string, in Move) (low, high string, err error) {
	switch {
	case in.Top:
		high, err = beside(ctx, tx, project, "", in.Items, false)
		return "", high, err
	case in.Bottom:
		low, err = beside(ctx, tx, project, "", in.Items, true)
		return low, "", err
	}
	by, err := load(ctx, tx, max(in.Before, in.After), false)
	if err != nil {
		return "", "", err
	}
	if by.Project != project {
		return "", "", noItem(by.Number)
	}
	if in.Before != 0 {
		low, err = beside(ctx, tx, project, by.Rank, in.Items, true)
		return low, by.Rank, err
	}
	high, err = beside(ctx, tx, project, by.Rank, in.Items, false)
	return by.Rank, high, err
}

// beside finds the nearest place above or below another one ("" is beyond the end) that
// none of the items that move has; "" when there is none.
func beside(ctx context.Context, tx *store.Tx, project, at string, moving []int64, above bool) (string, error) {
	where, order, args := ` WHERE project = ?`, ` ORDER BY place`, []any{project}
	if above {
		order += ` DESC`
	}
	if at != "" {
		args = append(args, at)
		if above {
			where += ` AND place < ?`
		} else {
			where += ` AND place > ?`
		}
	}
	where += ` AND number NOT IN (?` + repeat(`, ?`, len(moving)-1) + `)`
	for _, n := range moving {
		args = append(args, n)
	}
	var place string
	err := tx.QueryRow(ctx, `SELECT place FROM work_item`+where+order+` LIMIT 1`, args...).Scan(&place)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking for a neighbour: %w", err)
	}
	return place, nil
}

func repeat(s string, n int) string {
	out := ""
	for range n {
		out += s
	}
	return out
}

// anew gives every item of a project a short place again. Hundreds of moves into one gap
// are needed before this happens.
func (s *Service) anew(ctx context.Context, tx *store.Tx, project string) error {
	numbers, err := query(ctx, tx, func(r *sql.Rows) (n int64, err error) { return n, r.Scan(&n) },
		`SELECT number FROM work_item WHERE project = ? ORDER BY place`, project)
	if err != nil {
		return err
	}
	// First out of the way: two items must not have one place even for a moment.
	if _, err := tx.Exec(ctx, `UPDATE work_item SET place = '-' || place WHERE project = ?`, project); err != nil {
		return fmt.Errorf("placing the items of %s anew: %w", project, err)
	}
	for i, n := range numbers {
		place := whole(wholeFirst + int64(i)*wholeStep)
		if _, err := tx.Exec(ctx, `UPDATE work_item SET place = ? WHERE number = ?`, place, n); err != nil {
			return fmt.Errorf("placing item %d anew: %w", n, err)
		}
	}
	return nil
}

// move makes the changes that a move asks for of one item; low grows past it.
func (m *mutation) move(ctx context.Context, in Move, low *string, high string) error {
	if in.places() {
		place, err := Between(*low, high)
		if err != nil {
			return fault.Wrap(fault.Conflict, err, "There is no room in the backlog of %s.", m.it.Project).WithNext("try again")
		}
		if place != m.it.Rank {
			// The places themselves mean nothing to people.
			m.note("rank", "", "")
			m.it.Rank = place
		}
		*low = place
	}
	if in.Sprint != nil {
		if err := m.sprint(ctx, *in.Sprint); err != nil {
			return err
		}
	}
	if in.State != nil {
		return m.state(ctx, *in.State)
	}
	return nil
}
