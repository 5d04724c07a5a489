package validate

import (
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/parse"
)

// check compares a node with a definition and reports whether its form is right, so
// that the content is worth looking at. key is the key that the value stands at.
func (v *validator) check(n *parse.Node, d *Definition, key string) bool {
	forms := v.schema.Forms(d)
	switch {
	case n.IsNull() || n.Kind == parse.Scalar:
		return v.checkText(n, forms, key)
	case n.Kind == parse.Sequence:
		for _, f := range forms {
			if f.Type == "array" {
				return v.checkItems(n, f, key)
			}
		}
	case n.Kind == parse.Mapping:
		if mappings := formsOf(forms, "object"); len(mappings) > 0 {
			return v.checkMapping(n, mappings, key)
		}
	}
	v.found.Errorf(n.Pos, "X011", "Unexpected value; expected %s, found %s%s", expected(forms), n.Kind, formHint(n, forms, key))
	return false
}

// formHint says how the expected form is written.
func formHint(n *parse.Node, forms []Form, key string) string {
	lists, texts := len(formsOf(forms, "array")) > 0, len(formsOf(forms, "string")) > 0
	switch {
	case n.Kind == parse.Mapping && lists && !texts:
		return "; begin each of its elements with '- '"
	case n.Kind == parse.Sequence && texts && slices.Contains([]string{"step.script", "step.bash", "step.pwsh", "step.powershell"}, key):
		return "; write several lines below '|'"
	}
	return ""
}

func formsOf(forms []Form, kind string) []Form {
	return slices.DeleteFunc(slices.Clone(forms), func(f Form) bool { return f.Type != kind })
}

// expected lists the forms for a message.
func expected(forms []Form) string {
	var names []string
	for _, kind := range [][2]string{{"string", "a value"}, {"array", "a sequence"}, {"object", "a mapping"}} {
		if len(formsOf(forms, kind[0])) > 0 {
			names = append(names, kind[1])
		}
	}
	text := strings.Join(names, " or ")
	if mappings := formsOf(forms, "object"); len(mappings) > 0 {
		if what := mappings[0].title(); what != "" {
			text += " (" + what + ")"
		}
	}
	return text
}

func (v *validator) checkItems(n *parse.Node, f Form, key string) bool {
	ok := true
	for _, item := range n.Items {
		ok = v.check(item, f.Items, key) && ok
	}
	return ok
}

// checkText checks a value, the empty one included.
func (v *validator) checkText(n *parse.Node, forms []Form, key string) bool {
	texts := formsOf(forms, "string")
	text := n.Text()
	if len(texts) > 0 && texts[0].Of == "referenceName" {
		return true // what has the name says in what it is wrong
	}
	if len(texts) == 0 {
		if text == "" && slices.ContainsFunc(forms, func(f Form) bool { return f.Type == "array" || f.Type == "object" }) {
			v.found.Errorf(n.Pos, "X011", "Unexpected value ''; expected %s, so fill it or remove the key", expected(forms))
			return false
		}
		v.found.Errorf(n.Pos, "X011", "Unexpected value '%s'; expected %s", n.Value, expected(forms))
		return false
	}
	rule := stricter(texts[0].Of, key)
	if rule == nil && slices.ContainsFunc(texts, func(f Form) bool { return f.allows(text) }) {
		return true
	}
	complaint := ""
	if rule != nil {
		if complaint = rule(text); complaint == "" {
			return true
		}
	} else {
		complaint = wordsOf(texts, text)
	}
	v.found.Errorf(n.Pos, valueRule(texts[0].Of), "Unexpected value '%s'; %s", n.Value, complaint)
	return false
}

// valueRule is the row that a wrong text breaks.
func valueRule(of string) string {
	if of == "boolean" {
		return "X004"
	}
	return ""
}

// wordsOf says which words are expected.
func wordsOf(texts []Form, text string) string {
	var words []string
	for _, f := range texts {
		words = append(words, f.Words...)
		if word, ok := f.word(); ok {
			words = append(words, word)
		}
	}
	switch {
	case texts[0].Of == "boolean":
		return "expected true or false"
	case len(words) == 0:
		return "it has not the form " + texts[0].Pattern
	}
	return "expected one of " + strings.Join(words, ", ") + suggest(text, words)
}

// checkMapping finds the form that a mapping has and checks its keys.
func (v *validator) checkMapping(n *parse.Node, forms []Form, key string) bool {
	f, ok := v.form(n, forms)
	if f == nil {
		return false
	}
	for _, p := range n.Pairs {
		ok = v.checkPair(p, f, forms) && ok
	}
	for _, name := range f.Required {
		if n.Get(name) == nil {
			ok = false
			v.found.Errorf(n.Pos, "X011", "%s needs the key '%s'", f.titleOr(key), name)
		}
	}
	if len(n.Pairs) < f.AtLeast {
		ok = false
		v.found.Errorf(n.Pos, "X011", "'%s' is empty", key)
	}
	return ok
}

// form finds the form of a mapping: by its first key where the schema tells forms apart
// by it (X002), else the one that knows most of its keys. ok is false when a fault was
// reported on the way.
func (v *validator) form(n *parse.Node, forms []Form) (found *Form, ok bool) {
	if len(forms) == 1 && len(forms[0].First) == 0 {
		return &forms[0], true
	}
	first := n.FirstKey()
	var names []string
	for i := range forms {
		if slices.Contains(forms[i].First, first) {
			return &forms[i], true
		}
		names = append(names, forms[i].First...)
	}
	if of := forms[0].Of; of == "pipeline" || of == "deploymentStrategy" {
		return merged(forms), true // rootForm and deployment say what cannot stand beside what
	}
	if len(names) == 0 {
		return closest(n, forms), true
	}
	slices.Sort(names)
	what := group(forms)
	for _, p := range n.Pairs {
		for i := range forms {
			if slices.Contains(forms[i].First, p.Key.Value) {
				v.found.Errorf(n.Pairs[0].Key.Pos, "X002", "Unexpected value '%s'; '%s' must be the first key of %s, move it up", first, p.Key.Value, what)
				return &forms[i], false
			}
		}
	}
	if first == "" {
		v.found.Errorf(n.Pos, "X002", "%s is empty; it starts with one of %s", what, strings.Join(names, ", "))
	} else {
		v.found.Errorf(n.Pairs[0].Key.Pos, "X002", "Unexpected value '%s'; %s starts with one of %s%s", first, what, strings.Join(names, ", "), suggest(first, names))
	}
	return nil, false
}

// merged is a form with the keys of all forms, none of them required.
func merged(forms []Form) *Form {
	all := *forms[0].Definition
	all.Required, all.Keys = nil, slices.Clone(all.Keys)
	for _, f := range forms[1:] {
		for _, k := range f.Keys {
			if all.Key(k.Name) == nil {
				all.Keys = append(all.Keys, k)
			}
		}
	}
	return &Form{Definition: &all, Of: forms[0].Of}
}

// closest returns the form that knows most keys of the mapping and misses fewest.
func closest(n *parse.Node, forms []Form) *Form {
	best, most := &forms[0], -1<<31
	for i := range forms {
		score := 0
		for _, p := range n.Pairs {
			if forms[i].Key(p.Key.Value) != nil {
				score += 2
			}
		}
		for _, name := range forms[i].Required {
			if n.Get(name) == nil {
				score -= 3
			}
		}
		if score > most {
			best, most = &forms[i], score
		}
	}
	return best
}

func (v *validator) checkPair(p parse.Pair, f *Form, forms []Form) bool {
	name := p.Key.Value
	if a, ok := ability(f, name); ok {
		if a.refused {
			v.found.Errorf(p.Key.Pos, a.rule, "'%s' is not supported; %s", name, a.reason)
			return false
		}
		v.found.Warnf(p.Key.Pos, a.rule, "'%s' has no effect here; %s", name, a.reason)
	}
	if k := f.Key(name); k != nil {
		if k.Deprecated != "" {
			v.found.Warnf(p.Key.Pos, "", "'%s' is deprecated: %s", name, k.Deprecated)
		}
		if f.Of == "step" {
			name = "step." + name
		}
		return v.check(p.Value, &k.Definition, name)
	}
	if f.Values != nil && (&Definition{Type: "string", Pattern: f.KeyPattern}).allows(name) {
		return v.check(p.Value, f.Values, name)
	}
	if f.Open {
		return v.checkOpen(p, f)
	}
	for i := range forms {
		if forms[i].Definition != f.Definition && len(forms[i].First) == 0 && forms[i].Key(name) != nil {
			other := f.Keys[0].Name
			v.found.Errorf(p.Key.Pos, "X011", "'%s' cannot stand beside '%s'; keep one of the two", name, other)
			return false
		}
	}
	v.unknownKey(p.Key, f)
	return false
}

// checkOpen checks an entry of a mapping that takes any key.
func (v *validator) checkOpen(p parse.Pair, f *Form) bool {
	if f.Of != "mappingOfStringString" {
		if len(f.Keys) > 0 {
			v.found.Warnf(p.Key.Pos, "X011", "'%s' has no effect in %s%s", p.Key.Value, f.titleOr("this mapping"), suggest(p.Key.Value, f.names()))
		}
		return true
	}
	if p.Value.Kind == parse.Scalar {
		return true
	}
	v.found.Errorf(p.Value.Pos, "X011", "Unexpected value; expected a value, found %s", p.Value.Kind)
	return false
}

// belowWhat says of keys that stand one level too high where they belong.
var belowWhat = map[string]string{
	"steps": "steps belong to a job, so write 'jobs:' with '- job: NAME' around them", "script": "put it below 'steps:'", "bash": "put it below 'steps:'", "task": "put it below 'steps:'",
	"jobs": "jobs belong to a stage or to the pipeline",
}

// names are the keys of a form in order.
func (f *Form) names() []string {
	names := make([]string, len(f.Keys))
	for i, k := range f.Keys {
		names[i] = k.Name
	}
	slices.Sort(names)
	return names
}

// unknownKey reports a key that the mapping does not have (X011).
func (v *validator) unknownKey(key *parse.Node, f *Form) {
	names := f.names()
	hint := suggest(key.Value, names)
	if below, ok := belowWhat[key.Value]; ok && hint == "" && (f.Of == "stage" || f.Of == "job") {
		hint = "; " + below
		if key.Value == "steps" && slices.Contains(names, "strategy") && slices.Contains(names, "environment") {
			hint = "; the steps of a deployment belong to a hook of its strategy, as in 'strategy: {runOnce: {deploy: {steps: …}}}'"
		}
	}
	if hint == "" && len(names) <= 12 {
		hint = "; expected one of " + strings.Join(names, ", ")
	}
	v.found.Errorf(key.Pos, "X011", "Unexpected value '%s' in %s%s", key.Value, f.titleOr("this mapping"), hint)
}
