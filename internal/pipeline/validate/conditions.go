package validate

import (
	"errors"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/parse"
)

// place is where an expression stands; it decides what the expression can use.
type place struct {
	name      string
	values    []string
	functions []string
}

var (
	statusFunctions = []string{"always", "canceled", "failed", "succeeded", "succeededorfailed"}

	placeStage = place{"the condition of a stage", []string{"variables", "dependencies"}, statusFunctions}
	placeJob   = place{"the condition of a job", []string{"variables", "dependencies", "stageDependencies"}, statusFunctions}
	placeStep  = place{"the condition of a step", []string{"variables"}, statusFunctions}
	// placeRuntime is the inside of "$[ ]" (X041), placeVariable that of a variable, which alone
	// can count (X090).
	placeRuntime  = place{"a runtime expression", []string{"variables", "dependencies", "stageDependencies", "pipeline", "resources"}, nil}
	placeVariable = place{placeRuntime.name, placeRuntime.values, []string{"counter"}}

	// suppliedArity is how many arguments the functions take that not every expression has.
	suppliedArity = map[string]expr.Function{"always": {}, "canceled": {}, "counter": {Max: 2}}
)

// languageFunctions are the functions of the expression language, for
// suggestions and for the check of unknown ones.
var languageFunctions = []string{
	"and", "coalesce", "contains", "containsvalue", "converttojson", "endswith", "eq", "format", "ge", "gt", "iif", "in", "join", "le",
	"length", "lower", "lt", "ne", "not", "notin", "or", "replace", "split", "startswith", "substring", "trim", "upper", "xor",
}

// condition checks a condition: a bare expression (X043, X044).
func (v *validator) condition(n *parse.Node, at place) {
	text := strings.TrimSpace(n.Text())
	if text == "" {
		return
	}
	if strings.HasPrefix(text, "$[") {
		v.found.Errorf(n.Pos, "X043", "A condition is a bare expression; remove the $[ ] around it")
		return
	}
	v.expression(n, text, at)
}

// runtimeValue checks a value that may be a runtime expression (X041).
func (v *validator) runtimeValue(n *parse.Node, at place) {
	if n == nil || n.Kind != parse.Scalar || !strings.Contains(n.Value, "$[") {
		return
	}
	source, ok := expr.RuntimeExpression(n.Value)
	if !ok {
		v.found.Warnf(n.Pos, "X041", "'$[ ]' is evaluated only when it is the whole value; this text stays as it is")
		return
	}
	v.expression(n, source, at)
}

func (v *validator) expression(n *parse.Node, source string, at place) {
	e, err := expr.Parse(source)
	if err != nil {
		hint := ""
		var fault *expr.Error
		if errors.As(err, &fault) {
			hint = fault.Hint()
		}
		if strings.Contains(source, "$(") {
			hint = "; in an expression a variable is written variables['name'], not $(name)"
		}
		v.found.Errorf(n.Pos, "X060", "%s%s", err.Error(), hint)
		return
	}
	if err := e.Fits(suppliedArity); err != nil {
		v.found.Errorf(n.Pos, "X060", "%s", err.Error())
	}
	values, functions := e.Names()
	for _, name := range values {
		if !slices.ContainsFunc(at.values, func(known string) bool { return strings.EqualFold(known, name) }) {
			hint := suggest(name, at.values)
			if hint == "" {
				hint = expr.UnknownValue(name)
			}
			v.found.Errorf(n.Pos, "X044", "Unrecognized value: '%s'. In %s there are %s%s", name, at.name, strings.Join(at.values, ", "), hint)
		}
	}
	for _, name := range functions {
		if !slices.Contains(languageFunctions, name) && !slices.Contains(at.functions, name) {
			v.found.Errorf(n.Pos, "X044", "Unrecognized function: '%s' in %s%s", name, at.name, suggest(name, slices.Concat(languageFunctions, at.functions)))
		}
	}
}

// variables checks a section of variables in either form.
func (v *validator) variables(n *parse.Node) {
	if n == nil {
		return
	}
	for _, p := range n.Pairs {
		v.variable(p.Key, p.Value)
	}
	for _, item := range n.Items {
		if item.Kind != parse.Mapping {
			continue
		}
		if name := item.Get("name"); name != nil {
			v.variable(name, item.Get("value"))
		}
	}
}

// variable checks one variable. Names with the reserved prefixes are not given
// to steps (X048).
func (v *validator) variable(name, value *parse.Node) {
	text := strings.ToLower(name.Text())
	if text == "" {
		v.found.Errorf(name.Pos, "Y114", "The name of a variable is empty")
	}
	for _, prefix := range []string{"endpoint", "input", "secret", "securefile"} {
		if strings.HasPrefix(text, prefix+"_") || strings.HasPrefix(text, prefix+".") {
			v.found.Warnf(name.Pos, "X048", "The variable '%s' is not passed to steps, because '%s' is a reserved prefix", name.Text(), prefix)
		}
	}
	if value != nil && value.Kind != parse.Scalar {
		v.found.Errorf(value.Pos, "X005", "The value of the variable '%s' must be text, found %s; convertToJson(…) makes text of it", name.Text(), value.Kind)
		return
	}
	v.runtimeValue(value, placeVariable)
}
