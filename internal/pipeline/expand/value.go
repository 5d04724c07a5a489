package expand

import (
	"strings"

	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/parse"
)

// sequence shows a sequence node to expressions.
type sequence struct {
	x    *expander
	node *parse.Node
}

// Len returns the number of items.
func (s *sequence) Len() int { return len(s.node.Items) }

// At returns the item at i.
func (s *sequence) At(i int) expr.Value { return s.x.value(s.node.Items[i]) }

// mapping shows a mapping node to expressions.
type mapping struct {
	x     *expander
	node  *parse.Node
	index map[string]int
}

// Get returns the value of a key, compared without regard to case.
func (m *mapping) Get(key string) (expr.Value, bool) {
	if m.index == nil {
		m.index = make(map[string]int, len(m.node.Pairs))
		for i, p := range m.node.Pairs {
			folded := strings.ToLower(p.Key.Value)
			if _, ok := m.index[folded]; !ok {
				m.index[folded] = i
			}
		}
	}
	i, ok := m.index[strings.ToLower(key)]
	if !ok {
		return expr.Value{}, false
	}
	return m.x.value(m.node.Pairs[i].Value), true
}

// Keys returns the keys in the order of the file.
func (m *mapping) Keys() []string {
	keys := make([]string, len(m.node.Pairs))
	for i, p := range m.node.Pairs {
		keys[i] = p.Key.Value
	}
	return keys
}

// value shows a node to expressions. Plain scalars get the type that they look
// like; numbers keep their text.
func (x *expander) value(n *parse.Node) expr.Value {
	if n == nil {
		return expr.Value{}
	}
	switch n.Kind {
	case parse.Sequence, parse.Mapping:
		v, ok := x.values[n]
		if !ok {
			v = expr.NewArray(&sequence{x: x, node: n})
			if n.Kind == parse.Mapping {
				v = expr.NewObject(&mapping{x: x, node: n})
			}
			x.values[n] = v
		}
		return v
	}
	if n.IsNull() {
		return expr.Value{}
	}
	if n.Style == parse.Plain {
		switch strings.ToLower(n.Value) {
		case "true":
			return expr.NewBoolean(true)
		case "false":
			return expr.NewBoolean(false)
		}
		if startsNumber(n.Value) {
			if number, ok := expr.ParseNumber(n.Value); ok {
				return number
			}
		}
	}
	return expr.NewString(n.Value)
}

// startsNumber keeps texts such as " 1" or "1,000" strings, which the lenient
// conversion of the language would take for numbers.
func startsNumber(text string) bool {
	return text != "" && strings.Trim(text, "0123456789.-") == ""
}

// size returns the size of a tree as it counts towards the limit on the result.
// Nodes are shared, so a small parameter that is used twice on every level of a
// chain of templates stands for a huge tree: what counts is the tree.
func (x *expander) size(n *parse.Node) int {
	if n.Kind == parse.Scalar {
		return len(n.Value) + 1
	}
	if size, ok := x.sizes[n]; ok {
		return size
	}
	size := 1
	for _, item := range n.Items {
		size += x.size(item)
	}
	for _, p := range n.Pairs {
		size += len(p.Key.Value) + x.size(p.Value)
	}
	size = min(size, x.limits.Bytes+1)
	x.sizes[n] = size
	return size
}

// allStrings returns a copy of the node in which every scalar is a string (T006).
func allStrings(n *parse.Node) *parse.Node {
	if n == nil {
		return nil
	}
	switch n.Kind {
	case parse.Sequence:
		items := make([]*parse.Node, len(n.Items))
		for i, item := range n.Items {
			items[i] = allStrings(item)
		}
		return &parse.Node{Kind: parse.Sequence, Pos: n.Pos, Items: items}
	case parse.Mapping:
		pairs := make([]parse.Pair, len(n.Pairs))
		for i, p := range n.Pairs {
			pairs[i] = parse.Pair{Key: p.Key, Value: allStrings(p.Value)}
		}
		return &parse.Node{Kind: parse.Mapping, Pos: n.Pos, Pairs: pairs}
	}
	return parse.NewString(n.Pos, n.Text())
}

// node makes a tree of a value. What came from a file keeps its places, and
// everything else gets pos.
func (x *expander) node(pos parse.Pos, v expr.Value) *parse.Node {
	switch v.Kind() {
	case expr.Null:
		return parse.NewScalar(pos, "")
	case expr.Boolean, expr.Number:
		text, _ := v.Text()
		return parse.NewScalar(pos, text)
	case expr.Array:
		if s, ok := v.List().(*sequence); ok {
			return s.node
		}
		result := &parse.Node{Kind: parse.Sequence, Pos: pos}
		for i := range v.List().Len() {
			if !x.spend(pos, 1) {
				break
			}
			result.Items = append(result.Items, x.node(pos, v.List().At(i)))
		}
		return result
	case expr.Object:
		if m, ok := v.Map().(*mapping); ok {
			return m.node
		}
		result := &parse.Node{Kind: parse.Mapping, Pos: pos}
		for _, key := range v.Map().Keys() {
			if !x.spend(pos, len(key)) {
				break
			}
			child, _ := v.Map().Get(key)
			result.Pairs = append(result.Pairs, parse.Pair{Key: parse.NewString(pos, key), Value: x.node(pos, child)})
		}
		return result
	}
	text, _ := v.Text()
	return parse.NewString(pos, text)
}
