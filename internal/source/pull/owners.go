package pull

import (
	"context"
	"errors"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/owners"
	"towpath.dev/towpath/internal/store"
)

// Limits of code owners.
const (
	maxAsked = 20 // owners who are asked for a review
	maxShown = 20 // paths of one rule that are shown
)

// errOwners says that the owners cannot be known; the reason is for people.
type errOwners struct{ why string }

func (e *errOwners) Error() string { return e.why }

// codeOwners reads CODEOWNERS of the target branch, never of the head. No such file is an
// empty one. A file that is too large is *errOwners.
func (s *Service) codeOwners(ctx context.Context, at place, tip string) (owners.File, error) {
	for _, path := range owners.Paths() {
		e, ok, err := at.git.Entry(ctx, at.dir, tip, path)
		if err != nil {
			return owners.File{}, err
		}
		if !ok || e.Type != "blob" || e.Mode == "120000" { // A symlink is not followed.
			continue
		}
		tooLarge := &errOwners{path + " of the target branch is too large to be read"}
		if e.Size > owners.MaxBytes {
			return owners.File{}, tooLarge
		}
		text, err := at.git.Contents(ctx, at.dir, e.Hash, owners.MaxBytes)
		if err != nil {
			return owners.File{}, err
		}
		f, err := owners.Parse(text)
		if errors.Is(err, owners.ErrLimit) {
			return f, tooLarge
		}
		return f, err
	}
	return owners.File{}, nil
}

// owned lists the changed paths by the rule that owns them, in the order of the file.
// Paths are those of the diff that is shown, and those that the merge would change in the
// target: with several merge bases the two differ.
func (s *Service) owned(ctx context.Context, at place, p row) ([]Owned, error) {
	f, err := s.codeOwners(ctx, at, p.Tip)
	if err != nil || len(f.Rules) == 0 {
		return nil, err
	}
	paths, err := s.changed(ctx, at, p)
	if err != nil {
		return nil, err
	}
	if p.Test != "" {
		more, err := at.git.ChangedPaths(ctx, at.dir, p.Tip, p.Test)
		if err != nil {
			return nil, err
		}
		paths = append(paths, more...)
		slices.Sort(paths)
		paths = slices.Compact(paths)
	}
	byLine := map[int]*Owned{}
	for i, path := range paths {
		if i%1000 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r, ok := f.Match(path)
		if !ok || len(r.Owners) == 0 {
			continue
		}
		o := byLine[r.Line]
		if o == nil {
			o = &Owned{Pattern: r.Pattern, Line: r.Line, Owners: r.Owners}
			byLine[r.Line] = o
		}
		o.Count++
		if len(o.Paths) < maxShown {
			o.Paths = append(o.Paths, path)
		}
	}
	list := make([]Owned, 0, len(byLine))
	for _, o := range byLine {
		list = append(list, *o)
	}
	slices.SortFunc(list, func(a, b Owned) int { return a.Line - b.Line })
	return list, nil
}

// changed lists the paths that differ between base and head.
func (s *Service) changed(ctx context.Context, at place, p row) ([]string, error) {
	from := p.Base
	if from == "" {
		from = git.EmptyTree
	}
	return at.git.ChangedPaths(ctx, at.dir, from, p.Head)
}

// ownersToAsk lists the users who own what an open pull request changes; nobody is asked
// about a draft.
func (s *Service) ownersToAsk(ctx context.Context, at place, p row) ([]string, error) {
	if p.Draft {
		return nil, nil
	}
	list, err := s.owned(ctx, at, p)
	var unreadable *errOwners
	if errors.As(err, &unreadable) {
		return nil, nil // The gate says so.
	}
	if err != nil {
		return nil, err
	}
	var users []string
	for _, o := range list {
		for _, user := range o.Owners {
			user = strings.ToLower(user)
			if user != p.Author && identity.CheckUserName(user) == nil && !slices.Contains(users, user) && len(users) < maxAsked {
				users = append(users, user)
			}
		}
	}
	return users, nil
}

// ask adds reviewers and returns all of them. Those who were asked already stay as they are.
func (s *Service) ask(ctx context.Context, tx *store.Tx, p Pull, actor string, users []string, owner bool) ([]Reviewer, error) {
	now := s.clock.Now().UnixMilli()
	for _, user := range users {
		res, err := tx.Exec(ctx, `INSERT INTO source_pull_reviewer (repo, number, username, owner, asked) VALUES (?,?,?,?,?)
			ON CONFLICT (repo, number, username) DO NOTHING`, p.Repo, p.Number, user, bit(owner), now)
		if err != nil {
			return nil, err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			if err != nil {
				return nil, err
			}
			continue
		}
		if err := s.note(ctx, tx, p, note{kind: EntryRequested, actor: actor, to: user}); err != nil {
			return nil, err
		}
	}
	return reviewers(ctx, tx, p)
}

// Request asks users for their review; the author may, and whoever holds write.
func (s *Service) Request(ctx context.Context, a identity.Actor, repo string, n int64, users []string) (Pull, error) {
	return s.change(ctx, a, repo, n, func(at place, p row) (row, error) {
		if err := s.authorOr(ctx, a, p, identity.Write); err != nil {
			return p, err
		}
		if err := checkReviewers(p.Author, users); err != nil {
			return p, err
		}
		err := s.db.Tx(ctx, func(tx *store.Tx) (err error) {
			p.Reviewers, err = s.ask(ctx, tx, p.Pull, a.String(), users, false)
			if err == nil && len(p.Reviewers) > 2*maxAsked {
				err = fault.New(fault.TooLarge, "At most %d people can be asked for a review.", 2*maxAsked)
			}
			return err
		})
		return p, err
	})
}

func checkReviewers(author string, users []string) error {
	if len(users) > maxAsked {
		return fault.New(fault.TooLarge, "At most %d people can be asked for a review at once.", maxAsked)
	}
	for _, u := range users {
		if err := identity.CheckUserName(u); err != nil {
			return err
		}
		if u == author {
			return fault.New(fault.Invalid, "%s opened this pull request and cannot review it.", u).WithNext("ask somebody else")
		}
	}
	return nil
}
