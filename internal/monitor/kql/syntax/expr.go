package syntax

// tabular reads a table expression or a scalar one: which of them it is, the binder knows.
func (p *parser) tabular() Expr {
	start := p.start()
	level := p.open()
	if !p.enter() {
		p.leave()
		return &Pipe{At: p.from(start)}
	}
	defer p.leave()
	var pipe *Pipe
	if op := p.sourceOp(); op != nil {
		pipe = &Pipe{Ops: []Op{op}}
		p.recovered(level)
	} else {
		x := p.scalar()
		p.recovered(level)
		if !p.is("|") {
			return x
		}
		pipe = &Pipe{Source: x}
	}
	for p.accept("|") {
		if op := p.operator(); op != nil {
			pipe.Ops = append(pipe.Ops, op)
		}
		if !p.broken && p.at < len(p.tokens) && p.level[p.at] >= level && !p.isEnd() {
			p.fail("expected | or the end of the operator %s", p.found())
		}
		p.recovered(level)
	}
	pipe.At = p.from(start)
	return pipe
}

// isEnd reports whether an operator may end here.
func (p *parser) isEnd() bool {
	return p.peek(0).Class == End || p.isAny("|", ";", ")", "}", ",", "]") != ""
}

// named reads an expression that may have a name: a = x, (a, b) = x.
func (p *parser) named() Expr { return p.namedBy(p.scalar) }

// namedBy is named with what reads the expression: an argument may be a table, with pipes.
func (p *parser) namedBy(read func() Expr) Expr {
	start := p.start()
	if p.peek(0).Class == Name && p.isAt(1, "=") || p.is("[") && p.isAt(3, "=") && p.peek(1).Class == String {
		n := &Named{Names: []Ident{p.name("a name")}}
		p.take()
		n.X = read()
		n.At = p.from(start)
		return n
	}
	if p.is("(") {
		n := &Named{Tuple: true}
		if p.try(func() bool {
			p.take()
			for {
				n.Names = append(n.Names, p.name("a name"))
				if !p.accept(",") {
					break
				}
			}
			return p.accept(")") && p.accept("=")
		}) {
			n.X = p.scalar()
			n.At = p.from(start)
			return n
		}
	}
	return read()
}

// list reads expressions, named or not, with commas between.
func (p *parser) list() []Expr {
	var out []Expr
	for !p.broken {
		out = append(out, p.named())
		if !p.accept(",") {
			break
		}
	}
	return out
}

// scalar reads an expression without a pipe.
func (p *parser) scalar() Expr {
	if !p.enter() {
		p.leave()
		return &Star{At: p.from(p.start())}
	}
	defer p.leave()
	return p.chain(0)
}

// levels are the binary operators from the loosest to the tightest. Matching operators
// bind tighter than arithmetic, as Kusto's grammar has it; in and between loosely.
var levels = [][]string{
	{"or"},
	{"and"},
	{"==", "!=", "<>"},
	{"<", ">", "<=", ">="},
	{"+", "-"},
	{"*", "/", "%"},
	{
		"=~", "!~", "has", "!has", "has_cs", "!has_cs", "contains", "!contains", "contains_cs", "!contains_cs", "startswith", "!startswith",
		"startswith_cs", "!startswith_cs", "endswith", "!endswith", "endswith_cs", "!endswith_cs", "hasprefix", "!hasprefix",
		"hasprefix_cs", "!hasprefix_cs", "hassuffix", "!hassuffix", "hassuffix_cs", "!hassuffix_cs", "matches", ":",
		"containscs", "!containscs", "notcontains", "notcontainscs", "like", "notlike", "likecs", "notlikecs", "in_set",
	},
}

// lists are the operators with a list on their right; they stand with ==.
var lists = []string{"in", "!in", "in~", "!in~", "has_any", "has_all"}

const (
	equality = 2     // the level at which they stand
	maxChain = 4_000 // operators of one level in a row
)

// chain reads operators of one level and tighter.
func (p *parser) chain(level int) Expr {
	if level == len(levels) {
		return p.unary()
	}
	start := p.start()
	x := p.chain(level + 1)
	for n := 0; !p.broken; n++ {
		if n > maxChain {
			p.fail("more than %d operators in a row", maxChain)
		}
		if level == equality {
			if op := p.isAny(lists...); op != "" {
				x = p.in(start, op, x)
				continue
			}
			if op := p.isAny("between", "!between"); op != "" {
				x = p.between(start, op, x)
				continue
			}
		}
		op := p.isAny(levels[level]...)
		if op == "" || isLetter(op[0]) && p.isAt(1, "=") {
			return x
		}
		t := p.take()
		if op == "matches" {
			p.expect("regex")
			op = "matches regex"
		}
		if op == "<>" {
			op = "!="
		}
		b := &Binary{Op: op, OpSpan: t.Span, X: x}
		b.Y = p.chain(level + 1)
		b.At = p.from(start)
		x = b
	}
	return x
}

func (p *parser) in(start int, op string, x Expr) Expr {
	p.take()
	n := &In{Op: op, X: x}
	if p.expect("(") {
		for !p.is(")") && !p.broken {
			n.List = append(n.List, p.tabular())
			if !p.accept(",") {
				break
			}
		}
		p.expect(")")
	}
	n.At = p.from(start)
	return n
}

func (p *parser) between(start int, op string, x Expr) Expr {
	p.take()
	n := &Between{Not: op[0] == '!', X: x}
	if p.expect("(") {
		n.Lo = p.scalar()
		p.expect("..")
		n.Hi = p.scalar()
		p.expect(")")
	}
	n.At = p.from(start)
	return n
}

func (p *parser) unary() Expr {
	start := p.start()
	if op := p.isAny("-", "+"); op != "" {
		p.take()
		if !p.enter() {
			p.leave()
			return &Star{At: p.from(start)}
		}
		x := p.unary()
		p.leave()
		return &Unary{At: p.from(start), Op: op, X: x}
	}
	return p.postfix(start)
}

// postfix reads a primary expression and the members taken from it.
func (p *parser) postfix(start int) Expr {
	x := p.primary()
	for n := 0; !p.broken; n++ {
		if n > MaxDepth {
			p.fail("the path is longer than %d", MaxDepth)
		}
		switch {
		case p.is("."):
			p.take()
			if p.is("[") && !(p.peek(1).Class == String && p.isAt(2, "]")) {
				continue // a.[b] is a[b]
			}
			if p.patterns && (p.is("*") || p.peek(0).Class == Name && p.isAt(1, "*")) {
				s := p.start()
				p.take()
				w := p.wild(s).(*Wild)
				x = &Path{At: p.from(start), X: x, Name: Ident{At: w.At, Name: w.Pattern}}
				continue
			}
			name := p.name("the name of a member")
			if p.is("(") && !name.Bracketed {
				call := p.call(name)
				call.On, call.At = x, p.from(start)
				x = call
				continue
			}
			x = &Path{At: p.from(start), X: x, Name: name}
		case p.is("["):
			p.take()
			i := p.scalar()
			p.expect("]")
			x = &Index{At: p.from(start), X: x, I: i}
		default:
			return x
		}
	}
	return x
}

func (p *parser) primary() Expr {
	start := p.start()
	t := p.peek(0)
	switch t.Class {
	case Number, TimeSpan, String, Literal:
		return p.literal()
	case Name:
		return p.word(start, t)
	case Operator:
		switch p.str(t) {
		case "(":
			p.take()
			x := p.tabular()
			p.expect(")")
			return &Paren{At: p.from(start), X: x}
		case "*":
			p.take()
			if n := p.peek(0); p.patterns && n.Class == Name && n.Start == t.End {
				return p.wild(start)
			}
			return &Star{At: p.from(start)}
		case "[":
			if p.peek(1).Class == String && p.isAt(2, "]") {
				id := p.name("a name")
				if p.is("(") {
					return p.call(id)
				}
				return &id
			}
		}
	}
	p.fail("expected a value %s", p.found())
	return &Star{At: At{Span{Start: start, End: start}}}
}

// word reads what begins with a name: a keyword of a value, a call or a column.
func (p *parser) word(start int, t Token) Expr {
	switch s := p.str(t); {
	case s == "true" || s == "false" || s == "null":
		return p.literal()
	case s == "typeof" && p.isAt(1, "("):
		return p.typeOf()
	}
	id := p.name("a name")
	if p.is("(") {
		return p.call(id)
	}
	if p.isWild() {
		return p.wild(start)
	}
	return &id
}

// isWild reports whether a star touches the name where a pattern of names may stand.
func (p *parser) isWild() bool {
	t := p.peek(0)
	return p.patterns && p.is("*") && t.Start == p.tokens[p.at-1].End
}

// wild reads the rest of a pattern that began at start.
func (p *parser) wild(start int) Expr {
	for {
		t := p.peek(0)
		if (t.Class == Name || p.is("*") || t.Class == Number) && t.Start == p.tokens[p.at-1].End {
			p.take()
			continue
		}
		break
	}
	at := p.from(start)
	return &Wild{At: at, Pattern: p.text[at.Span.Start:at.Span.End]}
}

func (p *parser) call(name Ident) *Call {
	start := name.Span.Start
	c := &Call{Name: name}
	if !p.enter() {
		p.leave()
		return c
	}
	p.expect("(")
	for !p.is(")") && !p.broken {
		c.Args = append(c.Args, p.namedBy(p.tabular))
		if !p.accept(",") {
			break
		}
	}
	p.expect(")")
	p.leave()
	c.At = p.from(start)
	return c
}

func (p *parser) typeOf() Expr {
	start := p.start()
	p.take()
	n := &TypeOf{}
	p.expect("(")
	switch {
	case p.isAt(1, ":"):
		n.Columns = p.params(")")
	case p.accept("*"):
		if p.accept(",") {
			n.Columns = p.params(")")
		}
	default:
		n.Kind = p.kind()
	}
	p.expect(")")
	n.At = p.from(start)
	return n
}
