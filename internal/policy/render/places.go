package render

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// origin finds the places of an object.
type origin struct {
	file  string // that the object stands in
	first int    // line of the text at which the document begins, from 1
	root  *yaml.Node
	into  []any  // path of the object in the document
	lines *lined // nil when the text is the file
}

// below is the origin of an item of a list.
func (o *origin) below(path ...any) *origin {
	b := *o
	b.into = append(append([]any{}, o.into...), path...)
	return &b
}

// places is Object.Places.
func (o *Object) places(path string) []Place {
	if o.origin == nil {
		return []Place{o.Source}
	}
	return o.origin.places(path)
}

// trail is the way from the document's root to a place: the node of each key or item on
// it, and the value at its end.
type trail struct {
	keys  []*yaml.Node
	names []any
	value *yaml.Node
}

// places finds a path: the values file first, when the value comes from one.
func (o *origin) places(path string) []Place {
	fallback := Place{File: o.file, Line: max(o.first, 1)}
	if o.root == nil {
		return []Place{fallback}
	}
	t := trail{value: o.root}
	for _, p := range o.into {
		if !t.step(p) {
			break
		}
	}
	t.follow(path)
	node := o.root
	if len(t.keys) > 0 {
		node = t.keys[len(t.keys)-1]
	}
	if o.lines == nil {
		return []Place{{File: o.file, Line: o.first - 1 + node.Line}}
	}
	if o.lines.marks == nil {
		return []Place{fallback}
	}
	var out []Place
	if p, ok := o.value(t); ok {
		out = append(out, p)
	}
	if id, ok := o.mark(node); ok {
		m := o.lines.marks.list[id]
		return append(out, Place{File: m.file, Line: m.line})
	}
	fallback.Line = 1
	return append(out, fallback)
}

// mark is the mark that tells of a node; when its line has none, that of the nearest line
// above which has.
func (o *origin) mark(n *yaml.Node) (int, bool) {
	col := n.Column
	for line := o.first - 1 + n.Line; line >= o.first && line > 0; line-- {
		if id, ok := markAt(o.lines.found, line, col); ok && id < len(o.lines.marks.list) {
			return id, true
		}
		col = 1 << 30
	}
	return 0, false
}

// value is the line of a values file that the end of a trail comes from.
func (o *origin) value(t trail) (Place, bool) {
	if len(t.keys) == 0 || t.value == nil {
		return Place{}, false
	}
	last := len(t.keys) - 1
	// What stands behind a key may come from another action than the key.
	node, inner := t.keys[last], false
	switch {
	case t.value.Kind == yaml.ScalarNode && t.value.Line == node.Line:
		node = t.value
	case len(t.value.Content) > 0:
		node, inner = t.value.Content[0], true
	}
	id, ok := o.mark(node)
	if !ok || o.lines.marks.list[id].value == "" {
		return Place{}, false
	}
	v := o.lines.marks.paths[o.lines.marks.list[id].value]
	if inner && !v.composite {
		return Place{}, false
	}
	path := append([]any{}, v.path...)
	if v.composite {
		// What the action wrote begins at the first key that bears its mark.
		from := last + 1
		for from > 0 {
			if k, ok := o.mark(t.keys[from-1]); !ok || k != id {
				break
			}
			from--
		}
		path = append(path, t.names[from:]...)
	}
	if len(path) == 0 {
		return Place{}, false
	}
	return o.lines.values.find(path, max(len(v.path), 1))
}

// follow walks a path in the grammar of rule.Violation as far as it exists. Names may hold
// dots: the longest name that is there counts.
func (t *trail) follow(path string) {
	for path != "" {
		switch {
		case path[0] == '.':
			path = path[1:]
		case path[0] == '[':
			end := strings.IndexByte(path, ']')
			if end < 0 || !t.bracket(path[1:end]) {
				return
			}
			path = path[end+1:]
		default:
			name := t.longest(path)
			if name == "" || !t.step(name) {
				return
			}
			path = path[len(name):]
		}
	}
}

// bracket steps into an item by number or name, or into a key that is quoted.
func (t *trail) bracket(text string) bool {
	if key, err := strconv.Unquote(text); err == nil {
		return t.step(key)
	}
	if i, err := strconv.Atoi(text); err == nil {
		return t.step(i)
	}
	field, want, ok := strings.Cut(text, "=")
	list := resolve(t.value)
	if !ok || list == nil || list.Kind != yaml.SequenceNode {
		return false
	}
	for i, item := range list.Content {
		if _, v := step(item, field); v != nil && v.Value == want {
			return t.step(i)
		}
	}
	return false
}

// longest is the longest name of the current map that a path begins with.
func (t *trail) longest(path string) string {
	m := resolve(t.value)
	if m == nil || m.Kind != yaml.MappingNode {
		return ""
	}
	best := ""
	for _, name := range namesOf(m, 0) {
		rest, ok := strings.CutPrefix(path, name)
		if ok && len(name) > len(best) && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			best = name
		}
	}
	return best
}

// namesOf are the keys of a map, those of maps that it merges too.
func namesOf(m *yaml.Node, depth int) []string {
	var out []string
	if m == nil || depth > 2 {
		return nil
	}
	if m.Kind == yaml.SequenceNode {
		for _, item := range m.Content {
			out = append(out, namesOf(resolve(item), depth+1)...)
		}
		return out
	}
	for i := 0; m.Kind == yaml.MappingNode && i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == "<<" {
			out = append(out, namesOf(resolve(m.Content[i+1]), depth+1)...)
		}
		out = append(out, m.Content[i].Value)
	}
	return out
}

// step goes into a key or item.
func (t *trail) step(name any) bool {
	key, value := step(t.value, name)
	if value == nil {
		return false
	}
	t.keys, t.names, t.value = append(t.keys, key), append(t.names, name), value
	return true
}

// step finds a key of a map, or an item of a list: the node of the key (of an item itself)
// and of the value. Both are nil when it is not there.
func step(n *yaml.Node, name any) (key, value *yaml.Node) {
	n = resolve(n)
	if n == nil {
		return nil, nil
	}
	switch name := name.(type) {
	case int:
		if n.Kind == yaml.SequenceNode && name >= 0 && name < len(n.Content) {
			return n.Content[name], n.Content[name]
		}
	case string:
		if n.Kind != yaml.MappingNode {
			return nil, nil
		}
		for i := len(n.Content) - 2; i >= 0; i -= 2 { // Of keys that repeat the last counts.
			if n.Content[i].Value == name {
				return n.Content[i], n.Content[i+1]
			}
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == "<<" && n.Content[i].Style == 0 {
				return merge(n.Content[i+1], name)
			}
		}
	}
	return nil, nil
}

// merge finds a key in what "<<" names: a map, or a list of them.
func merge(n *yaml.Node, name string) (key, value *yaml.Node) {
	n = resolve(n)
	if n == nil || n.Kind != yaml.SequenceNode {
		return stepPlain(n, name)
	}
	for _, item := range n.Content {
		if k, v := stepPlain(resolve(item), name); v != nil {
			return k, v
		}
	}
	return nil, nil
}

// stepPlain finds a key that a map itself holds.
func stepPlain(n *yaml.Node, name string) (key, value *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.AliasNode && i < 8; i++ {
		n = n.Alias
	}
	return n
}
