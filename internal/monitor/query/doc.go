// Package query answers a text of the Kusto query language: it binds it, pushes the
// longest prefix that means the same in SQL to the engine, finishes the rest in the
// executor, and says what it cost.
//
// Nouns. An Ask is a text with the rows that the asker may see. A Result is a batch with
// its statistics and the chart that the text asked for. An Engine is what runs the SQL:
// the lake, or a ClickHouse. A Virtual answers the tables that lie in the metric store.
//
// Invariants. Whose rows are seen is decided by the Ask, never by the text. Now is fixed
// once per query. An answer is Kusto's answer or a refusal with line and column.
//
// It asks for no rights: that is the business of package monitor.
package query
