package expr

import (
	"maps"
	"slices"
	"strings"
)

// ExpandMacros replaces every "$(name)" in a text by what lookup returns for
// the name. A name that lookup does not know stays as it is (X042). What was
// inserted is not looked at again: variables are expanded among themselves by
// [ExpandVariables], inputs do not recurse (X045).
//
// An unknown name does not end the search: in "$($(x))" the inner macro is
// found. Once the result is larger than [MaxResult] the rest of the text is left
// as it is, so that variables that double one another stay harmless.
func ExpandMacros(text string, lookup func(name string) (string, bool)) string {
	if !strings.Contains(text, "$(") {
		return text
	}
	var out strings.Builder
	for out.Len() <= MaxResult {
		open := strings.Index(text, "$(")
		if open < 0 {
			break
		}
		end := strings.IndexByte(text[open+2:], ')')
		if end < 0 {
			break
		}
		name := text[open+2 : open+2+end]
		value, ok := "", false
		if name != "" {
			value, ok = lookup(name)
		}
		if !ok {
			out.WriteString(text[:open+1])
			text = text[open+1:]
			continue
		}
		out.WriteString(text[:open])
		out.WriteString(value)
		text = text[open+2+end+1:]
	}
	out.WriteString(text)
	return out.String()
}

// Cycle names a variable that contains itself.
type Cycle struct{ Name string }

// ExpandVariables expands the macros of variables among themselves, as the
// agent does before a job: recursively, at most [MaxDepth] levels deep. A macro
// that would close a cycle, or go deeper, stays as it is and is reported.
//
// The keys of values are names in lower case. The result holds the same keys.
func ExpandVariables(values map[string]string) (expanded map[string]string, cycles []Cycle) {
	x := &variableExpander{raw: values, done: make(map[string]string, len(values)), open: map[string]bool{}}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		x.expand(name)
	}
	return x.done, x.cycles
}

type variableExpander struct {
	raw    map[string]string
	done   map[string]string
	open   map[string]bool
	cycles []Cycle
	// bytes is the size of what was made so far. Once it is above MaxResult the
	// other variables stay as they are, so that ones that double one another
	// cannot fill the memory.
	bytes int
}

// expand returns the expanded value of a known variable. Every variable is
// expanded once, also inside a cycle, so the work is linear in the references.
func (x *variableExpander) expand(name string) string {
	if value, ok := x.done[name]; ok {
		return value
	}
	if x.bytes > MaxResult {
		x.done[name] = x.raw[name]
		return x.raw[name]
	}
	x.open[name] = true
	value := ExpandMacros(x.raw[name], func(inner string) (string, bool) {
		inner = strings.ToLower(inner)
		if _, known := x.raw[inner]; !known {
			return "", false
		}
		if _, ok := x.done[inner]; !ok && (x.open[inner] || len(x.open) >= MaxDepth) {
			x.cycles = append(x.cycles, Cycle{Name: inner})
			return "", false
		}
		value := x.expand(inner)
		return value, x.bytes <= MaxResult
	})
	delete(x.open, name)
	x.done[name] = value
	x.bytes += len(value)
	return value
}
