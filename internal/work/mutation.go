package work

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Fields of the history that only burndowns look at.
const (
	fieldSprintID = "sprint-id"
	fieldCategory = "category"
)

// mutation is what one actor does to one item in a transaction. It is written by finish.
type mutation struct {
	s       *Service
	tx      *store.Tx
	who     string // actor
	it      row
	version int64 // that was loaded; 0 for a new item
	why     string
	changes []Change
	links   []event.Link
	states  []State // of the project, once they were needed
	quiet   bool    // counts and the like changed, which are worth no event
	inner   bool    // a machine acts: an insight stays automatic
}

// change begins to change an item. The caller has authorised it.
func (s *Service) change(ctx context.Context, tx *store.Tx, a identity.Actor, number int64) (*mutation, error) {
	it, err := load(ctx, tx, number, true)
	if err != nil {
		return nil, err
	}
	if it.Insight != nil {
		n := *it.Insight
		it.Insight = &n
	}
	return &mutation{s: s, tx: tx, who: a.String(), it: it, version: it.Version}, nil
}

// note adds a line to the history.
func (m *mutation) note(field, from, to string) {
	m.changes = append(m.changes, Change{Field: field, From: from, To: to})
}

// text sets a text field.
func (m *mutation) text(field string, at *string, to string) {
	if *at == to {
		return
	}
	from, became := *at, to
	if field == "body" {
		from, became = "", "" // Bodies are long; that one changed is what counts.
	}
	m.note(field, from, became)
	*at = to
}

func (m *mutation) allStates(ctx context.Context) ([]State, error) {
	if m.states == nil {
		var err error
		if m.states, err = states(ctx, m.tx, m.it.Project); err != nil {
			return nil, err
		}
	}
	return m.states, nil
}

// state puts the item into a state, given by its name or category.
func (m *mutation) state(ctx context.Context, name string) error {
	list, err := m.allStates(ctx)
	if err != nil {
		return err
	}
	st, err := pick(list, name)
	if err != nil {
		return err
	}
	if st.Name == m.it.State {
		return nil
	}
	if m.it.Insight != nil && !m.inner {
		if st.Category == Removed {
			return invalid("Item %d came from a signal, and would come back with it.", m.it.Number).
				WithNext("say why and until when: towpath item close %d --wont-fix 'WHY' --until 2027-01-31", m.it.Number)
		}
		m.it.Insight.Auto = false
		if err := m.alone(ctx, st); err != nil {
			return err
		}
	}
	m.setState(st)
	return nil
}

// alone refuses to open an old item of a signal that has a younger open one.
func (m *mutation) alone(ctx context.Context, st State) error {
	if m.it.Open() || st.Category != Proposed && st.Category != InProgress {
		return nil
	}
	var n int64
	err := m.tx.QueryRow(ctx, `SELECT COALESCE(MAX(number), 0) FROM work_item WHERE project = ? AND signal = ? AND signal <> '' AND category IN (?, ?)`,
		m.it.Project, m.it.signal, Proposed, InProgress).Scan(&n)
	if err != nil {
		return fmt.Errorf("looking for other items of a signal: %w", err)
	}
	if n != 0 {
		return fault.New(fault.Conflict, "The same signal has the open item %d.", n).WithNext("work on that one: towpath item show %d", n)
	}
	return nil
}

func (m *mutation) setState(st State) {
	m.note("state", m.it.State, st.Name)
	if st.Category != m.it.Category {
		m.note(fieldCategory, m.it.Category, st.Category)
	}
	m.it.State, m.it.Category = st.Name, st.Category
	ended := st.Category == Completed || st.Category == Removed
	switch {
	case !ended:
		m.it.Ended = moment(0)
	case m.it.Ended.IsZero():
		m.it.Ended = m.s.now()
	}
	if m.it.Insight != nil && st.Category != Removed {
		m.it.Insight.WontFix, m.it.Insight.Until = "", moment(0)
	}
}

// sprint puts the item into a sprint; "" takes it out.
func (m *mutation) sprint(ctx context.Context, ref string) error {
	if ref == "" || ref == "none" {
		m.intoSprint(Sprint{})
		return nil
	}
	p, err := m.s.sprintOf(ctx, m.tx, m.it.Project, ref)
	if err != nil {
		return err
	}
	if p.State == SprintClosed && p.ID != m.it.SprintID {
		return invalid("The sprint %s is closed.", p.Name).WithNext("take another one; list them with `towpath sprint list --project %s`", m.it.Project)
	}
	m.intoSprint(p)
	return nil
}

func (m *mutation) intoSprint(p Sprint) {
	if p.ID == m.it.SprintID {
		return
	}
	m.note("sprint", m.it.Sprint, p.Name)
	m.note(fieldSprintID, m.it.SprintID, p.ID)
	m.it.Sprint, m.it.SprintID = p.Name, p.ID
}

func (m *mutation) points(p float64) {
	p = points(hundredths(p))
	if p != m.it.Points {
		m.note("points", decimal(m.it.Points), decimal(p))
		m.it.Points = p
	}
}

func decimal(p float64) string { return strconv.FormatFloat(p, 'f', -1, 64) }

func (m *mutation) labels(in []string) error {
	out, err := labels(in)
	if err != nil {
		return err
	}
	if !slices.Equal(out, m.it.Labels) {
		m.note("labels", strings.Join(m.it.Labels, ", "), strings.Join(out, ", "))
		m.it.Labels = out
	}
	return nil
}

// parent makes another item of the project the parent; 0 makes none.
func (m *mutation) parent(ctx context.Context, number int64) error {
	if number == m.it.Parent {
		return nil
	}
	at := number
	for depth := 0; at != 0; depth++ {
		if at == m.it.Number || depth == maxDepth {
			return invalid("Item %d cannot be below %d: it would be above itself, or more than %d levels deep.", m.it.Number, number, maxDepth)
		}
		above, err := load(ctx, m.tx, at, false)
		if err != nil {
			return err
		}
		if above.Project != m.it.Project {
			return noItem(number)
		}
		at = above.Parent
	}
	m.note("parent", ref(m.it.Parent), ref(number))
	m.it.Parent = number
	return nil
}

// ref writes the number of an item as people do.
func ref(number int64) string {
	if number == 0 {
		return ""
	}
	return "#" + strconv.FormatInt(number, 10)
}

// link adds a link unless it is there.
func (m *mutation) link(ctx context.Context, l Link) error {
	if m.inner {
		l.Title = cut(l.Title, maxTitle) // What a machine saw may be longer.
	}
	l, err := checkLink(l)
	if err != nil {
		return err
	}
	var n int
	if err := m.tx.QueryRow(ctx, `SELECT COUNT(*) FROM work_link WHERE item = ?`, m.it.Number).Scan(&n); err != nil {
		return fmt.Errorf("counting links: %w", err)
	}
	if n >= maxLinks && m.inner {
		return nil // The first ones are evidence enough.
	}
	if n >= maxLinks {
		return invalid("Item %d has %d links already.", m.it.Number, n).WithNext("remove some first")
	}
	res, err := m.tx.Exec(ctx, `INSERT INTO work_link (item, rel, target, kind, url, title, made, actor) VALUES (?,?,?,?,?,?,?,?)
		ON CONFLICT (item, rel, target) DO NOTHING`, m.it.Number, l.Rel, l.target(), l.Kind, l.URL, l.Title, millis(m.s.now()), m.who)
	if err != nil {
		return fmt.Errorf("linking item %d: %w", m.it.Number, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	m.note("link", "", strings.TrimSpace(l.Rel+" "+l.target()+" "+l.Title))
	if l.Subject != "" {
		m.links = append(m.links, event.Link{Rel: l.Rel, To: event.Subject(l.Subject)})
	}
	return nil
}

// unlink removes a link; one that is not there is no error.
func (m *mutation) unlink(ctx context.Context, l Link) error {
	res, err := m.tx.Exec(ctx, `DELETE FROM work_link WHERE item = ? AND rel = ? AND target = ?`, m.it.Number, l.Rel, l.target())
	if err != nil {
		return fmt.Errorf("unlinking item %d: %w", m.it.Number, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err
	}
	m.note("unlink", l.Rel+" "+l.target(), "")
	return nil
}

// finish writes the item and its history, and returns what is to be said in the logbook,
// if anything.
func (m *mutation) finish(ctx context.Context) ([]event.Fact, error) {
	if len(m.changes) == 0 && !m.quiet {
		return nil, nil
	}
	if len(m.changes) > 0 {
		// A count that grows is no change that somebody could be surprised by.
		m.it.Version, m.it.Updated = m.version+1, m.s.now()
	}
	var err error
	if m.version == 0 {
		err = insert(ctx, m.tx, m.it)
	} else {
		err = update(ctx, m.tx, m.it, m.version)
	}
	if err != nil {
		return nil, err
	}
	if err := m.remember(ctx); err != nil || len(m.changes) == 0 {
		return nil, err
	}
	kind := event.TypeItemChanged
	if m.version == 0 {
		kind = event.TypeItemCreated
	}
	return []event.Fact{{Type: kind, Subject: subject(m.it.Number), Project: m.it.Project, Actor: m.who, Payload: m.payload(), Links: m.links}}, nil
}

func (m *mutation) remember(ctx context.Context) error {
	for _, c := range m.changes {
		_, err := m.tx.Exec(ctx, `INSERT INTO work_history (id, item, made, actor, field, was, became, why) VALUES (?,?,?,?,?,?,?,?)`,
			m.s.Clock.NewID(), m.it.Number, millis(m.it.Updated), m.who, c.Field, c.From, c.To, m.why)
		if err != nil {
			return fmt.Errorf("writing the history of item %d: %w", m.it.Number, err)
		}
	}
	return nil
}

func (m *mutation) payload() event.Item {
	p := event.Item{
		V: 1, Item: m.it.Number, Type: m.it.Type, Title: m.it.Title, State: m.it.State, Category: m.it.Category, Sprint: m.it.Sprint,
		Assignee: m.it.Assignee, Severity: m.it.Severity, Source: m.it.source, Signal: m.it.signal, Why: m.why,
	}
	if m.version == 0 {
		return p
	}
	var fields []string
	for _, c := range m.changes {
		if c.Field != fieldCategory && c.Field != fieldSprintID && !slices.Contains(fields, c.Field) {
			fields = append(fields, c.Field)
		}
	}
	p.Change = strings.Join(fields, ",")
	return p
}

func subject(number int64) event.Subject {
	return event.Of(event.KindItem, strconv.FormatInt(number, 10))
}

// say appends facts at the end of a transaction.
func (s *Service) say(ctx context.Context, tx *store.Tx, facts []event.Fact) error {
	if len(facts) == 0 {
		return nil
	}
	return s.Log.Append(ctx, tx, facts...)
}
