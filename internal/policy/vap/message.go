package vap

import (
	"regexp"
	"strings"

	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// Ref is what the API server's refusal says about where it comes from.
type Ref struct {
	Object     string // name of the ValidatingAdmissionPolicy; "" where the text does not say
	Assignment string // "" when the policy could not judge: then the text is the API server's
	Rule       string
	Policy     string // "sha256:" and the first 12 hexadecimal digits of the policy digest
	Violations []rule.Violation
	Fix        string // the assignment's own message and what to do
}

// opening begins a reference in a message. Programs cannot say it: it is replaced in what
// they say.
const opening = "[assignment "

// suffix is what a message of a rule ends with.
func suffix(r rule.Rule) string {
	out := " " + opening + word(r.Assignment) + ", rule " + word(r.Reference) + ", policy " + Short(r.Policy) + "]"
	for _, s := range []string{r.Message, r.Fix} {
		if s = unmarked(strings.Join(strings.Fields(s), " ")); s != "" {
			out += " " + clip500(s)
		}
	}
	return out
}

// Short returns the form of a digest that messages bear: "sha256:" and 12 digits.
func Short(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }

// word makes a name fit into a reference.
func word(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || strings.ContainsRune(",[]", r) {
			return '_'
		}
		return r
	}, s)
}

func unmarked(s string) string { return strings.ReplaceAll(s, opening, "(assignment ") }

func clip500(s string) string {
	if r := []rune(s); len(r) > 500 {
		return string(r[:500]) + "…"
	}
	return s
}

var (
	reference = regexp.MustCompile(`\[assignment ([^\s,\[\]]+), rule ([^\s,\[\]]+), policy (sha256:[0-9a-f]{0,12})\]`)
	// marker is what the API server puts before a message; kubectl puts more before it.
	marker = regexp.MustCompile(`ValidatingAdmissionPolicy '([^']+)'(?: with binding '[^']+')?(?: denied request)?: `)
)

// ParseMessage finds the first reference in a refusal, a warning or an audit annotation.
// ok is also true for a policy of ours that could not judge; then only Object is known.
func ParseMessage(text string) (ref Ref, ok bool) {
	if all := ParseMessages(text); len(all) > 0 {
		return all[0], true
	}
	if m := marker.FindStringSubmatch(text); m != nil && strings.HasPrefix(m[1], namePrefix) {
		return Ref{Object: m[1]}, true
	}
	return Ref{}, false
}

// ParseMessages finds all references in a text that names several policies.
func ParseMessages(text string) []Ref {
	found := reference.FindAllStringSubmatchIndex(text, -1)
	out := make([]Ref, 0, len(found))
	begin := 0
	for i, f := range found {
		part := func(n int) string { return text[f[2*n]:f[2*n+1]] }
		ref := Ref{Assignment: part(1), Rule: part(2), Policy: part(3)}
		// The first marker after the reference before: what programs say comes after it.
		said := text[begin:f[0]]
		if m := marker.FindStringSubmatchIndex(said); m != nil {
			ref.Object = said[m[2]:m[3]]
			said = said[m[1]:]
		}
		ref.Violations = engine.Violations(said)
		end := len(text)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		rest := text[f[1]:end]
		if m := marker.FindStringIndex(rest); m != nil {
			rest = rest[:m[0]]
		}
		if m := strings.IndexByte(rest, '\n'); m >= 0 {
			rest = rest[:m]
		}
		ref.Fix = strings.TrimSpace(rest)
		begin = f[1]
		out = append(out, ref)
	}
	return out
}
