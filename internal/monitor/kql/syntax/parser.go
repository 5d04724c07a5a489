package syntax

import (
	"fmt"

	"towpath.dev/towpath/internal/monitor/table"
)

// Parse reads a text. The query is never nil; where there are errors it holds what could
// be read.
func Parse(text string) (*Query, []Error) {
	if len(text) > MaxText {
		return &Query{}, []Error{ErrorAt(text, Span{Start: MaxText, End: MaxText}, "ask in several queries", "the text has %d bytes, more than the %d that are read", len(text), MaxText)}
	}
	p := &parser{text: text, ops: operators(), srcs: sources()}
	p.cut()
	if len(p.tokens) > MaxTokens {
		return &Query{}, []Error{ErrorAt(text, p.tokens[MaxTokens].Span, "ask in several queries", "the text has more than %d words", MaxTokens)}
	}
	q := p.query(false)
	return q, p.errs
}

// parser walks over the tokens. After a mistake it is broken: every question for a token is
// then answered with End, until recovered sets it on the next operator or statement.
type parser struct {
	text    string
	tokens  []Token
	level   []int32 // of brackets that are open before each token
	at      int
	depth   int
	broken  bool
	patient bool // try: mistakes are not told
	// patterns is true where names may have stars: union, project-away and their like.
	patterns  bool
	ops, srcs map[string]reader
	errs      []Error
}

// cut makes the tokens, comments left out.
func (p *parser) cut() {
	level := int32(0)
	for _, t := range scan(p.text) {
		if t.Class == Comment {
			continue
		}
		switch s := p.text[t.Start:t.End]; {
		case t.Class == Operator && (s == ")" || s == "]" || s == "}"):
			if level > 0 {
				level--
			}
			p.tokens, p.level = append(p.tokens, t), append(p.level, level)
		default:
			p.tokens, p.level = append(p.tokens, t), append(p.level, level)
			if t.Class == Operator && (s == "(" || s == "[" || s == "{") {
				level++
			}
		}
	}
}

// peek returns the token n places on.
func (p *parser) peek(n int) Token {
	if p.broken || p.at+n >= len(p.tokens) {
		return Token{Span: Span{Start: len(p.text), End: len(p.text)}, Class: End}
	}
	return p.tokens[p.at+n]
}

// str returns the text of a token.
func (p *parser) str(t Token) string { return p.text[t.Start:t.End] }

// is reports whether the current token is this operator or bare word.
func (p *parser) is(s string) bool { return p.isAt(0, s) }

func (p *parser) isAt(n int, s string) bool {
	t := p.peek(n)
	return (t.Class == Operator || t.Class == Name) && p.str(t) == s
}

// isAny returns which of the operators or words the current token is, "" for none.
func (p *parser) isAny(words ...string) string {
	for _, w := range words {
		if p.is(w) {
			return w
		}
	}
	return ""
}

// take steps over the current token.
func (p *parser) take() Token {
	t := p.peek(0)
	if t.Class != End {
		p.at++
	}
	return t
}

// accept steps over the token if it is this operator or word.
func (p *parser) accept(s string) bool {
	if p.is(s) {
		p.at++
		return true
	}
	return false
}

// expect steps over the token, or complains that it is missing.
func (p *parser) expect(s string) bool {
	if p.accept(s) {
		return true
	}
	p.fail("expected %q %s", s, p.found())
	return false
}

// start is where the current token begins, for a node's span.
func (p *parser) start() int {
	if p.at < len(p.tokens) {
		return p.tokens[p.at].Start
	}
	return len(p.text)
}

// from makes the place of a node that began at start and ends before the current token.
func (p *parser) from(start int) At {
	end := start
	if p.at > 0 {
		end = max(start, p.tokens[p.at-1].End)
	}
	return At{Span{Start: start, End: end}}
}

// found says what stands here instead of what was expected.
func (p *parser) found() string {
	if p.at >= len(p.tokens) {
		return "at the end of the text"
	}
	t := p.tokens[p.at]
	s := p.str(t)
	if t.Class == Invalid && len(s) > 0 && isQuote(p.text, t.Start) {
		return "and found a string that does not end"
	}
	return fmt.Sprintf("and found %q", table.Shorten(s, maxShown))
}

// is1 is is where the parser may be broken already.
func (p *parser) is1(s string) bool { return p.str(p.tokens[p.at]) == s }

// fail complains at the current token and breaks the operator that is being read. With an
// empty message it only breaks, for a mistake that has been told.
func (p *parser) fail(format string, args ...any) {
	at := Span{Start: len(p.text), End: len(p.text)}
	if p.at < len(p.tokens) {
		at = p.tokens[p.at].Span
	}
	p.failAt(at, format, args...)
}

func (p *parser) failAt(at Span, format string, args ...any) {
	if p.broken {
		return
	}
	p.broken = true
	if len(p.errs) < MaxErrors && !p.patient && format != "" {
		next := ""
		if p.at < len(p.tokens) && p.is1("=") {
			next = "equality is written =="
		}
		p.errs = append(p.errs, ErrorAt(p.text, at, next, format, args...))
	}
}

// tell complains without breaking: the reading can go on.
func (p *parser) tell(at Span, next, format string, args ...any) {
	if !p.broken && !p.patient && len(p.errs) < MaxErrors {
		p.errs = append(p.errs, ErrorAt(p.text, at, next, format, args...))
	}
}

// recovered mends the parser: it goes on to the next | or ; at this level of brackets, or
// to the bracket that closes it.
func (p *parser) recovered(level int32) {
	if !p.broken || p.patient {
		return
	}
	p.broken = false
	for ; p.at < len(p.tokens); p.at++ {
		s := p.str(p.tokens[p.at])
		if p.level[p.at] < level || p.level[p.at] == level && (s == "|" || s == ";") {
			return
		}
	}
}

// open is the level of brackets here.
func (p *parser) open() int32 {
	if p.at < len(p.level) {
		return p.level[p.at]
	}
	return 0
}

// enter counts a nesting and reports whether it is still within the limit; leave follows.
func (p *parser) enter() bool {
	p.depth++
	if p.depth > MaxDepth {
		p.fail("the expression nests deeper than %d", MaxDepth)
		return false
	}
	return true
}

func (p *parser) leave() { p.depth-- }

// try reads something and goes back when that was a mistake.
func (p *parser) try(read func() bool) bool {
	if p.broken {
		return false
	}
	at, depth, was := p.at, p.depth, p.patient
	p.patient = true
	ok := read() && !p.broken
	p.patient, p.broken = was, false
	if !ok {
		p.at, p.depth = at, depth
	}
	return ok
}

// name reads an identifier, ['…'] included.
func (p *parser) name(what string) Ident {
	start := p.start()
	t := p.peek(0)
	switch {
	case t.Class == Name:
		p.take()
		return Ident{At: p.from(start), Name: p.str(t)}
	case p.is("[") && p.peek(1).Class == String && p.isAt(2, "]"):
		p.take()
		s := p.take()
		p.take()
		v, _ := Unquote(p.str(s))
		return Ident{At: p.from(start), Name: v, Bracketed: true}
	}
	p.fail("expected %s %s", what, p.found())
	return Ident{At: At{Span{Start: start, End: start}}}
}
