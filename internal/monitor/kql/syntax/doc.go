// Package syntax reads texts of the Kusto query language (KQL): tokens, and a tree of
// statements, operators and expressions with the place of each in the text.
//
// Nouns. A Token is a piece of the text with a class, for an editor's colours. A Query is
// a list of statements; the last one that is an expression is the question. A Pipe is a
// table expression: a source and the operators that it flows through. An Error says what
// is wrong where, and what to do.
//
// Invariants. Every span lies within the text and its start is not after its end. The
// parser never fails as a whole: it goes on after an error at the next operator or
// statement, so that several errors are told at once, and what it returns can be walked.
// A text is refused when it is longer than MaxText, nests deeper than MaxDepth, or has more
// than MaxTokens tokens; time and memory are linear in the text.
//
// The grammar is that of the Kusto documentation ("Tabular operators", "Scalar data
// types", "String operators"), checked against the service's own parser by package oracle.
//
// It imports package ir for the span, value for what literals spell, and the standard
// library.
package syntax
