package work

import (
	"context"
	"fmt"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

func changedMeanwhile(number int64) error {
	return fault.New(fault.Conflict, "Somebody else changed item %d meanwhile.", number).WithNext("look at it again: towpath item show %d", number)
}

// Create makes an item at the end of the backlog, or at its top. It needs write.
func (s *Service) Create(ctx context.Context, a identity.Actor, project string, in NewItem) (Item, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Write); err != nil {
		return Item{}, err
	}
	if err := s.checkMember(ctx, a, project, in.Assignee); err != nil {
		return Item{}, err
	}
	var out Item
	err := s.tx(ctx, func(tx *store.Tx) error {
		m, err := s.create(ctx, tx, a, project, in, row{})
		if err != nil {
			return err
		}
		facts, err := m.finish(ctx)
		if err != nil {
			return err
		}
		out = m.it.Item
		return s.say(ctx, tx, facts)
	})
	return out, err
}

// create prepares a new item; base has what a signal says of it.
func (s *Service) create(ctx context.Context, tx *store.Tx, a identity.Actor, project string, in NewItem, base row) (*mutation, error) {
	if in.Type == "" {
		in.Type = TypeTask
	}
	if err := checkNew(in); err != nil {
		return nil, err
	}
	number, err := next(ctx, tx)
	if err != nil {
		return nil, err
	}
	now := s.now()
	it := base
	it.Item = Item{
		Number: number, Project: project, Type: in.Type, Title: in.Title, Body: in.Body, Assignee: in.Assignee, Priority: in.Priority, Severity: in.Severity,
		Created: now, CreatedBy: a.String(), Insight: base.Insight,
	}
	m := &mutation{s: s, tx: tx, who: a.String(), it: it}
	list, err := m.allStates(ctx)
	if err != nil {
		return nil, err
	}
	if in.State == "" {
		in.State = Proposed
	}
	st, err := pick(list, in.State)
	if err != nil {
		return nil, err
	}
	m.it.State, m.it.Category = st.Name, st.Category
	if st.Category == Completed || st.Category == Removed {
		m.it.Ended = now
	}
	m.note("created", "", in.Title)
	m.note(fieldCategory, "", st.Category)
	m.points(in.Points)
	if err := m.labels(in.Labels); err != nil {
		return nil, err
	}
	if err := m.parent(ctx, in.Parent); err != nil {
		return nil, err
	}
	if in.Sprint != "" {
		if err := m.sprint(ctx, in.Sprint); err != nil {
			return nil, err
		}
	}
	if m.it.Rank, err = s.atEnd(ctx, tx, project, in.Top); err != nil {
		return nil, err
	}
	for _, l := range in.Links {
		if err := m.link(ctx, l); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func checkNew(in NewItem) error {
	if len(in.Links) > maxLinks {
		return fault.New(fault.TooLarge, "An item has at most %d links.", maxLinks)
	}
	for _, err := range []error{
		checkTitle(in.Title), checkBody("The description", in.Body), checkType(in.Type), checkSeverity(in.Severity), checkPriority(in.Priority),
		checkPoints(in.Points), checkAssignee(in.Assignee),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// Change edits an item. It needs write; fault.Conflict when Edit.Expect is another version.
func (s *Service) Change(ctx context.Context, a identity.Actor, number int64, in Edit) (Item, error) {
	it, err := s.may(ctx, a, number, identity.Write)
	if err != nil {
		return Item{}, err
	}
	// Who has the item already may have left the project since; that is no reason to refuse
	// what else changes.
	if in.Assignee != nil && *in.Assignee != it.Assignee {
		if err := s.checkMember(ctx, a, it.Project, *in.Assignee); err != nil {
			return Item{}, err
		}
	}
	return s.edit(ctx, a, number, func(m *mutation) error {
		if in.Expect != 0 && in.Expect != m.version {
			return changedMeanwhile(number)
		}
		if err := checkWhy(in.Why); err != nil {
			return err
		}
		m.why = in.Why
		return m.apply(ctx, in)
	})
}

// edit authorises, changes one item in a transaction and says so.
func (s *Service) edit(ctx context.Context, a identity.Actor, number int64, do func(m *mutation) error) (Item, error) {
	if _, err := s.may(ctx, a, number, identity.Write); err != nil {
		return Item{}, err
	}
	var out Item
	err := s.tx(ctx, func(tx *store.Tx) error {
		m, err := s.change(ctx, tx, a, number)
		if err != nil {
			return err
		}
		if err := do(m); err != nil {
			return err
		}
		facts, err := m.finish(ctx)
		if err != nil {
			return err
		}
		out = m.it.Item
		return s.say(ctx, tx, facts)
	})
	return out, err
}

// apply makes the changes that an edit asks for.
func (m *mutation) apply(ctx context.Context, in Edit) error {
	for _, f := range []struct {
		name  string
		at    *string
		to    *string
		check func(string) error
	}{
		{"type", &m.it.Type, in.Type, checkType},
		{"title", &m.it.Title, in.Title, checkTitle},
		{"body", &m.it.Body, in.Body, func(s string) error { return checkBody("The description", s) }},
		{"assignee", &m.it.Assignee, in.Assignee, checkAssignee},
		{"severity", &m.it.Severity, in.Severity, checkSeverity},
	} {
		if f.to == nil {
			continue
		}
		if err := f.check(*f.to); err != nil {
			return err
		}
		m.text(f.name, f.at, *f.to)
	}
	if err := m.applyNumbers(ctx, in); err != nil {
		return err
	}
	if in.Labels != nil {
		if err := m.labels(*in.Labels); err != nil {
			return err
		}
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

func (m *mutation) applyNumbers(ctx context.Context, in Edit) error {
	if in.Points != nil {
		if err := checkPoints(*in.Points); err != nil {
			return err
		}
		m.points(*in.Points)
	}
	if in.Priority != nil && *in.Priority != m.it.Priority {
		if err := checkPriority(*in.Priority); err != nil {
			return err
		}
		m.note("priority", fmt.Sprint(m.it.Priority), fmt.Sprint(*in.Priority))
		m.it.Priority = *in.Priority
	}
	if in.Parent != nil {
		return m.parent(ctx, *in.Parent)
	}
	return nil
}

// Link adds a link to an item. It needs write, and what it links to is not looked at: who
// follows the link needs the rights there.
func (s *Service) Link(ctx context.Context, a identity.Actor, number int64, l Link) (Item, error) {
	return s.edit(ctx, a, number, func(m *mutation) error { return m.link(ctx, l) })
}

// Unlink removes a link, told by its relation and its subject or address. It needs write.
func (s *Service) Unlink(ctx context.Context, a identity.Actor, number int64, l Link) (Item, error) {
	if l.Rel == "" {
		l.Rel = RelRelates
	}
	return s.edit(ctx, a, number, func(m *mutation) error { return m.unlink(ctx, l) })
}

// Comment says something about an item. It needs write.
func (s *Service) Comment(ctx context.Context, a identity.Actor, number int64, text string) (Comment, error) {
	if _, err := s.may(ctx, a, number, identity.Write); err != nil {
		return Comment{}, err
	}
	var c Comment
	err := s.tx(ctx, func(tx *store.Tx) error {
		it, err := load(ctx, tx, number, true)
		if err != nil {
			return err
		}
		var fact event.Fact
		if c, fact, err = s.comment(ctx, tx, a.String(), it, text); err != nil {
			return err
		}
		return s.Log.Append(ctx, tx, fact)
	})
	return c, err
}

func (s *Service) comment(ctx context.Context, tx *store.Tx, who string, it row, text string) (Comment, event.Fact, error) {
	if text == "" {
		return Comment{}, event.Fact{}, invalid("The comment is empty.").WithNext("write something")
	}
	if err := checkBody("The comment", text); err != nil {
		return Comment{}, event.Fact{}, err
	}
	var n int
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM work_comment WHERE item = ?`, it.Number).Scan(&n); err != nil {
		return Comment{}, event.Fact{}, fmt.Errorf("counting comments: %w", err)
	}
	if n >= maxComments {
		return Comment{}, event.Fact{}, fault.New(fault.TooLarge, "Item %d has %d comments already.", it.Number, n).WithNext("open another item and link it")
	}
	c := Comment{ID: s.Clock.NewID(), Author: who, Body: text, Made: s.now()}
	_, err := tx.Exec(ctx, `INSERT INTO work_comment (id, item, author, body, made, edited) VALUES (?,?,?,?,?,0)`, c.ID, it.Number, who, text, millis(c.Made))
	if err != nil {
		return c, event.Fact{}, fmt.Errorf("storing a comment: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE work_item SET updated = ? WHERE number = ?`, millis(c.Made), it.Number); err != nil {
		return c, event.Fact{}, fmt.Errorf("touching item %d: %w", it.Number, err)
	}
	return c, event.Fact{
		Type: event.TypeItemCommented, Subject: subject(it.Number), Project: it.Project, Actor: who,
		Payload: event.ItemCommented{V: 1, Item: it.Number, Comment: c.ID, Author: who},
	}, nil
}

// EditComment changes the text of a comment. Only its author may.
func (s *Service) EditComment(ctx context.Context, a identity.Actor, number int64, id, text string) (Comment, error) {
	it, err := s.may(ctx, a, number, identity.Write)
	if err != nil {
		return Comment{}, err
	}
	if text == "" {
		return Comment{}, invalid("The comment is empty.").WithNext("write something")
	}
	if err := checkBody("The comment", text); err != nil {
		return Comment{}, err
	}
	var c Comment
	err = s.tx(ctx, func(tx *store.Tx) error {
		var err error
		if c, err = commentOf(ctx, tx, number, id); err != nil {
			return err
		}
		if c.Author != a.String() {
			return fault.New(fault.Denied, "Only %s may change this comment.", c.Author).WithNext("write another one")
		}
		c.Body, c.Edited = text, s.now()
		if _, err := tx.Exec(ctx, `UPDATE work_comment SET body = ?, edited = ? WHERE id = ? AND item = ?`, c.Body, millis(c.Edited), id, number); err != nil {
			return fmt.Errorf("changing a comment: %w", err)
		}
		return s.Log.Append(ctx, tx, event.Fact{
			Type: event.TypeItemCommented, Subject: subject(number), Project: it.Project, Actor: a.String(),
			Payload: event.ItemCommented{V: 1, Item: number, Comment: id, Author: c.Author, Edited: true},
		})
	})
	return c, err
}
