package syntax

import (
	"sort"
	"strings"
)

// reader reads the rest of an operator after its name.
type reader func(p *parser, start int) Op

// operators are the words that may stand after a |, with what reads the rest.
func operators() map[string]reader {
	return map[string]reader{
		"where": (*parser).where, "filter": (*parser).where,
		"project": columns("project"), "extend": columns("extend"), "project-rename": columns("project-rename"),
		"project-away": columns("project-away"), "project-keep": columns("project-keep"), "project-reorder": columns("project-reorder"),
		"distinct": columns("distinct"), "serialize": columns("serialize"),
		"count": (*parser).count, "summarize": (*parser).summarize,
		"sort": (*parser).sort, "order": (*parser).sort, "top": (*parser).top,
		"take": take("take"), "limit": take("take"), "sample": take("sample"), "sample-distinct": take("sample-distinct"),
		"join": (*parser).join, "lookup": (*parser).lookup, "union": (*parser).union,
		"parse": parseText(false), "parse-where": parseText(true), "parse-kv": (*parser).parseKV,
		"mv-expand": expand(false), "mvexpand": expand(false), "mv-apply": expand(true), "mvapply": expand(true),
		"make-series": (*parser).makeSeries, "top-nested": (*parser).topNested, "top-hitters": (*parser).topHitters,
		"as": (*parser).as, "evaluate": (*parser).evaluate, "reduce": (*parser).reduce, "getschema": plain("getschema"), "consume": plain("consume"),
		"search": (*parser).search, "partition": (*parser).partition,
		"scan": (*parser).scan, "invoke": (*parser).invoke, "render": (*parser).render,
	}
}

// sources are the words that may begin a table expression.
func sources() map[string]reader {
	return map[string]reader{
		"print": columns("print"), "union": (*parser).union, "range": (*parser).rangeOp, "datatable": (*parser).datatable,
		"search": (*parser).search, "find": (*parser).find, "evaluate": (*parser).evaluate,
	}
}

// refused are the operators that are known by name, so that the text around them can be
// read, but not supported.
var refused = map[string]bool{
	"facet": true, "fork": true, "execute-and-cache": true, "assert-schema": true, "project-by-names": true, "__partitionby": true, "make-graph": true,
	"graph-match": true, "graph-to-table": true, "graph-shortest-paths": true, "graph-mark-components": true, "graph-where-nodes": true,
	"graph-where-edges": true, "externaldata": true, "external_data": true, "macro-expand": true,
}

// Operators returns the names of the operators that are supported, sorted.
func Operators() []string {
	var out []string
	for name := range operators() {
		if name != "mvexpand" && name != "mvapply" && name != "filter" && name != "limit" {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

// refuse complains about an operator that is not supported and skips its words: they are of
// a grammar that is not read.
func (p *parser) refuse(start int, name string) Op {
	at := p.from(start)
	level := p.open()
	for ; p.at < len(p.tokens); p.at++ {
		if s := p.str(p.tokens[p.at]); p.level[p.at] < level || p.level[p.at] == level && (s == "|" || s == ";") {
			break
		}
	}
	p.tell(at.Span, "", "%s is not supported", name)
	return &Refused{At: at, Name: name}
}

// opName returns the name of the operator here, with its dashes, and how many tokens it has.
func (p *parser) opName() (string, int) {
	t := p.peek(0)
	if t.Class != Name {
		return "", 0
	}
	name, n := p.str(t), 1
	for p.isAt(n, "-") && p.peek(n+1).Class == Name && p.peek(n).Start == p.peek(n-1).End && p.peek(n+1).Start == p.peek(n).End {
		name += "-" + p.str(p.peek(n+1))
		n += 2
	}
	return name, n
}

// operator reads what stands after a |.
func (p *parser) operator() Op {
	start := p.start()
	name, n := p.opName()
	if refused[name] {
		p.at += n
		return p.refuse(start, name)
	}
	read := p.ops[name]
	if read == nil {
		if name == "" {
			p.fail("expected an operator %s", p.found())
			return nil
		}
		p.errAt(Span{Start: start, End: start + len(name)}, "there is no operator %q", name)
		return nil
	}
	p.at += n
	return read(p, start)
}

// errAt complains about an operator's name, with the nearest one that exists.
func (p *parser) errAt(at Span, format, name string) {
	if p.broken {
		return
	}
	p.tell(at, Nearest(name, Operators()), format, name)
	p.broken = true
}

// Nearest says which of the names was perhaps meant, "" when none is near.
func Nearest(name string, names []string) string {
	best, least := "", min(3, (len(name)+2)/3+1) // smaller than this
	if len(name) < 3 {
		least = 1
	}
	low := strings.ToLower(name)
	for _, n := range names {
		if d := distance(low, strings.ToLower(n), least); d < least {
			best, least = n, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// distance is Levenshtein's, given up beyond limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diag
			if a[i-1] != b[j-1] {
				cost++
			}
			diag = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// sourceOp reads an operator that begins a table expression, nil when none stands here.
func (p *parser) sourceOp() Op {
	name, n := p.opName()
	after := p.peek(n)
	if refused[name] && (name == "macro-expand" || after.Class == Operator && p.str(after) == "(") {
		start := p.start()
		p.at += n
		return p.refuse(start, name)
	}
	read := p.srcs[name]
	if read == nil {
		return nil
	}
	s := p.str(after)
	switch {
	case name == "print" || name == "union" || name == "search" || name == "find":
		// A column or a table may have that name.
		if after.Class == End || after.Class == Operator && strings.Contains("|;,)=.", s) || s == "==" {
			return nil
		}
	case name == "range":
		if after.Class != Name || !p.isAt(n+1, "from") {
			return nil
		}
	case name == "datatable":
		if s != "(" && !p.isAt(n+1, "=") {
			return nil
		}
	case name == "evaluate":
		if after.Class != Name {
			return nil
		}
	}
	start := p.start()
	p.at += n
	return read(p, start)
}

// options reads name=value while the name is one of those, or begins with "hint.".
func (p *parser) options(names ...string) []Option {
	var out []Option
	for !p.broken {
		t := p.peek(0)
		if t.Class != Name {
			return out
		}
		name, n := p.str(t), 1
		for p.isAt(n, ".") && p.peek(n+1).Class == Name {
			name += "." + p.str(p.peek(n+1))
			n += 2
		}
		known := strings.HasPrefix(name, "hint.") || strings.HasPrefix(name, "__")
		for _, k := range names {
			known = known || k == name
		}
		if !known || !p.isAt(n, "=") {
			return out
		}
		start := p.start()
		p.at += n + 1
		o := Option{Name: name}
		if p.peek(0).Class == Name {
			// A word with dashes and dots, as in kind=left-outer.
			word := p.name("a value")
			for p.isAt(0, "-") && p.peek(1).Class == Name && p.peek(0).Start == word.Span.End {
				p.take()
				word.Name += "-" + p.str(p.take())
			}
			o.Value = &word
		} else {
			o.Value = p.chain(len(levels))
		}
		o.At = p.from(start)
		out = append(out, o)
	}
	return out
}
