package link

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Limits of what is looked at.
const (
	// MaxText is how many bytes of a text are read; what follows refers to nothing.
	MaxText = 64 << 10
	// MaxReferences is how many references are found in one text.
	MaxReferences = 50
)

// Reference is an item that a text names.
type Reference struct {
	Number int64
	Closes bool // the words say that the change completes the item
	// Squash says that it only stands as "(#7)" at the end of the first line, where a squash
	// merge writes the number of its pull request: it may be that.
	Squash bool
}

// reference finds the number, with what stands before and after it. A number has at most
// ten digits and no zero in front.
var reference = regexp.MustCompile(`(?i)(AB)?#([1-9][0-9]{0,9})`)

// closing is a word that closes, at the end of what stands before a reference; negated is
// the same after a word that turns it around.
var (
	closing  = regexp.MustCompile(`(?i)(?:^|[^\pL\pN_-])(?:close[sd]?|closing|fix(?:e[sd]|ing)?|resolve[sd]?|resolving|implement(?:s|ed|ing)?|complete[sd]?|completing)[ \t]*:?[ \t]*$`)
	negated  = regexp.MustCompile(`(?i)(?:^|[^\pL\pN_])(?:not|never|cannot|without|\pL+n['’]t)[ \t]+(?:\pL+ly[ \t]+)?\pL+[ \t]*:?[ \t]*$`)
	pullWord = regexp.MustCompile(`(?i)(?:pull request|merge request|\bPR)[ \t]*$`)
)

// Text finds the references of a commit's message or of the title or body of a pull
// request, each number once, in the order of the text; a number that is named twice closes
// when one of them does.
func Text(s string) []Reference {
	s = strings.ToValidUTF8(s[:min(len(s), MaxText)], "?")
	reverts := strings.HasPrefix(s, `Revert "`)
	s = blank(s)
	var out []Reference
	for _, at := range reference.FindAllStringSubmatchIndex(s, -1) {
		before, after := s[:at[0]], s[at[1]:]
		if touches(before, after) {
			continue
		}
		n, err := strconv.ParseInt(s[at[4]:at[5]], 10, 64)
		if err != nil {
			continue
		}
		before = lastLine(before)
		if at[2] < 0 && pullWord.MatchString(before) {
			continue // `#12` after these words is the number of a pull request.
		}
		closes := !reverts && closing.MatchString(before) && !negated.MatchString(before)
		squash := at[2] < 0 && !strings.Contains(s[:at[0]], "\n") && strings.HasSuffix(before, "(") && endsLine(s[at[1]:])
		out = add(out, Reference{n, closes, squash})
		if len(out) == MaxReferences {
			break
		}
	}
	return out
}

// add keeps each number once.
func add(list []Reference, r Reference) []Reference {
	i := slices.IndexFunc(list, func(o Reference) bool { return o.Number == r.Number })
	if i < 0 {
		return append(list, r)
	}
	list[i].Closes = list[i].Closes || r.Closes
	list[i].Squash = list[i].Squash && r.Squash
	return list
}

// endsLine reports whether a bracket closes and the line ends.
func endsLine(after string) bool {
	first, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(first) == ")"
}

// touches reports whether a reference is part of something longer: another repository's
// (web#12), an HTML entity (&#12;), a colour (#12ab), a heading (##12), an anchor.
func touches(before, after string) bool {
	if before != "" {
		r := before[len(before)-1]
		if word(r) || strings.IndexByte("/&#-.=", r) >= 0 || r >= 0x80 || strings.HasSuffix(before, "](") {
			return true
		}
	}
	if after == "" {
		return false
	}
	return word(after[0]) || after[0] >= 0x80
}

func word(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// lastLine is what stands before a reference on its line, of a long one the end.
func lastLine(s string) string {
	s = s[max(0, len(s)-200):]
	i := strings.LastIndexByte(s, '\n')
	return s[i+1:]
}

// branchPart is a part of a branch's name that refers: a number and a word, or AB#12.
var branchPart = regexp.MustCompile(`(?i)^(?:([1-9][0-9]{0,9})[-_]\pL.*|AB[#-]([1-9][0-9]{0,9})(?:[-_].*)?)$`)

// Branch finds the item that the name of a branch refers to ("refs/heads/" may stand before
// it); ok is false when it names none. Dates such as 2026-11 are no numbers.
func Branch(name string) (number int64, ok bool) {
	name = strings.TrimPrefix(name[:min(len(name), 1000)], "refs/heads/")
	for part := range strings.SplitSeq(name, "/") {
		m := branchPart.FindStringSubmatch(part)
		if m == nil {
			continue
		}
		n, err := strconv.ParseInt(m[1]+m[2], 10, 64)
		return n, err == nil
	}
	return 0, false
}
