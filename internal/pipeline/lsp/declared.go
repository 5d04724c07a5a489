package lsp

import "strings"

// parameter is a declared parameter of a template, as its outline says.
type parameter struct {
	name, kind, title, fallback string
	optional                    bool
	values                      []string
	line                        int
}

// detail is the parameter in a few words.
func (d parameter) detail() string {
	parts := []string{d.kind}
	if len(d.values) > 0 {
		parts = append(parts, strings.Join(d.values, " | "))
	}
	switch {
	case !d.optional:
		parts = append(parts, "required")
	case d.fallback != "":
		parts = append(parts, "default "+d.fallback)
	}
	return strings.Join(parts, ", ")
}

// allowed are the values that the parameter may have, nil when any may.
func (d parameter) allowed() []string {
	if len(d.values) == 0 && strings.EqualFold(d.kind, "boolean") {
		return []string{"true", "false"}
	}
	return d.values
}

// declared are the parameters of the template that a document refers to.
func (s *Server) declared(file, reference string) []parameter {
	root, name, ok := s.space.template(file, reference)
	if !ok {
		return nil
	}
	text, ok := s.space.content(root, name)
	if !ok {
		return nil
	}
	return declarations(outline(lines(text)).child("parameters"))
}

// declarations reads a "parameters" section in both of its styles.
func declarations(section *item) []parameter {
	if section == nil {
		return nil
	}
	var out []parameter
	for _, c := range section.children {
		if !c.dash {
			out = append(out, parameter{name: c.name, kind: "any", fallback: c.value, optional: true, line: c.line})
			continue
		}
		name := c.child("name")
		if name == nil || name.value == "" {
			continue
		}
		d := parameter{name: name.value, kind: "string", line: name.line}
		if k := c.child("type"); k != nil && k.value != "" {
			d.kind = k.value
		}
		if t := c.child("displayName"); t != nil {
			d.title = t.value
		}
		if f := c.child("default"); f != nil {
			d.optional, d.fallback = true, f.value
		}
		if v := c.child("values"); v != nil {
			d.values = elements(v)
		}
		out = append(out, d)
	}
	return out
}

// elements are the texts of a sequence, in block or flow style.
func elements(list *item) []string {
	var out []string
	if flow, ok := strings.CutPrefix(list.value, "["); ok {
		for part := range strings.SplitSeq(strings.TrimSuffix(flow, "]"), ",") {
			out = append(out, scalar(part))
		}
		return out
	}
	for _, c := range list.children {
		if c.dash && c.value != "" {
			out = append(out, c.value)
		}
	}
	return out
}

func declaredNames(section *item) []string {
	var out []string
	for _, d := range declarations(section) {
		out = append(out, d.name)
	}
	return out
}

// variableNames are the variables that a document sets anywhere.
func variableNames(root *item) []string {
	var out []string
	root.walk(func(i *item) {
		if i.dash || i.name != "variables" {
			return
		}
		for _, c := range i.children {
			if name := c.child("name"); c.dash && name != nil && name.value != "" {
				out = append(out, name.value)
			} else if !c.dash && !c.directive() {
				out = append(out, c.name)
			}
		}
	})
	return out
}
