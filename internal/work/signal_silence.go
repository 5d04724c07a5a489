package work

import (
	"context"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// longestWontFix is how long a signal may be kept silent.
const longestWontFix = 2 * 366 * 24 * time.Hour

// WontFix closes an insight for a reason until a day comes; then it is there again when
// its signal still holds. It needs write.
func (s *Service) WontFix(ctx context.Context, a identity.Actor, number int64, why string, until time.Time) (Item, error) {
	if err := line("The reason", why, maxWhy); err != nil {
		return Item{}, err
	}
	now := s.now()
	if !until.After(now) || until.Sub(now) > longestWontFix {
		return Item{}, invalid("A signal is kept silent until a day within two years.").WithNext("name one with --until 2027-01-31")
	}
	return s.edit(ctx, a, number, func(m *mutation) error {
		if m.it.Insight == nil {
			return invalid("Item %d came from no signal.", number).WithNext("close it: towpath item close %d", number)
		}
		list, err := m.allStates(ctx)
		if err != nil {
			return err
		}
		st, _ := first(list, Removed) // There is always one.
		m.why = why
		if st.Name != m.it.State {
			m.setState(st)
		}
		m.note("wont-fix", "", until.UTC().Format(time.DateOnly)+": "+why)
		m.it.Insight.WontFix, m.it.Insight.Until, m.it.Insight.Auto = why, until.UTC().Truncate(time.Millisecond), false
		return nil
	})
}

// Expire brings back the insights that should not be fixed until now: those whose signals
// still hold open again, the others stay closed and a new signal opens them.
func (s *Service) Expire(ctx context.Context) error {
	ended, err := list(ctx, s.DB, `WHERE i.until <> 0 AND i.until <= ? ORDER BY i.until LIMIT 500`, millis(s.now()))
	if err != nil {
		return err
	}
	system := identity.SystemActor("work")
	for _, it := range ended {
		err := s.tx(ctx, func(tx *store.Tx) error { return s.expire(ctx, tx, system, it.Number) })
		if err != nil {
			return fmt.Errorf("bringing back item %d: %w", it.Number, err)
		}
	}
	return nil
}

func (s *Service) expire(ctx context.Context, tx *store.Tx, system identity.Actor, number int64) error {
	m, err := s.change(ctx, tx, system, number)
	if err != nil || m.it.Insight.Until.IsZero() || m.it.Insight.Until.After(s.now()) {
		return err
	}
	m.inner, m.quiet, m.why = true, true, "it was not to be fixed until now: "+m.it.Insight.WontFix
	held := m.it.Insight.Active > 0
	m.it.Insight.WontFix, m.it.Insight.Until = "", moment(0)
	var facts []event.Fact
	if held {
		if err := m.reopen(ctx); err != nil {
			return err
		}
	}
	if facts, err = m.finish(ctx); err != nil {
		return err
	}
	return s.say(ctx, tx, facts)
}
