package lsp

import (
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/expr"
)

// signatures is the answer to a request for the signature of a call.
type signatures struct {
	Signatures      []signature `json:"signatures"`
	ActiveSignature int         `json:"activeSignature"`
	ActiveParameter int         `json:"activeParameter"`
}

type signature struct {
	Label         string         `json:"label"`
	Documentation *markup        `json:"documentation,omitempty"`
	Parameters    []argumentSpan `json:"parameters"`
}

// argumentSpan is an argument in the label, in UTF-16 units.
type argumentSpan struct {
	Label [2]int `json:"label"`
}

// signature explains the function call that the cursor is in; nil outside of calls.
func (s *Server) signature(file string, pos position) *signatures {
	all := lines(s.space.open[file])
	p := locate(all, pos)
	if p.holder == nil {
		return nil
	}
	line := all[pos.Line]
	inner, ok := expressionAt(line, byteAt(line, pos.Character), p)
	if !ok {
		return nil
	}
	name, argument := callAt(inner)
	for _, f := range exprFunctions() {
		if !strings.EqualFold(f.name, name) {
			continue
		}
		one := signature{Label: f.form, Documentation: explained(f.about + " " + f.takes()), Parameters: f.arguments()}
		// What may be repeated is the last one that the form shows.
		return &signatures{Signatures: []signature{one}, ActiveParameter: max(min(argument, len(one.Parameters)-1), 0)}
	}
	return nil
}

// callAt is the innermost call that is not closed, and which of its arguments comes, from 0.
func callAt(inner string) (name string, argument int) {
	type call struct {
		name  string
		comma int
	}
	var open []call
	quoted, word := false, ""
	for _, r := range inner {
		switch {
		case r == '\'':
			quoted, word = !quoted, ""
		case quoted:
		case r == '(':
			open, word = append(open, call{name: word}), ""
		case r == ')' && len(open) > 0:
			open, word = open[:len(open)-1], ""
		case r == ',' && len(open) > 0:
			open[len(open)-1].comma++
			word = ""
		case r < 0x80 && isName(byte(r)):
			word += string(r)
		default:
			word = ""
		}
	}
	if len(open) == 0 {
		return "", 0
	}
	last := open[len(open)-1]
	return last.name, last.comma
}

// arguments are the places of the arguments in the form.
func (f exprFunction) arguments() []argumentSpan {
	out := []argumentSpan{}
	from := strings.IndexByte(f.form, '(') + 1
	body := strings.TrimSuffix(f.form[from:], ")")
	if body == "" {
		return out
	}
	for part := range strings.SplitSeq(body, ",") {
		text := strings.TrimSpace(part)
		at := from + strings.Index(part, text)
		start := units(f.form[:at])
		out = append(out, argumentSpan{[2]int{start, start + units(text)}})
		from += len(part) + 1
	}
	return out
}

// takes says how many arguments the function has.
func (f exprFunction) takes() string {
	low, high, ok := expr.Arity(f.name)
	if !ok {
		// Conditions and counters know these; the language itself does not.
		switch f.name {
		case "always", "canceled":
			return "It takes no argument."
		case "counter":
			return "It takes 2 arguments."
		}
		return "It takes any number of arguments."
	}
	plural := func(n int) string {
		if n == 1 {
			return "1 argument."
		}
		return strconv.Itoa(n) + " arguments."
	}
	switch {
	case high < 0:
		return "It takes at least " + plural(low)
	case low == high:
		return "It takes " + plural(low)
	}
	return "It takes " + strconv.Itoa(low) + " to " + plural(high)
}
