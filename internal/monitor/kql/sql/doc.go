// Package sql takes the parts of a bound query that mean exactly the same in SQL and writes
// them for an engine.
//
// Nouns. A Plan is a bound query in which sub-trees have been taken out: each is a Part,
// with the SQL, the scans and the hints for the engine, and an ir.Given in its place. A
// Dialect is how an engine spells things: DuckDB and ClickHouse are the two.
//
// Invariants. What package exec answers is what a query means: an operator or function is
// pushed only where the engine answers the same for every value, nulls, empty strings, odd
// case and overflow included; everything else stays in the tree. Only exec.Fold makes
// constants of expressions. No text of a query becomes SQL but as a literal of the dialect;
// names of columns are quoted when they are letters, digits and underscores, and replaced
// by numbers otherwise. Sums of reals may differ in their last bits, because engines add in
// another order, as Kusto itself does.
//
// It imports packages ir, exec, table, sqltype, lake (its questions) and the standard library.
package sql
