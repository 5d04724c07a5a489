package work

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// maxShown is how many comments and how many lines of history an item shows.
const maxShown = 500

// Get returns an item with everything that its page shows. It needs read.
func (s *Service) Get(ctx context.Context, a identity.Actor, number int64) (Detail, error) {
	it, err := s.may(ctx, a, number, identity.Read)
	if err != nil {
		return Detail{}, err
	}
	d := Detail{Item: it.Item}
	if d.Links, err = linksOf(ctx, s.DB, number); err != nil {
		return d, err
	}
	if d.Comments, err = comments(ctx, s.DB, number); err != nil {
		return d, err
	}
	if d.History, err = history(ctx, s.DB, number); err != nil {
		return d, err
	}
	if d.Signals, err = signalsOf(ctx, s.DB, number); err != nil {
		return d, err
	}
	children, err := list(ctx, s.DB, `WHERE i.parent = ? AND i.parent <> 0 ORDER BY i.place LIMIT 200`, number)
	if err != nil {
		return d, err
	}
	d.Children = items(children)
	if d.States, err = states(ctx, s.DB, it.Project); err != nil {
		return d, err
	}
	if it.Parent == 0 {
		return d, nil
	}
	above, err := load(ctx, s.DB, it.Parent, false)
	if fault.Is(err, fault.NotFound) {
		return d, nil
	}
	d.Above = &ParentOfDetail{Number: above.Number, Title: above.Title, State: above.State}
	return d, err
}

// query reads rows of one form.
func query[T any](ctx context.Context, h store.Handle, scan func(*sql.Rows) (T, error), q string, args ...any) ([]T, error) {
	rows, err := h.Query(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("reading a row: %w", err)
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

func linksOf(ctx context.Context, h store.Handle, number int64) ([]Link, error) {
	return query(ctx, h, func(r *sql.Rows) (Link, error) {
		var l Link
		var target string
		var made int64
		err := r.Scan(&l.Rel, &target, &l.Kind, &l.URL, &l.Title, &made, &l.By)
		l.Made = moment(made)
		if l.Kind != "url" {
			l.Subject = target
		}
		return l, err
	}, `SELECT rel, target, kind, url, title, made, actor FROM work_link WHERE item = ? ORDER BY made, rel, target`, number)
}

// comments returns the newest ones, oldest first.
func comments(ctx context.Context, h store.Handle, number int64) ([]Comment, error) {
	out, err := query(ctx, h, func(r *sql.Rows) (Comment, error) { return scanComment(r) }, `SELECT id, author, body, made, edited FROM work_comment WHERE item = ? ORDER BY id DESC LIMIT ?`, number, maxShown)
	slices.Reverse(out)
	return out, err
}

// commentOf returns one comment of an item.
func commentOf(ctx context.Context, h store.Handle, number int64, id string) (Comment, error) {
	c, err := scanComment(h.QueryRow(ctx, `SELECT id, author, body, made, edited FROM work_comment WHERE id = ? AND item = ?`, id, number))
	if errors.Is(err, sql.ErrNoRows) {
		return c, fault.New(fault.NotFound, "Item %d has no such comment.", number).WithNext("look at those it has: towpath item show %d -o json", number)
	}
	return c, err
}

func scanComment(r scanner) (Comment, error) {
	var c Comment
	var made, edited int64
	err := r.Scan(&c.ID, &c.Author, &c.Body, &made, &edited)
	c.Made, c.Edited = moment(made), moment(edited)
	return c, err
}

// history returns the newest lines, oldest first.
func history(ctx context.Context, h store.Handle, number int64) ([]Change, error) {
	out, err := query(ctx, h, func(r *sql.Rows) (Change, error) {
		var c Change
		var made int64
		err := r.Scan(&c.ID, &made, &c.Actor, &c.Field, &c.From, &c.To, &c.Reason)
		c.Time = moment(made)
		return c, err
	}, `SELECT id, made, actor, field, was, became, why FROM work_history WHERE item = ? AND field <> ? AND field <> ? ORDER BY id DESC LIMIT ?`,
		number, fieldCategory, fieldSprintID, maxShown)
	slices.Reverse(out)
	return out, err
}
