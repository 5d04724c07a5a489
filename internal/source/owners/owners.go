package owners

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Paths returns where a CODEOWNERS file may lie; the first that exists counts.
func Paths() []string { return []string{".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"} }

// Limits of a file.
const (
	MaxBytes    = 1 << 20 // of the text
	maxRules    = 10000
	maxPattern  = 1024 // bytes
	maxOwners   = 50   // of a rule
	maxProblems = 100  // that are kept
)

// ErrLimit says that a file is larger than is read; none of it counts then.
var ErrLimit = errors.New("the CODEOWNERS file is too large")

// File is a parsed CODEOWNERS file.
type File struct {
	Rules    []Rule
	Problems []Problem // at most 100
}

// Rule gives the paths that match a pattern to owners.
type Rule struct {
	Line    int    // from 1
	Pattern string // as written
	// Owners are as written, without a leading "@": "ada" for @ada, "shop/sre" for a team,
	// "ada@example.org" for an address. None frees the paths from the rules before.
	Owners []string

	glob glob
}

// Problem is a line that was left out.
type Problem struct {
	Line int
	Text string // at most 100 bytes
	Why  string
}

// Parse reads a file. Lines that cannot be read are problems and do not end it; a file
// over the limits is ErrLimit.
func Parse(text []byte) (File, error) {
	var f File
	if len(text) > MaxBytes {
		return f, ErrLimit
	}
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\uFEFF")) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || heading(line) {
			continue
		}
		if len(f.Rules) == maxRules {
			return File{}, ErrLimit
		}
		r, err := parseRule(line)
		if err != nil {
			if len(f.Problems) < maxProblems {
				f.Problems = append(f.Problems, Problem{Line: number, Text: clip(line), Why: err.Error()})
			}
			continue
		}
		r.Line = number
		f.Rules = append(f.Rules, r)
	}
	return f, nil
}

// heading reports whether a line begins a section of GitLab: "[Docs]", "^[Docs][2] @ada".
func heading(line string) bool {
	line, ok := strings.CutPrefix(strings.TrimPrefix(line, "^"), "[")
	if !ok {
		return false
	}
	_, after, ok := strings.Cut(line, "]")
	return ok && (after == "" || strings.ContainsAny(after[:1], "[ \t"))
}

func parseRule(line string) (Rule, error) {
	if !utf8.ValidString(line) {
		return Rule{}, errors.New("it is not UTF-8")
	}
	pattern, rest := cutPattern(line)
	r := Rule{Pattern: pattern}
	var err error
	if r.glob, err = compile(pattern); err != nil {
		return Rule{}, err
	}
	for _, word := range strings.Fields(rest) {
		if word[0] == '#' {
			break
		}
		owner := strings.TrimPrefix(word, "@")
		if owner == "" || !strings.Contains(word, "@") {
			return Rule{}, fmt.Errorf("%q is no owner; write @user", clip(word))
		}
		if len(r.Owners) == maxOwners {
			return Rule{}, fmt.Errorf("it names more than %d owners", maxOwners)
		}
		r.Owners = append(r.Owners, owner)
	}
	return r, nil
}

// cutPattern splits a line at the first blank that no backslash takes.
func cutPattern(line string) (pattern, rest string) {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case ' ', '\t':
			return line[:i], line[i:]
		}
	}
	return line, ""
}

// Match returns the rule that decides about a path, the last that matches it; ok is false
// when none does. Paths are slash-separated, from the root, without a slash in front.
func (f File) Match(path string) (r Rule, ok bool) {
	if len(path) > maxPath {
		return Rule{}, false
	}
	parts := strings.Split(path, "/")
	for i := len(f.Rules) - 1; i >= 0; i-- {
		if f.Rules[i].glob.match(parts) {
			return f.Rules[i], true
		}
	}
	return Rule{}, false
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 100)], "?") }
