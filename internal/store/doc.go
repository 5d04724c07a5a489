// Package store owns the SQL database: opening it, migrating it, and handing out
// transactions.
//
// Two engines serve the same SQL text: SQLite (modernc.org/sqlite, the default)
// and PostgreSQL (pgx). Queries are written with `?` placeholders; a Handle rebinds
// them for PostgreSQL. Column types are chosen to mean the same in both: TEXT for
// identifiers and JSON, BIGINT for integers and for times (Unix milliseconds, UTC),
// BYTEA/BLOB is avoided (bytes live in the blob store).
//
// The transaction belongs to the use case: domain storage functions take a Handle
// and never begin one themselves. SQLite has one writer: DB.Tx serialises writers
// in this process, so a transaction must be short and must not wait on anything
// but the database. Reads outside a transaction run concurrently (WAL).
//
// Migrations are one tree, migrations/NNNNN_name.sql, up only, one file for both
// engines. A domain adds its tables in a file of its own.
//
// The package imports the standard library, fault, the two drivers and goose.
package store
