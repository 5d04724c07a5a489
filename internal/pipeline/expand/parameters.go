package expand

import (
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/parse"
)

// Parameter is a declared parameter of the pipeline and its value.
type Parameter struct {
	Name        string
	DisplayName string
	Type        string
	Values      []string
	Value       *parse.Node
	Pos         parse.Pos
}

// The parameter types (T004).
var (
	templateTypes = []string{
		"string", "number", "boolean", "object", "step", "stepList", "job", "jobList", "deployment", "deploymentList",
		"stage", "stageList", "container", "containerList", "stringList", "legacyObject",
	}
	rootTypes = append(slices.Clone(templateTypes), "environment", "filePath", "pool", "secureFile", "serviceConnection")
)

// declaration is one declared parameter.
type declaration struct {
	name, displayName, kind string
	fallback                *parse.Node
	values                  []*parse.Node
	node                    *parse.Node
	// untyped marks the old mapping style, "name: default" (T006).
	untyped bool
	// broken says that the declaration was refused.
	broken bool
}

// declarations reads a "parameters" section.
func (x *expander) declarations(n *parse.Node, types []string) []declaration {
	if n.IsNull() {
		return nil
	}
	switch n.Kind {
	case parse.Mapping:
		result := make([]declaration, len(n.Pairs))
		for i, p := range n.Pairs {
			result[i] = declaration{name: p.Key.Value, kind: "legacyObject", fallback: p.Value, node: p.Key, untyped: true}
		}
		return result
	case parse.Sequence:
		var result []declaration
		seen := map[string]bool{}
		for _, item := range n.Items {
			d, ok := x.declaration(item, types)
			if !ok {
				// It has a name all the same, which arguments may use.
				if name := item.Get("name").Text(); name != "" {
					result = append(result, declaration{name: name, broken: true})
				}
				continue
			}
			if seen[strings.ToLower(d.name)] {
				x.found.Errorf(item.Pos, "T004", "The parameter '%s' is already defined", d.name)
				continue
			}
			seen[strings.ToLower(d.name)] = true
			result = append(result, d)
		}
		return result
	}
	x.found.Errorf(n.Pos, "T004", "'parameters' is a sequence of parameters, each with name, type and default")
	return nil
}

func (x *expander) declaration(item *parse.Node, types []string) (declaration, bool) {
	if item.Kind != parse.Mapping {
		x.found.Errorf(item.Pos, "T004", "A parameter is a mapping with name, type and default; found %s", item.Kind)
		return declaration{}, false
	}
	d := declaration{kind: "string", node: item}
	for _, p := range item.Pairs {
		if !literalValue(p.Value) {
			x.found.Errorf(p.Value.Pos, "T007", "A template expression is not allowed in this context; what declares a parameter is literal")
			return declaration{}, false
		}
		switch p.Key.Value {
		case "name":
			d.name = p.Value.Text()
		case "displayName":
			d.displayName = p.Value.Text()
		case "type":
			d.kind = p.Value.Text()
			if i := slices.IndexFunc(types, func(t string) bool { return strings.EqualFold(t, d.kind) }); i >= 0 {
				d.kind = types[i]
				continue
			}
			x.found.Errorf(p.Value.Pos, "T004", "Unexpected value '%s'; the types are %s", d.kind, strings.Join(types, ", "))
			return declaration{}, false
		case "default":
			d.fallback = p.Value
		case "values":
			d.values = p.Value.Items
		default:
			x.found.Errorf(p.Key.Pos, "Y039", "Unexpected value '%s'; a parameter has name, displayName, type, default and values", p.Key.Value)
		}
	}
	if d.name == "" {
		x.found.Errorf(item.Pos, "Y039", "A parameter needs the key 'name'")
		return declaration{}, false
	}
	return d, true
}

// rootParameters gives the parameters of the pipeline their values from the queue.
func (x *expander) rootParameters(n *parse.Node) (expr.Value, []Parameter) {
	declarations := x.declarations(n, rootTypes)
	dict := expr.NewDict()
	var result []Parameter
	known := map[string]bool{}
	for _, d := range declarations {
		known[strings.ToLower(d.name)] = true
		if d.broken {
			continue
		}
		given := x.queued(d)
		value, ok := x.convert(d, given, d.node.Pos)
		if !ok {
			continue
		}
		dict.Set(d.name, x.parameterValue(d, value))
		p := Parameter{Name: d.name, DisplayName: d.displayName, Type: d.kind, Value: value, Pos: d.node.Pos}
		for _, allowed := range d.values {
			p.Values = append(p.Values, allowed.Text())
		}
		result = append(result, p)
	}
	for name := range x.options.Parameters {
		if !known[strings.ToLower(name)] {
			x.found.Errorf(parse.Pos{File: x.order[0]}, "T005", "Unexpected parameter '%s'; the pipeline declares %s", name, declared(declarations))
		}
	}
	x.payloads(dict, known)
	return expr.NewObject(dict), result
}

// declared lists the names of parameters for a message.
func declared(declarations []declaration) string {
	names := make([]string, len(declarations))
	for i, d := range declarations {
		names[i] = d.name
	}
	if len(names) == 0 {
		return "no parameters"
	}
	return strings.Join(names, ", ")
}

// queued returns the value that was given for a parameter when the run was
// started, or nil.
func (x *expander) queued(d declaration) *parse.Node {
	for name, text := range x.options.Parameters {
		if !strings.EqualFold(name, d.name) {
			continue
		}
		switch d.kind {
		case "string", "number", "boolean", "environment", "filePath", "pool", "secureFile", "serviceConnection":
			return parse.NewString(d.node.Pos, text)
		}
		n, found := parse.Parse("parameter "+d.name, []byte(text), x.limits.File)
		x.found = append(x.found, found...)
		return n
	}
	return nil
}

// templateParameters gives the parameters of a template the values of a reference.
func (x *expander) templateParameters(root, arguments, reference *parse.Node) (expr.Value, bool) {
	section := root.Get("parameters")
	declarations := x.declarations(section, templateTypes)
	dict := expr.NewDict()
	complete := true
	if !arguments.IsNull() && arguments.Kind != parse.Mapping {
		x.found.Errorf(arguments.Pos, "T005", "'parameters' is a mapping of names to values here; found %s", arguments.Kind)
		return expr.NewObject(dict), false
	}
	for _, d := range declarations {
		if d.broken {
			complete = false
			continue
		}
		given := arguments.GetFold(d.name)
		pos := reference.Pos
		if given != nil {
			pos = given.Pos
		}
		value, ok := x.convert(d, given, pos)
		complete = complete && ok
		if ok {
			dict.Set(d.name, x.parameterValue(d, value))
		}
	}
	for _, p := range pairsOf(arguments) {
		if slices.ContainsFunc(declarations, func(d declaration) bool { return strings.EqualFold(d.name, p.Key.Value) }) {
			continue
		}
		if section.IsNull() || section.Kind == parse.Mapping { // nothing is typed, so everything is taken (T006)
			dict.Set(p.Key.Value, x.value(p.Value))
			continue
		}
		x.found.Errorf(p.Key.Pos, "T005", "Unexpected parameter '%s'; the template declares %s", p.Key.Value, declared(declarations))
		complete = false
	}
	return expr.NewObject(dict), complete
}

// pairsOf returns the entries of a mapping that may be missing.
func pairsOf(n *parse.Node) []parse.Pair {
	if n == nil {
		return nil
	}
	return n.Pairs
}

// convert checks the value of a parameter against its type and its allowed
// values. given is nil when no value was given; pos is where to report.
func (x *expander) convert(d declaration, given *parse.Node, pos parse.Pos) (*parse.Node, bool) {
	value := given
	if value == nil {
		value = d.fallback
	}
	if value == nil {
		x.found.Errorf(pos, "T005", "A value for the '%s' parameter must be provided.", d.name)
		return nil, false
	}
	converted, complaint := ofType(d.kind, value)
	if complaint != "" {
		x.found.Errorf(value.Pos, "T004", "The '%s' parameter is not a valid %s: %s", d.name, d.kind, complaint)
		return nil, false
	}
	if !d.allows(converted) {
		allowed := make([]string, len(d.values))
		for i, v := range d.values {
			allowed[i] = v.Text()
		}
		x.found.Errorf(value.Pos, "T005", "The '%s' parameter value '%s' is not a valid value; allowed are %s", d.name, converted.Text(), strings.Join(allowed, ", "))
		return nil, false
	}
	return converted, true
}

func (d declaration) allows(value *parse.Node) bool {
	if len(d.values) == 0 {
		return true
	}
	same := func(a, b *parse.Node) bool {
		if d.kind == "boolean" || d.kind == "number" {
			return strings.EqualFold(a.Text(), b.Text())
		}
		return a.Text() == b.Text()
	}
	if value.Kind == parse.Sequence {
		return !slices.ContainsFunc(value.Items, func(item *parse.Node) bool {
			return !slices.ContainsFunc(d.values, func(v *parse.Node) bool { return same(v, item) })
		})
	}
	return slices.ContainsFunc(d.values, func(v *parse.Node) bool { return same(v, value) })
}

// ofType returns the value as a node of the type, or what is wrong with it.
func ofType(kind string, value *parse.Node) (*parse.Node, string) {
	switch kind {
	case "string", "environment", "filePath", "pool", "secureFile", "serviceConnection":
		if value.Kind != parse.Scalar {
			return nil, "found " + value.Kind.String()
		}
		return parse.NewString(value.Pos, value.Text()), ""
	case "number":
		return numberOf(value)
	case "boolean":
		return booleanOf(value)
	case "object":
		return value, ""
	case "legacyObject":
		return allStrings(value), ""
	}
	if strings.HasSuffix(kind, "List") {
		if value.IsNull() || value.Kind == parse.Scalar && value.Value == "" {
			return &parse.Node{Kind: parse.Sequence, Pos: value.Pos}, ""
		}
		if value.Kind != parse.Sequence {
			return nil, "a sequence is expected, found " + value.Kind.String()
		}
		return value, ""
	}
	if !value.IsNull() && value.Kind != parse.Mapping {
		return nil, "a mapping is expected, found " + value.Kind.String()
	}
	return value, ""
}

func numberOf(value *parse.Node) (*parse.Node, string) {
	if value.Kind != parse.Scalar {
		return nil, "found " + value.Kind.String()
	}
	if value.IsNull() {
		return parse.NewScalar(value.Pos, "0"), ""
	}
	text := strings.TrimSpace(value.Value)
	if _, ok := expr.ParseNumber(text); !ok {
		return nil, "'" + value.Value + "' is no number"
	}
	return parse.NewScalar(value.Pos, text), ""
}

func booleanOf(value *parse.Node) (*parse.Node, string) {
	if value.Kind != parse.Scalar {
		return nil, "found " + value.Kind.String()
	}
	switch {
	case value.IsNull() || strings.EqualFold(value.Value, "false"):
		return parse.NewScalar(value.Pos, "False"), ""
	case strings.EqualFold(value.Value, "true"):
		return parse.NewScalar(value.Pos, "True"), ""
	}
	return nil, "'" + value.Value + "' is neither true nor false"
}

// parameterValue shows the value of a parameter to expressions. Numbers get here
// without being plain text when they were given as strings.
func (x *expander) parameterValue(d declaration, value *parse.Node) expr.Value {
	if d.kind == "number" {
		if number, ok := expr.ParseNumber(value.Value); ok {
			return number
		}
	}
	return x.value(value)
}
