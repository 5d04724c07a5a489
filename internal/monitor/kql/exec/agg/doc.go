// Package agg holds the aggregates of our query language.
//
// Nouns. A Call is one aggregate over columns whose rows are dealt to groups. An aggregate
// gives one or more columns with an entry per group.
//
// Invariants. Nulls are passed over, except by count() and make_list_with_nulls. What a
// group without values gives is in "Default values of aggregations" of the summarize
// operator: 0 for counts and sums, an empty array or bag for the make functions, null
// otherwise (NaN for avg of a number).
//
// It imports packages vec, sketch, scalar (for its hash), value, table, fault and the
// standard library.
package agg
