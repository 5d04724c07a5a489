package azure

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// maxDepth is how deeply calls of an expression may be nested.
const maxDepth = 32

// isExpression reports whether a text is an expression: in one pair of square brackets. A
// text that begins with "[[" is a literal that begins with "[".
func isExpression(s string) bool {
	return strings.HasPrefix(s, "[") && !strings.HasPrefix(s, "[[") && strings.HasSuffix(s, "]")
}

// evaluate replaces every expression in a value by what it says with the parameters given.
func evaluate(n node, params map[string]any) (any, error) {
	switch v := n.value.(type) {
	case string:
		if strings.HasPrefix(v, "[[") {
			return v[1:], nil
		}
		if !isExpression(v) {
			return v, nil
		}
		out, err := eval(v[1:len(v)-1], params)
		if err != nil {
			return nil, n.wrong("the expression %q: %s", v, err)
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			var err error
			if out[i], err = evaluate(node{path: n.path + "[" + strconv.Itoa(i) + "]", value: e}, params); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			var err error
			if out[k], err = evaluate(node{path: n.child(k), value: e}, params); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return n.value, nil
}

// eval evaluates the text of an expression without its brackets.
func eval(text string, params map[string]any) (any, error) {
	p := &reader{rest: text, params: params}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if p.space(); p.rest != "" {
		return nil, fmt.Errorf("%q is left over at its end", p.rest)
	}
	return v, nil
}

// reader evaluates an expression while it reads it.
type reader struct {
	rest   string
	params map[string]any
}

func (p *reader) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

func (p *reader) take(c byte) bool {
	p.space()
	if p.rest != "" && p.rest[0] == c {
		p.rest = p.rest[1:]
		return true
	}
	return false
}

func (p *reader) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("its calls are nested more than %d deep", maxDepth)
	}
	p.space()
	switch {
	case p.rest == "":
		return nil, fmt.Errorf("a value is missing at its end")
	case p.rest[0] == '\'':
		return p.quoted()
	case p.rest[0] == '-' || p.rest[0] >= '0' && p.rest[0] <= '9':
		return p.number()
	}
	word := p.word()
	switch {
	case word == "":
		return nil, fmt.Errorf("%q is not understood", p.rest)
	case !p.take('('):
		return nil, fmt.Errorf("%q is not a call; texts stand in single quotes", word)
	}
	args, err := p.arguments(depth + 1)
	if err != nil {
		return nil, err
	}
	v, err := call(word, args, p.params)
	for err == nil && p.take('.') {
		v, err = field(v, p.word())
	}
	return v, err
}

// field returns a property of an object: parameters('paths').allowed.
func field(v any, name string) (any, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the property %q is asked of %s", name, typeName(v))
	}
	out, ok := m[name]
	if !ok {
		return nil, fmt.Errorf("there is no property %q", name)
	}
	return out, nil
}

func (p *reader) word() string {
	n := 0
	for n < len(p.rest) && (p.rest[n] == '_' || p.rest[n] >= 'a' && p.rest[n] <= 'z' || p.rest[n] >= 'A' && p.rest[n] <= 'Z' || n > 0 && p.rest[n] >= '0' && p.rest[n] <= '9') {
		n++
	}
	w := p.rest[:n]
	p.rest = p.rest[n:]
	return w
}

func (p *reader) quoted() (any, error) {
	var b strings.Builder
	for s := p.rest[1:]; ; {
		i := strings.IndexByte(s, '\'')
		if i < 0 {
			return nil, fmt.Errorf("a text has no closing quote")
		}
		b.WriteString(s[:i])
		s = s[i+1:]
		// Two quotes are one within a text.
		if !strings.HasPrefix(s, "'") {
			p.rest = s
			return b.String(), nil
		}
		b.WriteByte('\'')
		s = s[1:]
	}
}

func (p *reader) number() (any, error) {
	n := 1
	for n < len(p.rest) && (p.rest[n] >= '0' && p.rest[n] <= '9' || p.rest[n] == '.') {
		n++
	}
	f, err := strconv.ParseFloat(p.rest[:n], 64)
	if err != nil {
		return nil, fmt.Errorf("%q is not a number", p.rest[:n])
	}
	p.rest = p.rest[n:]
	return f, nil
}

func (p *reader) arguments(depth int) ([]any, error) {
	var out []any
	if p.take(')') {
		return out, nil
	}
	for {
		v, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		switch {
		case p.take(')'):
			return out, nil
		case !p.take(','):
			return nil, fmt.Errorf("a comma or a closing parenthesis is missing before %q", p.rest)
		}
	}
}

// call evaluates a function. Names are without regard to case, as in Azure.
func call(name string, args []any, params map[string]any) (any, error) {
	switch strings.ToLower(name) {
	case "parameters":
		if len(args) == 1 {
			if s, ok := args[0].(string); ok {
				return parameter(s, params)
			}
		}
		return nil, fmt.Errorf("parameters takes one text")
	case "if":
		if len(args) == 3 {
			if b, ok := args[0].(bool); ok && b {
				return args[1], nil
			} else if ok {
				return args[2], nil
			}
		}
		return nil, fmt.Errorf("if takes a boolean and two values")
	case "equals":
		if len(args) != 2 {
			return nil, fmt.Errorf("equals takes two values")
		}
		return reflect.DeepEqual(args[0], args[1]), nil
	case "concat":
		return concat(args)
	case "true", "false":
		if len(args) == 0 {
			return strings.EqualFold(name, "true"), nil
		}
	}
	return nil, fmt.Errorf("the function %s is not supported; parameters, if, equals, concat, true and false are", name)
}

// parameter looks a parameter up; names are without regard to case, as in Azure.
func parameter(name string, params map[string]any) (any, error) {
	if v, ok := params[name]; ok {
		return v, nil
	}
	for k, v := range params {
		if strings.EqualFold(k, name) {
			return v, nil
		}
	}
	return nil, fmt.Errorf("there is no parameter %q", name)
}

func concat(args []any) (any, error) {
	var texts strings.Builder
	var lists []any
	kind := ""
	for _, a := range args {
		switch v := a.(type) {
		case string:
			kind += "t"
			texts.WriteString(v)
		case []any:
			kind += "l"
			lists = append(lists, v...)
		default:
			return nil, fmt.Errorf("concat takes texts, or lists, not %s", typeName(a))
		}
	}
	switch {
	case kind == strings.Repeat("t", len(args)) && len(args) > 0:
		return texts.String(), nil
	case kind == strings.Repeat("l", len(args)) && len(args) > 0:
		return lists, nil
	}
	return nil, fmt.Errorf("concat takes texts, or lists, at least one and not both")
}
