package expand

import (
	"strings"

	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/parse"
)

// entry is an item of a sequence, or an entry of a mapping, whose directives
// have been carried out but whose content has not been expanded yet.
type entry struct {
	key   *parse.Node // nil in a sequence
	value *parse.Node
	scope *scope
}

// any expands a node that has no templates in it.
func (x *expander) any(n *parse.Node, sc *scope) *parse.Node {
	if n == nil || sc.literal {
		return n
	}
	switch n.Kind {
	case parse.Sequence:
		result := &parse.Node{Kind: parse.Sequence, Pos: n.Pos}
		for _, e := range x.items(n, sc) {
			result.Items = append(result.Items, x.any(e.value, e.scope))
		}
		return result
	case parse.Mapping:
		result := &parse.Node{Kind: parse.Mapping, Pos: n.Pos}
		for _, e := range x.entries(n, sc) {
			result.Pairs = append(result.Pairs, parse.Pair{Key: e.key, Value: x.any(e.value, e.scope)})
		}
		return result
	}
	expanded, _ := x.scalar(n, sc)
	return expanded
}

// scalar expands a scalar. evaluated says that the result came out of an
// expression that stood alone, so that it may be anything and is literal.
func (x *expander) scalar(n *parse.Node, sc *scope) (result *parse.Node, evaluated bool) {
	if !x.spend(n.Pos, len(n.Value)) || sc.literal || n.Kind != parse.Scalar || !expr.HasTemplate(n.Value) {
		return n, false
	}
	p := x.parseText(n.Value)
	if p.err != nil || p.template == nil {
		return parse.NewString(n.Pos, ""), false // reported by checkSyntax
	}
	if single := p.template.Single(); single != nil {
		value, err := single.Evaluate(sc.env())
		if err != nil {
			x.fault(n, err)
			return parse.NewString(n.Pos, ""), false
		}
		result := x.node(n.Pos, value)
		x.spend(n.Pos, x.size(result))
		return result, true
	}
	text, err := p.template.Text(sc.env())
	if err != nil {
		x.fault(n, err)
	}
	x.spend(n.Pos, len(text))
	return parse.NewString(n.Pos, text), false
}

// resolve expands a node as far as needed to know its shape: an expression that
// stands for a whole section becomes that section, which is then literal (T014).
func (x *expander) resolve(n *parse.Node, sc *scope) (*parse.Node, *scope) {
	if n == nil || n.Kind != parse.Scalar {
		return n, sc
	}
	result, evaluated := x.scalar(n, sc)
	if evaluated {
		return result, sc.asLiteral()
	}
	return result, sc
}

// items carries out the directives of a sequence.
func (x *expander) items(n *parse.Node, sc *scope) []entry {
	if sc.literal {
		entries := make([]entry, len(n.Items))
		for i, item := range n.Items {
			entries[i] = entry{value: item, scope: sc}
		}
		return entries
	}
	entries := make([]entry, 0, len(n.Items))
	var chain branches
	for _, item := range n.Items {
		if !x.spend(item.Pos, 0) {
			return entries
		}
		entries = append(entries, x.item(item, sc, &chain)...)
	}
	return entries
}

// item carries out one item of a sequence: a directive splices its content in,
// an expression that yields an array is flattened, and everything else stays.
func (x *expander) item(item *parse.Node, sc *scope, chain *branches) []entry {
	if item.Kind == parse.Mapping && len(item.Pairs) > 0 {
		key := item.Pairs[0].Key
		if p := x.directive(key); p != nil {
			return x.directiveItem(item, p, sc, chain)
		}
	}
	chain.end()
	if item.Kind != parse.Scalar {
		return []entry{{value: item, scope: sc}}
	}
	result, evaluated := x.scalar(item, sc)
	if !evaluated {
		return []entry{{value: result, scope: sc.asLiteral()}}
	}
	switch {
	case result.Kind == parse.Sequence:
		return x.items(result, sc.asLiteral())
	case result.IsNull():
		return nil
	}
	return []entry{{value: result, scope: sc.asLiteral()}}
}

// directive parses a key that is a directive, or returns nil.
func (x *expander) directive(key *parse.Node) *parsed {
	if !expr.HasTemplate(key.Value) {
		return nil
	}
	if p := x.parseText(key.Value); p.word != "" {
		return p
	}
	return nil
}

// directiveItem carries out an item whose first key is a directive. Items that
// have further keys, or whose directive holds a mapping, are mappings: a loop over the
// entries of a step makes one step, not one for every entry.
func (x *expander) directiveItem(item *parse.Node, p *parsed, sc *scope, chain *branches) []entry {
	pair := item.Pairs[0]
	if (len(item.Pairs) > 1 || p.word == wordEach) && pair.Value.Kind == parse.Mapping {
		chain.end()
		return x.mappingItem(item, sc)
	}
	for _, extra := range item.Pairs[1:] {
		x.found.Errorf(extra.Key.Pos, "T008", "Start a new list item before '%s': the directive before it holds a list", extra.Key.Value)
	}
	var spliced []entry
	splice := func(inner *scope) { spliced = append(spliced, x.splice(pair.Value, inner)...) }
	switch p.word {
	case wordIf, wordElseIf, wordElse:
		if x.takes(chain, pair.Key, p, sc) {
			splice(sc)
		}
	case wordEach:
		chain.end()
		x.rounds(pair.Key, p, sc, splice)
	case wordInsert:
		chain.end()
		splice(sc)
	}
	return spliced
}

// splice returns what a directive adds to the sequence it stands in.
func (x *expander) splice(value *parse.Node, sc *scope) []entry {
	value, sc = x.resolve(value, sc)
	switch value.Kind {
	case parse.Sequence:
		return x.items(value, sc)
	case parse.Mapping:
		return x.mappingItem(value, sc)
	}
	if value.IsNull() {
		return nil
	}
	return []entry{{value: value, scope: sc.asLiteral()}}
}

// mappingItem returns a mapping as one item, or nothing when its directives left
// nothing of it.
func (x *expander) mappingItem(n *parse.Node, sc *scope) []entry {
	if sc.literal {
		return []entry{{value: n, scope: sc}}
	}
	var directives int
	for _, p := range n.Pairs {
		if x.directive(p.Key) != nil {
			directives++
		}
	}
	if directives == 0 {
		return []entry{{value: n, scope: sc}}
	}
	if directives == len(n.Pairs) && len(x.entries(n, sc)) == 0 {
		return nil
	}
	return []entry{{value: n, scope: sc}}
}

// entries carries out the directives of a mapping and expands its keys. A key
// that ends up in the mapping twice is an error.
func (x *expander) entries(n *parse.Node, sc *scope) []entry {
	var entries []entry
	x.collect(n, sc, &entries)
	seen := make(map[string]parse.Pos, len(entries))
	unique := entries[:0]
	for _, e := range entries {
		if first, ok := seen[e.key.Value]; ok {
			x.found.Errorf(e.key.Pos, "X006", "'%s' is already defined at %s", e.key.Value, first)
			continue
		}
		seen[e.key.Value] = e.key.Pos
		unique = append(unique, e)
	}
	return unique
}

func (x *expander) collect(n *parse.Node, sc *scope, entries *[]entry) {
	var chain branches
	for _, pair := range n.Pairs {
		if !x.spend(pair.Key.Pos, len(pair.Key.Value)) {
			return
		}
		if sc.literal || !expr.HasTemplate(pair.Key.Value) {
			chain.end()
			*entries = append(*entries, entry{key: pair.Key, value: pair.Value, scope: sc})
			continue
		}
		x.collectDirective(pair, sc, &chain, entries)
	}
}

func (x *expander) collectDirective(pair parse.Pair, sc *scope, chain *branches, entries *[]entry) {
	p := x.parseText(pair.Key.Value)
	merge := func(inner *scope) { x.merge(pair.Value, inner, entries) }
	switch p.word {
	case wordIf, wordElseIf, wordElse:
		if x.takes(chain, pair.Key, p, sc) {
			merge(sc)
		}
		return
	case wordEach:
		x.rounds(pair.Key, p, sc, merge)
	case wordInsert:
		merge(sc)
	default:
		key, _ := x.scalar(pair.Key, sc)
		if key.Kind != parse.Scalar {
			x.found.Errorf(pair.Key.Pos, "X040", "The expression of a key must yield text, not %s; use ${{ insert }} to merge a mapping", key.Kind)
			break
		}
		if strings.TrimSpace(key.Value) != "" {
			*entries = append(*entries, entry{key: key, value: pair.Value, scope: sc})
		}
	}
	chain.end()
}

// merge adds the entries of a mapping that a directive holds.
func (x *expander) merge(value *parse.Node, sc *scope, entries *[]entry) {
	value, sc = x.resolve(value, sc)
	switch {
	case value.Kind == parse.Mapping:
		x.collect(value, sc, entries)
	case value.IsNull() || value.Kind == parse.Scalar && value.Value == "":
	case value.Kind == parse.Sequence:
		x.found.Errorf(value.Pos, "T010", "A mapping is expected here, because the directive stands in a mapping; found a sequence")
	default:
		x.found.Errorf(value.Pos, "T010", "A mapping is expected here, found '%s'", value.Value)
	}
}
