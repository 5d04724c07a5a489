// Package ir is a bound query: what the binder makes of a text, and what the planner, the
// SQL emitters and the executor read. Names are resolved, types are known, sugar is gone.
//
// Nouns. A Rel is a table-valued operator, a tree whose leaves are Scan, Rows, Range and
// Ref. An Expr is a scalar expression over the columns of the operator's input; a column
// is its place there. An Agg is an aggregate call.
//
// Invariants. Nodes are always pointers (*Filter, *Call, *Lit), and are never changed after
// the binder made them. Rel.Columns is exactly the schema that Kusto gives the result, in order.
// Expr.Kind is never Unknown. Column places are within the input (a join's residual sees
// the columns of left, then right). A tree holds no `let`, no user function and no view:
// the binder has put their bodies in. What is used more than once and must be computed
// once (materialize, a let that holds one, `as`) is a Shared.
//
// It imports package table and the standard library only.
package ir
