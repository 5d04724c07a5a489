package git

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Person is who wrote or committed, as the commit says; nothing of it is proven.
type Person struct {
	Name  string
	Email string
	When  time.Time // with the zone that the commit names; zero when it is no date
}

// Commit is one commit's own data.
type Commit struct {
	Hash      string
	Parents   []string
	Author    Person
	Committer Person
	Title     string // first line of the message
	Body      string // the message after the title, trimmed
}

// logFormat prints logFields fields, each ended by NUL (the last by -z).
const (
	logFormat = "--format=tformat:%H%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B"
	logFields = 9
	maxLog    = 32 << 20
)

// Log returns up to count commits reachable from commit, newest first, after leaving
// out skip of them; with a path only those that changed it.
func (g *Git) Log(ctx context.Context, dir, commit, path string, skip, count int) ([]Commit, error) {
	if !IsHash(commit) {
		return nil, fmt.Errorf("reading the log of %q: not a hash", commit)
	}
	args := []string{"log", "-z", logFormat, "--skip=" + strconv.Itoa(skip), "--max-count=" + strconv.Itoa(count), commit, "--"}
	if path != "" {
		args = append(args, path)
	}
	return g.commits(ctx, dir, "", args)
}

// Commits returns the data of the commits with these hashes, in their order.
func (g *Git) Commits(ctx context.Context, dir string, hashes []string) ([]Commit, error) {
	if len(hashes) == 0 {
		return nil, nil
	}
	return g.commits(ctx, dir, strings.Join(hashes, "\n")+"\n", []string{"log", "-z", "--no-walk=unsorted", "--stdin", logFormat})
}

func (g *Git) commits(ctx context.Context, dir, in string, args []string) ([]Commit, error) {
	out, err := g.Run(ctx, dir, strings.NewReader(in), maxLog, args...)
	if err != nil {
		return nil, fmt.Errorf("reading commits: %w", err)
	}
	return ParseLog(out)
}

// ParseLog reads what `git log -z` prints in this package's format.
func ParseLog(out []byte) ([]Commit, error) {
	var list []Commit
	for len(out) > 0 {
		var f [logFields]string
		for i := range f {
			field, rest, ok := bytes.Cut(out, []byte{0})
			if !ok {
				return nil, fmt.Errorf("parsing a log: %q has no end", clip(out))
			}
			f[i], out = strings.ToValidUTF8(string(field), "\uFFFD"), rest
		}
		if !IsHash(f[0]) {
			return nil, fmt.Errorf("parsing a log: %q is no hash", clip([]byte(f[0])))
		}
		title, body, _ := strings.Cut(f[8], "\n")
		list = append(list, Commit{
			Hash: f[0], Parents: strings.Fields(f[1]), Author: person(f[2:5]), Committer: person(f[5:8]),
			Title: strings.TrimSpace(title), Body: strings.TrimSpace(body),
		})
	}
	return list, nil
}

func person(f []string) Person {
	// A date that cannot be read stays zero: it is the commit's own claim.
	when, _ := time.Parse(time.RFC3339, f[2])
	return Person{Name: f[0], Email: f[1], When: when}
}

// maxFresh bounds how many new commits of one push are looked at for counting.
const maxFresh = 20000

// Fresh returns the commits reachable from tips and not from known, as a graph:
// commit → its parents. At most 20,000 commits are returned.
func (g *Git) Fresh(ctx context.Context, dir string, tips, known []string) (map[string][]string, error) {
	var in strings.Builder
	for _, t := range tips {
		in.WriteString(t + "\n")
	}
	for _, k := range known {
		in.WriteString("^" + k + "\n")
	}
	out, err := g.Run(ctx, dir, strings.NewReader(in.String()), maxLog,
		"rev-list", "--parents", "--ignore-missing", "--max-count="+strconv.Itoa(maxFresh), "--stdin")
	if err != nil {
		return nil, fmt.Errorf("counting new commits: %w", err)
	}
	graph := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 0 {
			graph[f[0]] = f[1:]
		}
	}
	return graph, nil
}

// IsAncestor reports whether commit a is an ancestor of b, or b itself. env may name
// a quarantine.
func (g *Git) IsAncestor(ctx context.Context, dir string, env []string, a, b string) (bool, error) {
	if !IsHash(a) || !IsHash(b) {
		return false, fmt.Errorf("comparing %q and %q: not hashes", a, b)
	}
	_, err := g.RunEnv(ctx, dir, env, nil, 1<<10, "merge-base", "--is-ancestor", a, b)
	if exit, ok := err.(*ExitError); ok && exit.Code == 1 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("comparing commits: %w", err)
	}
	return true, nil
}

// ChangedPaths lists the paths whose content differs between two commits or trees,
// without following renames, so that both names of a moved file are there.
func (g *Git) ChangedPaths(ctx context.Context, dir, from, to string) ([]string, error) {
	if !IsHash(from) || !IsHash(to) {
		return nil, fmt.Errorf("comparing %q and %q: not hashes", from, to)
	}
	out, err := g.Run(ctx, dir, nil, maxTree, "diff-tree", "-r", "-z", "--no-renames", "--name-only", from, to, "--")
	if err != nil {
		return nil, fmt.Errorf("listing changed paths: %w", err)
	}
	var paths []string
	for p := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if p != "" {
			paths = append(paths, p)
		}
	}
	return paths, nil
}
