package vap

import "towpath.dev/towpath/internal/policy/rule"

// Ref is what the API server's refusal says about where it comes from.
type Ref struct {
	Assignment string
	Rule       string
	Policy     string // "sha256:" and the first 12 hexadecimal digits of the policy digest
	Violations []rule.Violation
	Fix        string
}

// ParseMessage finds the first reference in a refusal, a warning or an audit annotation.
func ParseMessage(text string) (Ref, bool) {
	all := ParseMessages(text)
	if len(all) == 0 {
		return Ref{}, false
	}
	return all[0], true
}

// ParseMessages finds all references in a text that names several policies.
func ParseMessages(text string) []Ref { return nil }
