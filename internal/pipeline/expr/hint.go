package expr

import "strings"

// operators are what other languages write in the place of a function.
var operators = map[string]string{
	"==": "eq(a, b)", "=": "eq(a, b)", "!=": "ne(a, b)", "&&": "and(a, b)", "||": "or(a, b)", "<": "lt(a, b)", ">": "gt(a, b)", "<=": "le(a, b)", ">=": "ge(a, b)",
}

// contexts are the names that some place or other knows.
var contexts = []string{"parameters", "variables", "dependencies", "stageDependencies", "pipeline", "resources", "strategy"}

// Hint says what to do about an error, as the end of a message that begins with "; "; it is
// empty when the message says enough.
func (e *Error) Hint() string {
	what, symbol, _ := strings.Cut(e.Message, ": ")
	symbol = strings.TrimSuffix(strings.TrimPrefix(symbol, "'"), "'")
	switch what {
	case "Unexpected end of expression":
		return unclosed(e.Source)
	case "Unexpected symbol":
		return unknownSymbol(symbol)
	case "Unrecognized value":
		return UnknownValue(symbol)
	}
	return ""
}

// unclosed says which bracket is missing at the end of an expression.
func unclosed(source string) string {
	var open []byte
	quoted := false
	for i := range len(source) {
		switch c := source[i]; {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(' || c == '[':
			open = append(open, c)
		case (c == ')' || c == ']') && len(open) > 0:
			open = open[:len(open)-1]
		}
	}
	switch {
	case len(open) == 0:
		return ""
	case open[len(open)-1] == '[':
		return "; a closing ']' is missing"
	}
	return "; a closing ')' is missing"
}

func unknownSymbol(symbol string) string {
	if instead, ok := operators[symbol]; ok {
		return "; there are no operators, write " + instead
	}
	switch {
	case len(symbol) > 1 && symbol[0] == '!':
		return "; there are no operators, write not(" + symbol[1:] + ")"
	case strings.HasPrefix(symbol, `"`):
		return "; a text stands in single quotes: '" + strings.Trim(symbol, `"`) + "'"
	case symbol == "+" || symbol == "-" || symbol == "*" || symbol == "/" || symbol == "%":
		return "; there is no arithmetic, do it in a script"
	}
	return ""
}

// UnknownValue is the hint about a word that is no context: it may be one that is written
// wrongly, or a text without its quotes.
func UnknownValue(word string) string {
	for _, c := range contexts {
		switch {
		case strings.EqualFold(c, word):
			return ""
		case strings.EqualFold(c, word+"s"), strings.EqualFold(strings.TrimSuffix(c, "ies")+"y", word):
			return "; did you mean '" + c + "'?"
		}
	}
	return "; a text stands in single quotes: '" + word + "'"
}
