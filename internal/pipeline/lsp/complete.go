package lsp

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/validate"
)

// The kinds of completion items that are used here (LSP 3.17).
const (
	kindFunction = 3
	kindVariable = 6
	kindModule   = 9
	kindProperty = 10
	kindValue    = 12
	kindFile     = 17
	kindRef      = 18
)

// completion is an item that the editor offers.
type completion struct {
	Label         string    `json:"label"`
	Kind          int       `json:"kind,omitempty"`
	Detail        string    `json:"detail,omitempty"`
	Documentation *markup   `json:"documentation,omitempty"`
	SortText      string    `json:"sortText,omitempty"`
	TextEdit      *textEdit `json:"textEdit,omitempty"`
	Deprecated    bool      `json:"deprecated,omitempty"`
}

type markup struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

type textEdit struct {
	Range   span   `json:"range"`
	NewText string `json:"newText"`
}

func explained(text string) *markup {
	if text == "" {
		return nil
	}
	return &markup{Kind: "markdown", Value: text}
}

// complete offers what may stand at a place of a document.
func (s *Server) complete(file string, pos position) []completion {
	all := lines(s.space.open[file])
	p := locate(all, pos)
	if p.holder == nil {
		return nil
	}
	line := all[pos.Line]
	if inner, ok := expressionAt(line, byteAt(line, pos.Character), p); ok {
		return s.edits(s.completeExpression(p, inner), line, pos, len(inner)-strings.LastIndexAny(inner, " (,['")-1, 0)
	}
	if p.blocked || strings.HasPrefix(strings.TrimSpace(line), "#") {
		return nil
	}
	var items []completion
	switch {
	case p.key != nil && p.key.directive():
	case p.key != nil:
		items = s.completeValue(file, p)
	case p.flow && p.element:
		items = s.completeElement(file, p)
	default:
		items = s.completeKey(file, p)
		items = append(items, s.completeElement(file, p)...)
	}
	return s.edits(items, line, pos, len(p.typed), len(p.word)-len(p.typed))
}

// edits says what each item takes the place of: before bytes in front of the cursor, and
// after behind it.
func (s *Server) edits(items []completion, line string, pos position, before, after int) []completion {
	at := byteAt(line, pos.Character)
	from, to := max(at-before, 0), min(at+after, len(line))
	whole := span{position{pos.Line, units(line[:from])}, position{pos.Line, units(line[:to])}}
	for i := range items {
		if items[i].TextEdit == nil {
			items[i].TextEdit = &textEdit{NewText: items[i].Label}
		}
		items[i].TextEdit.Range = whole
	}
	return items
}

// completeKey offers the keys of the mapping that the cursor is in.
func (s *Server) completeKey(file string, p place) []completion {
	holder := p.whole()
	key := func(label, detail, about, order string) completion {
		return completion{Label: label, Kind: kindProperty, Detail: detail, Documentation: explained(about), SortText: order, TextEdit: &textEdit{NewText: label + ": "}}
	}
	if task, ok := s.lang.stepTask(p.holder); ok {
		var items []completion
		for n, in := range task.Inputs {
			if c := holder.child(in.Name); c == nil || p.own(c) {
				items = append(items, key(in.Name, inputDetail(in), in.Title, order(!in.Required, n)))
			}
		}
		return items
	}
	if reference := templateOf(p.holder); reference != "" {
		var items []completion
		for n, d := range s.declared(file, reference) {
			if c := holder.child(d.name); c == nil || p.own(c) {
				items = append(items, key(d.name, d.detail(), d.title, order(d.optional, n)))
			}
		}
		return items
	}
	var items []completion
	offered := map[string]bool{}
	forms := fitting(s.lang.forms(p.holder), holder)
	empty := !slices.ContainsFunc(holder.children, func(c *item) bool { return !p.own(c) })
	for n, f := range forms {
		for m, k := range f.Keys {
			if there := holder.child(k.Name); offered[k.Name] || there != nil && !p.own(there) {
				continue
			}
			first := slices.Contains(f.First, k.Name)
			if len(f.First) > 0 && !first && empty {
				continue // It cannot stand first (X002).
			}
			offered[k.Name] = true
			one := key(k.Name, k.Ref, s.lang.about(k), order(!first && !slices.Contains(f.Required, k.Name), n*100+m))
			one.Deprecated = k.Definition.Deprecated != ""
			items = append(items, one)
		}
	}
	return items
}

// own reports whether an entry is the one that the cursor is in.
func (p place) own(c *item) bool { return c.line == p.at && (!p.flow || c.col == p.start) }

// order sorts what is needed before the rest, and each in its order.
func order(later bool, n int) string {
	prefix := "0"
	if later {
		prefix = "1"
	}
	number := strconv.Itoa(n)
	return prefix + strings.Repeat("0", max(5-len(number), 0)) + number
}

func inputDetail(in validate.Input) string {
	parts := []string{"text"}
	if in.Type != "" {
		parts[0] = in.Type
	}
	if len(in.Options) > 0 {
		parts[0] = strings.Join(in.Options, " | ")
	}
	if in.Required {
		need := "required"
		if in.When != "" {
			need += " when " + in.When
		}
		parts = append(parts, need)
	}
	if in.Default != "" {
		parts = append(parts, "default "+in.Default)
	}
	return strings.Join(parts, ", ")
}

// completeElement offers the texts that an element of a sequence may be.
func (s *Server) completeElement(file string, p place) []completion {
	if !p.element || !p.holder.dash || p.holder.parent == nil {
		return nil
	}
	list := p.holder.parent
	if list.name == "dependsOn" {
		return names(s.units(p, list))
	}
	return values(words(s.lang.forms(p.holder)))
}

// completeValue offers the values of a key.
func (s *Server) completeValue(file string, p place) []completion {
	name := p.key.name
	if task, ok := s.lang.stepTask(p.holder); ok {
		in, known := task.Input(name)
		switch {
		case !known:
			return nil
		case in.Type == "boolean":
			return values([]string{"true", "false"})
		}
		return values(in.Options)
	}
	if reference := templateOf(p.holder); reference != "" {
		for _, d := range s.declared(file, reference) {
			if strings.EqualFold(d.name, name) {
				return values(d.allowed())
			}
		}
		return nil
	}
	switch name {
	case "task":
		return s.taskNames()
	case "template":
		return s.templates(file)
	case "dependsOn":
		return names(s.units(p, p.key))
	}
	return values(words(s.lang.forms(p.key)))
}

func values(texts []string) []completion {
	var items []completion
	for _, t := range texts {
		items = append(items, completion{Label: t, Kind: kindValue})
	}
	return items
}

func names(texts []string) []completion {
	var items []completion
	for _, t := range texts {
		items = append(items, completion{Label: t, Kind: kindRef})
	}
	return items
}

// taskNames offers all tasks; those that run here come first.
func (s *Server) taskNames() []completion {
	var items []completion
	seen := map[string]bool{}
	for n, catalog := range []validate.Catalog{s.lang.builtin, s.lang.published} {
		for m, t := range catalog.Tasks() {
			name := t.Name + "@" + strconv.Itoa(t.Major)
			if seen[name] {
				continue
			}
			seen[name] = true
			items = append(items, completion{
				Label: name, Kind: kindModule, Detail: t.Title, Documentation: explained(t.About), SortText: order(n > 0, m), Deprecated: t.Deprecated != "",
			})
		}
	}
	return items
}

// templates offers the YAML files of the workspace as seen from a document.
func (s *Server) templates(file string) []completion {
	var items []completion
	for _, f := range s.space.yamlFiles() {
		if f == file {
			continue
		}
		label := "/" + f
		if dir := path.Dir(file); dir == "." {
			label = f
		} else if rest, below := strings.CutPrefix(f, dir+"/"); below {
			label = rest
		}
		items = append(items, completion{Label: label, Kind: kindFile})
	}
	return items
}

// units are the names of the stages or jobs that a dependsOn may name: its neighbours.
func (s *Server) units(p place, dependsOn *item) []string {
	own := dependsOn.parent
	if own == nil || !own.dash || own.parent == nil {
		return nil
	}
	var list *item
	p.root.walk(func(i *item) {
		if i.line == own.parent.line && i.col == own.parent.col && i.dash == own.parent.dash {
			list = i
		}
	})
	if list == nil {
		return nil
	}
	var out []string
	for _, c := range list.children {
		for _, key := range []string{"stage", "job", "deployment"} {
			if n := c.child(key); n != nil && n.value != "" && c.line != own.line {
				out = append(out, n.value)
			}
		}
	}
	return out
}

// expressionAt returns what stands between the beginning of an expression and the cursor.
func expressionAt(line string, at int, p place) (string, bool) {
	before := line[:at]
	for _, marks := range [][2]string{{"${{", "}}"}, {"$[", "]"}} {
		if open := strings.LastIndex(before, marks[0]); open >= 0 && !strings.Contains(before[open:], marks[1]) {
			return before[open+len(marks[0]):], true
		}
	}
	if p.key != nil && p.key.name == "condition" {
		return p.typed, true
	}
	return "", false
}

// completeExpression offers functions, contexts and the parameters and variables of the
// document.
func (s *Server) completeExpression(p place, inner string) []completion {
	word := inner[strings.LastIndexAny(inner, " (,['")+1:]
	context, _, dotted := strings.Cut(word, ".")
	var items []completion
	if dotted {
		switch strings.ToLower(context) {
		case "parameters":
			items = names(declaredNames(p.root.child("parameters")))
		case "variables":
			items = names(variableNames(p.root))
		}
		for i := range items {
			items[i].Kind, items[i].Label = kindVariable, context+"."+items[i].Label
		}
		return items
	}
	for _, f := range exprFunctions() {
		items = append(items, completion{Label: f.name, Kind: kindFunction, Detail: f.form, Documentation: explained(f.about)})
	}
	for _, c := range []string{"parameters", "variables", "dependencies", "stageDependencies", "pipeline", "resources"} {
		items = append(items, completion{Label: c, Kind: kindVariable})
	}
	return items
}
