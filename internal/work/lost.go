package work

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// lostMark ends the title of a link to a commit that no branch has.
const lostMark = " (on no branch any more)"

// LinkDeleted marks the links to the commits that went with a branch of a repository
// ("project/repo"); tip is what the branch pointed to. Links stay, because they say what
// happened, and a push that brings the commits back takes the marks away. It may be called
// again for the same branch.
func (s *Service) LinkDeleted(ctx context.Context, actor, repo, tip string) error {
	hashes, err := s.Commits.Lost(ctx, repo, tip, maxRange)
	if fault.Is(err, fault.NotFound) {
		hashes, err = []string{tip}, nil // It is gone altogether.
	}
	if err != nil {
		return err
	}
	project, _, _ := strings.Cut(repo, "/")
	for _, h := range hashes {
		target := string(event.Of(event.KindCommit, h))
		numbers, err := query(ctx, s.DB, func(r *sql.Rows) (n int64, err error) { return n, r.Scan(&n) },
			`SELECT DISTINCT l.item FROM work_link l JOIN work_item i ON i.number = l.item WHERE l.target = ? AND i.project = ? ORDER BY l.item`, target, project)
		if err != nil {
			return err
		}
		for _, n := range numbers {
			if err := s.markLost(ctx, actor, n, target); err != nil {
				return fmt.Errorf("marking a link of item %d: %w", n, err)
			}
		}
	}
	return nil
}

func (s *Service) markLost(ctx context.Context, actor string, number int64, target string) error {
	return s.tx(ctx, func(tx *store.Tx) error {
		m, err := s.change(ctx, tx, identity.Actor{}, number)
		if err != nil {
			return err
		}
		m.who, m.inner = actor, true
		list, err := linksOf(ctx, tx, number)
		if err != nil {
			return err
		}
		for _, l := range list {
			if l.Subject != target || strings.HasSuffix(l.Title, lostMark) {
				continue
			}
			if err := m.retitle(ctx, l, cut(l.Title, maxTitle-len(lostMark))+lostMark); err != nil {
				return err
			}
		}
		facts, err := m.finish(ctx)
		if err != nil {
			return err
		}
		return s.say(ctx, tx, facts)
	})
}

// regained takes the mark from the links to a commit that a branch has again.
func (m *mutation) regained(ctx context.Context, to event.Subject, title string) error {
	list, err := linksOf(ctx, m.tx, m.it.Number)
	if err != nil {
		return err
	}
	for _, l := range list {
		if l.Subject != string(to) || !strings.HasSuffix(l.Title, lostMark) {
			continue
		}
		if err := m.retitle(ctx, l, title); err != nil {
			return err
		}
	}
	return nil
}

// retitle gives a link another title.
func (m *mutation) retitle(ctx context.Context, l Link, title string) error {
	title = strings.TrimSpace(title)
	if _, err := m.tx.Exec(ctx, `UPDATE work_link SET title = ? WHERE item = ? AND rel = ? AND target = ?`, title, m.it.Number, l.Rel, l.Subject); err != nil {
		return fmt.Errorf("marking a link: %w", err)
	}
	m.note("link", strings.TrimSpace(l.Rel+" "+l.Subject+" "+l.Title), l.Rel+" "+l.Subject+" "+title)
	return nil
}
