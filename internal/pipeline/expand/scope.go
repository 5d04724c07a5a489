package expand

import (
	"strings"

	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/parse"
)

// source is a file of the pipeline.
type source struct {
	repository *Repository
	path       string
}

// String returns the name of the file in messages: "path", or "path@alias".
func (s source) String() string {
	if s.repository == nil {
		return s.path
	}
	return s.path + "@" + s.repository.Alias
}

// scope is what expressions see at one place. Scopes are immutable: entering a
// loop, a template or a section with variables makes a new one.
type scope struct {
	source source
	// depth is how deep in templates the place is.
	depth int
	// parents are the files that include one another up to here.
	parents []string
	// literal says that the text came out of an expression: template references
	// in it still count, but nothing in it is evaluated again.
	literal bool
	// parameters are the parameters of the file.
	parameters expr.Value
	// variables are the static variables so far.
	variables *variables
	// loop is the variable of the innermost enclosing loop.
	loop *loopVariable
	// work is what the expressions of the whole expansion may do together.
	work *expr.Work
}

// loopVariable is the variable of one round of a loop. Rounds are many, so they
// share what lies outside of them.
type loopVariable struct {
	name  string // in lower case
	value expr.Value
	outer *loopVariable
}

// env returns the environment of expressions in the scope.
func (s *scope) env() expr.Env {
	values := make(map[string]expr.Value, 4)
	for v := s.loop; v != nil; v = v.outer {
		if _, shadowed := values[v.name]; !shadowed {
			values[v.name] = v.value
		}
	}
	if _, shadowed := values["parameters"]; !shadowed {
		values["parameters"] = s.parameters
	}
	if _, shadowed := values["variables"]; !shadowed {
		values["variables"] = expr.NewObject(s.variables)
	}
	return expr.Env{Values: values, Work: s.work}
}

// asLiteral returns the scope for text that came out of an expression.
func (s *scope) asLiteral() *scope {
	if s.literal {
		return s
	}
	inner := *s
	inner.literal = true
	return &inner
}

// withLoop returns the scope of one round of a loop.
func (s *scope) withLoop(name string, value expr.Value) *scope {
	inner := *s
	inner.loop = &loopVariable{name: strings.ToLower(name), value: value, outer: s.loop}
	return &inner
}

// withVariables returns a scope whose variables can grow without being seen
// outside of it.
func (s *scope) withVariables() *scope {
	inner := *s
	inner.variables = &variables{outer: s.variables, own: expr.NewDict()}
	return &inner
}

// variables are static variables: those of the section over those outside.
type variables struct {
	outer *variables
	own   *expr.Dict
}

// Get returns the value of a variable.
func (v *variables) Get(name string) (expr.Value, bool) {
	for ; v != nil; v = v.outer {
		if value, ok := v.own.Get(name); ok {
			return value, true
		}
	}
	return expr.Value{}, false
}

// Keys returns the names of all variables, outer ones first.
func (v *variables) Keys() []string {
	all := expr.NewDict()
	v.collect(all)
	return all.Keys()
}

func (v *variables) collect(all *expr.Dict) {
	if v == nil {
		return
	}
	v.outer.collect(all)
	for _, name := range v.own.Keys() {
		value, _ := v.own.Get(name)
		all.Set(name, value)
	}
}

// set adds a variable; its value is text whatever it looks like (X005).
func (v *variables) set(name string, value *parse.Node) {
	v.own.Set(name, expr.NewString(value.Text()))
}
