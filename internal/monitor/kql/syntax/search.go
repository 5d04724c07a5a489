package syntax

import "towpath.dev/towpath/internal/monitor/table"

func (p *parser) search(start int) Op {
	n := &Search{Options: p.options("kind")}
	if p.is("in") && p.isAt(1, "(") {
		p.take()
		n.Tables = p.tableList()
	}
	n.Pred = p.scalar()
	n.At = p.from(start)
	return n
}

// tableList reads (T1, T*, …).
func (p *parser) tableList() []Expr {
	var out []Expr
	defer func(was bool) { p.patterns = was }(p.patterns)
	p.patterns = true
	if !p.expect("(") {
		return nil
	}
	for !p.is(")") && !p.broken {
		out = append(out, p.tabular())
		if !p.accept(",") {
			break
		}
	}
	p.expect(")")
	return out
}

func (p *parser) find(start int) Op {
	n := &Find{Options: p.options("withsource", "with_source", "datascope")}
	if p.accept("in") {
		n.Tables = p.tableList()
	}
	n.Options = append(n.Options, p.options("withsource", "with_source", "datascope")...)
	p.accept("where")
	n.Pred = p.scalar()
	switch name, k := p.opName(); name {
	case "project":
		p.at += k
		p.findColumns(n)
	case "project-smart":
		p.at += k
		n.Smart = true
	}
	if name, k := p.opName(); name == "project-away" {
		p.at += k
		n.Away = p.list()
	}
	n.At = p.from(start)
	return n
}

// findColumns reads the columns of find: names, with a type or without, and pack(*).
func (p *parser) findColumns(n *Find) {
	for !p.broken {
		x := p.postfix(p.start())
		if c, ok := x.(*Call); ok && c.Name.Name == "pack" {
			n.Pack = true
		} else {
			kind := table.Unknown
			if p.accept(":") {
				kind = p.kind()
			}
			n.Project, n.Kinds = append(n.Project, x), append(n.Kinds, kind)
		}
		if !p.accept(",") {
			return
		}
	}
}

func (p *parser) scan(start int) Op {
	n := &Scan{Options: p.options("with_match_id")}
	if p.accept("order") {
		p.expect("by")
		n.OrderBy = p.keys()
	}
	if p.accept("partition") {
		p.expect("by")
		n.By = p.list()
	}
	if p.accept("declare") && p.expect("(") {
		n.Declare = p.params(")")
		p.expect(")")
	}
	p.expect("with")
	if p.expect("(") {
		for p.is("step") && !p.broken {
			n.Steps = append(n.Steps, p.step())
		}
		p.expect(")")
	}
	n.At = p.from(start)
	return n
}

// step reads: step name [optional] [output=all|last|none] : condition [=> a = x, …];
func (p *parser) step() Step {
	start := p.start()
	p.take()
	s := Step{Name: p.name("the name of a step"), Output: "all"}
	s.Optional = p.accept("optional")
	if p.accept("output") {
		p.expect("=")
		if s.Output = p.isAny("all", "last", "none"); s.Output == "" {
			p.fail("expected all, last or none %s", p.found())
		}
		p.take()
	}
	p.expect(":")
	s.Cond = p.scalar()
	if p.accept("=>") {
		for !p.broken {
			if n, ok := p.named().(*Named); ok {
				s.Assign = append(s.Assign, *n)
			} else {
				p.fail("expected a column = a value")
			}
			if !p.accept(",") {
				break
			}
		}
	}
	p.expect(";")
	s.At = p.from(start)
	return s
}
