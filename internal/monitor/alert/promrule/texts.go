package promrule

import (
	"slices"
	"strings"
	"text/template/parse"

	"towpath.dev/towpath/internal/fault"
)

// What a text may call: functions of Prometheus and of Go's templates whose result is about
// as long as what they are given, and that look nothing up.
func harmless() []string {
	return []string{
		"humanize", "humanize1024", "humanizeDuration", "humanizePercentage", "humanizeTimestamp", "title", "toUpper", "toLower", "stripPort", "stripDomain",
		"match", "parseDuration", "toTime", "toDuration", "now", "printf", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "index", "len",
	}
}

// Limits of a text. A rule may have a thousand alerts, and each is given its texts at every
// evaluation: a template that defines templates can write more than there is memory in a
// few lines, and nothing bounds how long it takes.
const (
	maxReferences = 20 // to labels and the value
	maxPrintfs    = 5
	maxWidth      = 100 // of one verb of printf
)

// defined is what Prometheus puts before each text.
const defined = `{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}`

// checkText says what a text may not have; nil for one whose length follows from its labels.
func checkText(name, text string) error {
	t := parse.New(name)
	t.Mode = parse.SkipFuncCheck
	set := map[string]*parse.Tree{}
	if _, err := t.Parse(defined+text, "", "", set); err != nil {
		return fault.New(fault.Invalid, "The text %s cannot be used: %v.", name, err)
	}
	if len(set) > 1 || t.Root == nil {
		return unsupported(name, "define")
	}
	w := &texts{name: name, allowed: harmless()}
	// The assignments of Prometheus itself are the first four nodes.
	for i, n := range t.Root.Nodes {
		if i >= 4 {
			w.node(n)
		}
	}
	if w.err == nil && (w.references > maxReferences || w.printfs > maxPrintfs) {
		w.err = fault.New(fault.TooLarge, "The text %s names more than %d labels, or has more than %d printf.", name, maxReferences, maxPrintfs).WithNext("say less")
	}
	return w.err
}

func unsupported(name, what string) error {
	return fault.New(fault.Invalid, "The text %s uses %s, which is not supported in the texts of rules.", name, what).
		WithNext("use labels and the value, if and with, printf, and functions such as humanize; put what is to be looked up into the expression")
}

// texts walks through a text.
type texts struct {
	name       string
	allowed    []string
	references int
	printfs    int
	err        error
}

func (w *texts) refuse(what string) {
	if w.err == nil {
		w.err = unsupported(w.name, what)
	}
}

func (w *texts) list(l *parse.ListNode) {
	if l != nil {
		for _, n := range l.Nodes {
			w.node(n)
		}
	}
}

func (w *texts) node(n parse.Node) {
	switch n := n.(type) {
	case *parse.TextNode, *parse.CommentNode:
	case *parse.ActionNode:
		w.pipe(n.Pipe, true)
	case *parse.IfNode:
		w.branch(&n.BranchNode)
	case *parse.WithNode:
		w.branch(&n.BranchNode)
	case *parse.RangeNode:
		w.refuse("range")
	case *parse.TemplateNode:
		w.refuse("template")
	default:
		w.refuse(n.String())
	}
}

func (w *texts) branch(n *parse.BranchNode) {
	w.pipe(n.Pipe, false)
	w.list(n.List)
	w.list(n.ElseList)
}

// pipe looks at a pipeline. What printf makes is written, and goes nowhere else: fed to
// itself it would double a text each time.
func (w *texts) pipe(p *parse.PipeNode, written bool) {
	if p == nil {
		return
	}
	if len(p.Decl) > 0 {
		w.refuse("an assignment")
	}
	for i, c := range p.Cmds {
		for k, a := range c.Args {
			switch a := a.(type) {
			case *parse.IdentifierNode:
				switch {
				case !slices.Contains(w.allowed, a.Ident):
					w.refuse(a.Ident)
				case a.Ident == "printf":
					w.printf(c.Args[k+1:], written && k == 0 && i == len(p.Cmds)-1)
				}
			case *parse.PipeNode:
				w.pipe(a, false)
			case *parse.ChainNode:
				w.refuse(a.String())
			case *parse.FieldNode, *parse.VariableNode, *parse.DotNode:
				w.references++
			}
		}
	}
}

func (w *texts) printf(args []parse.Node, written bool) {
	w.printfs++
	if !written {
		w.refuse("printf inside of something else")
		return
	}
	if len(args) == 0 || args[0].Type() != parse.NodeString {
		w.refuse("printf without a constant format")
		return
	}
	format := args[0].(*parse.StringNode).Text
	if strings.ContainsAny(format, "*[") || wide(format) {
		w.refuse("printf with a width that is computed or larger than 100")
	}
}

// wide reports whether a number in a format is larger than maxWidth.
func wide(format string) bool {
	n := 0
	for _, c := range format {
		if c < '0' || c > '9' {
			n = 0
		} else if n = n*10 + int(c-'0'); n > maxWidth {
			return true
		}
	}
	return false
}
