package pull

import (
	"context"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
)

// builder makes the commits of one merge in a quarantine.
type builder struct {
	at      place
	env     []string
	objects string // folder of the quarantine
	pull    row
	message string // of the one who merges, "" for none
	who     git.Person
}

// signature is the actor as committer. Accounts have no mail address, so one is made that
// nobody receives.
func (s *Service) signature(a identity.Actor) git.Person {
	return git.Person{Name: a.Name, Email: a.Name + "@" + s.opts.Host, When: s.clock.Now().UTC()}
}

// build returns what the target is to point to.
func (b builder) build(ctx context.Context, method string) (string, error) {
	merged, err := b.at.git.MergeTree(ctx, b.at.dir, b.env, b.pull.Tip, b.pull.Head)
	if err != nil {
		return "", err
	}
	if len(merged.Conflicts) > 0 {
		return "", fault.New(fault.Conflict, "%s and %s cannot be merged: %s.", b.pull.Source, b.pull.Target, strings.Join(merged.Conflicts[:min(len(merged.Conflicts), 5)], ", "))
	}
	if err := b.expose(ctx, b.pull.Tip, b.pull.Head, merged.Tree); err != nil {
		return "", err
	}
	switch method {
	case MethodSquash:
		return b.squash(ctx, merged.Tree)
	case MethodRebase:
		return b.rebase(ctx, merged.Tree)
	}
	message := b.message
	if strings.TrimSpace(message) == "" {
		message = fmt.Sprintf("Merge pull request #%d from %s\n\n%s", b.pull.Number, b.pull.Source, b.pull.Title)
	}
	return b.at.git.CommitTree(ctx, b.at.dir, b.env, git.NewCommit{
		Tree: merged.Tree, Parents: []string{b.pull.Tip, b.pull.Head}, Author: b.who, Committer: b.who, Message: message,
	})
}

// Limits of one merge.
const (
	maxSquash = 2000 // commits whose authors are named
	maxRebase = 250  // commits that are replayed
)

// commits returns what the pull request proposes, the oldest first.
func (b builder) commits(ctx context.Context, limit int) ([]git.Node, error) {
	list, err := b.at.git.RevList(ctx, b.at.dir, nil, b.pull.Head, b.pull.Tip, limit+1)
	if err != nil {
		return nil, err
	}
	if len(list) > limit {
		return nil, fault.New(fault.TooLarge, "The pull request has more than %d commits.", limit).WithNext("merge it with a merge commit")
	}
	return list, nil
}

// squash makes one commit whose author is that of the oldest; the others are named as
// co-authors.
func (b builder) squash(ctx context.Context, tree string) (string, error) {
	nodes, err := b.commits(ctx, maxSquash)
	if err != nil {
		return "", err
	}
	hashes := make([]string, 0, len(nodes))
	for _, n := range nodes {
		hashes = append(hashes, n.Hash)
	}
	commits, err := b.at.git.Commits(ctx, b.at.dir, hashes)
	if err != nil {
		return "", err
	}
	author := b.who
	if len(commits) > 0 {
		author.Name, author.Email = commits[0].Author.Name, commits[0].Author.Email
	}
	message := b.message
	if strings.TrimSpace(message) == "" {
		message = fmt.Sprintf("%s (#%d)", b.pull.Title, b.pull.Number)
		if body := strings.TrimSpace(b.pull.Body); body != "" {
			message += "\n\n" + body
		}
	}
	message = strings.TrimRight(message, "\n")
	if with := coAuthors(author, commits, message); len(with) > 0 {
		message += "\n\n" + strings.Join(with, "\n")
	}
	return b.at.git.CommitTree(ctx, b.at.dir, b.env, git.NewCommit{Tree: tree, Parents: []string{b.pull.Tip}, Author: author, Committer: b.who, Message: message})
}

const coAuthored = "Co-authored-by: "

// maxCoAuthors is how many co-authors are named.
const maxCoAuthors = 100

// coAuthors lists the trailer lines for everybody else who wrote one of the commits, or
// stands in one as co-author, each address once.
func coAuthors(author git.Person, commits []git.Commit, message string) []string {
	seen := map[string]bool{strings.ToLower(author.Email): true}
	var lines []string
	add := func(name, mail string) {
		key := strings.ToLower(mail)
		if mail == "" || seen[key] || len(lines) == maxCoAuthors || strings.ContainsAny(name+mail, "<>\n") || strings.Contains(message, "<"+mail+">") {
			return
		}
		seen[key] = true
		lines = append(lines, coAuthored+name+" <"+mail+">")
	}
	for _, c := range commits {
		add(c.Author.Name, c.Author.Email)
		for line := range strings.Lines(c.Body) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), coAuthored); ok {
				name, mail, _ := strings.Cut(strings.TrimSuffix(v, ">"), " <")
				add(name, mail)
			}
		}
	}
	return lines
}

// rebase replays each commit on top of the target, with its author, date and message. What
// comes out must be what a merge gives; a branch with merges of its own is refused, because
// what they resolved would be lost.
func (b builder) rebase(ctx context.Context, tree string) (string, error) {
	nodes, err := b.commits(ctx, maxRebase)
	if err != nil {
		return "", err
	}
	for _, n := range nodes {
		if len(n.Parents) != 1 {
			return "", fault.New(fault.Conflict, "The branch %s has merges and cannot be rebased.", b.pull.Source).WithNext("squash it, or merge it with a merge commit")
		}
	}
	if b.pull.Base == b.pull.Tip {
		return b.pull.Head, nil // The commits lie on top of the target already.
	}
	onto, ontoTree, err := b.pull.Tip, "", error(nil)
	if ontoTree, err = b.at.git.TreeOf(ctx, b.at.dir, b.env, onto); err != nil {
		return "", err
	}
	for _, n := range nodes {
		if onto, ontoTree, err = b.replay(ctx, n, onto, ontoTree); err != nil {
			return "", err
		}
	}
	if ontoTree != tree {
		return "", fault.New(fault.Conflict, "Rebasing %s one commit at a time gives something else than merging it.", b.pull.Source).
			WithNext("squash it, or merge it with a merge commit")
	}
	if onto == b.pull.Tip {
		return "", fault.New(fault.Conflict, "The branch %s has all of these changes already.", b.pull.Target).WithNext("close the pull request")
	}
	return onto, nil
}

// replay puts one commit on top of another; a change that is there already is left out.
func (b builder) replay(ctx context.Context, n git.Node, onto, ontoTree string) (string, string, error) {
	r, err := b.at.git.ReplayTree(ctx, b.at.dir, b.env, n.Parents[0], n.Hash, onto)
	if err != nil {
		return "", "", err
	}
	if len(r.Conflicts) > 0 {
		return "", "", fault.New(fault.Conflict, "The commit %s cannot be rebased onto %s: %s.", short(n.Hash), b.pull.Target, strings.Join(r.Conflicts[:min(len(r.Conflicts), 5)], ", ")).
			WithNext("squash it, or merge it with a merge commit")
	}
	if r.Tree == ontoTree {
		return onto, ontoTree, nil
	}
	if err := b.expose(ctx, onto, n.Hash, r.Tree); err != nil {
		return "", "", err
	}
	raw, err := b.at.git.Raw(ctx, b.at.dir, n.Hash)
	if err != nil {
		return "", "", err
	}
	hash, err := b.at.git.CommitTree(ctx, b.at.dir, b.env, git.NewCommit{
		Tree: r.Tree, Parents: []string{onto}, RawAuthor: raw.Author, Encoding: raw.Encoding, Committer: b.who, Message: raw.Message,
	})
	return hash, r.Tree, err
}

// expose copies into the quarantine the blobs of a merged tree that neither side has. The
// test merge may have written them to the repository before; a guard that looks at new
// objects would not see them otherwise.
func (b builder) expose(ctx context.Context, ours, theirs, tree string) error {
	here, err := b.at.git.Blobs(ctx, b.at.dir, b.env, ours, tree)
	if err != nil {
		return err
	}
	there, err := b.at.git.Blobs(ctx, b.at.dir, b.env, theirs, tree)
	if err != nil {
		return err
	}
	neither := make(map[string]bool, len(there))
	for _, hash := range there {
		neither[hash] = true
	}
	for _, hash := range here {
		if !neither[hash] {
			continue
		}
		if err := b.at.git.CopyBlob(ctx, b.at.dir, b.env, b.objects, hash); err != nil {
			return err
		}
	}
	return nil
}
