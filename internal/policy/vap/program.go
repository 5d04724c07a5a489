package vap

import (
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"towpath.dev/towpath/internal/policy/rule"
)

// program puts the programs of several rules into one. Variables that are the same text
// are there once, and evaluated once; others of the same name get the rule's.
type program struct {
	variables   []admissionv1.Variable
	validations []admissionv1.Validation
	have        map[string]string // expression of each variable by name
}

// anyObject is a variable of the template format: the object, or the one that goes.
const anyObject = `has(request.operation) && request.operation == "DELETE" && object == null ? oldObject : object`

// textLimit is how many characters of a rule's message are said. The API server drops
// messages of more than 5 KiB, and with them where they come from.
const textLimit = 2500

// add puts a rule in, with the condition under which it is not asked.
func (p *program) add(r rule.Rule, w waiver) error {
	params, err := parameters(r)
	if err != nil {
		return err
	}
	text, err := literal(params)
	if err != nil {
		return fmt.Errorf("writing the parameters of rule %s: %w", r.Reference, err)
	}
	declared := append([]rule.Variable{{Name: "anyObject", Expression: anyObject}, {Name: "params", Expression: text}}, r.Template.Native.Variables...)
	needed, err := closure(declared, r.Template.Native.Validations)
	if err != nil {
		return err
	}
	names := map[string]string{}
	look := func(name string) (string, bool) { to, ok := names[name]; return to, ok }
	for _, v := range declared {
		if !needed[v.Name] {
			continue
		}
		e, err := rename(v.Expression, look)
		if err != nil {
			return err
		}
		names[v.Name] = p.declare(v.Name, r.Reference, e)
	}
	// Exemptions are long, and often the same for all rules of an assignment.
	if w.direct != "" {
		w.direct = "variables." + p.declare("exempt", r.Reference, w.direct)
	}
	if w.made != "" {
		w.made = "variables." + p.declare("exempt_maker", r.Reference, w.made)
	}
	for _, v := range r.Template.Native.Validations {
		out, err := validation(r, v, w, look)
		if err != nil {
			return err
		}
		p.validations = append(p.validations, out)
	}
	return nil
}

// declare adds a variable and returns the name it got.
func (p *program) declare(name, reference, expression string) string {
	try := name
	for i := 1; ; i++ {
		had, ok := p.have[try]
		if ok && had == expression {
			return try
		}
		if !ok {
			p.have[try] = expression
			p.variables = append(p.variables, admissionv1.Variable{Name: try, Expression: expression})
			return try
		}
		try = name + "_" + identifier(reference)
		if i > 1 {
			try = fmt.Sprintf("%s_%d", try, i)
		}
	}
}

// identifier makes a part of a CEL identifier of a name.
func identifier(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 128 && (letter(byte(r)) || r >= '0' && r <= '9') {
			return r
		}
		return '_'
	}, s)
}

// closure finds the variables that validations need, by themselves or through others.
func closure(declared []rule.Variable, validations []rule.Validation) (map[string]bool, error) {
	needed := map[string]bool{}
	note := func(expression string) error {
		found, err := uses(expression)
		for name := range found {
			needed[name] = true
		}
		return err
	}
	for _, v := range validations {
		if err := note(v.Expression); err != nil {
			return nil, err
		}
		if err := note(v.MessageExpression); err != nil {
			return nil, err
		}
	}
	for i := len(declared) - 1; i >= 0; i-- {
		if !needed[declared[i].Name] {
			continue
		}
		if err := note(declared[i].Expression); err != nil {
			return nil, err
		}
	}
	return needed, nil
}

// validation writes one validation of a rule. Whatever it says ends with where it comes
// from, and nothing in front of it can look like that.
func validation(r rule.Rule, v rule.Validation, w waiver, look func(string) (string, bool)) (admissionv1.Validation, error) {
	expression, err := rename(v.Expression, look)
	if err != nil {
		return admissionv1.Validation{}, err
	}
	message := strings.Join(strings.Fields(v.Message), " ")
	if message == "" {
		message = "the object violates the rule"
	}
	// Forbidden, as a webhook's refusal is; without a reason it would be an invalid object.
	forbidden := metav1.StatusReasonForbidden
	out := admissionv1.Validation{Message: unmarked(clipped(message)) + suffix(r), Reason: &forbidden}
	said := quote(message)
	if v.MessageExpression != "" {
		if said, err = rename(v.MessageExpression, look); err != nil {
			return admissionv1.Validation{}, err
		}
		out.MessageExpression = fmt.Sprintf(`[string(%s)].map(m, size(m) > %d ? m.substring(0, %d) + "…" : m)[0].replace(%s, "(assignment ") + %s`,
			said, textLimit, textLimit, quote(opening), quote(suffix(r)))
	}
	out.Expression = w.guard(expression, said)
	return out, nil
}

func clipped(s string) string {
	if r := []rune(s); len(r) > textLimit {
		return string(r[:textLimit]) + "…"
	}
	return s
}
