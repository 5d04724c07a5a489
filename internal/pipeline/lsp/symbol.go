package lsp

import (
	"slices"
	"strings"
)

// The kinds of symbols that are used here (LSP 3.17).
const (
	symbolStage    = 3 // namespace
	symbolJob      = 5 // class
	symbolStep     = 12
	symbolTemplate = 1 // file
)

// symbol is a stage, a job or a step of a document.
type symbol struct {
	Name           string   `json:"name"`
	Detail         string   `json:"detail,omitempty"`
	Kind           int      `json:"kind"`
	Range          span     `json:"range"`
	SelectionRange span     `json:"selectionRange"`
	Children       []symbol `json:"children,omitempty"`
}

// symbols are the stages, jobs and steps of a document; those that a directive holds stand
// where the directive does.
func (s *Server) symbols(file string) []symbol {
	all := lines(s.space.open[file])
	return append([]symbol{}, below(all, outline(all))...)
}

// lists are the keys whose elements are symbols.
var lists = []string{"stages", "jobs", "steps"}

// below are the symbols under an item.
func below(all []string, i *item) []symbol {
	var out []symbol
	for _, c := range i.children {
		if c.dash && isListed(c) {
			if one, ok := symbolOf(all, c); ok {
				out = append(out, one)
				continue
			}
		}
		out = append(out, below(all, c)...)
	}
	return out
}

// isListed reports whether an element belongs to stages, jobs or steps, also through
// directives.
func isListed(i *item) bool {
	for at := i.parent; at != nil; at = at.parent {
		if !at.dash && !at.directive() {
			return slices.Contains(lists, at.name)
		}
	}
	return false
}

// symbolOf is an element as a symbol; a directive is none.
func symbolOf(all []string, i *item) (symbol, bool) {
	if len(i.children) == 0 || i.children[0].directive() {
		return symbol{}, false
	}
	first := i.children[0]
	out := symbol{Name: first.value, Detail: first.name, Kind: symbolStep, Range: extent(all, i), SelectionRange: whole(all, first.line)}
	switch first.name {
	case "stage":
		out.Kind = symbolStage
	case "job", "deployment":
		out.Kind = symbolJob
	case "template":
		out.Kind = symbolTemplate
	}
	if title := i.child("displayName"); title != nil && title.value != "" {
		out.Name, out.Detail = title.value, strings.TrimSpace(first.name+" "+brief(first.value))
	}
	if out.Name = brief(out.Name); out.Name == "" {
		out.Name = first.name // A name must not be empty.
	}
	// A flow collection may have several symbols on its line, and a range holds its selection.
	if out.SelectionRange.End.Line > out.Range.End.Line {
		out.Range.End = out.SelectionRange.End
	}
	out.SelectionRange.Start = out.Range.Start
	if out.SelectionRange.Start.Line != first.line {
		out.SelectionRange.Start = position{first.line, 0}
	}
	for _, c := range i.children {
		out.Children = append(out.Children, below(all, c)...)
	}
	return out, true
}

// brief is a text that fits into a list; that of a block scalar is not there.
func brief(text string) string {
	if strings.HasPrefix(text, "|") || strings.HasPrefix(text, ">") {
		return ""
	}
	if r := []rune(text); len(r) > 80 {
		return string(r[:79]) + "…"
	}
	return text
}

// extent is an element with the lines that are indented deeper than its dash, and the last
// line of what it holds.
func extent(all []string, i *item) span {
	last := i.line
	i.walk(func(c *item) { last = max(last, c.line) })
	for n := i.line + 1; n < len(all); n++ {
		body := strings.TrimLeft(all[n], " ")
		if body == "" {
			continue
		}
		if len(all[n])-len(body) <= i.col {
			break
		}
		last = max(last, n)
	}
	return span{position{i.line, units(all[i.line][:min(i.col, len(all[i.line]))])}, position{last, units(all[last])}}
}
