// Package judge decides what the result of a query rule means: which groups of rows are
// bad, which alerts fire, which resolve.
//
// Nouns. A Group is rows with the same values of the rule's dimensions, with one number. A
// Track is what is remembered of a group between evaluations. A Verdict is what an
// evaluation says of one group.
//
// Invariants. It is a function of the condition, what is remembered, the groups and the
// moment: it has no clock and keeps nothing. A group fires when at least Bad of its last Of
// evaluations were bad, and not again while it is muted.
//
// It imports the kernel, packages table and value.
package judge
