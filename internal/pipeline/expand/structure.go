package expand

import (
	"slices"

	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/parse"
)

// withoutExpressions are the root keys in which the service evaluates no
// template expressions, because they matter before there is a run (X040).
var withoutExpressions = []string{"trigger", "pr", "schedules", "parameters"}

// pipeline expands the root of the pipeline.
func (x *expander) pipeline(root *parse.Node, src source, result *Result) *parse.Node {
	sc := &scope{source: src, parents: []string{src.String()}, work: expr.NewWork(x.limits.Work)}
	sc.variables = &variables{own: expr.NewDict()}
	for name, value := range x.options.Variables {
		sc.variables.own.Set(name, expr.NewString(value))
	}
	sc.parameters, result.Parameters = x.rootParameters(root.Get("parameters"))
	x.repositories = x.readRepositories(root, sc)
	expanded, extends, sc := x.body(root, sc)
	if extends != nil {
		result.Extends = x.extend(expanded, extends, sc)
	}
	return expanded
}

// body expands the keys of a pipeline or of a template that is extended. The
// value of "extends" is returned beside the rest, with the scope that it has.
func (x *expander) body(root *parse.Node, sc *scope) (expanded, extends *parse.Node, inner *scope) {
	expanded = &parse.Node{Kind: parse.Mapping, Pos: root.Pos}
	entries := x.withSectionVariables(root, &sc)
	for _, e := range entries {
		key := e.key.Value
		var value *parse.Node
		switch {
		case key == "parameters":
			continue
		case key == "extends":
			extends = x.any(e.value, e.scope)
			continue
		case slices.Contains(withoutExpressions, key):
			x.refuseExpressions(e.value)
			value = e.value
		case key == "resources":
			x.refuseInRepositories(e.value.Get("repositories"))
			value = x.any(e.value, e.scope)
		default:
			value = x.section(key, e)
		}
		expanded.Pairs = append(expanded.Pairs, parse.Pair{Key: e.key, Value: value})
	}
	return expanded, extends, sc
}

// withSectionVariables expands the variables of a section before anything else
// of it, because the rest may read them, also in directives. It replaces *sc by
// the scope of the rest and returns the entries of the section; the entry of the
// variables is already expanded and literal.
func (x *expander) withSectionVariables(n *parse.Node, sc **scope) []entry {
	for _, p := range n.Pairs {
		if p.Key.Value == "variables" {
			inner := (*sc).withVariables()
			expanded := x.variables(p.Value, inner)
			*sc = inner
			entries := x.entries(n, inner)
			for i := range entries {
				if entries[i].key == p.Key {
					entries[i].value, entries[i].scope = expanded, inner.asLiteral()
				}
			}
			return entries
		}
	}
	return x.entries(n, *sc)
}

// section expands the value of a key that may hold templates, or any other.
func (x *expander) section(key string, e entry) *parse.Node {
	switch key {
	case "stages":
		return x.list(e.value, e.scope, "stages", x.stage)
	case "jobs":
		return x.list(e.value, e.scope, "jobs", x.job)
	case "steps":
		return x.list(e.value, e.scope, "steps", x.any)
	case "variables":
		if e.scope.literal {
			return e.value
		}
		return x.variables(e.value, e.scope.withVariables())
	}
	return x.any(e.value, e.scope)
}

// list expands a list whose items may be template references.
func (x *expander) list(n *parse.Node, sc *scope, kind string, expand func(*parse.Node, *scope) *parse.Node) *parse.Node {
	n, sc = x.resolve(n, sc)
	if n == nil || n.Kind != parse.Sequence {
		return n
	}
	result := &parse.Node{Kind: parse.Sequence, Pos: n.Pos, Items: []*parse.Node{}}
	for _, e := range x.items(n, sc) {
		if x.firstKey(e) == "template" {
			result.Items = append(result.Items, x.include(e.value, e.scope, kind)...)
			continue
		}
		result.Items = append(result.Items, expand(e.value, e.scope))
	}
	return result
}

// firstKey returns the first key of an item once its directives are carried out.
func (x *expander) firstKey(e entry) string {
	first := e.value.FirstKey()
	if e.scope.literal || !expr.HasTemplate(first) {
		return first
	}
	if entries := x.entries(e.value, e.scope); len(entries) > 0 {
		return entries[0].key.Value
	}
	return ""
}

// stage expands a stage.
func (x *expander) stage(n *parse.Node, sc *scope) *parse.Node {
	return x.block(n, sc, nil)
}

// job expands a job or a deployment, whose hooks hold steps.
func (x *expander) job(n *parse.Node, sc *scope) *parse.Node {
	deployment := n.FirstKey() == "deployment"
	return x.block(n, sc, func(key string, value *parse.Node, inner *scope) *parse.Node {
		if key == "strategy" && deployment {
			return x.hooks(value, inner, 0)
		}
		return nil
	})
}

// block expands a stage or job: a mapping with variables and with a list inside.
// special may take over a key by returning a node.
func (x *expander) block(n *parse.Node, sc *scope, special func(key string, value *parse.Node, sc *scope) *parse.Node) *parse.Node {
	n, sc = x.resolve(n, sc)
	if n.Kind != parse.Mapping {
		return n
	}
	result := &parse.Node{Kind: parse.Mapping, Pos: n.Pos}
	for _, e := range x.withSectionVariables(n, &sc) {
		var value *parse.Node
		if special != nil {
			value = special(e.key.Value, e.value, e.scope)
		}
		if value == nil {
			value = x.section(e.key.Value, e)
		}
		result.Pairs = append(result.Pairs, parse.Pair{Key: e.key, Value: value})
	}
	return result
}

// hookDepth is how deep the steps of a hook lie below "strategy":
// strategy → runOnce → on → failure → steps.
const hookDepth = 4

// hooks expands a deployment strategy down to the steps of its hooks.
func (x *expander) hooks(n *parse.Node, sc *scope, depth int) *parse.Node {
	n, sc = x.resolve(n, sc)
	if n == nil || n.Kind != parse.Mapping || depth == hookDepth {
		return x.any(n, sc)
	}
	result := &parse.Node{Kind: parse.Mapping, Pos: n.Pos}
	for _, e := range x.entries(n, sc) {
		var value *parse.Node
		if e.key.Value == "steps" {
			value = x.section("steps", e)
		} else {
			value = x.hooks(e.value, e.scope, depth+1)
		}
		result.Pairs = append(result.Pairs, parse.Pair{Key: e.key, Value: value})
	}
	return result
}

// variables expands a section of variables and adds what it defines to the
// variables of sc, one by one, so that later ones can read earlier ones (T015).
func (x *expander) variables(n *parse.Node, sc *scope) *parse.Node {
	n, sc = x.resolve(n, sc)
	if n == nil {
		return n
	}
	switch n.Kind {
	case parse.Mapping:
		return x.variableMapping(n, sc)
	case parse.Sequence:
		return x.variableList(n, sc)
	}
	return n
}

func (x *expander) variableMapping(n *parse.Node, sc *scope) *parse.Node {
	result := &parse.Node{Kind: parse.Mapping, Pos: n.Pos}
	for _, e := range x.entries(n, sc) {
		value := x.any(e.value, e.scope)
		sc.variables.set(e.key.Value, value)
		result.Pairs = append(result.Pairs, parse.Pair{Key: e.key, Value: value})
	}
	return result
}

// variableList expands the list form. Directives between the items see the
// variables before them, so the list is walked item by item.
func (x *expander) variableList(n *parse.Node, sc *scope) *parse.Node {
	result := &parse.Node{Kind: parse.Sequence, Pos: n.Pos, Items: []*parse.Node{}}
	var chain branches
	for _, item := range n.Items {
		entries := []entry{{value: item, scope: sc}}
		if !sc.literal {
			entries = x.item(item, sc, &chain)
		}
		for _, e := range entries {
			result.Items = append(result.Items, x.variable(e)...)
		}
	}
	return result
}

// variable expands one item of the list form.
func (x *expander) variable(e entry) []*parse.Node {
	if x.firstKey(e) == "template" {
		return x.include(e.value, e.scope, "variables")
	}
	value := x.any(e.value, e.scope)
	if name := value.Get("name"); name != nil && value.Get("value") != nil {
		e.scope.variables.set(name.Text(), value.Get("value"))
	}
	return []*parse.Node{value}
}

// refuseInRepositories reports expressions in repository resources: the service
// evaluates them in "ref" alone.
func (x *expander) refuseInRepositories(n *parse.Node) {
	if n == nil || n.Kind != parse.Sequence {
		x.refuseExpressions(n)
		return
	}
	for _, item := range n.Items {
		for _, p := range item.Pairs {
			x.refuseExpressions(p.Key)
			if p.Key.Value != "ref" {
				x.refuseExpressions(p.Value)
			}
		}
	}
}

// refuseExpressions reports expressions where the service evaluates none.
func (x *expander) refuseExpressions(n *parse.Node) {
	n.Walk(func(n *parse.Node) bool {
		if n.Kind == parse.Scalar && expr.HasTemplate(n.Value) {
			x.found.Errorf(n.Pos, "X040", "A template expression is not allowed in this context; it is read before there is a run")
		}
		return true
	})
}
