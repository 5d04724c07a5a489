package lsp

import (
	"regexp"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/validate"
)

// action is a change that the editor offers.
type action struct {
	Title       string       `json:"title"`
	Kind        string       `json:"kind"`
	Diagnostics []diagnostic `json:"diagnostics"`
	IsPreferred bool         `json:"isPreferred,omitempty"`
	Edit        edit         `json:"edit"`
}

type edit struct {
	Changes map[string][]textEdit `json:"changes"`
}

// maxActions bounds the diagnostics that an editor asks about at once.
const maxActions = 100

// actions are the fixes of diagnostics: the names that were meant, and what is missing.
func (s *Server) actions(file string, found []diagnostic) []action {
	all := lines(s.space.open[file])
	root := outline(all)
	out := []action{}
	for _, d := range found[:min(len(found), maxActions)] {
		if d.Range.Start.Line < 0 || d.Range.Start.Line >= len(all) {
			continue
		}
		fix := func(title string, preferred bool, change textEdit) {
			out = append(out, action{
				Title: title, Kind: "quickfix", Diagnostics: []diagnostic{d}, IsPreferred: preferred,
				Edit: edit{map[string][]textEdit{s.uris[file]: {change}}},
			})
		}
		names := suggested(d.Message)
		for _, name := range names {
			if at, ok := wrongWord(all, d); ok {
				fix("Change to '"+name+"'", len(names) == 1, textEdit{at, name})
			}
		}
		if change, title, ok := missingPart(all, root, d); ok {
			fix(title, true, change)
		}
	}
	return out
}

// meantNames is the part of a message that says what was meant, as validate words it.
var meantNames = regexp.MustCompile(`; (?:did you mean|use) ('[^']+'(?: or '[^']+')*)\?`)

// declaredList is how expand words that a parameter is unknown.
var declaredList = regexp.MustCompile(`^Unexpected parameter '([^']+)'; the (?:template|pipeline) declares (.+)$`)

// suggested are the names that a message suggests.
func suggested(message string) []string {
	m := meantNames.FindStringSubmatch(message)
	if declared := declaredList.FindStringSubmatch(message); declared != nil {
		m = meantNames.FindStringSubmatch(validate.Nearest(declared[1], strings.Split(declared[2], ", ")))
	}
	if m == nil {
		return nil
	}
	var out []string
	for part := range strings.SplitSeq(m[1], " or ") {
		out = append(out, strings.Trim(part, "'"))
	}
	return out
}

var quoted = regexp.MustCompile(`'([^']+)'`)

// maxSearch is how many lines below its beginning a value is looked through for a wrong word.
const maxSearch = 50

// wrongWord is where the word stands that a message complains of: the first of its quoted
// words that is in the text from the diagnostic on.
func wrongWord(all []string, d diagnostic) (span, bool) {
	about, _, _ := strings.Cut(d.Message, "; did you mean")
	for _, m := range quoted.FindAllStringSubmatch(about, -1) {
		for n := d.Range.Start.Line; n < min(len(all), d.Range.Start.Line+maxSearch); n++ {
			from := 0
			if n == d.Range.Start.Line {
				from = byteAt(all[n], d.Range.Start.Character)
			}
			if at := wordIn(all[n][from:], m[1]); at >= 0 {
				from += at
				return span{position{n, units(all[n][:from])}, position{n, units(all[n][:from+len(m[1])])}}, true
			}
			if n > d.Range.Start.Line && strings.TrimSpace(all[n]) != "" && indentOf(all[n]) <= indentOf(all[d.Range.Start.Line]) {
				break
			}
		}
	}
	return span{}, false
}

// wordIn is where a word stands by itself, or -1.
func wordIn(text, word string) int {
	for from := 0; ; {
		at := strings.Index(text[from:], word)
		if at < 0 {
			return -1
		}
		at += from
		end := at + len(word)
		if (at == 0 || !isName(text[at-1])) && (end == len(text) || !isName(text[end])) {
			return at
		}
		from = end
	}
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// The messages about what is missing, as validate and expand word them.
var (
	missingInput     = regexp.MustCompile(`needs the input '([^']+)'`)
	missingParameter = regexp.MustCompile(`^A value for the '([^']+)' parameter must be provided`)
	missingKey       = regexp.MustCompile(` needs the key '([^']+)'`)
)

// missingPart adds an input, a parameter or a key to the entry that lacks it.
func missingPart(all []string, root *item, d diagnostic) (textEdit, string, bool) {
	under, name := "", ""
	if m := missingInput.FindStringSubmatch(d.Message); m != nil {
		under, name = "inputs", m[1]
	} else if m := missingParameter.FindStringSubmatch(d.Message); m != nil {
		under, name = "parameters", m[1]
	} else if m := missingKey.FindStringSubmatch(d.Message); m != nil {
		name = m[1]
	} else {
		return textEdit{}, "", false
	}
	i := entryAt(root, d.Range.Start.Line, byteAt(all[d.Range.Start.Line], d.Range.Start.Character))
	if i == nil || len(i.children) == 0 {
		return textEdit{}, "", false
	}
	first := i.children[0]
	if section := i.child(under); under != "" && section != nil {
		if i = section; len(i.children) == 0 {
			if i.value != "" {
				return textEdit{}, "", false
			}
			return insertAfter(all, i.line, strings.Repeat(" ", first.col+2)+name+": "), "Add '" + name + "'", true
		}
		first, under = i.children[0], ""
	}
	title := "Add '" + name + "'"
	if inFlow(all, first) {
		if under != "" {
			name = under + ": {" + name + ": ''}"
		} else {
			name += ": ''"
		}
		at := position{first.line, units(all[first.line][:first.col])}
		return textEdit{span{at, at}, name + ", "}, title, !slices.Contains([]string{"stage", "job", "deployment", "task", "template"}, first.name)
	}
	pad := strings.Repeat(" ", first.col)
	if under != "" {
		return insertAfter(all, first.line, pad+under+":\n"+pad+"  "+name+": "), title, true
	}
	return insertAfter(all, first.line, pad+name+": "), title, canFollow(first)
}

// canFollow reports whether a key may be put right behind an entry: what it holds would
// become that of the new one otherwise.
func canFollow(first *item) bool {
	return len(first.children) == 0 && !strings.HasPrefix(first.value, "|") && !strings.HasPrefix(first.value, ">") && first.value != ""
}

// inFlow reports whether an entry stands in a flow collection.
func inFlow(all []string, i *item) bool {
	before := strings.TrimRight(all[i.line][:i.col], " ")
	return strings.HasSuffix(before, "{") || strings.HasSuffix(before, ",")
}

// entryAt is the element or entry with keys that begins at a place.
func entryAt(root *item, line, at int) (found *item) {
	root.walk(func(i *item) {
		if i.line == line && len(i.children) > 0 && (i.col == at || i.dash && i.children[0].line == line && (i.children[0].col == at || i.children[0].col == at+1)) {
			if found == nil {
				found = i
			}
		}
		// A template reference is found at its value.
		if found == nil && i.line == line && i.name == "template" && i.col <= at && i.parent != nil {
			found = i.parent
		}
	})
	return found
}

func insertAfter(all []string, line int, text string) textEdit {
	at := position{line, units(all[line])}
	return textEdit{span{at, at}, "\n" + text}
}
