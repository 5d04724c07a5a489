package lsp

// exprFunction explains a function of the expression language.
type exprFunction struct{ name, form, about string }

// exprFunctions are the functions of expressions (1.4 of the reference: X070 to X092).
func exprFunctions() []exprFunction {
	return []exprFunction{
		{"always", "always()", "True, also after a failure and when the run is cancelled. Conditions only."},
		{"and", "and(a, b, …)", "True when all arguments are; stops at the first that is not."},
		{"canceled", "canceled()", "True when the run was cancelled. Conditions only."},
		{"coalesce", "coalesce(a, b, …)", "The first argument that is neither null nor an empty string."},
		{"contains", "contains(text, part)", "Whether a text contains another, without regard to case."},
		{"containsValue", "containsValue(collection, value)", "Whether a list has an item, or an object a value."},
		{"convertToJson", "convertToJson(value)", "The value as JSON, indented by two spaces."},
		{"counter", "counter(prefix, seed)", "A number that grows with each run of the same prefix. Only in a variable, in $[ ]."},
		{"endsWith", "endsWith(text, end)", "Whether a text ends with another, without regard to case."},
		{"eq", "eq(a, b)", "Whether both are equal; the right is converted to the type of the left."},
		{"failed", "failed(names…)", "True when a step before, or a job or stage that this one depends on, has failed. Conditions only."},
		{"format", "format('{0} …', a, …)", "The text with its places filled; {{ and }} are braces."},
		{"ge", "ge(a, b)", "Whether a is greater than b or equal."},
		{"gt", "gt(a, b)", "Whether a is greater than b."},
		{"iif", "iif(condition, then, else)", "One of two values; both are evaluated."},
		{"in", "in(value, a, …)", "Whether the value equals one of the others."},
		{"join", "join(separator, list)", "The items of a list as one text."},
		{"le", "le(a, b)", "Whether a is less than b or equal."},
		{"length", "length(value)", "The number of characters, items or entries."},
		{"lower", "lower(text)", "The text in lower case."},
		{"lt", "lt(a, b)", "Whether a is less than b."},
		{"ne", "ne(a, b)", "Whether both differ."},
		{"not", "not(a)", "True when the argument is false."},
		{"notIn", "notIn(value, a, …)", "Whether the value equals none of the others."},
		{"or", "or(a, b, …)", "True when one argument is; stops at it."},
		{"replace", "replace(text, old, new)", "The text with all occurrences replaced."},
		{"split", "split(text, separator)", "The parts of a text as a list; empty ones stay."},
		{"startsWith", "startsWith(text, beginning)", "Whether a text begins with another, without regard to case."},
		{"substring", "substring(text, start, length)", "A part of a text."},
		{"succeeded", "succeeded(names…)", "True when everything before, or the named jobs or stages, succeeded. The default condition."},
		{"succeededOrFailed", "succeededOrFailed(names…)", "True unless the run was cancelled. Conditions only."},
		{"trim", "trim(text)", "The text without blanks around it."},
		{"upper", "upper(text)", "The text in upper case."},
		{"xor", "xor(a, b)", "True when exactly one argument is."},
	}
}
