package syntax

func (p *parser) where(start int) Op {
	x := p.scalar()
	return &Filter{At: p.from(start), Pred: x}
}

func columns(kind string) reader {
	return func(p *parser, start int) Op {
		n := &Columns{Kind: kind}
		defer func(was bool) { p.patterns = was }(p.patterns)
		p.patterns = kind == "project-away" || kind == "project-keep" || kind == "project-reorder"
		if kind == "serialize" {
			if p.isEnd() {
				n.At = p.from(start)
				return n
			}
		}
		if kind == "project" && p.isEnd() { // project of nothing is refused by the binder
			p.fail("expected a column %s", p.found())
		}
		for !p.broken {
			x := p.named()
			if _, star := x.(*Star); star && (kind == "project" || kind == "extend" || kind == "print" || kind == "serialize") {
				p.tell(x.Where(), "", "* may not stand here")
			}
			n.List = append(n.List, x)
			order := ""
			if kind == "project-reorder" {
				order = p.isAny("asc", "desc", "granny-asc", "granny")
				if order != "" {
					p.take()
				}
				if order == "granny" && p.accept("-") {
					order += "-" + p.str(p.take())
				}
			}
			n.Order = append(n.Order, order)
			if !p.accept(",") {
				break
			}
		}
		n.At = p.from(start)
		return n
	}
}

func (p *parser) count(start int) Op {
	n := &Count{}
	if p.accept("as") {
		id := p.name("a name")
		n.As = &id
	}
	n.At = p.from(start)
	return n
}

func (p *parser) summarize(start int) Op {
	n := &Summarize{Options: p.options()}
	if !p.is("by") || p.isAt(1, "=") {
		if p.isEnd() {
			p.fail("expected an aggregate or by %s", p.found())
		}
		n.Aggs = p.list()
	}
	if p.accept("by") {
		n.HasBy = true
		n.By = p.list()
	}
	n.At = p.from(start)
	return n
}

// key reads one key of an order.
func (p *parser) key() Key {
	start := p.start()
	k := Key{Expr: p.named()}
	if k.Order = p.isAny("asc", "desc"); k.Order != "" {
		p.take()
	}
	if p.accept("nulls") {
		if k.Nulls = p.isAny("first", "last"); k.Nulls == "" {
			p.fail("expected first or last %s", p.found())
		}
		p.take()
	}
	k.At = p.from(start)
	return k
}

func (p *parser) keys() []Key {
	var out []Key
	for !p.broken {
		out = append(out, p.key())
		if !p.accept(",") {
			break
		}
	}
	return out
}

func (p *parser) sort(start int) Op {
	n := &Sort{Options: p.options()}
	p.expect("by")
	n.Keys = p.keys()
	n.At = p.from(start)
	return n
}

func (p *parser) top(start int) Op {
	n := &Top{Options: p.options()}
	n.N = p.scalar()
	p.expect("by")
	n.Key = p.key()
	n.At = p.from(start)
	return n
}

func take(kind string) reader {
	return func(p *parser, start int) Op {
		p.options()
		n := &Take{Kind: kind, N: p.scalar()}
		if kind == "sample-distinct" {
			p.expect("of")
			n.Of = p.named()
		}
		n.At = p.from(start)
		return n
	}
}

func (p *parser) join(start int) Op   { return p.joinOf(start, false) }
func (p *parser) lookup(start int) Op { return p.joinOf(start, true) }

func (p *parser) joinOf(start int, lookup bool) Op {
	n := &Join{Lookup: lookup, Options: p.options("kind")}
	n.Right = p.tableArg()
	if p.accept("on") {
		n.On = p.list()
	} else if p.is("where") {
		p.fail("join … where is not supported")
	} else if !p.broken {
		p.expect("on")
	}
	n.At = p.from(start)
	return n
}

// tableArg reads a table in the place of an argument: a name, a call, or one in parentheses.
func (p *parser) tableArg() Expr {
	if op := p.sourceOp(); op != nil {
		return &Pipe{At: At{op.Where()}, Ops: []Op{op}}
	}
	return p.postfix(p.start())
}

func (p *parser) union(start int) Op {
	n := &Union{Options: p.options("kind", "withsource", "with_source", "isfuzzy")}
	defer func(was bool) { p.patterns = was }(p.patterns)
	p.patterns = true
	for !p.broken {
		n.Tables = append(n.Tables, p.tableArg())
		if !p.accept(",") {
			break
		}
	}
	n.At = p.from(start)
	return n
}

func (p *parser) makeSeries(start int) Op {
	n := &MakeSeries{Options: p.options("kind")}
	for !p.broken {
		s := p.start()
		a := SeriesAgg{Expr: p.named()}
		if p.is("default") && p.isAt(1, "=") {
			p.take()
			p.take()
			a.Default = p.scalar()
		}
		a.At = p.from(s)
		n.Aggs = append(n.Aggs, a)
		if !p.accept(",") {
			break
		}
	}
	p.expect("on")
	n.Axis = p.axis(n)
	if p.accept("from") {
		n.From = p.scalar()
	}
	if p.accept("to") {
		n.To = p.scalar()
	}
	if n.InRange == nil {
		p.expect("step")
		n.Step = p.scalar()
	}
	if p.accept("by") {
		n.By = p.list()
	}
	n.At = p.from(start)
	return n
}

// axis reads the axis, and the older "in range(from, to, step)" behind it.
func (p *parser) axis(n *MakeSeries) Expr {
	x := p.namedAxis()
	if p.is("in") && p.isAt(1, "range") {
		p.take()
		c := p.call(p.name("range"))
		n.InRange = c.Args
		if len(c.Args) != 3 {
			p.tell(c.Span, "", "range has start, stop and step")
			p.broken = true
		}
	}
	return x
}

func (p *parser) namedAxis() Expr {
	start := p.start()
	if p.peek(0).Class == Name && p.isAt(1, "=") {
		n := &Named{Names: []Ident{p.name("a name")}}
		p.take()
		n.X = p.chain(equality + 1)
		n.At = p.from(start)
		return n
	}
	return p.chain(equality + 1)
}

func (p *parser) topNested(start int) Op {
	n := &TopNested{}
	for !p.broken {
		s := p.start()
		l := Level{}
		if !p.is("of") {
			l.N = p.scalar()
		}
		p.expect("of")
		l.Of = p.named()
		if p.accept("with") {
			p.expect("others")
			p.expect("=")
			l.Others = p.scalar()
		}
		p.expect("by")
		l.By = p.key()
		l.At = p.from(s)
		n.Levels = append(n.Levels, l)
		if !p.accept(",") {
			break
		}
		p.accept("top-nested")
		if name, k := p.opName(); name == "top-nested" {
			p.at += k
		}
	}
	n.At = p.from(start)
	return n
}

func (p *parser) topHitters(start int) Op {
	n := &TopHitters{N: p.scalar()}
	p.expect("of")
	n.Of = p.named()
	if p.accept("by") {
		n.By = p.named()
	}
	n.At = p.from(start)
	return n
}

func (p *parser) as(start int) Op {
	n := &As{Options: p.options()}
	n.Name = p.name("a name")
	n.At = p.from(start)
	return n
}

func (p *parser) evaluate(start int) Op {
	n := &Evaluate{Options: p.options()}
	n.Call = p.call(p.name("the name of a plugin"))
	if p.accept(":") {
		n.Typed = true
		if p.expect("(") {
			if p.accept("*") {
				n.Rest = true
				p.accept(",")
			}
			n.Schema = p.params(")")
			p.expect(")")
		}
	}
	n.At = p.from(start)
	return n
}

func (p *parser) reduce(start int) Op {
	n := &Reduce{Options: p.options("kind")}
	p.expect("by")
	n.By = p.named()
	if p.accept("with") {
		for !p.broken {
			n.Options = append(n.Options, p.options("threshold", "characters")...)
			if !p.accept(",") {
				break
			}
		}
	}
	n.At = p.from(start)
	return n
}

func plain(kind string) reader {
	return func(p *parser, start int) Op {
		p.options("decodeblocks")
		return &Plain{At: p.from(start), Kind: kind}
	}
}

func (p *parser) invoke(start int) Op {
	c := p.call(p.name("the name of a function"))
	return &Invoke{At: p.from(start), Call: c}
}

func (p *parser) rangeOp(start int) Op {
	n := &Range{Name: p.name("a name")}
	p.expect("from")
	n.From = p.scalar()
	p.expect("to")
	n.To = p.scalar()
	p.expect("step")
	n.Step = p.scalar()
	n.At = p.from(start)
	return n
}

func (p *parser) datatable(start int) Op {
	n := &Datatable{}
	p.options()
	if p.expect("(") {
		n.Columns = p.params(")")
		p.expect(")")
	}
	p.expect("[")
	for !p.is("]") && !p.broken {
		n.Values = append(n.Values, p.scalar())
		if !p.accept(",") {
			break
		}
	}
	p.expect("]")
	n.At = p.from(start)
	return n
}
