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
