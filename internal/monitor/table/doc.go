// Package table says what telemetry is made of: the types that a column may have, the
// tables with the names and columns that Azure Monitor gives them, and batches of rows as
// they travel from the edge to the lake and from the lake to the page.
//
// Nouns. A Kind is one of the ten scalar types of the Kusto query language. A Column has a
// name and a kind. A Table is a named list of columns. A Batch holds rows of one table or
// of one result, column by column, in Vectors. Ticks count 100 ns, the resolution of
// Kusto's datetime and timespan.
//
// Invariants. Every vector of a batch has as many entries as the batch has rows. A string
// is never null: nothing is "" (Kusto, "Null values"). The encoding of a batch is bounded,
// checked and versioned: what Decode accepts, Encode writes again.
//
// It imports the standard library only: it is linked into towpath-agent.
package table
