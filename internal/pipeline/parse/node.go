package parse

import "strings"

// Kind is the shape of a node.
type Kind uint8

// The three shapes of a node.
const (
	Scalar Kind = iota + 1
	Sequence
	Mapping
)

// String returns the word that messages use for the shape.
func (k Kind) String() string {
	switch k {
	case Scalar:
		return "a value"
	case Sequence:
		return "a sequence"
	case Mapping:
		return "a mapping"
	}
	return "nothing"
}

// Style says how a scalar was written. Only plain scalars can be null, a
// Boolean or a number where a typed value is asked for.
type Style uint8

// The three ways to write a scalar, and text that nobody wrote because an expression
// made it: a string whatever it looks like.
const (
	Plain Style = iota
	Quoted
	Block
	Made
)

// Node is one value of a pipeline file. Which of the fields below Pos are in
// use follows from Kind. Nodes are shared between the trees that expansion
// makes and must not be changed after they were built.
type Node struct {
	Kind  Kind
	Pos   Pos
	Style Style
	// Value is the text of a scalar.
	Value string
	// Items are the elements of a sequence.
	Items []*Node
	// Pairs are the entries of a mapping in the order of the file.
	Pairs []Pair
}

// Pair is one entry of a mapping. Key is always a scalar.
type Pair struct {
	Key   *Node
	Value *Node
}

// NewScalar returns a plain scalar with the given text.
func NewScalar(pos Pos, text string) *Node {
	return &Node{Kind: Scalar, Pos: pos, Value: text}
}

// NewString returns a scalar that is a string whatever its text looks like.
func NewString(pos Pos, text string) *Node {
	return &Node{Kind: Scalar, Pos: pos, Style: Made, Value: text}
}

// IsNull reports whether the node is missing, or a plain scalar that YAML reads
// as null: an empty one, "~" or "null".
func (n *Node) IsNull() bool {
	if n == nil {
		return true
	}
	if n.Kind != Scalar || n.Style != Plain {
		return false
	}
	switch n.Value {
	case "", "~", "null", "Null", "NULL":
		return true
	}
	return false
}

// Get returns the value of the first entry with the given key, or nil. Keys
// compare exactly.
func (n *Node) Get(key string) *Node {
	if n == nil || n.Kind != Mapping {
		return nil
	}
	for _, p := range n.Pairs {
		if p.Key.Value == key {
			return p.Value
		}
	}
	return nil
}

// GetFold is [Node.Get] without regard to case, as task inputs compare (X003).
func (n *Node) GetFold(key string) *Node {
	if n == nil || n.Kind != Mapping {
		return nil
	}
	for _, p := range n.Pairs {
		if strings.EqualFold(p.Key.Value, key) {
			return p.Value
		}
	}
	return nil
}

// FirstKey returns the text of the first key of a mapping, or "". It decides
// what kind of step, job or stage a mapping is (X002).
func (n *Node) FirstKey() string {
	if n == nil || n.Kind != Mapping || len(n.Pairs) == 0 {
		return ""
	}
	return n.Pairs[0].Key.Value
}

// Text returns the text of a scalar, and "" for null and for every other shape.
func (n *Node) Text() string {
	if n.IsNull() || n.Kind != Scalar {
		return ""
	}
	return n.Value
}

// At returns the place of the node, or fallback when the node is nil.
func (n *Node) At(fallback Pos) Pos {
	if n == nil {
		return fallback
	}
	return n.Pos
}

// Walk calls visit for the node and everything below it, keys included, parents
// first. It stops descending where visit returns false.
func (n *Node) Walk(visit func(*Node) bool) {
	if n == nil || !visit(n) {
		return
	}
	for _, item := range n.Items {
		item.Walk(visit)
	}
	for _, p := range n.Pairs {
		p.Key.Walk(visit)
		p.Value.Walk(visit)
	}
}
