package node

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// writeYAML writes a value, which is of the types that encoding/json decodes to, as YAML in
// block style. Texts are quoted as JSON, so that none can break out of its place.
func writeYAML(b *strings.Builder, v any, indent string) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b.WriteString(indent + k + ":")
			writeNested(b, v[k], indent+"  ")
		}
	case []any:
		for _, item := range v {
			if _, ok := item.(map[string]any); !ok {
				b.WriteString(indent + "-")
				writeNested(b, item, indent+"  ")
				continue
			}
			var inner strings.Builder
			writeYAML(&inner, item, indent+"  ")
			b.WriteString(indent + "- " + strings.TrimPrefix(inner.String(), indent+"  "))
		}
	}
}

// writeNested writes what stands behind a key or a dash.
func writeNested(b *strings.Builder, v any, indent string) {
	switch x := v.(type) {
	case map[string]any:
		if len(x) > 0 {
			b.WriteByte('\n')
			writeYAML(b, x, indent)
			return
		}
	case []any:
		if len(x) > 0 {
			b.WriteByte('\n')
			writeYAML(b, x, indent)
			return
		}
	}
	text, _ := json.Marshal(v) // what was decoded from JSON has a form in it
	b.WriteString(" " + string(text) + "\n")
}
