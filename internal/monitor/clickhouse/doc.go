// Package clickhouse keeps logs and traces in a ClickHouse, for an installation that has
// outgrown the lake: a client that creates the tables, appends batches and answers the same
// questions, in ClickHouse's dialect (package kql/sql).
//
// Nouns. A Store is a connection to one database. Every table of the catalogue that is not
// virtual is a MergeTree, ordered by what narrows a question and by time, divided by day,
// with an n-gram filter on the columns that are searched, and with a time to live.
//
// Invariants. The types are those of package lake: ticks as Int64, text never null. Project
// and time are decided by the Scan, in a subquery that the SQL of a question cannot reach
// around: its tables are named s1, s2, … and are nothing but those subqueries.
//
// Appends of one batch ID are stored once as long as ClickHouse remembers the ID
// (non_replicated_deduplication_window), one insert per table.
//
// It imports packages lake (its questions), kql/sql, table, sqltype, fault and the ClickHouse client.
package clickhouse
