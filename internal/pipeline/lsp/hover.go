package lsp

import (
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/validate"
)

// itemAt is the entry of a line and whether the column is on its value.
func itemAt(root *item, line, at int) (found *item, onValue bool) {
	root.walk(func(i *item) {
		if i.line == line && i.col <= at {
			found = i
		}
	})
	return found, found != nil && !found.dash && at > found.col+len(found.name)
}

// hover explains what stands at a place; "" when there is nothing to say.
func (s *Server) hover(file string, pos position) string {
	all := lines(s.space.open[file])
	if pos.Line < 0 || pos.Line >= len(all) {
		return ""
	}
	line := all[pos.Line]
	at := byteAt(line, pos.Character)
	found, onValue := itemAt(outline(all), pos.Line, at)
	if found == nil {
		return ""
	}
	if text := aboutAnchor(outline(all), found, onValue); text != "" {
		return text
	}
	if onValue || found.directive() {
		if text := functionAt(line, at); text != "" && (found.name == "condition" || strings.Contains(line, "${{") || strings.Contains(line, "$[")) {
			return text
		}
	}
	if found.dash {
		return ""
	}
	if onValue && found.name == "task" {
		if task, ok := s.lang.task(found.value); ok {
			return aboutTask(task)
		}
	}
	if task, ok := s.lang.stepTask(found.parent); ok {
		if in, ok := task.Input(found.name); ok {
			return "**" + in.Name + "** (" + inputDetail(in) + ")" + sentence(in.Title)
		}
		return ""
	}
	if reference := templateOf(found.parent); reference != "" {
		for _, d := range s.declared(file, reference) {
			if strings.EqualFold(d.name, found.name) {
				return "**" + d.name + "** (" + d.detail() + ")" + sentence(d.title)
			}
		}
		return ""
	}
	key, ok := s.lang.key(found)
	if !ok {
		return ""
	}
	values := words(s.lang.forms(found))
	if onValue && len(values) == 0 {
		return ""
	}
	text := "**" + key.Name + "**" + sentence(key.About)
	if len(values) > 0 && len(values) < 20 {
		text += "\n\nOne of: `" + strings.Join(values, "`, `") + "`"
	}
	if key.Definition.Deprecated != "" {
		text += "\n\nDeprecated: " + key.Definition.Deprecated
	}
	return text
}

func sentence(text string) string {
	if text == "" {
		return ""
	}
	return "\n\n" + text
}

func aboutTask(t validate.Task) string {
	var b strings.Builder
	b.WriteString("**" + t.Name + "@" + strconv.Itoa(t.Major) + "**: " + t.Title + sentence(t.About))
	if t.Deprecated != "" {
		b.WriteString("\n\nDeprecated: " + t.Deprecated)
	}
	if len(t.Inputs) > 0 {
		b.WriteString("\n\n")
	}
	for _, in := range t.Inputs {
		b.WriteString("- `" + in.Name + "` (" + inputDetail(in) + ")")
		if in.Title != "" {
			b.WriteString(": " + in.Title)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// aboutAnchor explains an alias, or the merging of one.
func aboutAnchor(root, found *item, onValue bool) string {
	name, alias := strings.CutPrefix(found.value, "*")
	if !alias || !onValue && found.name != "<<" && !found.dash {
		return ""
	}
	text := "**" + found.value + "** has no anchor."
	if at := anchorOf(root, name); at != nil {
		text = "**" + found.value + "** stands for what line " + strconv.Itoa(at.line+1) + " has."
	}
	return text + "\n\nPipelines have no anchors and aliases (X001); write it out, or use a template."
}

// anchorOf is the item that has an anchor, or nil.
func anchorOf(root *item, name string) (found *item) {
	root.walk(func(i *item) {
		if found == nil && name != "" && i.anchor == name {
			found = i
		}
	})
	return found
}

// functionAt explains the function whose name is at a byte of a line.
func functionAt(line string, at int) string {
	letter := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	from, to := at, at
	for from > 0 && letter(line[from-1]) {
		from--
	}
	for to < len(line) && letter(line[to]) {
		to++
	}
	if from == to || to >= len(line) || line[to] != '(' {
		return ""
	}
	for _, f := range exprFunctions() {
		if strings.EqualFold(f.name, line[from:to]) {
			return "`" + f.form + "`\n\n" + f.about + " " + f.takes()
		}
	}
	return ""
}
