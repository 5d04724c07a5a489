package policy

import (
	"fmt"

	"towpath.dev/towpath/internal/policy/azure"
	"towpath.dev/towpath/internal/policy/engine"
	"towpath.dev/towpath/internal/policy/rule"
)

// templates is the catalogue's templates, parsed, by the end of their address.
type templates map[string]rule.Template

// Template returns a template by the end of its address.
func (t templates) Template(key string) (rule.Template, bool) {
	out, ok := t[key]
	return out, ok
}

// builtIn reads the catalogue. What does not parse in it is a mistake of ours.
func builtIn(c Catalogue) (azure.Library, error) {
	known := templates{}
	l := azure.Library{Definitions: map[string]azure.Definition{}, Initiatives: map[string]azure.Initiative{}, Catalogue: known}
	for _, f := range c.Definitions() {
		d, err := azure.ParseDefinition(f.Raw)
		if err != nil {
			return l, fmt.Errorf("reading the built-in definition %s: %w", f.Name, err)
		}
		l.Definitions[d.Name] = d
		info := d.Details.Template
		if info.Key == "" {
			continue
		}
		raw, ok := c.Template(info.URL)
		if !ok {
			return l, fmt.Errorf("reading the built-in definition %s: its template %s is missing", f.Name, info.URL)
		}
		t, err := engine.ParseTemplate(raw)
		if err != nil {
			return l, fmt.Errorf("reading the template of the built-in definition %s: %w", f.Name, err)
		}
		known[info.Key] = t
	}
	for _, f := range c.Initiatives() {
		i, err := azure.ParseInitiative(f.Raw)
		if err != nil {
			return l, fmt.Errorf("reading the built-in initiative %s: %w", f.Name, err)
		}
		l.Initiatives[i.Name] = i
	}
	return l, nil
}
