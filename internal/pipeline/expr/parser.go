package expr

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Expression is a parsed expression. It is immutable.
type Expression struct {
	source string
	root   node
}

// Source returns the text that the expression was parsed from.
func (e *Expression) Source() string { return e.source }

// node is one operation of an expression.
type node struct {
	op     operation
	offset int
	// name is the named value, the function or the property.
	name string
	// value is the literal.
	value Value
	// args are the arguments of a call; for an index, the base and the index.
	args []node
}

type operation uint8

const (
	opLiteral operation = iota + 1
	opName
	opCall
	opProperty
	opIndex
	opWildcard
)

// Parse parses a bare expression. An empty text is an error; callers give an
// empty condition its meaning themselves (X112).
func Parse(source string) (*Expression, error) {
	if utf8.RuneCountInString(source) > MaxLength {
		return nil, &Error{Message: fmt.Sprintf("The expression is longer than %d characters", MaxLength), Offset: -1, Source: source, Syntax: true}
	}
	p := &parser{lexer: lexer{source: source}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.token.kind == tokenEnd {
		return nil, p.lexer.fault(0, "An expression is expected")
	}
	root, err := p.expression(1)
	if err != nil {
		return nil, err
	}
	if p.token.kind != tokenEnd {
		return nil, p.unexpected()
	}
	return &Expression{source: source, root: root}, nil
}

type parser struct {
	lexer lexer
	token token
}

func (p *parser) advance() (err error) {
	p.token, err = p.lexer.next()
	return err
}

func (p *parser) unexpected() error {
	if p.token.kind == tokenEnd {
		return p.lexer.fault(p.token.offset, "Unexpected end of expression")
	}
	return p.lexer.fault(p.token.offset, "Unexpected symbol: '"+p.token.text+"'")
}

// expect consumes a token of the given kind.
func (p *parser) expect(kind tokenKind) error {
	if p.token.kind != kind {
		return p.unexpected()
	}
	return p.advance()
}

// expression parses a primary and the dereferences that follow it. depth counts
// nested calls and indexes as well as chained dereferences, because both become
// levels of the tree (X010).
func (p *parser) expression(depth int) (node, error) {
	if depth > MaxDepth {
		return node{}, p.lexer.fault(p.token.offset, fmt.Sprintf("The expression is nested more than %d levels deep", MaxDepth))
	}
	base, err := p.primary(depth)
	for err == nil {
		switch p.token.kind {
		case tokenDot:
			base, err = p.property(base)
		case tokenOpenIndex:
			base, err = p.index(base, depth)
		default:
			return base, nil
		}
		if depth++; depth > MaxDepth && err == nil {
			err = p.lexer.fault(p.token.offset, fmt.Sprintf("The expression is nested more than %d levels deep", MaxDepth))
		}
	}
	return node{}, err
}

func (p *parser) primary(depth int) (node, error) {
	t := p.token
	switch t.kind {
	case tokenLiteral:
		return node{op: opLiteral, offset: t.offset, value: t.value}, p.advance()
	case tokenName:
		if err := p.advance(); err != nil {
			return node{}, err
		}
		if p.token.kind != tokenOpenParen {
			return node{op: opName, offset: t.offset, name: t.text}, nil
		}
		return p.call(t, depth)
	}
	return node{}, p.unexpected()
}

func (p *parser) call(name token, depth int) (node, error) {
	call := node{op: opCall, offset: name.offset, name: name.text}
	if err := p.advance(); err != nil {
		return node{}, err
	}
	if p.token.kind == tokenCloseParen {
		return call, p.closeCall(call)
	}
	for {
		arg, err := p.expression(depth + 1)
		if err != nil {
			return node{}, err
		}
		call.args = append(call.args, arg)
		if p.token.kind != tokenComma {
			return call, p.closeCall(call)
		}
		if err := p.advance(); err != nil {
			return node{}, err
		}
	}
}

// closeCall consumes the closing parenthesis and checks the number of arguments
// of the functions of the language; the others are checked when they are called.
func (p *parser) closeCall(call node) error {
	if err := p.expect(tokenCloseParen); err != nil {
		return err
	}
	if f, ok := builtin(call.name); ok && !f.takes(len(call.args)) {
		return p.lexer.fault(call.offset, f.arity(call.name, len(call.args)))
	}
	return nil
}

func (p *parser) property(base node) (node, error) {
	if err := p.advance(); err != nil {
		return node{}, err
	}
	t := p.token
	switch t.kind {
	case tokenStar:
		return node{op: opWildcard, offset: t.offset, args: []node{base}}, p.advance()
	case tokenName:
		return node{op: opProperty, offset: t.offset, name: t.text, args: []node{base}}, p.advance()
	}
	return node{}, p.unexpected()
}

func (p *parser) index(base node, depth int) (node, error) {
	offset := p.token.offset
	if err := p.advance(); err != nil {
		return node{}, err
	}
	if p.token.kind == tokenStar {
		if err := p.advance(); err != nil {
			return node{}, err
		}
		return node{op: opWildcard, offset: offset, args: []node{base}}, p.expect(tokenCloseIndex)
	}
	index, err := p.expression(depth + 1)
	if err != nil {
		return node{}, err
	}
	return node{op: opIndex, offset: offset, args: []node{base, index}}, p.expect(tokenCloseIndex)
}

// Names returns the named values and the functions that the expression uses, in
// lower case and in the order of their first use. Callers use it to refuse a
// name where it has no meaning before anything runs.
func (e *Expression) Names() (values, functions []string) {
	seen := map[string]bool{}
	var walk func(n *node)
	walk = func(n *node) {
		name := strings.ToLower(n.name)
		switch {
		case n.op == opName && !seen["v"+name]:
			seen["v"+name] = true
			values = append(values, name)
		case n.op == opCall && !seen["f"+name]:
			seen["f"+name] = true
			functions = append(functions, name)
		}
		for i := range n.args {
			walk(&n.args[i])
		}
	}
	walk(&e.root)
	return values, functions
}

// Fits reports the first call of a supplied function that has too few or too many arguments,
// so that it is told before anything runs. Functions of the language are checked by Parse.
func (e *Expression) Fits(supplied map[string]Function) error {
	var walk func(n *node) error
	walk = func(n *node) error {
		if f, ok := supplied[strings.ToLower(n.name)]; ok && n.op == opCall {
			if arity := (function{min: f.Min, max: f.Max}); !arity.takes(len(n.args)) {
				return &Error{Message: arity.arity(n.name, len(n.args)), Offset: n.offset, Source: e.source, Syntax: true}
			}
		}
		for i := range n.args {
			if err := walk(&n.args[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(&e.root)
}
