package pull

import (
	"context"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
)

// Limits of a list.
const (
	defaultPage = 50
	maxPage     = 200
	maxText     = 200 // bytes of a text that is looked for
)

// List returns the pull requests of a project's repositories, the newest first; more says
// that there are others. The actor needs the role read, as for all that only reads.
func (s *Service) List(ctx context.Context, a identity.Actor, project string, f Filter) (list []Pull, more bool, err error) {
	if err := s.auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, false, err
	}
	if f.Repo != "" {
		of, _, err := source.SplitName(f.Repo)
		if err != nil {
			return nil, false, err
		}
		if of != project {
			return nil, false, fault.New(fault.Invalid, "The repository %s is not one of the project %s.", f.Repo, project)
		}
	}
	where, args, err := f.where(project)
	if err != nil {
		return nil, false, err
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultPage
	}
	limit = min(limit, maxPage)
	args = append(args, limit+1, min(max(f.Skip, 0), 1<<20))
	found, err := rows(ctx, s.db, where+` ORDER BY p.opened DESC, p.repo, p.number DESC LIMIT ? OFFSET ?`, args...)
	if err != nil {
		return nil, false, err
	}
	if len(found) > limit {
		found, more = found[:limit], true
	}
	for _, p := range found {
		if p.Reviewers, err = reviewers(ctx, s.db, p.Pull); err != nil {
			return nil, false, err
		}
		list = append(list, p.Pull)
	}
	return list, more, nil
}

// where turns the filter into a condition.
func (f Filter) where(project string) (string, []any, error) {
	where, args := `p.project = ?`, []any{project}
	and := func(condition string, values ...any) {
		where += ` AND ` + condition
		args = append(args, values...)
	}
	switch f.State {
	case "", Open:
		and(`p.state = ?`, Open)
	case Merged, Closed:
		and(`p.state = ?`, f.State)
	case "all":
	default:
		return "", nil, fault.New(fault.Invalid, "%q is no state of a pull request.", clip(f.State)).WithNext("use open, merged, closed or all")
	}
	if f.Repo != "" {
		and(`p.repo = ?`, f.Repo)
	}
	if f.Author != "" {
		and(`p.author = ?`, f.Author)
	}
	if f.Head != "" {
		and(`p.head = ?`, f.Head)
	}
	if f.Reviewer != "" {
		and(`EXISTS (SELECT 1 FROM source_pull_reviewer q WHERE q.repo = p.repo AND q.number = p.number AND q.username = ?)`, f.Reviewer)
		and(`NOT EXISTS (SELECT 1 FROM source_pull_review r WHERE r.repo = p.repo AND r.number = p.number AND r.reviewer = ? AND r.commit_id = p.head AND r.dismissed = 0 AND r.stale = 0)`, f.Reviewer)
	}
	if len(f.Text) > maxText {
		return "", nil, fault.New(fault.TooLarge, "The text to look for is longer than %d bytes.", maxText)
	}
	if text := strings.TrimSpace(f.Text); text != "" {
		if n, err := strconv.ParseInt(strings.TrimPrefix(text, "#"), 10, 64); err == nil && strings.HasPrefix(text, "#") {
			and(`p.number = ?`, n)
		} else {
			like := "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(strings.ToLower(text)) + "%"
			and(`(LOWER(p.title) LIKE ? ESCAPE '!' OR LOWER(p.body) LIKE ? ESCAPE '!' OR LOWER(p.source) LIKE ? ESCAPE '!')`, like, like, like)
		}
	}
	return where, args, nil
}

// Get returns one pull request.
func (s *Service) Get(ctx context.Context, a identity.Actor, repo string, n int64) (Pull, error) {
	_, p, err := s.find(ctx, a, repo, n)
	return p.Pull, err
}

// maxCommits is how many commits of a pull request are listed.
const maxCommits = 250

// Diff compares base and head: what the commits of the source branch change, without what
// happened to the target since.
func (s *Service) Diff(ctx context.Context, a identity.Actor, repo string, n int64) (git.Diff, error) {
	at, p, err := s.find(ctx, a, repo, n)
	if err != nil {
		return git.Diff{}, err
	}
	from := p.Base
	if from == "" {
		from = git.EmptyTree
	}
	return at.git.Diff(ctx, at.dir, from, p.Head, git.DefaultLimits())
}

// Commits returns the commits from the base to the head, the oldest first; of more than 250
// the newest.
func (s *Service) Commits(ctx context.Context, a identity.Actor, repo string, n int64) ([]git.Commit, error) {
	at, p, err := s.find(ctx, a, repo, n)
	if err != nil {
		return nil, err
	}
	return s.proposed(ctx, at, p)
}

// proposed reads the commits of a pull request, oldest first.
func (s *Service) proposed(ctx context.Context, at place, p row) ([]git.Commit, error) {
	nodes, err := at.git.RevList(ctx, at.dir, nil, p.Head, p.Base, maxCommits)
	if err != nil {
		return nil, err
	}
	hashes := make([]string, 0, len(nodes))
	for _, c := range nodes {
		hashes = append(hashes, c.Hash)
	}
	return at.git.Commits(ctx, at.dir, hashes)
}

// Paths lists the paths that differ between base and head, both names of a moved file.
func (s *Service) Paths(ctx context.Context, a identity.Actor, repo string, n int64) ([]string, error) {
	at, p, err := s.find(ctx, a, repo, n)
	if err != nil {
		return nil, err
	}
	return s.changed(ctx, at, p)
}
