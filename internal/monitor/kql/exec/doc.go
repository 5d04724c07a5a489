// Package exec runs bound queries in memory. It knows every operator of package ir and
// every function that the binder lets through, and so it is the reference of what our
// query language means; an engine may answer a part of a query in its place only when it
// answers the same.
//
// Nouns. An Env is the world of one query: its now, where its leaves come from, and its
// limits. A frame is a table on its way from one operator to the next: typed vectors of
// one length.
//
// Invariants. A query sees one now. A result has exactly the columns of its Rel, except
// for an open plugin (ir.Evaluate). Conversions give null and never an error. What would
// need more rows or memory than Env allows is refused with fault.TooLarge before it is
// made, naming the operator and its place: the tables that a query still needs are counted
// together, by a sample of their cells. The input batches are never changed.
//
// It imports packages ir, table, value, fault and the standard library.
package exec
