package protect

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
)

// place is where a new commit holds a blob.
type place struct {
	commit, path string
	base         string // blob that the commit found at the path, "" for a new file
}

// maxPlaces bounds how many places of one blob are kept.
const maxPlaces = 50

// tips returns the commits that the push's refs are to point at.
func (s *Service) tips(ctx context.Context, p source.Push) ([]string, error) {
	var ask strings.Builder
	for _, m := range p.Moves {
		if m.New != git.Zero {
			fmt.Fprintf(&ask, "%s^{commit}\n", m.New)
		}
	}
	var tips []string
	read := func(out *bufio.Reader) error {
		for {
			line, err := out.ReadString('\n')
			if err == io.EOF && line == "" {
				return nil
			}
			if err != nil {
				return err
			}
			// A tag of something else than a commit is answered by "… missing".
			if hash, kind, _, err := parseInfo(line); err == nil && kind == "commit" {
				tips = append(tips, hash)
			}
		}
	}
	err := s.stream(ctx, p.Dir, p.Env, strings.NewReader(ask.String()), read, "cat-file", "--batch-check")
	slices.Sort(tips)
	return slices.Compact(tips), err
}

// chunk is how many blobs one git log looks for.
const chunk = 400

// places finds the new commits that bring blobs, older ones first: each commit is
// compared with each of its parents, so that what a merge brings from its second parent
// or by itself is found too.
func (s *Service) places(ctx context.Context, p source.Push, tips []string, blobs []*blob) (map[string][]place, error) {
	return s.changes(ctx, p, tips, blobs, "--topo-order", "--reverse", "--no-renames", "--stdin", "--not", "--all")
}

// renamed looks once more at the commits that bring blobs under a new name: whether they
// renamed a file, and what was in it. Comparing contents is dear, so it is done for these
// commits only.
func (s *Service) renamed(ctx context.Context, p source.Push, at map[string][]place, blobs []*blob) (map[string][]place, error) {
	var commits []string
	for _, b := range blobs {
		for _, x := range at[b.hash] {
			if x.base == "" {
				commits = append(commits, x.commit)
			}
		}
	}
	slices.Sort(commits)
	return s.changes(ctx, p, slices.Compact(commits), blobs, "--no-walk=unsorted", "--find-renames", "--stdin")
}

// changes runs git log over commits and returns where they bring the blobs.
func (s *Service) changes(ctx context.Context, p source.Push, commits []string, blobs []*blob, how ...string) (map[string][]place, error) {
	at := map[string][]place{}
	if len(commits) == 0 {
		return at, nil
	}
	wanted := map[string]bool{}
	for _, b := range blobs {
		wanted[b.hash] = true
	}
	for part := range slices.Chunk(blobs, chunk) {
		args := []string{"log", "-z", "-m", "--root", "--raw", "--no-abbrev", "--format=%x01%H"}
		for _, b := range part {
			args = append(args, "--find-object="+b.hash)
		}
		read := func(out *bufio.Reader) error {
			return readRaw(out, func(x place, hash string) {
				if list := at[hash]; wanted[hash] && len(list) < maxPlaces && !slices.Contains(list, x) {
					at[hash] = append(list, x)
				}
			})
		}
		in := strings.NewReader(strings.Join(commits, "\n") + "\n")
		if err := s.stream(ctx, p.Dir, p.Env, in, read, append(args, how...)...); err != nil {
			return nil, err
		}
	}
	return at, nil
}

// maxToken is the longest path that is read, in bytes.
const maxToken = 64 << 10

// readRaw reads git log -z --raw --format=%x01%H and calls each for every file that a
// commit adds or changes, with the file's new blob.
func readRaw(out *bufio.Reader, each func(place, string)) error {
	commit := ""
	for {
		token, err := readToken(out)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		token = strings.TrimLeft(token, "\n")
		if hash, ok := strings.CutPrefix(token, "\x01"); ok {
			// The first entry may follow its commit without a separator.
			hash, token, _ = strings.Cut(hash, "\n")
			if commit = hash; !git.IsHash(commit) {
				return fmt.Errorf("git named the commit %.60q", commit)
			}
			token = strings.TrimLeft(token, "\n")
		}
		if token == "" {
			continue
		}
		// ":100644 100644 <old> <new> M"
		f := strings.Fields(token)
		if len(f) != 5 || !strings.HasPrefix(token, ":") || !git.IsHash(f[2]) || !git.IsHash(f[3]) {
			return fmt.Errorf("git described a change as %.200q", token)
		}
		x := place{commit: commit}
		if f[2] != git.Zero {
			x.base = f[2]
		}
		paths := 1
		if strings.HasPrefix(f[4], "R") || strings.HasPrefix(f[4], "C") {
			paths = 2
		}
		for range paths { // The last one is the new name.
			if x.path, err = readToken(out); err != nil {
				return fmt.Errorf("reading the path of a change: %w", err)
			}
		}
		if f[3] != git.Zero {
			each(x, f[3])
		}
	}
}

func readToken(out *bufio.Reader) (string, error) {
	var b []byte
	for {
		part, err := out.ReadSlice(0)
		b = append(b, part...)
		switch {
		case err == nil:
			return string(b[:len(b)-1]), nil
		case err == io.EOF && len(b) > 0:
			return string(b), nil
		case err != bufio.ErrBufferFull:
			return "", err
		case len(b) > maxToken:
			return "", fmt.Errorf("git printed a path of more than %d bytes", maxToken)
		}
	}
}
