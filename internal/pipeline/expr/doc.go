// Package expr is the expression language of pipelines: one lexer, one parser
// and one evaluator behind the three syntaxes "${{ }}", "$[ ]" and bare
// conditions, and the macro syntax "$( )" beside them.
//
// # The language
//
// An expression is a literal, a named value, a function call, or one of these
// followed by property dereferences (a.b), indexes (a['b'], a[0]) and wildcard
// filters (a.*.b). There are no infix operators: comparison and logic are
// functions (X061). Names compare without regard to case everywhere (X063).
//
// Values have a kind, see [Kind]. They convert to one another by the legacy
// matrix of the service (X100 to X106), in which every comparison converts the
// right operand to the kind of the left one. Two conversions surprise: the
// string 'false' is true as a Boolean, because it is not empty, and a Boolean
// prints as True or False.
//
// # The three uses
//
//   - [Parse] and [Expression.Evaluate], or [Evaluate] in one go, for a bare
//     expression; the caller says which named values and functions exist with
//     an [Env]. The status functions (succeeded, failed, …) and counter are not
//     part of the language: whoever has the state supplies them.
//   - [ParseTemplate] finds the "${{ }}" parts of a text.
//   - [RuntimeExpression] takes the "$[ ]" off a whole value.
//   - [ExpandMacros] replaces "$(name)"; a name that is unknown stays.
//
// # Invariants
//
// Parsing and evaluating never panic and are bounded: expressions are at most
// [MaxLength] characters long and [MaxDepth] levels deep, results at most
// [MaxResult] bytes or [MaxItems] items, and all that an evaluation looks at at most
// [MaxWork] bytes, or what is left of the [Work] that evaluations share. Every error is an [Error] with the place in the
// expression. A parsed expression is immutable and safe for concurrent use.
//
// The package imports the standard library alone.
package expr
