package expr

import (
	"math/big"
	"strings"
)

type tokenKind uint8

// The punctuation kinds stand in the order of "()[],*", which scan relies on.
const (
	tokenEnd tokenKind = iota
	tokenOpenParen
	tokenCloseParen
	tokenOpenIndex
	tokenCloseIndex
	tokenComma
	tokenStar
	tokenDot
	tokenName
	tokenLiteral
)

type token struct {
	kind   tokenKind
	offset int
	text   string
	value  Value
}

// lexer splits an expression into tokens. Its one piece of memory is the last
// token: it decides whether a dot starts a number or a dereference.
type lexer struct {
	source string
	index  int
	last   tokenKind
	began  bool
}

func (l *lexer) next() (token, error) {
	for l.index < len(l.source) && isSpace(l.source[l.index]) {
		l.index++
	}
	if l.index == len(l.source) {
		return token{kind: tokenEnd, offset: l.index}, nil
	}
	t, err := l.scan()
	l.last, l.began = t.kind, true
	return t, err
}

func (l *lexer) scan() (token, error) {
	start := l.index
	c := l.source[start]
	switch {
	case c == '\'':
		return l.scanString()
	case c == '.' && l.afterValue():
		return l.punctuation(tokenDot), nil
	case c == '.' || c == '-' || isDigit(c):
		return l.scanNumber()
	case isNameStart(c):
		return l.scanName()
	}
	if at := strings.IndexByte("()[],*", c); at >= 0 {
		return l.punctuation(tokenOpenParen + tokenKind(at)), nil
	}
	end := start + 1
	for end < len(l.source) && !isBoundary(l.source[end]) {
		end++
	}
	return token{}, l.fault(start, "Unexpected symbol: '"+l.source[start:end]+"'")
}

func (l *lexer) punctuation(kind tokenKind) token {
	t := token{kind: kind, offset: l.index, text: l.source[l.index : l.index+1]}
	l.index++
	return t
}

// afterValue reports whether the last token can be dereferenced.
func (l *lexer) afterValue() bool {
	switch l.last {
	case tokenCloseParen, tokenCloseIndex, tokenName, tokenStar, tokenLiteral:
		return l.began
	}
	return false
}

func (l *lexer) scanString() (token, error) {
	start := l.index
	var text strings.Builder
	for i := start + 1; i < len(l.source); i++ {
		if l.source[i] != '\'' {
			text.WriteByte(l.source[i])
			continue
		}
		if i+1 < len(l.source) && l.source[i+1] == '\'' {
			text.WriteByte('\'')
			i++
			continue
		}
		l.index = i + 1
		return token{kind: tokenLiteral, offset: start, text: l.source[start:l.index], value: NewString(text.String())}, nil
	}
	return token{}, l.fault(start, "The string that starts here is not closed; a quote inside a string is written twice ('')")
}

// scanNumber reads a number or, with two dots or more, a version.
func (l *lexer) scanNumber() (token, error) {
	start := l.index
	for l.index < len(l.source) && (!isBoundary(l.source[l.index]) || l.source[l.index] == '.') {
		l.index++
	}
	text := l.source[start:l.index]
	t := token{kind: tokenLiteral, offset: start, text: text}
	if strings.Count(text, ".") >= 2 {
		if v, ok := parseVersion(text); ok {
			t.value = Value{kind: Version, version: v}
			return t, nil
		}
	} else if number, ok := parsePlainNumber(text); ok {
		t.value = Value{kind: Number, number: number}
		return t, nil
	}
	return token{}, l.fault(start, "Unexpected symbol: '"+text+"'")
}

func (l *lexer) scanName() (token, error) {
	start := l.index
	for l.index < len(l.source) && !isBoundary(l.source[l.index]) {
		l.index++
	}
	text := l.source[start:l.index]
	for i := range len(text) {
		if !isNameStart(text[i]) && !isDigit(text[i]) {
			return token{}, l.fault(start, nameFault(text))
		}
	}
	t := token{kind: tokenName, offset: start, text: text}
	if l.last == tokenDot {
		return t, nil
	}
	switch strings.ToLower(text) {
	case "true", "false":
		t.kind, t.value = tokenLiteral, NewBoolean(len(text) == len("true"))
	case "null":
		t.kind = tokenLiteral
	}
	return t, nil
}

// nameFault explains the two faults that people make most: a minus in a name,
// and an operator of another dialect stuck to a name.
func nameFault(text string) string {
	message := "Unexpected symbol: '" + text + "'"
	if strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz0123456789_-") == "" {
		return message + "; a name with a minus needs the index form, as in a['b-c']"
	}
	return message
}

func (l *lexer) fault(offset int, message string) error {
	return &Error{Message: message, Offset: offset, Source: l.source, Syntax: true}
}

func parsePlainNumber(text string) (*big.Rat, bool) {
	digits := strings.TrimPrefix(text, "-")
	if strings.Trim(digits, "0123456789.") != "" {
		return nil, false
	}
	return parseNumber(text)
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f'
}
func isDigit(c byte) bool     { return c >= '0' && c <= '9' }
func isNameStart(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func isBoundary(c byte) bool {
	switch c {
	case '(', ')', '[', ']', ',', '.', '*', '\'':
		return true
	}
	return isSpace(c)
}
