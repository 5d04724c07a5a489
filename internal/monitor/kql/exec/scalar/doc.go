// Package scalar holds the scalar functions and operators of our query language.
//
// Nouns. A Func computes one column from the columns of its arguments. A Call is one use
// of it, with the type that the binder found for the result. A Volatile function gives
// another answer for equal arguments, or looks at more than its own row.
//
// Invariants. Nulls are Kusto's: a function of a null is null unless its page says
// otherwise, a string is never null. Dynamics stand for their text where a text is asked
// for. What cannot be computed is null; an error is for what is wrong for every row, such
// as a pattern that is no regular expression, and names the function. What takes long ends
// when the query does.
//
// It imports packages vec, series, sketch, value, table, fault and the standard library.
package scalar
