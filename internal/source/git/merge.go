package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MergeResult is what merging two commits gives.
type MergeResult struct {
	Tree string // hash of the merged tree; with conflicts it holds their markers
	// Conflicts are the paths that cannot be merged, sorted; none means that Tree is good.
	Conflicts []string
}

// ErrUnrelated says that two commits share no history.
var ErrUnrelated = errors.New("the commits share no history")

// maxMerge bounds what a merge may say: the paths of about 100,000 conflicts.
const maxMerge = 8 << 20

// MergeTree merges two commits without a work tree and writes the resulting tree. The new
// objects lie where env (a quarantine) says. Commits without a common ancestor are
// ErrUnrelated.
func (g *Git) MergeTree(ctx context.Context, dir string, env []string, ours, theirs string) (MergeResult, error) {
	if !IsHash(ours) || !IsHash(theirs) {
		return MergeResult{}, fmt.Errorf("merging %q and %q: not hashes", clip([]byte(ours)), clip([]byte(theirs)))
	}
	out, err := g.RunEnv(ctx, dir, env, nil, maxMerge, "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs)
	var exit *ExitError
	switch {
	case errors.As(err, &exit) && exit.Code == 1:
		r, err := parseMerge(string(out))
		if err == nil && len(r.Conflicts) == 0 {
			err = errors.New("merging: git reports a conflict and names no path")
		}
		return r, err
	case errors.As(err, &exit) && strings.Contains(exit.Stderr, "unrelated histories"):
		return MergeResult{}, ErrUnrelated
	case err != nil:
		return MergeResult{}, fmt.Errorf("merging: %w", err)
	}
	return parseMerge(string(out))
}

// parseMerge reads the tree and the names after it, each ended by NUL.
func parseMerge(out string) (MergeResult, error) {
	f := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	if !IsHash(f[0]) {
		return MergeResult{}, fmt.Errorf("parsing a merge: %q is no tree", clip([]byte(f[0])))
	}
	r := MergeResult{Tree: f[0]}
	for _, path := range f[1:] {
		if path != "" {
			r.Conflicts = append(r.Conflicts, path)
		}
	}
	slices.Sort(r.Conflicts)
	r.Conflicts = slices.Compact(r.Conflicts)
	return r, nil
}

// ReplayTree merges what commit changed since its parent into another commit, as
// cherry-pick does, and writes the tree. The merge base is given by three commits made of
// the trees alone, because `merge-tree --merge-base` came with git 2.40 only.
func (g *Git) ReplayTree(ctx context.Context, dir string, env []string, parent, commit, onto string) (MergeResult, error) {
	trees, err := g.trees(ctx, dir, env, parent, commit, onto)
	if err != nil {
		return MergeResult{}, err
	}
	scaffold := Person{Name: "Towpath", Email: "towpath@localhost", When: time.Unix(0, 0).UTC()}
	write := func(tree, message string, parents ...string) (string, error) {
		return g.CommitTree(ctx, dir, env, NewCommit{Tree: tree, Parents: parents, Author: scaffold, Committer: scaffold, Message: message})
	}
	base, err := write(trees[0], "base")
	if err != nil {
		return MergeResult{}, err
	}
	theirs, err := write(trees[1], "theirs", base)
	if err != nil {
		return MergeResult{}, err
	}
	ours, err := write(trees[2], "ours", base)
	if err != nil {
		return MergeResult{}, err
	}
	return g.MergeTree(ctx, dir, env, ours, theirs)
}

// TreeOf returns the hash of a commit's tree.
func (g *Git) TreeOf(ctx context.Context, dir string, env []string, commit string) (string, error) {
	t, err := g.trees(ctx, dir, env, commit)
	if err != nil {
		return "", err
	}
	return t[0], nil
}

func (g *Git) trees(ctx context.Context, dir string, env []string, commits ...string) ([]string, error) {
	args := []string{"rev-parse", "--verify", "--end-of-options"}
	var out []string
	for _, c := range commits {
		if !IsHash(c) {
			return nil, fmt.Errorf("reading the tree of %q: not a hash", clip([]byte(c)))
		}
		line, err := g.RunEnv(ctx, dir, env, nil, 1<<10, append(args[:3:3], c+"^{tree}")...)
		if err != nil {
			return nil, fmt.Errorf("reading the tree of %s: %w", c, err)
		}
		tree := strings.TrimSpace(string(line))
		if !IsHash(tree) {
			return nil, fmt.Errorf("reading the tree of %s: git said %q", c, clip(line))
		}
		out = append(out, tree)
	}
	return out, nil
}

// NewCommit is a commit to be written.
type NewCommit struct {
	Tree      string
	Parents   []string
	Author    Person
	Committer Person
	// RawAuthor is the author line of an existing commit, taken over byte for byte instead
	// of Author; Encoding the encoding header that belongs to it and to the message.
	RawAuthor string
	Encoding  string
	Message   string
}

// CommitTree writes a commit and returns its hash. What a person's name or address holds
// and a commit must not (angle brackets, line breaks) is left out, as git does.
func (g *Git) CommitTree(ctx context.Context, dir string, env []string, c NewCommit) (string, error) {
	raw, err := c.encode()
	if err != nil {
		return "", err
	}
	out, err := g.RunEnv(ctx, dir, env, strings.NewReader(raw), 1<<10, "hash-object", "-t", "commit", "-w", "--stdin")
	if err != nil {
		return "", fmt.Errorf("writing a commit: %w", err)
	}
	hash := strings.TrimSpace(string(out))
	if !IsHash(hash) {
		return "", fmt.Errorf("writing a commit: git said %q", clip(out))
	}
	return hash, nil
}

// maxMessage is the longest message of a commit that is written here, in bytes.
const maxMessage = 1 << 20

func (c NewCommit) encode() (string, error) {
	var b strings.Builder
	if !IsHash(c.Tree) {
		return "", fmt.Errorf("writing a commit: tree %q is no hash", clip([]byte(c.Tree)))
	}
	b.WriteString("tree " + c.Tree + "\n")
	for _, p := range c.Parents {
		if !IsHash(p) {
			return "", fmt.Errorf("writing a commit: parent %q is no hash", clip([]byte(p)))
		}
		b.WriteString("parent " + p + "\n")
	}
	author := c.RawAuthor
	if author == "" {
		author = c.Author.line()
	}
	if strings.ContainsAny(author+c.Encoding, "\n\x00") {
		return "", errors.New("writing a commit: a header holds a line break")
	}
	b.WriteString("author " + author + "\ncommitter " + c.Committer.line() + "\n")
	if c.Encoding != "" {
		b.WriteString("encoding " + c.Encoding + "\n")
	}
	if len(c.Message) > maxMessage || strings.ContainsRune(c.Message, 0) {
		return "", errors.New("writing a commit: the message is too long or holds a NUL")
	}
	message := strings.TrimRight(c.Message, "\n")
	if message != "" {
		message += "\n"
	}
	b.WriteString("\n" + message)
	return b.String(), nil
}

// line returns "Name <address> seconds zone".
func (p Person) line() string {
	return ident(p.Name) + " <" + ident(p.Email) + "> " + strconv.FormatInt(max(p.When.Unix(), 0), 10) + " " + p.When.Format("-0700")
}

// ident keeps a name apart from what surrounds it in a commit.
func ident(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == '<' || r == '>' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.Trim(s, " .,:;\"'\\")
	if s == "" {
		return "unknown"
	}
	return s
}

// RawCommit is what a commit says byte for byte, without its signature.
type RawCommit struct {
	Author   string // the author line
	Encoding string // "" means UTF-8
	Message  string
}

// maxCommit is the largest commit that is read raw, in bytes.
const maxCommit = 4 << 20

// Raw reads a commit as it stands in the repository.
func (g *Git) Raw(ctx context.Context, dir, commit string) (RawCommit, error) {
	data, err := g.Contents(ctx, dir, commit, maxCommit)
	if err != nil {
		return RawCommit{}, err
	}
	head, message, _ := strings.Cut(string(data), "\n\n")
	r := RawCommit{Message: message}
	for line := range strings.SplitSeq(head, "\n") {
		if v, ok := strings.CutPrefix(line, "author "); ok && r.Author == "" {
			r.Author = v
		}
		if v, ok := strings.CutPrefix(line, "encoding "); ok && r.Encoding == "" {
			r.Encoding = v
		}
	}
	if r.Author == "" {
		return r, fmt.Errorf("reading commit %s: it has no author", commit)
	}
	return r, nil
}

// MergeBase returns the best common ancestor of two commits, "" when there is none.
func (g *Git) MergeBase(ctx context.Context, dir string, env []string, a, b string) (string, error) {
	if !IsHash(a) || !IsHash(b) {
		return "", fmt.Errorf("comparing %q and %q: not hashes", clip([]byte(a)), clip([]byte(b)))
	}
	out, err := g.RunEnv(ctx, dir, env, nil, 1<<10, "merge-base", a, b)
	var exit *ExitError
	if errors.As(err, &exit) && exit.Code == 1 {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("finding the merge base: %w", err)
	}
	base := strings.TrimSpace(string(out))
	if !IsHash(base) {
		return "", fmt.Errorf("finding the merge base: git said %q", clip(out))
	}
	return base, nil
}

// Node is a commit in a walk.
type Node struct {
	Hash    string
	Parents []string
}

// RevList returns the commits that are reachable from tip and not from without ("" leaves
// none out), parents before children, the newest limit of them.
func (g *Git) RevList(ctx context.Context, dir string, env []string, tip, without string, limit int) ([]Node, error) {
	if !IsHash(tip) || without != "" && !IsHash(without) {
		return nil, fmt.Errorf("listing commits of %q: not a hash", clip([]byte(tip)))
	}
	args := []string{"rev-list", "--topo-order", "--reverse", "--parents", "--max-count=" + strconv.Itoa(limit), tip}
	if without != "" {
		args = append(args, "^"+without)
	}
	out, err := g.RunEnv(ctx, dir, env, nil, maxLog, append(args, "--")...)
	if err != nil {
		return nil, fmt.Errorf("listing commits: %w", err)
	}
	var list []Node
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 0 {
			list = append(list, Node{Hash: f[0], Parents: f[1:]})
		}
	}
	return list, nil
}

// Blobs returns the hashes of the blobs that to holds at a path at which from holds another
// or none; both are commits or trees.
func (g *Git) Blobs(ctx context.Context, dir string, env []string, from, to string) ([]string, error) {
	if !IsHash(from) || !IsHash(to) {
		return nil, fmt.Errorf("comparing %q and %q: not hashes", clip([]byte(from)), clip([]byte(to)))
	}
	out, err := g.RunEnv(ctx, dir, env, nil, maxTree, "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--no-commit-id", from, to, "--")
	if err != nil {
		return nil, fmt.Errorf("comparing trees: %w", err)
	}
	var list []string
	fields := strings.Split(string(out), "\x00")
	for i := 0; i+1 < len(fields); i += 2 { // ":100644 100644 <old> <new> M", then the path
		f := strings.Fields(fields[i])
		if len(f) != 5 || !IsHash(f[3]) {
			return nil, fmt.Errorf("comparing trees: git said %q", clip([]byte(fields[i])))
		}
		if f[3] != Zero && f[1] != "160000" { // A submodule's commit lies elsewhere.
			list = append(list, f[3])
		}
	}
	return list, nil
}

// maxCopied is the largest blob that CopyBlob copies, in bytes.
const maxCopied = 100 << 20

// CopyBlob writes a blob into a folder of objects also when the repository has it already.
func (g *Git) CopyBlob(ctx context.Context, dir string, env []string, objects, hash string) error {
	if !IsHash(hash) {
		return fmt.Errorf("copying %q: not a hash", clip([]byte(hash)))
	}
	data, err := g.RunEnv(ctx, dir, env, nil, maxCopied, "cat-file", "blob", hash)
	if err != nil {
		return fmt.Errorf("copying blob %s: %w", hash, err)
	}
	only := []string{"GIT_OBJECT_DIRECTORY=" + objects}
	if _, err := g.RunEnv(ctx, dir, only, bytes.NewReader(data), 1<<10, "hash-object", "-t", "blob", "-w", "--stdin"); err != nil {
		return fmt.Errorf("copying blob %s: %w", hash, err)
	}
	return nil
}
