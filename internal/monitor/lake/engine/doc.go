// Package engine is the lake itself, the inside of towpath-lake: it needs cgo, because
// DuckDB does.
//
// Nouns. A batch goes through the write-ahead log into the hot tables of the current
// generation. A generation is what came between two marks of the log; when it is large or
// old enough it is frozen, written as segments, and dropped. A view is what one query sees:
// some generations and some segments, which stay as long as the query runs.
//
// Invariants.
//   - Append returns after the batches lie synced in the log and in the hot tables: what is
//     acknowledged survives a kill, and the next query sees it.
//   - The manifest is the only thing that commits: the segments of a generation count from
//     the rename that also says that its log files do not. Nothing is lost or doubled
//     wherever the process dies.
//   - In memory the same exchange happens under one lock, so that a view has each row once.
//   - A batch ID that was taken before, within the last 262,144, is taken as done, also
//     after a restart and after its rows were sealed.
//   - A query sees the rows of its scans and no others: the conditions on project and time
//     are in the tables that the SQL is given, and SQL that names anything else is refused.
//   - Appends come before queries: when memory is short, the oldest query ends.
//
// Must not import: package monitor or anything that does.
package engine
