package lsp

import (
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/validate"
)

// language answers from the published schema and the tasks.
type language struct {
	schema    *validate.Schema
	builtin   validate.Catalog
	published validate.Catalog
}

func newLanguage(tasks validate.Catalog) *language {
	if tasks == nil {
		tasks = validate.Builtin()
	}
	return &language{schema: validate.Published(), builtin: tasks, published: validate.PublishedTasks()}
}

// task finds a task; what this installation says of it goes before the published words.
func (l *language) task(reference string) (validate.Task, bool) {
	name, major, ok := validate.SplitTask(reference)
	if !ok {
		return validate.Task{}, false
	}
	own, known := l.builtin.Task(name, major)
	other, public := l.published.Task(name, major)
	switch {
	case !known:
		return other, public
	case !public:
		return own, true
	}
	if own.About == "" {
		own.About = other.About
	}
	own.Inputs = slices.Clone(own.Inputs)
	for i := range own.Inputs {
		if more, ok := other.Input(own.Inputs[i].Name); ok && own.Inputs[i].Title == "" {
			own.Inputs[i].Title = more.Title
		}
	}
	return own, true
}

// forms are the forms that the value of an item may have. Templates and pipelines share
// their keys, so the root is that of a pipeline, or of any template.
func (l *language) forms(i *item) []validate.Form {
	if i != nil && i.parent != nil && i.directive() && i.parent.dash {
		// What stands below a directive takes the place of its element, alone or as a list.
		list := l.forms(i.parent.parent)
		return unique(append(l.elements(list), list...))
	}
	if i == nil || i.parent == nil {
		all := l.schema.Forms(&validate.Definition{Ref: "pipeline"})
		for _, name := range []string{"stagesTemplate", "jobsTemplate", "stepsTemplate", "variablesTemplate", "extendsTemplate"} {
			all = append(all, l.schema.Forms(&validate.Definition{Ref: name})...)
		}
		return all
	}
	above := l.forms(i.parent)
	switch {
	case i.dash:
		return l.elements(above)
	case i.directive():
		return above
	}
	var out []validate.Form
	for _, f := range fitting(above, i.parent) {
		if key := f.Key(i.name); key != nil {
			out = append(out, l.schema.Forms(&key.Definition)...)
		} else if f.Open && f.Values != nil {
			out = append(out, l.schema.Forms(f.Values)...)
		}
	}
	return out
}

// unique leaves out forms that are there already, or directives in directives would add up.
func unique(forms []validate.Form) []validate.Form {
	seen := map[*validate.Definition]bool{}
	return slices.DeleteFunc(forms, func(f validate.Form) bool {
		again := seen[f.Definition]
		seen[f.Definition] = true
		return again
	})
}

// elements are the forms of the elements of sequences.
func (l *language) elements(forms []validate.Form) []validate.Form {
	var out []validate.Form
	for _, f := range forms {
		if f.Type == "array" {
			out = append(out, l.schema.Forms(f.Items)...)
		}
	}
	return out
}

// fitting are the forms of a mapping that its keys allow: the first key decides what a step,
// job or stage is (X002).
func fitting(forms []validate.Form, mapping *item) []validate.Form {
	var all, chosen []validate.Form
	for _, f := range forms {
		if f.Type != "object" {
			continue
		}
		all = append(all, f)
		for _, first := range f.First {
			if c := mapping.child(first); c != nil {
				chosen = append(chosen, f)
			}
		}
	}
	if len(chosen) > 0 {
		return chosen
	}
	return all
}

// key finds what the schema says of an entry.
func (l *language) key(i *item) (validate.Key, bool) {
	for _, f := range fitting(l.forms(i.parent), i.parent) {
		if key := f.Key(i.name); key != nil {
			found := *key
			found.About = l.about(found)
			return found, true
		}
	}
	return validate.Key{}, false
}

// about is what the schema says of a key, or of what its value is.
func (l *language) about(key validate.Key) string {
	if d := l.schema.Definitions[key.Ref]; key.About == "" && d != nil {
		return d.About
	}
	return key.About
}

// words are the texts that a value may have, nil when any may.
func words(forms []validate.Form) []string {
	var out []string
	add := func(w string) {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	for _, f := range forms {
		if f.Type != "string" {
			continue
		}
		if f.Of == "boolean" {
			add("true")
			add("false")
			continue
		}
		for _, w := range f.Words {
			add(w)
		}
		if w, ok := strings.CutPrefix(f.Pattern, "^"); ok && len(f.Words) == 0 {
			if w, ok = strings.CutSuffix(w, "$"); ok && !strings.ContainsAny(w, `[](){}.*+?|\^$`) {
				add(w)
			}
		}
	}
	return out
}

// stepTask is the task whose inputs an item is, or whose inputs hold it, with the item of
// the inputs.
func (l *language) stepTask(i *item) (validate.Task, bool) {
	if i == nil || i.dash || !strings.EqualFold(i.name, "inputs") || i.parent == nil {
		return validate.Task{}, false
	}
	named := i.parent.child("task")
	if named == nil {
		return validate.Task{}, false
	}
	return l.task(named.value)
}

// templateOf is the template whose parameters an item is, or "".
func templateOf(i *item) string {
	if i == nil || i.dash || i.name != "parameters" || i.parent == nil {
		return ""
	}
	if named := i.parent.child("template"); named != nil {
		return named.value
	}
	return ""
}
