package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
)

// Limits of reading.
const (
	// MaxFile is the largest file in bytes that File returns.
	MaxFile = 4 << 20
	// MaxBlob is how many bytes of a file Blob returns.
	MaxBlob = 1 << 20
	// MaxPage is the most commits on one page of Commits.
	MaxPage = 200
	// sniff is how far a file is searched for a NUL, which makes it binary.
	sniff = 8 << 10
	// maxPath is the longest path in bytes.
	maxPath = 4096
)

// Blob is a file at a commit.
type Blob struct {
	git.Entry
	Commit    string
	Content   []byte // at most MaxBlob bytes; of a symlink its target
	Truncated bool   // Content is only the beginning
	Binary    bool   // the beginning holds a NUL or is no UTF-8
}

// open finds a repository for reading.
func (s *Service) open(ctx context.Context, actor identity.Actor, full, rev string) (r Repo, commit string, err error) {
	if r, err = s.Repo(ctx, actor, full); err != nil {
		return r, "", err
	}
	commit, err = s.resolve(ctx, r, rev)
	return r, commit, err
}

// Resolve returns the full hash of the commit that rev names: a full hash, a full ref
// ("refs/heads/main"), a branch, a tag, or the first 7 or more digits of a hash, looked
// up in this order; "" means the default branch. The expressions of git (HEAD~2, a..b)
// are not understood. The actor needs the role read, as for everything below.
func (s *Service) Resolve(ctx context.Context, actor identity.Actor, full, rev string) (string, error) {
	_, commit, err := s.open(ctx, actor, full, rev)
	return commit, err
}

func (s *Service) resolve(ctx context.Context, r Repo, rev string) (string, error) {
	missing := fault.New(fault.NotFound, "There is no commit, branch or tag %q in %s.", clip(rev), r.FullName())
	if rev == "" {
		rev = "refs/heads/" + r.DefaultBranch
		missing = fault.New(fault.NotFound, "The repository %s has no commits yet.", r.FullName()).WithNext("git push its first branch")
	}
	if git.CheckRef(rev) != "" {
		return "", missing
	}
	var names []string
	switch {
	case git.IsHash(rev):
		names = []string{rev}
	case strings.HasPrefix(rev, "refs/"):
		if strings.HasPrefix(rev, "refs/internal/") {
			return "", missing
		}
		names = []string{rev}
	default:
		names = []string{"refs/heads/" + rev, "refs/tags/" + rev}
		if abbreviated(rev) {
			names = append(names, rev)
		}
	}
	for i := range names {
		names[i] += "^{commit}"
	}
	found, err := s.git.Info(ctx, s.dir(r), names...)
	if err != nil {
		return "", err
	}
	for _, o := range found {
		if o.Type == "commit" {
			return o.Hash, nil
		}
	}
	return "", missing
}

func abbreviated(rev string) bool {
	if len(rev) < 7 || len(rev) > 40 {
		return false
	}
	return strings.Trim(rev, "0123456789abcdef") == ""
}

// checkPath refuses what is no path of a tree.
func checkPath(path string) error {
	bad := fault.New(fault.Invalid, "%q is not a path in a repository.", clip(path))
	if len(path) > maxPath || strings.ContainsRune(path, 0) {
		return bad
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return bad
		}
	}
	return nil
}

// Tree lists the folder at path ("" is the root), folders first. Entries carry their
// whole path.
func (s *Service) Tree(ctx context.Context, actor identity.Actor, full, rev, path string) ([]git.Entry, error) {
	path = strings.Trim(path, "/")
	r, commit, err := s.open(ctx, actor, full, rev)
	if err != nil {
		return nil, err
	}
	if path != "" {
		if err := checkPath(path); err != nil {
			return nil, err
		}
	}
	list, err := s.git.Tree(ctx, s.dir(r), commit, path)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 && path != "" {
		return nil, fault.New(fault.NotFound, "There is no folder %q at %s in %s.", clip(path), commit[:10], full)
	}
	return foldersFirst(list), nil
}

func foldersFirst(list []git.Entry) []git.Entry {
	out := make([]git.Entry, 0, len(list))
	for _, e := range list {
		if e.Type == "tree" {
			out = append(out, e)
		}
	}
	for _, e := range list {
		if e.Type != "tree" {
			out = append(out, e)
		}
	}
	return out
}

// Blob returns the beginning of a file for showing.
func (s *Service) Blob(ctx context.Context, actor identity.Actor, full, rev, path string) (Blob, error) {
	r, commit, e, err := s.entry(ctx, actor, full, rev, path)
	if err != nil {
		return Blob{}, err
	}
	b := Blob{Entry: e, Commit: commit}
	if e.Size <= MaxBlob {
		b.Content, err = s.git.Contents(ctx, s.dir(r), e.Hash, MaxBlob)
	} else {
		b.Truncated = true
		b.Content, err = s.git.Run(ctx, s.dir(r), nil, MaxBlob, "cat-file", "blob", e.Hash)
		if errors.Is(err, git.ErrLimit) {
			err = nil
		}
	}
	if err != nil {
		return Blob{}, fmt.Errorf("reading %s in %s: %w", path, full, err)
	}
	b.Binary = binary(b.Content)
	return b, nil
}

func binary(content []byte) bool {
	head := content[:min(len(content), sniff)]
	if bytes.IndexByte(head, 0) >= 0 {
		return true
	}
	// The last character of the head may be cut in two.
	for i := 0; i < utf8.UTFMax-1 && len(head) < len(content) && !utf8.Valid(head); i++ {
		head = head[:len(head)-1]
	}
	return !utf8.Valid(head)
}

// File returns a whole file, at most MaxFile bytes: fault.TooLarge when it is larger.
func (s *Service) File(ctx context.Context, actor identity.Actor, full, rev, path string) ([]byte, error) {
	r, _, e, err := s.entry(ctx, actor, full, rev, path)
	if err != nil {
		return nil, err
	}
	if e.Size > MaxFile {
		return nil, fault.New(fault.TooLarge, "The file %q in %s has %d bytes; at most %d are read.", clip(path), full, e.Size, MaxFile)
	}
	data, err := s.git.Contents(ctx, s.dir(r), e.Hash, MaxFile)
	if err != nil {
		return nil, fmt.Errorf("reading %s in %s: %w", path, full, err)
	}
	return data, nil
}

// entry finds a file, or a symlink, which is never followed.
func (s *Service) entry(ctx context.Context, actor identity.Actor, full, rev, path string) (Repo, string, git.Entry, error) {
	path = strings.Trim(path, "/")
	r, commit, err := s.open(ctx, actor, full, rev)
	if err == nil {
		err = checkPath(path)
	}
	if err != nil {
		return r, "", git.Entry{}, err
	}
	e, ok, err := s.git.Entry(ctx, s.dir(r), commit, path)
	if err != nil {
		return r, "", e, err
	}
	if !ok || e.Type != "blob" {
		return r, "", e, fault.New(fault.NotFound, "There is no file %q at %s in %s.", clip(path), commit[:10], full)
	}
	return r, commit, e, nil
}

// Commits returns page (from 0) of the commits behind rev, the newest first, size of
// them at most; with a path only those that changed it. more says that there is
// another page.
func (s *Service) Commits(ctx context.Context, actor identity.Actor, full, rev, path string, page, size int) (list []git.Commit, more bool, err error) {
	path = strings.Trim(path, "/")
	r, commit, err := s.open(ctx, actor, full, rev)
	if err == nil && path != "" {
		err = checkPath(path)
	}
	if err != nil {
		return nil, false, err
	}
	size = min(max(size, 1), MaxPage)
	page = min(max(page, 0), 1<<20)
	list, err = s.git.Log(ctx, s.dir(r), commit, path, page*size, size+1)
	if err != nil {
		return nil, false, err
	}
	if len(list) > size {
		return list[:size], true, nil
	}
	return list, false, nil
}

// Commit returns one commit.
func (s *Service) Commit(ctx context.Context, actor identity.Actor, full, rev string) (git.Commit, error) {
	r, commit, err := s.open(ctx, actor, full, rev)
	if err != nil {
		return git.Commit{}, err
	}
	list, err := s.git.Commits(ctx, s.dir(r), []string{commit})
	if err != nil {
		return git.Commit{}, err
	}
	if len(list) != 1 {
		return git.Commit{}, fmt.Errorf("reading commit %s: git returned %d commits", commit, len(list))
	}
	return list[0], nil
}

// Diff compares two revisions. An empty base means the first parent of head, or nothing
// for a first commit.
func (s *Service) Diff(ctx context.Context, actor identity.Actor, full, base, head string) (git.Diff, error) {
	r, to, err := s.open(ctx, actor, full, head)
	if err != nil {
		return git.Diff{}, err
	}
	from := git.EmptyTree
	if base != "" {
		from, err = s.resolve(ctx, r, base)
	} else {
		from, err = s.parent(ctx, r, to)
	}
	if err != nil {
		return git.Diff{}, err
	}
	return s.git.Diff(ctx, s.dir(r), from, to, git.DefaultLimits())
}

// parent returns the first parent of a commit, the empty tree when it has none.
func (s *Service) parent(ctx context.Context, r Repo, commit string) (string, error) {
	list, err := s.git.Commits(ctx, s.dir(r), []string{commit})
	if err != nil {
		return "", err
	}
	if len(list) == 0 || len(list[0].Parents) == 0 {
		return git.EmptyTree, nil
	}
	return list[0].Parents[0], nil
}

// ChangedPaths lists the paths that differ between two commits, given as full hashes.
// before may be all zeros (a new ref): then every path of after is listed.
func (s *Service) ChangedPaths(ctx context.Context, actor identity.Actor, full, before, after string) ([]string, error) {
	r, to, err := s.open(ctx, actor, full, after)
	if err != nil {
		return nil, err
	}
	from := git.EmptyTree
	if before != "" && before != git.Zero {
		if from, err = s.resolve(ctx, r, before); err != nil {
			return nil, err
		}
	}
	return s.git.ChangedPaths(ctx, s.dir(r), from, to)
}

// Branches lists the branches, the one with the newest commit first. Names are short.
func (s *Service) Branches(ctx context.Context, actor identity.Actor, full string) ([]git.Ref, error) {
	return s.refs(ctx, actor, full, "refs/heads/")
}

// Tags lists the tags, the newest first. Names are short.
func (s *Service) Tags(ctx context.Context, actor identity.Actor, full string) ([]git.Ref, error) {
	return s.refs(ctx, actor, full, "refs/tags/")
}

func (s *Service) refs(ctx context.Context, actor identity.Actor, full, prefix string) ([]git.Ref, error) {
	r, err := s.Repo(ctx, actor, full)
	if err != nil {
		return nil, err
	}
	list, err := s.git.Refs(ctx, s.dir(r), prefix)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Name = strings.TrimPrefix(list[i].Name, prefix)
	}
	return list, nil
}
