package git

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Ref is a branch, a tag or any other ref.
type Ref struct {
	Name   string    // full: "refs/heads/main"
	Object string    // hash of what it points at
	Commit string    // hash of the commit behind it; "" when it is none (a tag of a blob)
	Title  string    // first line of that commit's, or the annotated tag's, message
	Author string    // who wrote the commit or tag
	When   time.Time // when it was committed or tagged
}

// refFormat prints refFields fields; an annotated tag fills those with the star.
// tipFormat leaves out those for which git would have to read every commit.
const (
	tipFormat = "--format=%(refname)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)%00"
	refFormat = tipFormat + "%(contents:subject)%00%(authorname)%(taggername)%00%(creatordate:iso-strict)%00"
	refFields = 8
)

// maxRefs bounds what a listing of refs may print: about 300,000.
const maxRefs = 64 << 20

// Refs lists the refs under a prefix such as "refs/heads/", the newest first.
func (g *Git) Refs(ctx context.Context, dir, prefix string) ([]Ref, error) {
	return g.refs(ctx, dir, refFormat, "--sort=refname", "--sort=-creatordate", prefix)
}

// Tips lists all refs by name, with nothing but where they point: quick also for many.
func (g *Git) Tips(ctx context.Context, dir string) ([]Ref, error) {
	return g.refs(ctx, dir, tipFormat+"%00%00%00", "--sort=refname")
}

func (g *Git) refs(ctx context.Context, dir string, args ...string) ([]Ref, error) {
	out, err := g.Run(ctx, dir, nil, maxRefs, append([]string{"for-each-ref"}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("listing refs: %w", err)
	}
	return parseRefs(string(out))
}

func parseRefs(out string) ([]Ref, error) {
	fields := strings.Split(out, "\x00")
	var list []Ref
	for len(fields) > refFields {
		f := fields[:refFields]
		fields = fields[refFields:]
		r := Ref{Name: strings.TrimPrefix(f[0], "\n"), Object: f[2], Title: strings.ToValidUTF8(f[5], "\uFFFD"), Author: strings.ToValidUTF8(f[6], "\uFFFD")}
		if !IsHash(r.Object) {
			return nil, fmt.Errorf("parsing refs: %q is no hash", clip([]byte(r.Object)))
		}
		switch {
		case f[1] == "commit":
			r.Commit = f[2]
		case f[3] == "commit":
			r.Commit = f[4]
		}
		r.When, _ = time.Parse(time.RFC3339, f[7]) // The commit's own claim; zero when it is no date.
		list = append(list, r)
	}
	return list, nil
}

// CheckRef reports why a full ref name is refused, "" when it is fine. It is the rule
// of git-check-ref-format(1), with more: UTF-8 only, at most 250 bytes, no part that
// begins with "-" (it would look like an option to people's tools).
func CheckRef(name string) string {
	switch {
	case len(name) > 250:
		return "is longer than 250 bytes"
	case !utf8.ValidString(name):
		return "is not UTF-8"
	case strings.Contains(name, "..") || strings.Contains(name, "@{"):
		return "holds \"..\" or \"@{\""
	case strings.HasSuffix(name, "."):
		return "ends with a dot"
	}
	for _, c := range name {
		if c < 0x20 || c == 0x7f || strings.ContainsRune(" ~^:?*[\\", c) {
			return fmt.Sprintf("holds the character %q", c)
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return "has an empty part"
		case part[0] == '-' || part[0] == '.':
			return "has a part that begins with \"-\" or \".\""
		case strings.HasSuffix(part, ".lock"):
			return "has a part that ends with \".lock\""
		}
	}
	return ""
}
