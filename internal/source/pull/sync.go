package pull

import (
	"context"
	"errors"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/store"
)

// view is a pull request with where its branches are now.
type view struct {
	row
	head, tip string // "" when the branch is gone
	// unsettled says that a branch moved and that what this means is not noted yet: who
	// moved the source branch, or that somebody pushed the proposed commits to the target.
	// Nothing is decided until it is.
	unsettled bool
}

// maxConflicts is how many paths of a conflict are kept.
const maxConflicts = 100

// tips asks git where the branches of a pull request are.
func (s *Service) tips(ctx context.Context, at place, p Pull) (head, tip string, err error) {
	found, err := at.git.Info(ctx, at.dir, branchRef(p.Source)+"^{commit}", branchRef(p.Target)+"^{commit}")
	if err != nil {
		return "", "", err
	}
	for i, to := range []*string{&head, &tip} {
		if found[i].Type == "commit" {
			*to = found[i].Hash
		}
	}
	return head, tip, nil
}

// sync brings an open pull request up to date with its branches. The caller holds the
// repository's gate. A branch that is gone changes nothing here.
func (s *Service) sync(ctx context.Context, at place, p row) (view, error) {
	v := view{row: p}
	var err error
	if v.head, v.tip, err = s.tips(ctx, at, p.Pull); err != nil {
		return v, err
	}
	if p.State != Open || v.head == "" || v.tip == "" || v.head == p.Head && v.tip == p.Tip {
		return v, nil
	}
	took, err := s.took(ctx, at, p, v.head, v.tip)
	if err != nil || took {
		v.unsettled = true // The consumer notes it as merged.
		return v, err
	}
	next := p
	if v.head != p.Head {
		pusher, ok, err := s.pusher(ctx, at, p.Source, v.head)
		if err != nil {
			return v, err
		}
		if !ok {
			v.unsettled = true
			return v, nil
		}
		next.Pusher = pusher
	}
	if next, err = s.examine(ctx, at, next, v.head, v.tip); err != nil {
		return v, err
	}
	if v.row, err = s.moved(ctx, at, p, next); err != nil {
		return v, err
	}
	return v, nil
}

// pusher finds in the logbook who moved a branch to a commit.
func (s *Service) pusher(ctx context.Context, at place, branch, commit string) (string, bool, error) {
	list, err := s.log.Read(ctx, event.Query{Subject: event.Of(event.KindCommit, commit), Type: event.TypeCommitPushed, Newest: true, Limit: 200})
	if err != nil {
		return "", false, err
	}
	for _, e := range list {
		var c event.CommitPushed
		if err := e.Into(&c); err != nil {
			return "", false, err
		}
		if c.Repo == at.FullName() && c.Ref == branchRef(branch) {
			return e.Actor, true, nil
		}
	}
	return "", false, nil
}

// examine finds the base of a head and a tip and merges them for a test. The objects of a
// test merge lie in the repository, so that runs can fetch it; the merge itself is made,
// and judged, anew.
func (s *Service) examine(ctx context.Context, at place, p row, head, tip string) (row, error) {
	base, err := at.git.MergeBase(ctx, at.dir, nil, tip, head)
	if err != nil {
		return p, err
	}
	now := s.now()
	if head != p.Head || base != p.Base {
		p.Moved = now
	}
	p.Head, p.Tip, p.Base, p.Test, p.Conflicts = head, tip, base, "", nil
	if base == "" || base == head {
		p.conflicted = time.Time{}
		return p, nil
	}
	r, err := at.git.MergeTree(ctx, at.dir, nil, tip, head)
	if err != nil && !errors.Is(err, git.ErrUnrelated) {
		return p, err
	}
	if len(r.Conflicts) > 0 {
		p.Conflicts = r.Conflicts[:min(len(r.Conflicts), maxConflicts)]
		if p.conflicted.IsZero() {
			p.conflicted = now
		}
		return p, nil
	}
	p.conflicted = time.Time{}
	p.Test, err = s.testMerge(ctx, at, p, r.Tree)
	return p, err
}

// testMerge writes the commit of a test merge. Its time is that of the newer parent, so
// that the same two commits give the same test merge.
func (s *Service) testMerge(ctx context.Context, at place, p row, tree string) (string, error) {
	parents, err := at.git.Commits(ctx, at.dir, []string{p.Tip, p.Head})
	if err != nil {
		return "", err
	}
	var when time.Time
	for _, c := range parents {
		if c.Committer.When.After(when) {
			when = c.Committer.When
		}
	}
	me := git.Person{Name: "Towpath", Email: "towpath@" + s.opts.Host, When: when.UTC()}
	return at.git.CommitTree(ctx, at.dir, nil, git.NewCommit{
		Tree: tree, Parents: []string{p.Tip, p.Head}, Author: me, Committer: me,
		Message: fmt.Sprintf("Test merge of pull request #%d\n\n%s into %s", p.Number, short(p.Head), p.Target),
	})
}

// setRefs points the refs of a pull request where its row says.
func (s *Service) setRefs(ctx context.Context, at place, p Pull) error {
	test := p.Test
	if test == "" {
		test = git.Zero
	}
	if err := s.repos.SetRef(ctx, at.Repo, p.ref("head"), p.Head); err != nil {
		return err
	}
	return s.repos.SetRef(ctx, at.Repo, p.ref("merge"), test)
}

// moved stores that a pull request became next, asks the owners of what it changes now,
// and says so when its commits are others.
func (s *Service) moved(ctx context.Context, at place, was, next row) (row, error) {
	if err := s.setRefs(ctx, at, next.Pull); err != nil {
		return was, err
	}
	req, err := s.rules.Requirements(ctx, self(), next.Repo, next.Target)
	if err != nil {
		return was, err
	}
	ask, err := s.ownersToAsk(ctx, at, next)
	if err != nil {
		return was, err
	}
	other := next.Head != was.Head
	err = s.db.Tx(ctx, func(tx *store.Tx) error {
		dropped := 0
		if req.DropStale {
			if dropped, err = dropStale(ctx, tx, next.Pull); err != nil {
				return err
			}
		}
		if other || dropped > 0 {
			next.Updated = s.now()
			if err := s.note(ctx, tx, next.Pull, note{kind: EntryCommits, actor: next.Pusher, from: was.Head, to: next.Head, count: dropped}); err != nil {
				return err
			}
		}
		if err := save(ctx, tx, next); err != nil {
			return err
		}
		if next.Reviewers, err = s.ask(ctx, tx, next.Pull, self().String(), ask, true); err != nil {
			return err
		}
		if !other && dropped == 0 {
			return nil
		}
		return s.say(ctx, tx, next, event.TypePullUpdated, next.Pusher, said{change: "commits", dropped: dropped})
	})
	return next, wrap(err, "bringing pull request %s up to date", next.key())
}

// dropStale marks the approvals that were given for something else than is proposed now,
// so that they stay dropped whatever is pushed later.
func dropStale(ctx context.Context, tx *store.Tx, p Pull) (int, error) {
	res, err := tx.Exec(ctx, `UPDATE source_pull_review SET stale = 1 WHERE repo = ? AND number = ? AND verdict = ? AND stale = 0 AND dismissed = 0
		AND (commit_id <> ? OR base_id <> ? OR target <> ?)`, p.Repo, p.Number, Approved, p.Head, p.Base, p.Target)
	if err != nil {
		return 0, fmt.Errorf("dropping stale approvals: %w", err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// refresh does for one pull request what became due when its branches moved.
func (s *Service) refresh(ctx context.Context, repo string, n int64) error {
	at, err := s.locate(ctx, self(), repo)
	if err != nil {
		return err
	}
	leave, err := s.enter(ctx, repo)
	if err != nil {
		return err
	}
	defer leave()
	p, err := load(ctx, s.db, repo, n)
	if err != nil || p.State != Open {
		return err
	}
	if p.merging != nil {
		done, err := s.recover(ctx, at, &p)
		if err != nil || done {
			return err
		}
	}
	arrived, err := s.arrived(ctx, at, p)
	if err != nil || arrived {
		return err
	}
	v, err := s.sync(ctx, at, p)
	switch {
	case err != nil:
		return err
	case v.unsettled:
		return fmt.Errorf("pull request %s: the move of a branch is not noted yet", p.key())
	case v.head == "":
		return s.end(ctx, v.row, self().String(), "the branch "+p.Source+" was deleted")
	case v.tip == "":
		return s.end(ctx, v.row, self().String(), "the branch "+p.Target+" was deleted")
	}
	return nil
}

// took reports whether the target came to hold what was proposed, and all that the source
// branch holds now. head is "" when that branch is gone.
func (s *Service) took(ctx context.Context, at place, p row, head, tip string) (bool, error) {
	if tip == "" || tip == p.Tip || p.Base == p.Head {
		return false, nil
	}
	in, err := at.git.IsAncestor(ctx, at.dir, nil, p.Head, tip)
	if err != nil || !in || head == "" || head == p.Head {
		return in, err
	}
	return at.git.IsAncestor(ctx, at.dir, nil, head, tip)
}

// arrived notes a pull request as merged whose commits somebody pushed to the target
// himself.
func (s *Service) arrived(ctx context.Context, at place, p row) (bool, error) {
	head, tip, err := s.tips(ctx, at, p.Pull)
	if err != nil {
		return false, err
	}
	took, err := s.took(ctx, at, p, head, tip)
	if err != nil || !took {
		return false, err
	}
	by, ok, err := s.pusher(ctx, at, p.Target, tip)
	if err != nil {
		return false, err
	}
	if !ok {
		return false, fmt.Errorf("pull request %s: nobody is known yet to have pushed %s", p.key(), tip)
	}
	return true, s.complete(ctx, at, p, intent{Commit: tip, Head: p.Head, Base: p.Base, Tip: p.Tip, Method: MethodPush, By: by, Time: s.now()})
}

// recover ends a merge that a crash interrupted: when the target holds its commit it is
// noted as merged, otherwise it never happened.
func (s *Service) recover(ctx context.Context, at place, p *row) (done bool, err error) {
	_, tip, err := s.tips(ctx, at, p.Pull)
	if err != nil {
		return false, err
	}
	found, err := at.git.Info(ctx, at.dir, p.merging.Commit)
	if err != nil {
		return false, err
	}
	if found[0].Type == "commit" && tip != "" {
		in, err := at.git.IsAncestor(ctx, at.dir, nil, p.merging.Commit, tip)
		if err != nil {
			return false, err
		}
		if in {
			return true, s.complete(ctx, at, *p, *p.merging)
		}
	}
	p.merging = nil
	return false, s.intend(ctx, p.Pull, nil)
}
