package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/hook"
)

// maxMessage is the longest commit message of an edit, in bytes.
const maxMessage = 16 << 10

// Edit is a change of one file, made in the browser or by the API: it becomes one commit.
type Edit struct {
	Repo   string // "project/repo"
	Branch string // short name; it is made when it does not exist
	// From is where a branch that does not exist begins: a branch, tag or commit; "" means
	// the default branch. It is not looked at when the branch exists.
	From    string
	Path    string // from the root: "charts/shop/values.yaml"
	Content []byte // at most MaxFile bytes
	Remove  bool   // remove the file instead; Content is empty
	Message string // of the commit; "" means "Change <path>"
	// Expect is the commit that the editor saw. When the branch has moved since, the edit
	// goes on only if the file is still what it was; "" wants nothing.
	Expect string
}

// Edit commits a change of one file and returns the commit's hash. The actor needs the role
// write, and the change passes the same rules and guards as a push (DoorEdit). Symlinks,
// submodules and what belongs to git itself cannot be edited. It is fault.Conflict when
// somebody changed the file meanwhile.
func (s *Service) Edit(ctx context.Context, actor identity.Actor, e Edit) (commit string, err error) {
	project, _, err := SplitName(e.Repo)
	if err == nil {
		err = s.auth.Require(ctx, actor, project, identity.Write)
	}
	if err == nil {
		err = e.check()
	}
	if err != nil {
		return "", err
	}
	r, err := s.Repo(ctx, actor, e.Repo)
	if err != nil {
		return "", err
	}
	ref := "refs/heads/" + e.Branch
	parent, old, err := s.editBase(ctx, r, e, ref)
	if err != nil {
		return "", err
	}
	if err := s.editable(ctx, r, e, parent); err != nil {
		return "", err
	}
	scratch, err := newScratch(r, s.dir(r))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, scratch.Close()) }()
	commit, err = s.editCommit(ctx, scratch, actor, e, parent)
	if err != nil {
		return "", err
	}
	err = s.Update(ctx, actor, Update{Repo: e.Repo, Door: DoorEdit, Moves: []hook.Move{{Old: old, New: commit, Ref: ref}}, Scratch: scratch})
	if err != nil {
		return "", err
	}
	return commit, nil
}

// check refuses names and paths before git sees them.
func (e Edit) check() error {
	if why := git.CheckRef("refs/heads/" + e.Branch); why != "" {
		return fault.New(fault.Invalid, "%q cannot be the name of a branch: it %s.", clip(e.Branch), why)
	}
	if err := checkPath(e.Path); err != nil {
		return err
	}
	for part := range strings.SplitSeq(e.Path, "/") {
		// Other filesystems take these for .git and .gitmodules; git checks the rest.
		lower := strings.ToLower(part)
		if strings.HasPrefix(lower, ".git") && !plainDot[lower] || strings.HasPrefix(lower, "git~") || strings.HasPrefix(lower, "gitmod~") {
			return fault.New(fault.Invalid, "%q belongs to git and cannot be edited here.", clip(e.Path)).WithNext("change it in a clone, and push")
		}
	}
	switch {
	case strings.ContainsAny(e.Path, "\n\r"):
		return fault.New(fault.Invalid, "A path with a line break cannot be edited here.")
	case len(e.Content) > MaxFile:
		return fault.New(fault.TooLarge, "The file has %d bytes; at most %d can be edited here.", len(e.Content), MaxFile).WithNext("change it in a clone, and push")
	case e.Remove && len(e.Content) > 0:
		return fault.New(fault.Invalid, "A file is either removed or given a new content.")
	case len(e.Message) > maxMessage || strings.ContainsRune(e.Message, 0):
		return fault.New(fault.Invalid, "The message of a commit has at most %d bytes and no NUL.", maxMessage)
	}
	return nil
}

// plainDot are the names that begin with .git and are files like any other.
var plainDot = map[string]bool{".gitignore": true, ".gitattributes": true, ".gitkeep": true, ".github": true, ".gitlab-ci.yml": true}

// editBase returns the commit on which the edit builds ("" in an empty repository) and
// where the ref is now.
func (s *Service) editBase(ctx context.Context, r Repo, e Edit, ref string) (parent, old string, err error) {
	tip, err := s.resolve(ctx, r, ref)
	switch {
	case fault.Is(err, fault.NotFound):
	case err != nil:
		return "", "", err
	default:
		return tip, tip, s.sameFile(ctx, r, e, tip)
	}
	parent, err = s.resolve(ctx, r, e.From)
	if fault.Is(err, fault.NotFound) && e.From == "" {
		if e.Branch != r.DefaultBranch {
			return "", "", fault.New(fault.Invalid, "The repository %s is empty: its first file goes to the branch %s.", r.FullName(), r.DefaultBranch)
		}
		return "", git.Zero, nil
	}
	if err != nil {
		return "", "", err
	}
	return parent, git.Zero, s.sameFile(ctx, r, e, parent)
}

// sameFile wants the file to be what the editor saw.
func (s *Service) sameFile(ctx context.Context, r Repo, e Edit, tip string) error {
	if e.Expect == "" || e.Expect == tip {
		return nil
	}
	if !git.IsHash(e.Expect) {
		return fault.New(fault.Invalid, "%q is not the full hash of a commit.", clip(e.Expect))
	}
	if _, err := s.resolve(ctx, r, e.Expect); err != nil {
		return err
	}
	seen, hadIt, err := s.git.Entry(ctx, s.dir(r), e.Expect, e.Path)
	if err != nil {
		return err
	}
	now, hasIt, err := s.git.Entry(ctx, s.dir(r), tip, e.Path)
	if err != nil {
		return err
	}
	if hadIt != hasIt || seen.Hash != now.Hash || seen.Mode != now.Mode {
		return fault.New(fault.Conflict, "%s was changed on %s while you edited it; nothing was changed.", clip(e.Path), clip(e.Branch)).
			WithNext("load the file again and repeat your change")
	}
	return nil
}

// editable wants each folder of the path to be a folder, or not there, and the file to be a
// file: a symlink is never followed and never written.
func (s *Service) editable(ctx context.Context, r Repo, e Edit, parent string) error {
	if parent == "" {
		if e.Remove {
			return fault.New(fault.NotFound, "There is no file %q in %s.", clip(e.Path), r.FullName())
		}
		return nil
	}
	parts := strings.Split(e.Path, "/")
	for i := range parts {
		path := strings.Join(parts[:i+1], "/")
		entry, ok, err := s.git.Entry(ctx, s.dir(r), parent, path)
		if err != nil {
			return err
		}
		last := i == len(parts)-1
		switch {
		case !ok && e.Remove:
			return fault.New(fault.NotFound, "There is no file %q in %s.", clip(e.Path), r.FullName())
		case !ok:
			return nil
		case !last && entry.Type != "tree":
			return fault.New(fault.Invalid, "%q is no folder, so nothing can lie in it.", clip(path))
		case last && entry.Type == "tree":
			return fault.New(fault.Invalid, "%q is a folder.", clip(path)).WithNext("name a file in it")
		case last && entry.Mode != "100644" && entry.Mode != "100755":
			return fault.New(fault.Invalid, "%q is a symlink or a submodule, which cannot be edited here.", clip(path)).WithNext("change it in a clone, and push")
		}
	}
	return nil
}

// runner runs git in the quarantine and returns its trimmed output.
type runner func(in []byte, args ...string) (string, error)

// editCommit makes the blob, the tree and the commit in the quarantine.
func (s *Service) editCommit(ctx context.Context, q *Scratch, actor identity.Actor, e Edit, parent string) (string, error) {
	// An index of its own, which goes with the quarantine.
	env := append([]string{"GIT_INDEX_FILE=" + filepath.Join(q.Objects, "index")}, q.Env...)
	run := func(in []byte, args ...string) (string, error) {
		out, err := s.git.RunEnv(ctx, q.Dir, env, bytes.NewReader(in), 1<<10, args...)
		return strings.TrimSpace(string(out)), err
	}
	mode, before := "100644", ""
	if parent != "" {
		if _, err := run(nil, "read-tree", parent); err != nil {
			return "", fmt.Errorf("editing %s: %w", e.Repo, err)
		}
		entry, ok, err := s.git.Entry(ctx, q.Dir, parent, e.Path)
		if err != nil {
			return "", err
		}
		if ok {
			mode, before = entry.Mode, entry.Hash
		}
	}
	var err error
	if e.Remove {
		// Mode 0 makes git forget a path.
		_, err = run([]byte("0 "+git.Zero+"\t"+e.Path+"\x00"), "update-index", "-z", "--index-info")
	} else {
		err = stage(run, e, mode, before)
	}
	if err != nil {
		return "", err
	}
	tree, err := run(nil, "write-tree")
	if err != nil {
		return "", fmt.Errorf("editing %s: %w", e.Repo, explained(err))
	}
	return s.commitTree(ctx, q, actor, e, tree, parent)
}

// stage writes the file's new content into the index. before is the blob that it replaces.
func stage(run runner, e Edit, mode, before string) error {
	blob, err := run(e.Content, "hash-object", "-w", "--stdin", "--no-filters")
	if err != nil {
		return fmt.Errorf("editing %s: %w", e.Repo, explained(err))
	}
	if blob == before {
		return fault.New(fault.Invalid, "%s already has this content; there is nothing to commit.", clip(e.Path))
	}
	// Unlike --index-info this refuses a bad path instead of leaving it out.
	_, err = run(nil, "-c", "core.protectHFS=true", "-c", "core.protectNTFS=true", "update-index", "--add", "--cacheinfo", mode+","+blob+","+e.Path)
	var exit *git.ExitError
	if errors.As(err, &exit) {
		return fault.Wrap(fault.Invalid, err, "%q cannot be the path of a file.", clip(e.Path))
	}
	if err != nil {
		return fmt.Errorf("editing %s: %w", e.Repo, err)
	}
	return nil
}

func (s *Service) commitTree(ctx context.Context, q *Scratch, actor identity.Actor, e Edit, tree, parent string) (string, error) {
	args := []string{"commit-tree", tree}
	if parent != "" {
		args = append(args, "-p", parent)
	}
	message := strings.TrimSpace(e.Message)
	if message == "" {
		message = "Change " + e.Path
		if e.Remove {
			message = "Remove " + e.Path
		}
	}
	env := append(s.signature(actor), q.Env...)
	out, err := s.git.RunEnv(ctx, q.Dir, env, strings.NewReader(message+"\n"), 1<<10, args...)
	if err != nil {
		return "", fmt.Errorf("editing %s: %w", e.Repo, explained(err))
	}
	return strings.TrimSpace(string(out)), nil
}

// signature returns the variables that make an actor author and committer of what git
// commits now. Accounts have no mail address, so one is made that nobody receives.
func (s *Service) signature(actor identity.Actor) []string {
	name := actor.Name
	if actor.Kind != identity.KindUser {
		name = actor.Kind + " " + actor.Name
	}
	host := "towpath.invalid"
	if u, err := url.Parse(s.opts.PublicURL); err == nil && u.Hostname() != "" {
		host = u.Hostname()
	}
	mail := strings.ReplaceAll(name, " ", ".") + "@" + host
	date := fmt.Sprintf("@%d +0000", s.clock.Now().Unix())
	return []string{
		"GIT_AUTHOR_NAME=" + name, "GIT_AUTHOR_EMAIL=" + mail, "GIT_AUTHOR_DATE=" + date,
		"GIT_COMMITTER_NAME=" + name, "GIT_COMMITTER_EMAIL=" + mail, "GIT_COMMITTER_DATE=" + date,
	}
}
