package syntax

func parseText(must bool) reader {
	return func(p *parser, start int) Op {
		n := &ParseText{Must: must, Options: p.options("kind", "flags")}
		n.Expr = p.scalar()
		p.expect("with")
		for !p.broken && !p.isEnd() {
			n.Parts = append(n.Parts, p.part())
		}
		if len(n.Parts) == 0 {
			p.fail("expected a pattern %s", p.found())
		}
		n.At = p.from(start)
		return n
	}
}

// part reads one piece of a parse pattern.
func (p *parser) part() Part {
	start := p.start()
	v := Part{}
	switch t := p.peek(0); {
	case t.Class == String:
		v.Text, _ = p.literal().(*Lit)
	case p.accept("*"):
		v.Star = true
	default:
		id := p.name("a text, a star or the name of a column")
		v.Column = &id
		if p.accept(":") {
			v.Kind = p.kind()
		}
	}
	v.At = p.from(start)
	return v
}

func (p *parser) parseKV(start int) Op {
	n := &ParseKV{Expr: p.scalar()}
	p.expect("as")
	if p.expect("(") {
		n.Columns = p.params(")")
		p.expect(")")
	}
	if p.accept("with") && p.expect("(") {
		for !p.is(")") && !p.broken {
			n.Options = append(n.Options, p.options("pair_delimiter", "kv_delimiter", "quote", "escape", "greedy", "regex")...)
			if !p.accept(",") {
				break
			}
		}
		p.expect(")")
	}
	n.At = p.from(start)
	return n
}

func expand(apply bool) reader {
	return func(p *parser, start int) Op {
		n := &Expand{Apply: apply, Options: p.options("kind", "bagexpansion", "with_itemindex")}
		for !p.broken {
			s := p.start()
			c := ExpandColumn{Expr: p.named()}
			if p.accept("to") {
				p.expect("typeof")
				p.expect("(")
				c.Kind = p.kind()
				p.expect(")")
			}
			c.At = p.from(s)
			n.Columns = append(n.Columns, c)
			if !p.accept(",") {
				break
			}
		}
		if p.accept("limit") {
			n.Limit = p.scalar()
		}
		if apply {
			p.expect("on")
			n.On = p.subquery()
		}
		n.At = p.from(start)
		return n
	}
}

// subquery reads (operators) whose source is given from outside: the pipe has none.
func (p *parser) subquery() *Pipe {
	start := p.start()
	n := &Pipe{}
	open, shut := "(", ")"
	if p.is("{") {
		open, shut = "{", "}"
	}
	if !p.expect(open) || !p.enter() {
		n.At = p.from(start)
		return n
	}
	level := p.open()
	for !p.broken {
		if op := p.operator(); op != nil {
			n.Ops = append(n.Ops, op)
		}
		p.recovered(level)
		if !p.accept("|") {
			break
		}
	}
	p.leave()
	p.expect(shut)
	n.At = p.from(start)
	return n
}

func (p *parser) partition(start int) Op {
	n := &Partition{Options: p.options()}
	p.expect("by")
	id := p.name("the name of a column")
	n.By = &id
	if p.is("{") || p.is("(") {
		n.Sub = p.partitionBody()
	} else {
		p.fail("expected ( %s", p.found())
	}
	n.At = p.from(start)
	return n
}

// partitionBody reads the sub-query: operators in parentheses, or a whole query in braces,
// which is not supported.
func (p *parser) partitionBody() *Pipe {
	if p.is("{") {
		if p.peek(1).Class == Name && p.ops[p.str(p.peek(1))] == nil {
			p.fail("partition with an independent query in braces is not supported")
		}
	}
	return p.subquery()
}

func (p *parser) render(start int) Op {
	n := &Render{}
	n.Chart = p.name("the kind of a chart").Name
	p.patterns = false
	if p.accept("with") && p.expect("(") {
		for !p.is(")") && !p.broken {
			o := Option{Name: p.name("a property").Name}
			s := p.start()
			p.expect("=")
			o.Value = p.renderValue()
			o.At = p.from(s)
			n.Options = append(n.Options, o)
			p.accept(",")
		}
		p.expect(")")
	} else {
		n.Options = p.options("kind", "title", "xtitle", "ytitle", "xcolumn", "ycolumns", "series", "xaxis", "yaxis", "legend", "ysplit", "accumulate", "anomalycolumns", "ymin", "ymax", "xmin", "xmax")
	}
	n.At = p.from(start)
	return n
}

// renderValue reads the value of a property: a word, a constant, or columns.
func (p *parser) renderValue() Expr {
	start := p.start()
	x := p.chain(len(levels))
	if id, ok := x.(*Ident); ok && p.is(",") {
		// ycolumns=a, b: names follow each other until one has a value of its own.
		call := &Call{Args: []Expr{id}}
		for p.is(",") && p.peek(1).Class == Name && !p.isAt(2, "=") {
			p.take()
			id := p.name("a column")
			call.Args = append(call.Args, &id)
		}
		if len(call.Args) > 1 {
			call.At = p.from(start)
			return call
		}
	}
	return x
}
