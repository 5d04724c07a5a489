// Package duck is DuckDB as the lake uses it: an in-memory database, locked down, with
// rows going in and out column by column.
//
// Nouns. A DB has a memory limit that all its connections share. A Conn runs one statement
// at a time. A Chunk is up to 2,048 rows of a result.
//
// Invariants. Nothing is read or written outside of the folders that Open names; no
// extension is loaded; the settings cannot be changed after Open. A statement ends when its
// context does. Every error is an *Error whose Reason says what to do about it.
//
// It is written against DuckDB's C API (github.com/duckdb/duckdb-go-bindings), not
// database/sql: telemetry is columns, and boxing every cell costs ten times the work. It
// imports packages table and sqltype, and the bindings.
package duck
