package expr

import "strings"

// Part is a piece of a text with "${{ }}" in it: either literal text, or an
// expression.
type Part struct {
	Literal    string
	Expression *Expression
	// Raw is the text between the braces, trimmed, also when it is a directive
	// such as "if …" that [ParseTemplate] was told not to parse.
	Raw string
	// Offset is the place of the part in the text, in bytes.
	Offset int
}

// Template is a text that contains expressions.
type Template struct{ Parts []Part }

// HasTemplate reports whether a text contains the opening of "${{ }}".
func HasTemplate(text string) bool { return strings.Contains(text, "${{") }

// ParseTemplate finds and parses the "${{ }}" parts of a text. The end of a part
// is the first "}}" outside a quoted string, so '}}' and 'my${{value' may stand
// in a string literal (T013).
func ParseTemplate(text string) (*Template, error) {
	t := &Template{}
	for offset := 0; offset < len(text); {
		open := strings.Index(text[offset:], "${{")
		if open < 0 {
			t.Parts = append(t.Parts, Part{Literal: text[offset:], Offset: offset})
			break
		}
		if open > 0 {
			t.Parts = append(t.Parts, Part{Literal: text[offset : offset+open], Offset: offset})
		}
		start := offset + open
		end := closing(text, start+3)
		if end < 0 {
			return nil, &Error{Message: "The expression is not closed; write }} after it", Offset: start, Source: text, Syntax: true}
		}
		raw := strings.TrimSpace(text[start+3 : end])
		expression, err := Parse(raw)
		if err != nil {
			return nil, err
		}
		t.Parts = append(t.Parts, Part{Expression: expression, Raw: raw, Offset: start})
		offset = end + 2
	}
	return t, nil
}

// closing returns the place of the "}}" that ends an expression, or -1.
func closing(text string, from int) int {
	quoted := false
	for i := from; i < len(text); i++ {
		switch {
		case text[i] == '\'':
			quoted = !quoted
		case !quoted && text[i] == '}' && i+1 < len(text) && text[i+1] == '}':
			return i
		}
	}
	return -1
}

// Single returns the expression of a text that is one expression and nothing
// else, whose value then keeps its kind (T010), or nil.
func (t *Template) Single() *Expression {
	if len(t.Parts) == 1 {
		return t.Parts[0].Expression
	}
	return nil
}

// Text evaluates the template to a string.
func (t *Template) Text(env Env) (string, error) {
	var out strings.Builder
	for _, part := range t.Parts {
		if part.Expression == nil {
			out.WriteString(part.Literal)
			continue
		}
		v, err := part.Expression.Evaluate(env)
		if err != nil {
			return "", err
		}
		text, ok := v.Text()
		if !ok {
			return "", &Error{
				Message: "Unable to convert from " + v.Kind().String() + " to String; use convertToJson(…), or let the expression stand alone",
				Offset:  0, Source: part.Raw,
			}
		}
		out.WriteString(text)
		if out.Len() > MaxResult {
			return "", &Error{Message: "The text that the expressions make is too large", Offset: -1, Source: part.Raw}
		}
	}
	return out.String(), nil
}

// Directive takes the "${{ }}" off a text that is one directive or expression
// and nothing else, and returns what is between the braces, trimmed.
func Directive(text string) (raw string, ok bool) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "${{") {
		return "", false
	}
	end := closing(text, 3)
	if end != len(text)-2 {
		return "", false
	}
	return strings.TrimSpace(text[3:end]), true
}

// RuntimeExpression takes the "$[ ]" off a value and returns the expression
// between the brackets. The syntax stands for a whole value only (X041); ok is
// false for everything else.
func RuntimeExpression(value string) (source string, ok bool) {
	trimmed := strings.TrimSpace(value)
	if !strings.HasPrefix(trimmed, "$[") || !strings.HasSuffix(trimmed, "]") {
		return "", false
	}
	return strings.TrimSpace(trimmed[2 : len(trimmed)-1]), true
}
