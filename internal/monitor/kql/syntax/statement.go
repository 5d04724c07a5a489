package syntax

import "towpath.dev/towpath/internal/monitor/table"

// query reads statements up to the end, or of a function's body up to its brace.
func (p *parser) query(body bool) *Query {
	start := p.start()
	level := p.open()
	q := &Query{}
	for {
		for p.accept(";") {
		}
		if p.at >= len(p.tokens) || body && p.is("}") {
			break
		}
		before := p.at
		q.Statements = append(q.Statements, p.statement())
		p.recovered(level)
		if p.at >= len(p.tokens) || body && p.is("}") {
			break
		}
		if p.is(";") {
			continue
		}
		p.fail("expected ; or | %s", p.found())
		p.recovered(level)
		for p.is("|") { // what follows belongs to the statement that went wrong
			p.at++
			p.fail("")
			p.recovered(level)
		}
		if p.at < len(p.tokens) && p.level[p.at] < level {
			if body {
				break
			}
			p.at++ // a bracket that nothing opened
		}
		if p.at == before {
			p.at++
		}
	}
	q.At = p.from(start)
	if len(q.Statements) == 0 {
		p.tell(Span{Start: start, End: start}, "", "there is no query")
	}
	return q
}

func (p *parser) statement() Statement {
	start := p.start()
	switch {
	case p.is("let") && p.peek(1).Class != End && !p.isAt(1, "|"):
		p.take()
		s := &Let{Name: p.name("a name")}
		p.expect("=")
		s.Value = p.letValue()
		s.At = p.from(start)
		return s
	case p.is("set") && p.peek(1).Class == Name:
		p.take()
		s := &Set{Name: p.name("the name of an option")}
		if p.accept("=") {
			s.Value = p.scalar()
		}
		s.At = p.from(start)
		return s
	case p.is("declare") && p.isAt(1, "query_parameters"):
		p.take()
		p.take()
		s := &Declare{}
		if p.expect("(") {
			s.Params = p.params(")")
			p.expect(")")
		}
		s.At = p.from(start)
		return s
	case p.is("declare") && p.peek(1).Class == Name, p.is("alias") && p.isAt(1, "database"), p.is("restrict") && p.isAt(1, "access"):
		p.fail("%s %s is not supported", p.str(p.peek(0)), p.str(p.peek(1)))
	case p.is("."):
		p.fail("management commands are not supported")
	}
	s := &Ask{Expr: p.tabular()}
	s.At = p.from(start)
	return s
}

// letValue reads what a let may stand for: a function, a table or a value.
func (p *parser) letValue() Expr {
	view := p.is("view") && p.isAt(1, "(")
	if view || p.is("(") && p.function() {
		return p.funcExpr()
	}
	return p.tabular()
}

// function reports whether the parenthesis here begins a function's parameters: what
// follows its end is a brace.
func (p *parser) function() bool {
	level := p.open()
	for i := p.at + 1; i < len(p.tokens); i++ {
		if p.level[i] == level && p.str(p.tokens[i]) == ")" {
			return i+1 < len(p.tokens) && p.str(p.tokens[i+1]) == "{"
		}
		if p.level[i] < level {
			return false
		}
	}
	return false
}

func (p *parser) funcExpr() Expr {
	start := p.start()
	f := &Func{View: p.accept("view")}
	if p.expect("(") {
		f.Params = p.params(")")
		p.expect(")")
	}
	if p.expect("{") && p.enter() {
		f.Body = p.query(true)
		p.leave()
		p.expect("}")
	}
	f.At = p.from(start)
	return f
}

// params reads "name: type = default, …" up to, but not including, the closing token.
func (p *parser) params(end string) []Param {
	var out []Param
	for !p.is(end) && !p.broken {
		if p.is("*") {
			break
		}
		out = append(out, p.param())
		if !p.accept(",") {
			break
		}
	}
	return out
}

func (p *parser) param() Param {
	start := p.start()
	v := Param{Name: p.name("a name")}
	if !p.expect(":") {
		v.At = p.from(start)
		return v
	}
	if p.accept("(") {
		v.Table = true
		if !p.accept("*") {
			v.Columns = p.params(")")
		}
		p.expect(")")
	} else {
		v.Kind = p.kind()
	}
	if p.accept("=") {
		v.Default = p.scalar()
	}
	v.At = p.from(start)
	return v
}

// kind reads the name of a type.
func (p *parser) kind() table.Kind {
	t := p.peek(0)
	k := table.Unknown
	if t.Class == Name {
		k = table.KindOf(p.str(t))
	}
	if k == table.Unknown {
		p.fail("expected the name of a type %s", p.found())
		return k
	}
	p.take()
	return k
}
