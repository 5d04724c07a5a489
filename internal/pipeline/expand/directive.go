package expand

import (
	"regexp"
	"strings"

	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/parse"
)

// word is the keyword of a directive.
type word string

const (
	wordIf     word = "if"
	wordElseIf word = "elseif"
	wordElse   word = "else"
	wordEach   word = "each"
	wordInsert word = "insert"
)

// parsed is a text with expressions after parsing: a directive or a template.
type parsed struct {
	word word
	// variable is the loop variable of each.
	variable string
	// condition is the expression of if, elseif and each.
	condition *expr.Expression
	template  *expr.Template
	err       error
}

var eachPattern = regexp.MustCompile(`^each\s+([A-Za-z_][A-Za-z0-9_]*)\s+in\s+(\S[\s\S]*)$`)

// parseText parses a text with "${{" in it, once for every text.
func (x *expander) parseText(text string) *parsed {
	if p, ok := x.templates[text]; ok {
		return p
	}
	p := parseDirective(text)
	if p == nil {
		p = &parsed{}
		p.template, p.err = expr.ParseTemplate(text)
	}
	x.templates[text] = p
	return p
}

// parseDirective returns nil when the text is no directive.
func parseDirective(text string) *parsed {
	raw, ok := expr.Directive(text)
	if !ok {
		return nil
	}
	keyword, rest := raw, ""
	if end := strings.IndexAny(raw, " \t\r\n("); end >= 0 {
		keyword, rest = raw[:end], strings.TrimSpace(raw[end:])
	}
	p := &parsed{word: word(keyword)}
	switch p.word {
	case wordIf, wordElseIf:
		p.condition, p.err = expr.Parse(rest)
	case wordElse, wordInsert:
		if rest != "" {
			p.err = &expr.Error{Message: "'" + keyword + "' takes nothing after it", Offset: -1, Source: raw, Syntax: true}
		}
	case wordEach:
		m := eachPattern.FindStringSubmatch(raw)
		if m == nil {
			p.err = &expr.Error{Message: "A loop is written ${{ each NAME in LIST }}", Offset: -1, Source: raw, Syntax: true}
			return p
		}
		p.variable = m[1]
		p.condition, p.err = expr.Parse(m[2])
	default:
		return nil
	}
	return p
}

// checkSyntax reports every text in a file whose expression does not parse, also
// where it will never be evaluated (T011).
func (x *expander) checkSyntax(root *parse.Node) {
	var visit func(n *parse.Node)
	visit = func(n *parse.Node) {
		x.checkText(n, false)
		for _, item := range n.Items {
			visit(item)
		}
		for _, p := range n.Pairs {
			x.checkText(p.Key, true)
			visit(p.Value)
		}
	}
	visit(root)
}

func (x *expander) checkText(n *parse.Node, key bool) {
	if n.Kind != parse.Scalar || !expr.HasTemplate(n.Value) {
		return
	}
	p := x.parseText(n.Value)
	switch {
	case p.err != nil:
		x.fault(n, p.err)
	case p.word != "" && !key:
		x.found.Errorf(n.Pos, "T008", "'${{ %s }}' is a directive and needs a colon after it", p.word)
	}
}

// branches follows if, elseif and else along a mapping or sequence.
type branches struct {
	// open says that an if came before and an else may follow.
	open bool
	// taken says that one of the branches was taken.
	taken bool
}

// end closes the chain; everything that is no elseif or else does.
func (b *branches) end() { *b = branches{} }

// takes decides whether the branch of a conditional directive is taken.
func (x *expander) takes(b *branches, key *parse.Node, p *parsed, sc *scope) bool {
	if p.word == wordIf {
		b.open, b.taken = true, x.holds(key, p, sc)
		return b.taken
	}
	if !b.open {
		x.found.Errorf(key.Pos, "T008", "'%s' must follow an 'if' or 'elseif' in the same list or mapping", p.word)
		return false
	}
	if p.word == wordElse {
		taken := !b.taken
		b.end()
		return taken
	}
	if b.taken {
		return false
	}
	b.taken = x.holds(key, p, sc)
	return b.taken
}

func (x *expander) holds(key *parse.Node, p *parsed, sc *scope) bool {
	if p.err != nil {
		return false
	}
	value, err := p.condition.Evaluate(sc.env())
	if err != nil {
		x.fault(key, err)
		return false
	}
	return value.Truthy()
}

// rounds calls body once for every item that a loop goes through.
func (x *expander) rounds(key *parse.Node, p *parsed, sc *scope, body func(*scope)) {
	if p.err != nil {
		return
	}
	collection, err := p.condition.Evaluate(sc.env())
	if err != nil {
		x.fault(key, err)
		return
	}
	switch collection.Kind() {
	case expr.Null:
	case expr.Array:
		for i := range collection.List().Len() {
			if !x.spend(key.Pos, 0) {
				return
			}
			body(sc.withLoop(p.variable, collection.List().At(i)))
		}
	case expr.Object:
		for _, name := range collection.Map().Keys() {
			if !x.spend(key.Pos, 0) {
				return
			}
			value, _ := collection.Map().Get(name)
			pair := expr.NewDict().Set("key", expr.NewString(name)).Set("value", value)
			body(sc.withLoop(p.variable, expr.NewObject(pair)))
		}
	default:
		if text, _ := collection.Text(); text != "" {
			x.found.Errorf(key.Pos, "T009", "'each' goes through a sequence or a mapping, not a %s; declare the parameter with 'type: object', or use split(…)", collection.Kind())
		}
	}
}
