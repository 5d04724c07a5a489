package work

import (
	"context"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/event"
)

// hashDigits is the length of the name of a commit.
const hashDigits = 40

// clause is a condition of SQL with its arguments.
type clause struct {
	sql  []string
	args []any
}

func (c *clause) and(sql string, args ...any) {
	c.sql = append(c.sql, sql)
	c.args = append(c.args, args...)
}

func (c *clause) where() string { return `WHERE ` + strings.Join(c.sql, ` AND `) }

// selection is the SQL of a filter.
func (s *Service) selection(ctx context.Context, project string, f Filter) (clause, error) {
	var c clause
	c.and(`i.project = ?`, project)
	if err := s.selectState(ctx, project, f.State, &c); err != nil {
		return c, err
	}
	for _, w := range []struct {
		column, value string
		check         func(string) error
	}{{"type", f.Type, checkType}, {"severity", f.Severity, checkSeverity}} {
		if w.value == "" {
			continue
		}
		if err := w.check(w.value); err != nil {
			return c, err
		}
		c.and(`i.`+w.column+` = ?`, w.value)
	}
	switch f.Assignee {
	case "":
	case "none":
		c.and(`i.assignee = ''`)
	default:
		c.and(`i.assignee = ?`, f.Assignee)
	}
	switch f.Source {
	case "":
	case "any":
		c.and(`i.source <> ''`)
	default:
		c.and(`i.source = ?`, f.Source)
	}
	if f.Label != "" {
		c.and(`i.labels LIKE ? ESCAPE '!'`, "%,"+escape(f.Label)+",%")
	}
	if f.Parent != 0 {
		c.and(`i.parent = ? AND i.parent <> 0`, f.Parent)
	}
	if err := s.selectSprint(ctx, project, f.Sprint, &c); err != nil {
		return c, err
	}
	if err := s.selectLink(ctx, project, f.Link, &c); err != nil {
		return c, err
	}
	return c, selectText(f.Text, &c)
}

func (s *Service) selectState(ctx context.Context, project, want string, c *clause) error {
	switch state := strings.ToLower(want); {
	case state == "":
	case state == "open":
		c.and(`i.category IN (?, ?)`, Proposed, InProgress)
	case isCategory(state):
		c.and(`i.category = ?`, state)
	default:
		list, err := states(ctx, s.DB, project)
		if err != nil {
			return err
		}
		st, err := pick(list, want)
		switch {
		case err == nil:
			c.and(`i.state = ?`, st.Name)
		case state == "closed":
			c.and(`i.category IN (?, ?)`, Completed, Removed)
		default:
			return err
		}
	}
	return nil
}

func (s *Service) selectSprint(ctx context.Context, project, want string, c *clause) error {
	switch want {
	case "":
		return nil
	case "none":
		c.and(`i.sprint = ''`)
		return nil
	}
	p, err := s.sprintOf(ctx, s.DB, project, want)
	if err != nil {
		return err
	}
	c.and(`i.sprint = ? AND i.sprint <> ''`, p.ID)
	return nil
}

// selectLink finds the items that link to a subject; those of a commit are also the items
// that link to what became of it.
func (s *Service) selectLink(ctx context.Context, project, want string, c *clause) error {
	if want == "" {
		return nil
	}
	l, err := checkLink(Link{Subject: want})
	if err != nil {
		return err
	}
	sql, args := `i.number IN (SELECT item FROM work_link WHERE target = ?)`, []any{want}
	if id := event.Subject(want).ID(); l.Kind == event.KindCommit {
		if len(id) != hashDigits {
			return invalid("%q is no whole commit.", clip(id)).WithNext("write all %d digits of it: commit:<hash>", hashDigits)
		}
		var numbers []int64
		if s.Chains != nil {
			if numbers, err = s.Chains.Items(ctx, project, id); err != nil {
				return err
			}
		}
		for i, n := range numbers {
			sql += map[bool]string{true: ` OR i.number IN (?`, false: `,?`}[i == 0]
			args = append(args, n)
		}
		if len(numbers) > 0 {
			sql += `)`
		}
	}
	c.and(`(`+sql+`)`, args...)
	return nil
}

// selectText finds the words of a title, or the number of an item.
func selectText(want string, c *clause) error {
	if want == "" {
		return nil
	}
	if len(want) > maxText {
		return invalid("Search for at most %d bytes.", maxText)
	}
	if n, err := strconv.ParseInt(strings.TrimPrefix(strings.TrimSpace(want), "#"), 10, 64); err == nil {
		c.and(`(i.number = ? OR i.folded LIKE ? ESCAPE '!')`, n, "%"+escape(strings.ToLower(want))+"%")
		return nil
	}
	for word := range strings.FieldsSeq(strings.ToLower(want)) {
		c.and(`i.folded LIKE ? ESCAPE '!'`, "%"+escape(word)+"%")
	}
	return nil
}

// escape makes a text stand for itself in LIKE … ESCAPE '!'.
func escape(s string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(s)
}
