package git

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Entry is one line of a tree.
type Entry struct {
	Mode string // "100644" file, "100755" program, "120000" symlink, "040000" folder, "160000" submodule
	Type string // blob, tree, commit (a submodule)
	Hash string
	Size int64  // bytes of a blob, else 0
	Path string // from the root of the repository
}

// maxTree bounds what one listing may print: about 400,000 entries.
const maxTree = 32 << 20

// Tree lists the folder at path ("" is the root) of a commit. A path that is no
// folder gives no entries.
func (g *Git) Tree(ctx context.Context, dir, commit, path string) ([]Entry, error) {
	args := []string{"ls-tree", "-z", "-l", "--full-tree", commit}
	if path != "" {
		args = append(args, "--", path+"/")
	}
	return g.list(ctx, dir, commit, args)
}

// Entry finds what lies at path in a commit; ok is false when nothing does.
func (g *Git) Entry(ctx context.Context, dir, commit, path string) (e Entry, ok bool, err error) {
	list, err := g.list(ctx, dir, commit, []string{"ls-tree", "-z", "-l", "--full-tree", commit, "--", path})
	if err != nil || len(list) != 1 || list[0].Path != path {
		return Entry{}, false, err
	}
	return list[0], true, nil
}

func (g *Git) list(ctx context.Context, dir, commit string, args []string) ([]Entry, error) {
	if !IsHash(commit) {
		return nil, fmt.Errorf("listing a tree of %q: not a hash", commit)
	}
	out, err := g.Run(ctx, dir, nil, maxTree, args...)
	if err != nil {
		return nil, fmt.Errorf("listing a tree: %w", err)
	}
	return ParseTree(out)
}

// ParseTree reads the output of `git ls-tree -z -l`.
func ParseTree(out []byte) ([]Entry, error) {
	var list []Entry
	for len(out) > 0 {
		line, rest, ok := bytes.Cut(out, []byte{0})
		if !ok {
			return nil, fmt.Errorf("parsing a tree: %q has no end", clip(line))
		}
		out = rest
		head, path, ok := strings.Cut(string(line), "\t")
		f := strings.Fields(head)
		if !ok || len(f) != 4 || path == "" || !IsHash(f[2]) {
			return nil, fmt.Errorf("parsing a tree: %q is no entry", clip(line))
		}
		e := Entry{Mode: f[0], Type: f[1], Hash: f[2], Path: path}
		if f[3] != "-" {
			n, err := strconv.ParseInt(f[3], 10, 64)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("parsing a tree: size %q", f[3])
			}
			e.Size = n
		}
		list = append(list, e)
	}
	return list, nil
}

// clip shortens foreign text for an error message.
func clip(b []byte) []byte { return b[:min(len(b), 100)] }
