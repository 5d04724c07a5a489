package work

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Clear says that a signal does not hold any more. When it was the last one of its item,
// the item is completed, with the evidence linked and a comment of why; otherwise it stays.
// What is not held is not cleared: nothing happens. fault.NotFound when there is no such
// signal. It needs write in the project.
func (s *Service) Clear(ctx context.Context, a identity.Actor, project, key, why string, evidence []Link) (Item, error) {
	var out Item
	err := s.tx(ctx, func(tx *store.Tx) (err error) {
		out, err = s.ClearIn(ctx, tx, a, project, key, why, evidence)
		return err
	})
	return out, err
}

// ClearIn is Clear in the caller's transaction.
func (s *Service) ClearIn(ctx context.Context, tx *store.Tx, a identity.Actor, project, key, why string, evidence []Link) (Item, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Write); err != nil {
		return Item{}, err
	}
	why = cut(why, maxWhy)
	if err := line("The reason", why, maxWhy); err != nil {
		return Item{}, err
	}
	var number int64
	err := tx.QueryRow(ctx, `SELECT item FROM work_signal WHERE project = ? AND signal = ?`, project, key).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		return Item{}, fault.New(fault.NotFound, "There is no signal %s in %s.", clip(key), project)
	}
	if err != nil {
		return Item{}, fmt.Errorf("reading a signal: %w", err)
	}
	m, err := s.change(ctx, tx, a, number)
	if err != nil {
		return Item{}, err
	}
	res, err := tx.Exec(ctx, `UPDATE work_signal SET cleared = ?, why = ? WHERE project = ? AND signal = ? AND cleared = 0`, millis(s.now()), why, project, key)
	if err != nil {
		return Item{}, fmt.Errorf("clearing a signal: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return m.it.Item, err
	}
	err = s.cleared(ctx, m, why, evidence)
	return m.it.Item, err
}

// cleared takes a signal off its item, and completes the item when it was the last one.
func (s *Service) cleared(ctx context.Context, m *mutation, why string, evidence []Link) error {
	m.inner, m.quiet, m.why = true, true, why
	n := m.it.Insight
	if err := m.count(ctx); err != nil {
		return err
	}
	done := n.Active == 0 && m.it.Category != Completed && m.it.Category != Removed
	for _, l := range evidence {
		if err := m.link(ctx, l); err != nil {
			return err
		}
	}
	if done {
		list, err := m.allStates(ctx)
		if err != nil {
			return err
		}
		st, _ := first(list, Completed) // There is always one.
		m.setState(st)
		n.Auto = true
	}
	facts, err := m.finish(ctx)
	if err != nil {
		return err
	}
	if done {
		_, fact, err := s.comment(ctx, m.tx, m.who, m.it, closing(why, evidence))
		if err != nil && !fault.Is(err, fault.TooLarge) {
			return err
		}
		if err == nil {
			facts = append(facts, fact)
		}
	}
	return s.say(ctx, m.tx, facts)
}

// closing is the comment with which an item closes by itself.
func closing(why string, evidence []Link) string {
	var b strings.Builder
	b.WriteString("Closed: " + why + "\n")
	for _, l := range evidence[:min(len(evidence), 20)] {
		b.WriteString("\n- " + strings.TrimSpace(l.Title+" "+l.target()))
	}
	return b.String()
}
