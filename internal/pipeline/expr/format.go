package expr

import (
	"strconv"
	"strings"
)

// callFormat implements format('{0} {1:yyyy}', …). Doubled braces stand for
// themselves; a format after the colon is allowed for date-times alone (X081).
// Only arguments that the text mentions are evaluated.
func callFormat(ev *evaluator, n *node) (Value, error) {
	text, err := ev.text(&n.args[0])
	if err != nil {
		return Value{}, err
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case (c == '{' || c == '}') && i+1 < len(text) && text[i+1] == c:
			out.WriteByte(c)
			i += 2
			continue
		case c == '}':
			return Value{}, ev.fault(n, "The following format string is invalid: %s; write a brace twice to print it", shorten(text))
		case c != '{':
			out.WriteByte(c)
			i++
			continue
		}
		size, err := ev.formatArgument(n, text[i:], &out)
		if err != nil {
			return Value{}, err
		}
		i += size
		if out.Len() > MaxResult {
			return Value{}, ev.tooLarge(n)
		}
	}
	return NewString(out.String()), nil
}

// formatArgument writes the argument for the placeholder that text starts with
// and returns the length of the placeholder.
func (ev *evaluator) formatArgument(n *node, text string, out *strings.Builder) (int, error) {
	end := strings.IndexByte(text, '}')
	if end < 0 {
		return 0, ev.fault(n, "The following format string is invalid: %s; a placeholder is not closed", shorten(text))
	}
	number, layout, formatted := strings.Cut(text[1:end], ":")
	index, err := strconv.ParseUint(number, 10, 8)
	if err != nil {
		return 0, ev.fault(n, "The following format string is invalid: %s; a placeholder is a number in braces", shorten(text))
	}
	if int(index)+1 >= len(n.args) {
		return 0, ev.fault(n, "The following format string references more arguments than were supplied: %s", shorten(text))
	}
	argument := &n.args[index+1]
	if !formatted || layout == "" {
		s, err := ev.text(argument)
		out.WriteString(s)
		return end + 1, err
	}
	v, err := ev.eval(argument)
	if err != nil {
		return 0, err
	}
	if v.kind != DateTime {
		return 0, ev.fault(n, "The format specifiers '%s' are not valid for objects of type '%s'", layout, v.kind)
	}
	out.WriteString(FormatTime(v.time, layout))
	return end + 1, nil
}
