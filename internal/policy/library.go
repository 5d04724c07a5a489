package policy

import (
	"fmt"

	"towpath.dev/towpath/internal/policy/azure"
)

// builtIn reads the catalogue. What is wrong with it is a mistake of ours.
func builtIn(c Catalogue) (azure.Library, error) {
	l := azure.Library{Definitions: map[string]azure.Definition{}, Initiatives: map[string]azure.Initiative{}, Catalogue: c}
	for _, f := range c.Definitions() {
		d, err := azure.ParseDefinition(f.Raw)
		if err != nil {
			return l, fmt.Errorf("reading the built-in definition %s: %w", f.Name, err)
		}
		if _, err := l.TemplateOf(d); err != nil {
			return l, fmt.Errorf("reading the built-in definition %s: %w", f.Name, err)
		}
		l.Definitions[d.Name] = d
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
