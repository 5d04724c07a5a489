package pull

import (
	"context"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// Edit changes title, body, target or draft; the author may, and whoever holds write. With
// another target everything is judged anew, by what that branch demands.
func (s *Service) Edit(ctx context.Context, a identity.Actor, repo string, n int64, e Edit) (Pull, error) {
	if err := person(a, "change a pull request"); err != nil {
		return Pull{}, err
	}
	return s.change(ctx, a, repo, n, func(at place, p row) (row, error) {
		if err := s.authorOr(ctx, a, p, identity.Write); err != nil {
			return p, err
		}
		if err := e.check(p); err != nil {
			return p, err
		}
		if e.Target != nil && *e.Target != p.Target {
			next, err := s.retarget(ctx, a, at, p, *e.Target)
			if err != nil {
				return p, err
			}
			p = next
		}
		return s.edit(ctx, a, at, p, e)
	})
}

func (e Edit) check(p row) error {
	if e.Title != nil {
		if err := checkTitle(*e.Title); err != nil {
			return err
		}
	}
	if e.Body != nil {
		if err := checkBody(*e.Body, false); err != nil {
			return err
		}
	}
	if e.Target != nil {
		if err := checkBranches(p.Source, *e.Target); err != nil {
			return err
		}
	}
	if e.Target != nil || e.Draft != nil {
		return ended(p)
	}
	return nil
}

// retarget points the pull request at another branch. What was approved was its merge into
// the old one, so that every approval is dropped, whatever the rulesets say of new commits.
func (s *Service) retarget(ctx context.Context, a identity.Actor, at place, p row, target string) (row, error) {
	v, err := s.sync(ctx, at, p)
	if err != nil {
		return p, err
	}
	was, p := v.row, v.row
	p.Target = target
	if err := s.single(ctx, p.Pull); err != nil {
		return was, err
	}
	if p, err = s.begin(ctx, at, p); err != nil {
		return was, err
	}
	if p, err = s.examine(ctx, at, p, p.Head, p.Tip); err != nil {
		return was, err
	}
	p.Moved = s.now()
	if err := s.setRefs(ctx, at, p.Pull); err != nil {
		return was, err
	}
	ask, err := s.ownersToAsk(ctx, at, p)
	if err != nil {
		return was, err
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		dropped, err := dropStale(ctx, tx, p.Pull)
		if err != nil {
			return err
		}
		p.Updated = s.now()
		if err := s.note(ctx, tx, p.Pull, note{kind: EntryTarget, actor: a.String(), from: was.Target, to: target, count: dropped}); err != nil {
			return err
		}
		if err := save(ctx, tx, p); err != nil {
			return err
		}
		if p.Reviewers, err = s.ask(ctx, tx, p.Pull, self().String(), ask, true); err != nil {
			return err
		}
		return s.say(ctx, tx, p, event.TypePullUpdated, a.String(), said{change: "target", dropped: dropped})
	})
	return p, err
}

// edit changes what needs no look at the branches.
func (s *Service) edit(ctx context.Context, a identity.Actor, at place, p row, e Edit) (row, error) {
	was := p
	if e.Title != nil {
		p.Title = strings.TrimSpace(*e.Title)
	}
	if e.Body != nil {
		p.Body = *e.Body
	}
	if e.Draft != nil && *e.Draft != p.Draft {
		p.Draft, p.drafted = *e.Draft, s.now()
	}
	if p.Title == was.Title && p.Body == was.Body && p.Draft == was.Draft {
		return p, nil
	}
	var ask []string
	var err error
	if was.Draft && !p.Draft {
		if ask, err = s.ownersToAsk(ctx, at, p); err != nil {
			return was, err
		}
	}
	p.Updated = s.now()
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := save(ctx, tx, p); err != nil {
			return err
		}
		if p.Reviewers, err = s.ask(ctx, tx, p.Pull, self().String(), ask, true); err != nil {
			return err
		}
		return s.noteEdit(ctx, tx, a.String(), was, p)
	})
	return p, err
}

// noteEdit writes an entry and an event for each thing that changed; the body is nobody's
// business but the page's.
func (s *Service) noteEdit(ctx context.Context, tx *store.Tx, actor string, was, p row) error {
	type turn struct {
		note
		change string
	}
	var turns []turn
	if p.Title != was.Title {
		turns = append(turns, turn{note{kind: EntryTitle, actor: actor, from: was.Title, to: p.Title}, "title"})
	}
	switch {
	case p.Draft && !was.Draft:
		turns = append(turns, turn{note{kind: EntryDraft, actor: actor}, "draft"})
	case !p.Draft && was.Draft:
		turns = append(turns, turn{note{kind: EntryReady, actor: actor}, "ready"})
	}
	for _, t := range turns {
		if err := s.note(ctx, tx, p.Pull, t.note); err != nil {
			return err
		}
		if err := s.say(ctx, tx, p, event.TypePullUpdated, actor, said{change: t.change}); err != nil {
			return err
		}
	}
	return nil
}

// Close closes a pull request without merging it; the author may, and whoever holds write.
func (s *Service) Close(ctx context.Context, a identity.Actor, repo string, n int64) (Pull, error) {
	if err := person(a, "close a pull request"); err != nil {
		return Pull{}, err
	}
	return s.change(ctx, a, repo, n, func(_ place, p row) (row, error) {
		if err := s.authorOr(ctx, a, p, identity.Write); err != nil {
			return p, err
		}
		if err := ended(p); err != nil {
			return p, err
		}
		err := s.end(ctx, p, a.String(), "")
		if err != nil {
			return p, err
		}
		return load(ctx, s.db, p.Repo, p.Number)
	})
}

// end closes a pull request; why is "" when somebody did it by hand.
func (s *Service) end(ctx context.Context, p row, actor, why string) error {
	now := s.now()
	p.State, p.Ended, p.EndedBy, p.Updated, p.merging = Closed, now, actor, now, nil
	err := s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := save(ctx, tx, p); err != nil {
			return err
		}
		if err := s.note(ctx, tx, p.Pull, note{kind: EntryClosed, actor: actor, text: why}); err != nil {
			return err
		}
		return s.say(ctx, tx, p, event.TypePullClosed, actor, said{})
	})
	return wrap(err, "closing pull request %s", p.key())
}

// Reopen opens a closed pull request again, with its branches as they are now.
func (s *Service) Reopen(ctx context.Context, a identity.Actor, repo string, n int64) (Pull, error) {
	if err := person(a, "reopen a pull request"); err != nil {
		return Pull{}, err
	}
	return s.change(ctx, a, repo, n, func(at place, p row) (row, error) {
		if err := s.authorOr(ctx, a, p, identity.Write); err != nil {
			return p, err
		}
		if p.State != Closed {
			return p, fault.New(fault.Conflict, "Pull request %d is %s and cannot be reopened.", n, p.State)
		}
		if err := s.single(ctx, p.Pull); err != nil {
			return p, err
		}
		was := p
		p, err := s.begin(ctx, at, p)
		if err != nil {
			return was, err
		}
		if p, err = s.examine(ctx, at, p, p.Head, p.Tip); err != nil {
			return was, err
		}
		p.State, p.Ended, p.EndedBy = Open, fromMillis(0), ""
		if err := s.noteReopened(ctx, a, p); err != nil {
			return was, err
		}
		return s.moved(ctx, at, was, p)
	})
}

func (s *Service) noteReopened(ctx context.Context, a identity.Actor, p row) error {
	p.Updated = s.now()
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := save(ctx, tx, p); err != nil {
			return err
		}
		if err := s.note(ctx, tx, p.Pull, note{kind: EntryReopened, actor: a.String()}); err != nil {
			return err
		}
		return s.say(ctx, tx, p, event.TypePullUpdated, a.String(), said{change: "reopened"})
	})
}
