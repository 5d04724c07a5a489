// Package sqltype says in which SQL type each engine keeps and computes the values of a
// kind: what is written into a table is what a query over it reckons with.
//
// Nouns. A type is spelled as the engine's CREATE TABLE and CAST take it.
//
// Invariants. Datetimes and timespans are whole numbers of ticks, dynamics are texts with
// JSON, and a text is never null (package lake). Everything else may be.
//
// It imports package table only: the emitter of SQL, the stores and the engine share it.
package sqltype
