package lsp

import (
	"path/filepath"
	"strings"
)

// location is a place in a file.
type location struct {
	URI   string `json:"uri"`
	Range span   `json:"range"`
}

// definition is where the template of a reference is, the parameter that is given to it, or
// what a name in the document stands for: a parameter, a variable, a stage, a job, an anchor.
func (s *Server) definition(file string, pos position) (location, bool) {
	all := lines(s.space.open[file])
	if pos.Line < 0 || pos.Line >= len(all) {
		return location{}, false
	}
	root, at := outline(all), byteAt(all[pos.Line], pos.Character)
	if i := named(root, all[pos.Line], at); i != nil {
		return location{URI: s.uris[file], Range: whole(all, i.line)}, true
	}
	found, onValue := itemAt(root, pos.Line, at)
	if found == nil {
		return location{}, false
	}
	if i := meant(root, found, onValue); i != nil {
		return location{URI: s.uris[file], Range: whole(all, i.line)}, true
	}
	reference, wanted := "", ""
	switch {
	case found.name == "template" && found.parent != nil:
		reference = found.value
	default:
		reference, wanted = templateOf(found.parent), found.name
	}
	dir, name, ok := s.space.template(file, reference)
	if reference == "" || !ok {
		return location{}, false
	}
	text, ok := s.space.content(dir, name)
	if !ok {
		return location{}, false
	}
	place := span{}
	for _, d := range declarations(outline(lines(text)).child("parameters")) {
		if strings.EqualFold(d.name, wanted) {
			place = whole(lines(text), d.line)
		}
	}
	other := workspace{root: dir}
	return location{URI: other.uri(filepath.ToSlash(name)), Range: place}, true
}

// whole is the span of a line.
func whole(all []string, line int) span {
	return span{position{line, 0}, position{line, units(all[line])}}
}

// meant is the item of the document that the value of another one names.
func meant(root, found *item, onValue bool) *item {
	if name, ok := strings.CutPrefix(found.value, "*"); ok {
		return anchorOf(root, name)
	}
	list := found
	if found.dash && found.parent != nil {
		list = found.parent
	}
	if list.name != "dependsOn" || !onValue && !found.dash || found.value == "" {
		return nil
	}
	var out *item
	root.walk(func(i *item) {
		if out == nil && (i.name == "stage" || i.name == "job" || i.name == "deployment") && strings.EqualFold(i.value, found.value) && kindOf(i) == kindOf(list) {
			out = i
		}
	})
	return out
}

// kindOf says whether an entry belongs to a stage or to a job.
func kindOf(i *item) string {
	if i.parent != nil && i.parent.child("stage") != nil {
		return "stage"
	}
	return "job"
}

// named is the parameter or variable whose name is at a byte of a line: parameters.NAME,
// parameters['NAME'], variables.NAME, $(NAME).
func named(root *item, line string, at int) *item {
	from, to := at, at
	for from > 0 && isName(line[from-1]) {
		from--
	}
	for to < len(line) && isName(line[to]) {
		to++
	}
	before := strings.ToLower(line[:from])
	name := line[from:to]
	switch {
	case name == "":
		return nil
	case strings.HasSuffix(before, "$("):
		return variable(root, name)
	case strings.HasSuffix(before, "parameters['"):
		return parameterItem(root, name)
	case strings.HasSuffix(before, "variables['"):
		return variable(root, name)
	}
	// A dot is a part of the names of variables, so it is in the word.
	switch context, rest, dotted := strings.Cut(name, "."); {
	case !dotted:
	case strings.EqualFold(context, "parameters"):
		first, _, _ := strings.Cut(rest, ".")
		return parameterItem(root, first)
	case strings.EqualFold(context, "variables"):
		return variable(root, rest)
	}
	return nil
}

func isName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.'
}

// parameterItem is where the document declares a parameter.
func parameterItem(root *item, name string) *item {
	for _, d := range declarations(root.child("parameters")) {
		if strings.EqualFold(d.name, name) {
			return &item{line: d.line}
		}
	}
	return nil
}

// variable is where the document first sets a variable.
func variable(root *item, name string) (found *item) {
	root.walk(func(i *item) {
		if i.dash || i.name != "variables" || found != nil {
			return
		}
		for _, c := range i.children {
			n := c.child("name")
			if c.dash && n != nil && strings.EqualFold(n.value, name) || !c.dash && strings.EqualFold(c.name, name) {
				found = c
				return
			}
		}
	})
	return found
}
