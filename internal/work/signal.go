package work

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// reopenWithin is how long after its end an item reopens when its signal comes back; later
// there is a new one that links to it (reference, lifecycle).
const reopenWithin = 30 * 24 * time.Hour

// maxResource is how many bytes each part of a signal's key has at most.
const maxResource = 500

// Raise makes a signal an item, or lets it count on the one that there is, whatever its
// state. It needs write in the project, which the system has.
func (s *Service) Raise(ctx context.Context, a identity.Actor, g Signal) (Raised, error) {
	var out Raised
	err := s.tx(ctx, func(tx *store.Tx) (err error) {
		out, err = s.RaiseIn(ctx, tx, a, g)
		return err
	})
	return out, err
}

// RaiseIn is Raise in the caller's transaction, such as that of a reader of the logbook.
func (s *Service) RaiseIn(ctx context.Context, tx *store.Tx, a identity.Actor, g Signal) (Raised, error) {
	if err := s.Auth.Require(ctx, a, g.Project, identity.Write); err != nil {
		return Raised{}, err
	}
	if err := g.fill(s.now()); err != nil {
		return Raised{}, err
	}
	// An owner who is no member any more owns nothing.
	switch err := s.checkMember(ctx, a, g.Project, g.Assignee); {
	case fault.Is(err, fault.Invalid):
		g.Assignee = ""
	case err != nil:
		return Raised{}, err
	}
	// Two servers must not make two items of one signal: the row is taken first.
	held, err := touch(ctx, tx, g)
	if err != nil {
		return Raised{}, err
	}
	it, found, err := s.homeOf(ctx, tx, g, held)
	if err != nil {
		return Raised{}, err
	}
	if !found || it.gone(s.now()) {
		return s.raiseNew(ctx, tx, a, g, it)
	}
	return s.raiseAgain(ctx, tx, a, g, it.Number, held == 0)
}

// fill checks a signal and puts in what it leaves out.
func (g *Signal) fill(now time.Time) error {
	for what, v := range map[string]string{"source": g.Source, "rule": g.Rule, "resource": g.Resource} {
		if err := line("The "+what+" of a signal", v, maxResource); err != nil {
			return err
		}
	}
	if len(g.Group) > maxResource {
		return invalid("The group of a signal has at most %d bytes.", maxResource)
	}
	if g.Seen.IsZero() {
		g.Seen = now
	}
	if g.Type == "" {
		g.Type = TypeBug
	}
	g.Title = cut(g.Title, maxTitle)
	g.Times, g.Exposure = max(1, g.Times), min(10, max(1, g.Exposure))
	return errors.Join(checkTitle(g.Title), checkBody("The note", g.Note))
}

// cut makes one line of at most so many bytes of a text, because what a machine saw may be
// longer than what a person would write.
func cut(s string, most int) string {
	s = strings.ToValidUTF8(s, "?")
	s = strings.Join(strings.FieldsFunc(s, control), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most-len("…")], "") + "…"
	}
	return s
}

// gone reports whether an item ended so long ago that a signal makes a new one.
func (it row) gone(now time.Time) bool {
	return !it.Ended.IsZero() && it.Insight != nil && it.Insight.Until.IsZero() && now.Sub(it.Ended) > reopenWithin
}

// touch counts a signal. held is the item that it held on before, 0 when it did not.
func touch(ctx context.Context, tx *store.Tx, g Signal) (held int64, err error) {
	var cleared int64
	err = tx.QueryRow(ctx, `SELECT item, cleared FROM work_signal WHERE project = ? AND signal = ?`, g.Project, g.Key()).Scan(&held, &cleared)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("reading a signal: %w", err)
	}
	if cleared != 0 {
		held = 0
	}
	_, err = tx.Exec(ctx, `INSERT INTO work_signal (project, signal, item, source, rule, resource, title, count, first_seen, last_seen, cleared, why)
		VALUES (?,?,0,?,?,?,?,?,?,?,0,'') ON CONFLICT (project, signal) DO UPDATE SET count = work_signal.count + excluded.count, title = excluded.title,
		last_seen = CASE WHEN excluded.last_seen > work_signal.last_seen THEN excluded.last_seen ELSE work_signal.last_seen END, cleared = 0, why = ''`,
		g.Project, g.Key(), g.Source, g.Rule, g.Resource, g.Title, g.Times, millis(g.Seen), millis(g.Seen))
	if err != nil {
		return 0, fmt.Errorf("counting a signal: %w", err)
	}
	return held, nil
}

// newest finds the youngest item of a key, and keeps it from others.
func newest(ctx context.Context, tx *store.Tx, project, key string) (row, bool, error) {
	var number int64
	err := tx.QueryRow(ctx, `SELECT number FROM work_item WHERE project = ? AND signal = ? AND signal <> '' ORDER BY number DESC LIMIT 1`, project, key).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		return row{}, false, nil
	}
	if err != nil {
		return row{}, false, fmt.Errorf("looking for the item of a signal: %w", err)
	}
	it, err := load(ctx, tx, number, true)
	return it, err == nil, err
}

// raiseNew makes an item; old is one that ended long ago, or none.
func (s *Service) raiseNew(ctx context.Context, tx *store.Tx, a identity.Actor, g Signal, old row) (Raised, error) {
	base := row{source: g.Source, signal: g.GroupKey()}
	base.Insight = &Insight{
		Source: g.Source, Key: base.signal, Count: g.Times, Active: 1, Exposure: g.Exposure, FirstSeen: g.Seen, LastSeen: g.Seen, Auto: true,
	}
	in := NewItem{
		Type: g.Type, Title: g.Title, Body: g.Body, Severity: g.Severity, Assignee: g.Assignee, Labels: g.Labels, Top: g.Severity == Critical || g.Severity == High,
		Links: g.Links,
	}
	what := RaisedCreated
	if old.Number != 0 {
		what = RaisedRegressed
		in.Links = append(in.Links[:len(in.Links):len(in.Links)], Link{Rel: RelRegressionOf, Subject: string(subject(old.Number)), Title: cut(old.Title, maxTitle)})
	}
	if g.Sprint != "" {
		// A rule that wants a sprint that does not exist wants the backlog.
		_, err := s.sprintOf(ctx, tx, g.Project, g.Sprint)
		switch {
		case err == nil:
			in.Sprint = g.Sprint
		case !fault.Is(err, fault.NotFound):
			return Raised{}, err
		}
	}
	m, err := s.create(ctx, tx, a, g.Project, in, base)
	if err != nil {
		return Raised{}, err
	}
	return s.raised(ctx, m, g, what)
}

// raised writes the item of a signal and what is to be said of it.
func (s *Service) raised(ctx context.Context, m *mutation, g Signal, what string) (Raised, error) {
	_, err := m.tx.Exec(ctx, `UPDATE work_signal SET item = ? WHERE project = ? AND signal = ?`, m.it.Number, g.Project, g.Key())
	if err != nil {
		return Raised{}, fmt.Errorf("giving a signal its item: %w", err)
	}
	if err := m.count(ctx); err != nil {
		return Raised{}, err
	}
	facts, err := m.finish(ctx)
	if err != nil {
		return Raised{}, err
	}
	if g.Note != "" && (what == RaisedReopened || what == RaisedJoined || what == RaisedRegressed) {
		_, fact, err := s.comment(ctx, m.tx, m.who, m.it, g.Note)
		if err != nil && !fault.Is(err, fault.TooLarge) {
			return Raised{}, err
		}
		if err == nil {
			facts = append(facts, fact)
		}
	}
	return Raised{Item: m.it.Item, What: what}, s.say(ctx, m.tx, facts)
}

// raiseAgain lets a signal count on the item that there is.
func (s *Service) raiseAgain(ctx context.Context, tx *store.Tx, a identity.Actor, g Signal, number int64, fresh bool) (Raised, error) {
	m, err := s.change(ctx, tx, a, number)
	if err != nil {
		return Raised{}, err
	}
	m.inner, m.quiet = true, true
	n := m.it.Insight
	n.Count += g.Times
	n.LastSeen = later(n.LastSeen, g.Seen)
	n.Exposure = max(n.Exposure, g.Exposure)
	what := RaisedRepeated
	switch {
	case m.it.Category == Removed && n.Until.After(s.now()):
		what = RaisedSuppressed
	case !m.it.Open():
		what = RaisedReopened
		m.why = "the signal came back"
		if err := m.reopen(ctx); err != nil {
			return Raised{}, err
		}
	case fresh:
		what = RaisedJoined
	}
	if what != RaisedSuppressed {
		if worse(g.Severity, m.it.Severity) {
			m.text("severity", &m.it.Severity, g.Severity)
		}
		for _, l := range g.Links {
			if err := m.link(ctx, l); err != nil {
				return Raised{}, err
			}
		}
	}
	return s.raised(ctx, m, g, what)
}

// count finds how many signals hold on the item.
func (m *mutation) count(ctx context.Context) error {
	err := m.tx.QueryRow(ctx, `SELECT COUNT(*) FROM work_signal WHERE item = ? AND cleared = 0`, m.it.Number).Scan(&m.it.Insight.Active)
	if err != nil {
		return fmt.Errorf("counting the signals of item %d: %w", m.it.Number, err)
	}
	return nil
}

// reopen puts an item back to the first state that is open.
func (m *mutation) reopen(ctx context.Context) error {
	list, err := m.allStates(ctx)
	if err != nil {
		return err
	}
	st, _ := first(list, Proposed) // There is always one.
	m.setState(st)
	m.it.Insight.Auto, m.it.Insight.Triage, m.it.triaged = true, "", ""
	m.note("reopened", "", "")
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// worse reports whether a severity is worse than another one.
func worse(a, b string) bool {
	rank := map[string]int{Critical: 4, High: 3, Medium: 2, Low: 1}
	return rank[a] > rank[b]
}

// Find returns the youngest item of a signal, given by its own key or that of its group;
// fault.NotFound when there is none. It needs read.
func (s *Service) Find(ctx context.Context, a identity.Actor, project, key string) (Item, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return Item{}, err
	}
	rows, err := list(ctx, s.DB, `WHERE i.project = ? AND (i.signal = ? OR i.number IN (SELECT item FROM work_signal WHERE project = ? AND signal = ?))
		ORDER BY i.number DESC LIMIT 1`, project, key, project, key)
	if err != nil {
		return Item{}, err
	}
	if len(rows) == 0 {
		return Item{}, fault.New(fault.NotFound, "No item of %s came from the signal %s.", project, clip(key))
	}
	return rows[0].Item, nil
}

// Held is a signal that was not cleared.
type Held struct {
	SignalState
	Source string `json:"source"`
	Item   int64  `json:"item"`
}

// Signals lists the signals of a source that hold, oldest first, at most 5,000. It needs
// read.
func (s *Service) Signals(ctx context.Context, a identity.Actor, project, source string) ([]Held, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	return query(ctx, s.DB, func(r *sql.Rows) (Held, error) {
		h := Held{Source: source}
		st, err := scanSignal(r, &h.Item)
		h.SignalState = st
		return h, err
	}, `SELECT `+signalColumns+`, item FROM work_signal WHERE project = ? AND source = ? AND cleared = 0 ORDER BY first_seen, signal LIMIT 5000`, project, source)
}

const signalColumns = `signal, rule, resource, title, count, first_seen, last_seen, cleared, why`

func scanSignal(r *sql.Rows, more ...any) (SignalState, error) {
	var st SignalState
	var first, last, cleared int64
	err := r.Scan(append([]any{&st.Key, &st.Rule, &st.Resource, &st.Title, &st.Count, &first, &last, &cleared, &st.Why}, more...)...)
	st.FirstSeen, st.LastSeen, st.Cleared = moment(first), moment(last), moment(cleared)
	return st, err
}

// signalsOf lists the signals of an item, those that hold first.
func signalsOf(ctx context.Context, h store.Handle, number int64) ([]SignalState, error) {
	return query(ctx, h, func(r *sql.Rows) (SignalState, error) { return scanSignal(r) },
		`SELECT `+signalColumns+` FROM work_signal WHERE item = ? ORDER BY CASE WHEN cleared = 0 THEN 0 ELSE 1 END, first_seen, signal LIMIT 200`, number)
}
