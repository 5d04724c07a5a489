package pull

import (
	"context"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/store"
)

// cutBranch returns the short name of a branch.
func cutBranch(ref string) (string, bool) { return strings.CutPrefix(ref, "refs/heads/") }

// checkBranches wants two different names that can be branches.
func checkBranches(source, target string) error {
	for _, b := range []string{source, target} {
		if b == "" || git.CheckRef(branchRef(b)) != "" {
			return fault.New(fault.Invalid, "%q is not the name of a branch.", clip(b)).WithNext("use the short name, such as main")
		}
	}
	if source == target {
		return fault.New(fault.Invalid, "A pull request cannot propose %s for itself.", source).WithNext("push your commits to another branch")
	}
	return nil
}

// Open opens a pull request; the actor is a person with the role write. There is one open
// pull request of a source and target at a time: a second is fault.Conflict.
func (s *Service) Open(ctx context.Context, a identity.Actor, repo string, w Proposal) (Pull, error) {
	if err := person(a, "open a pull request"); err != nil {
		return Pull{}, err
	}
	at, err := s.locate(ctx, a, repo)
	if err != nil {
		return Pull{}, err
	}
	if err := s.auth.Require(ctx, a, at.Project, identity.Write); err != nil {
		return Pull{}, err
	}
	if w.Target == "" {
		w.Target = at.DefaultBranch
	}
	for _, err := range []error{checkTitle(w.Title), checkBody(w.Body, false), checkBranches(w.Source, w.Target), checkReviewers(a.Name, w.Reviewers)} {
		if err != nil {
			return Pull{}, err
		}
	}
	leave, err := s.enter(ctx, at.FullName())
	if err != nil {
		return Pull{}, err
	}
	defer leave()
	now := s.now()
	p := row{project: at.Project, Pull: Pull{
		Repo: at.FullName(), Title: strings.TrimSpace(w.Title), Body: w.Body, Author: a.Name, Source: w.Source, Target: w.Target, Draft: w.Draft,
		State: Open, Opened: now, Updated: now, Moved: now,
	}}
	if w.Draft {
		p.drafted = now
	}
	p, err = s.open(ctx, at, p, w.Reviewers)
	return p.Pull, err
}

// open looks at the branches and stores the new pull request.
func (s *Service) open(ctx context.Context, at place, p row, reviewers []string) (row, error) {
	if err := s.single(ctx, p.Pull); err != nil {
		return p, err
	}
	p, err := s.begin(ctx, at, p)
	if err != nil {
		return p, err
	}
	if err := s.db.Tx(ctx, func(tx *store.Tx) (err error) {
		p.Number, err = nextNumber(ctx, tx, p.Repo)
		return err
	}); err != nil {
		return p, err
	}
	if p, err = s.examine(ctx, at, p, p.Head, p.Tip); err != nil {
		return p, err
	}
	if err := s.setRefs(ctx, at, p.Pull); err != nil {
		return p, err
	}
	ask, err := s.ownersToAsk(ctx, at, p)
	if err != nil {
		return p, err
	}
	actor := identity.KindUser + ":" + p.Author
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		if err := insert(ctx, tx, p); err != nil {
			return err
		}
		if err := s.note(ctx, tx, p.Pull, note{kind: EntryOpened, actor: actor, from: p.Base, to: p.Head}); err != nil {
			return err
		}
		if _, err := s.ask(ctx, tx, p.Pull, actor, reviewers, false); err != nil {
			return err
		}
		if p.Reviewers, err = s.ask(ctx, tx, p.Pull, self().String(), ask, true); err != nil {
			return err
		}
		return s.say(ctx, tx, p, event.TypePullOpened, actor, said{})
	})
	if store.Unique(err) {
		return p, fault.Wrap(fault.Conflict, err, "A pull request of %s into %s is open already.", p.Source, p.Target)
	}
	return p, wrap(err, "opening a pull request in %s", p.Repo)
}

// begin finds head and tip of a pull request that is to be opened and wants something to be
// proposed.
func (s *Service) begin(ctx context.Context, at place, p row) (row, error) {
	head, tip, err := s.tips(ctx, at, p.Pull)
	switch {
	case err != nil:
		return p, err
	case head == "":
		return p, fault.New(fault.NotFound, "There is no branch %s in %s.", p.Source, p.Repo).WithNext("git push origin HEAD:refs/heads/%s", p.Source)
	case tip == "":
		return p, fault.New(fault.NotFound, "There is no branch %s in %s.", p.Target, p.Repo).WithNext("choose a target that exists")
	}
	pusher, ok, err := s.pusher(ctx, at, p.Source, head)
	if err != nil {
		return p, err
	}
	if !ok {
		return p, fault.New(fault.Unavailable, "The push to %s is still being finished.", p.Source).WithNext("try again in a moment")
	}
	known, err := at.git.IsAncestor(ctx, at.dir, nil, head, tip)
	if err != nil {
		return p, err
	}
	if known {
		return p, fault.New(fault.Conflict, "The branch %s has no commits that %s does not have.", p.Source, p.Target).WithNext("commit something and push it")
	}
	p.Head, p.Tip, p.Pusher = head, tip, pusher
	return p, nil
}

// single wants no other open pull request of the same branches.
func (s *Service) single(ctx context.Context, p Pull) error {
	list, err := rows(ctx, s.db, `p.repo = ? AND p.source = ? AND p.target = ? AND p.state = ? AND p.number <> ?`, p.Repo, p.Source, p.Target, Open, p.Number)
	if err != nil || len(list) == 0 {
		return err
	}
	return fault.New(fault.Conflict, "Pull request %d proposes %s for %s already.", list[0].Number, p.Source, p.Target).
		WithNext("push more commits to it, or close it")
}

// change loads a pull request, lets do change it while nobody else does, and returns it.
func (s *Service) change(ctx context.Context, a identity.Actor, repo string, n int64, do func(place, row) (row, error)) (Pull, error) {
	at, _, err := s.find(ctx, a, repo, n)
	if err != nil {
		return Pull{}, err
	}
	leave, err := s.enter(ctx, at.FullName())
	if err != nil {
		return Pull{}, err
	}
	defer leave()
	p, err := load(ctx, s.db, at.FullName(), n)
	if err != nil {
		return Pull{}, err
	}
	p, err = do(at, p)
	return p.Pull, wrap(err, "changing pull request %s", p.key())
}

// ended refuses to change what is over.
func ended(p row) error {
	if p.State == Open {
		return nil
	}
	return fault.New(fault.Conflict, "Pull request %d is %s.", p.Number, p.State)
}

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
