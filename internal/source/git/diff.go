package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Kinds of changes to a file.
const (
	Added    = "added"
	Deleted  = "deleted"
	Modified = "modified"
	Renamed  = "renamed"
	Copied   = "copied"
)

// Kinds of lines in a hunk.
const (
	Context = ' '
	Plus    = '+'
	Minus   = '-'
)

// Diff is the difference between two commits or trees.
type Diff struct {
	Files     []FileDiff
	Additions int  // lines, of all files
	Deletions int  // lines, of all files
	Truncated bool // there are more files than are listed here
}

// FileDiff is the change of one file.
type FileDiff struct {
	Kind      string // one of the words above
	Old       string // path before; of an added file the same as New
	New       string // path after; of a deleted file the same as Old
	OldMode   string // "100644", "" when it did not exist
	NewMode   string // "" when it does not exist any more
	Binary    bool   // git shows no lines
	Additions int    // lines, counted also where they are not kept
	Deletions int
	Hunks     []Hunk
	Truncated bool // not all lines are kept
}

// Hunk is a run of lines around changes.
type Hunk struct {
	OldStart, OldLines int
	NewStart, NewLines int
	Section            string // the function or heading that git found above
	Lines              []Line
}

// Line is one line of a hunk.
type Line struct {
	Kind byte   // Context, Plus or Minus
	Old  int    // line number before, 0 for an added line
	New  int    // line number after, 0 for a deleted line
	Text string // without its end; valid UTF-8
	Open bool   // the file ends here without a line break
}

// Limits say how much of a diff is kept.
type Limits struct {
	Files     int   // files listed
	FileLines int   // lines kept of one file
	Lines     int   // lines kept in all
	LineBytes int   // bytes kept of one line
	Bytes     int64 // bytes read from git
}

// DefaultLimits are what a page can show.
func DefaultLimits() Limits {
	return Limits{Files: 500, FileLines: 3000, Lines: 20000, LineBytes: 2000, Bytes: 32 << 20}
}

// Diff compares two commits or trees, following renames.
func (g *Git) Diff(ctx context.Context, dir, from, to string, l Limits) (Diff, error) {
	if !IsHash(from) || !IsHash(to) {
		return Diff{}, fmt.Errorf("comparing %q and %q: not hashes", from, to)
	}
	out, err := g.Run(ctx, dir, nil, l.Bytes, "diff-tree", "-r", "-p", "-M", "--full-index", "--no-ext-diff", "--no-textconv", "--no-color",
		"--src-prefix=a/", "--dst-prefix=b/", "--unified=3", "--diff-algorithm=histogram", "--submodule=short", from, to, "--")
	cut := errors.Is(err, ErrLimit)
	if err != nil && !cut {
		return Diff{}, fmt.Errorf("comparing trees: %w", err)
	}
	d, err := ParseDiff(out, l)
	if cut && len(d.Files) > 0 {
		// The last file is not whole, and there may be more.
		d.Files[len(d.Files)-1].Truncated, d.Truncated, err = true, true, nil
	}
	return d, err
}

// ParseDiff reads a patch as git prints it, with the prefixes a/ and b/ and quoted
// paths. What is over the limits is counted and not kept. On an error it returns what
// it has read.
func ParseDiff(out []byte, l Limits) (Diff, error) {
	p := patch{rest: out, limits: l}
	for len(p.rest) > 0 {
		line := p.next()
		if !strings.HasPrefix(line, "diff --git ") {
			return p.diff, fmt.Errorf("parsing a diff: %q does not begin a file", clip([]byte(line)))
		}
		f, err := p.file(strings.TrimPrefix(line, "diff --git "))
		p.diff.Additions += f.Additions
		p.diff.Deletions += f.Deletions
		if len(p.diff.Files) < l.Files {
			p.diff.Files = append(p.diff.Files, f)
		} else {
			p.diff.Truncated = true
		}
		if err != nil {
			return p.diff, err
		}
	}
	return p.diff, nil
}

// patch is a parser's position.
type patch struct {
	rest   []byte
	limits Limits
	diff   Diff
	kept   int // lines, of all files
	inFile int // lines, of the file that is being read
}

func (p *patch) next() string {
	line, rest, _ := bytes.Cut(p.rest, []byte{'\n'})
	p.rest = rest
	return string(line)
}

func (p *patch) starts(prefix string) bool { return bytes.HasPrefix(p.rest, []byte(prefix)) }

// file reads one file's header lines and hunks. names is the rest of its first line.
func (p *patch) file(names string) (FileDiff, error) {
	f := FileDiff{Kind: Modified}
	p.inFile = 0
	for len(p.rest) > 0 && !p.starts("diff --git ") && !p.starts("@@ ") {
		if err := f.header(p.next()); err != nil {
			return f, err
		}
	}
	if f.Old == "" || f.New == "" {
		// A change of mode, an empty or a binary file: both names are the same.
		name, err := sameName(names)
		if err != nil {
			return f, err
		}
		f.Old, f.New = name, name
	}
	for p.starts("@@ ") {
		if err := p.hunk(&f); err != nil {
			return f, err
		}
	}
	return f, nil
}

// header takes one of the lines between "diff --git" and the first hunk.
func (f *FileDiff) header(line string) (err error) {
	take := func(prefix string) (rest string, ok bool) { return strings.CutPrefix(line, prefix) }
	if v, ok := take("old mode "); ok {
		f.OldMode = v
	} else if v, ok := take("new mode "); ok {
		f.NewMode = v
	} else if v, ok := take("new file mode "); ok {
		f.Kind, f.NewMode = Added, v
	} else if v, ok := take("deleted file mode "); ok {
		f.Kind, f.OldMode = Deleted, v
	} else if v, ok := take("rename from "); ok {
		f.Kind = Renamed
		f.Old, err = unquote(v)
	} else if v, ok := take("rename to "); ok {
		f.New, err = unquote(v)
	} else if v, ok := take("copy from "); ok {
		f.Kind = Copied
		f.Old, err = unquote(v)
	} else if v, ok := take("copy to "); ok {
		f.New, err = unquote(v)
	} else if v, ok := take("index "); ok {
		if _, mode, ok := strings.Cut(v, " "); ok {
			f.OldMode, f.NewMode = mode, mode
		}
	} else if strings.HasPrefix(line, "Binary files ") {
		f.Binary = true
	}
	return err
}

// sameName finds X in "a/X b/X", where each may be quoted.
func sameName(names string) (string, error) {
	first, second := "", ""
	if strings.HasPrefix(names, `"`) {
		end := closing(names)
		if end < 0 || end+2 > len(names) {
			return "", fmt.Errorf("parsing a diff: names %q", clip([]byte(names)))
		}
		first, second = names[:end+1], names[end+2:]
	} else if n := len(names); n >= 5 && n%2 == 1 {
		first, second = names[:n/2], names[n/2+1:]
	}
	a, err := unquote(first)
	if err != nil {
		return "", err
	}
	b, err := unquote(second)
	if err != nil {
		return "", err
	}
	x, ok := strings.CutPrefix(a, "a/")
	y, ok2 := strings.CutPrefix(b, "b/")
	if !ok || !ok2 || x != y || x == "" {
		return "", fmt.Errorf("parsing a diff: names %q", clip([]byte(names)))
	}
	return x, nil
}

// closing returns the index of the quote that ends the quoted string s starts with.
func closing(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// unquote undoes git's quoting of paths: C escapes with octal bytes. Text without
// quotes is returned as it is.
func unquote(s string) (string, error) {
	if !strings.HasPrefix(s, `"`) {
		return s, nil
	}
	if closing(s) != len(s)-1 {
		return "", fmt.Errorf("parsing a diff: quoted name %q", clip([]byte(s)))
	}
	// Go's quoting knows the same escapes, octal ones included.
	v, err := strconv.Unquote(s)
	if err != nil {
		return "", fmt.Errorf("parsing a diff: quoted name %q: %w", clip([]byte(s)), err)
	}
	return v, nil
}

// hunk reads "@@ -a,b +c,d @@ section" and its lines. The counts say where it ends, so
// that a line of content can look like anything.
func (p *patch) hunk(f *FileDiff) error {
	head := p.next()
	h, err := hunkHead(head)
	if err != nil {
		return err
	}
	was, is := h.OldStart, h.NewStart
	oldEnd, newEnd := was+h.OldLines, is+h.NewLines
	for was < oldEnd || is < newEnd {
		if len(p.rest) == 0 {
			f.add(h)
			return fmt.Errorf("parsing a diff: hunk %q has no end", clip([]byte(head)))
		}
		text := p.next()
		line := Line{Kind: Context}
		if text != "" {
			line.Kind, line.Text = text[0], text[1:]
		}
		switch {
		case line.Kind == Context && was < oldEnd && is < newEnd:
			line.Old, line.New = was, is
			was, is = was+1, is+1
		case line.Kind == Minus && was < oldEnd:
			line.Old = was
			was++
			f.Deletions++
		case line.Kind == Plus && is < newEnd:
			line.New = is
			is++
			f.Additions++
		case line.Kind == '\\':
			h.open()
			continue
		default:
			return fmt.Errorf("parsing a diff: %q is no line of hunk %q", clip([]byte(text)), clip([]byte(head)))
		}
		p.keep(f, &h, line)
	}
	if p.starts(`\`) {
		p.next()
		h.open()
	}
	f.add(h)
	return nil
}

// keep adds a line to the hunk while the limits allow.
func (p *patch) keep(f *FileDiff, h *Hunk, line Line) {
	if p.inFile >= p.limits.FileLines || p.kept >= p.limits.Lines {
		f.Truncated = true
		return
	}
	if len(line.Text) > p.limits.LineBytes {
		line.Text, f.Truncated = line.Text[:p.limits.LineBytes], true
	}
	line.Text = strings.ToValidUTF8(line.Text, "\uFFFD")
	p.kept, p.inFile = p.kept+1, p.inFile+1
	h.Lines = append(h.Lines, line)
}

// add keeps a hunk of which lines are kept.
func (f *FileDiff) add(h Hunk) {
	if len(h.Lines) > 0 {
		f.Hunks = append(f.Hunks, h)
	}
}

// open marks the last line: "\ No newline at end of file".
func (h *Hunk) open() {
	if n := len(h.Lines); n > 0 {
		h.Lines[n-1].Open = true
	}
}

func hunkHead(s string) (h Hunk, err error) {
	bad := fmt.Errorf("parsing a diff: %q begins no hunk", clip([]byte(s)))
	body, ok := strings.CutPrefix(s, "@@ -")
	if !ok {
		return h, bad
	}
	ranges, section, ok := strings.Cut(body, " @@")
	before, after, ok2 := strings.Cut(ranges, " +")
	if !ok || !ok2 {
		return h, bad
	}
	if h.OldStart, h.OldLines, ok = span(before); !ok {
		return h, bad
	}
	if h.NewStart, h.NewLines, ok = span(after); !ok {
		return h, bad
	}
	h.Section = strings.ToValidUTF8(strings.TrimSpace(section), "\uFFFD")
	return h, nil
}

// maxLine is more lines than a file can have here; larger numbers are no line numbers.
const maxLine = 1 << 31

// span reads "start,count", or "start" for one line.
func span(s string) (start, count int, ok bool) {
	a, b, two := strings.Cut(s, ",")
	start, err := strconv.Atoi(a)
	count = 1
	if err == nil && two {
		count, err = strconv.Atoi(b)
	}
	return start, count, err == nil && start >= 0 && count >= 0 && start < maxLine && count < maxLine
}
