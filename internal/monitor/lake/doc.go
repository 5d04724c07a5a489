// Package lake is the log and trace engine as the server sees it: a client of
// towpath-lake, and the supervisor that keeps that child process running.
//
// Nouns. The lake keeps batches: it acknowledges one after it lies fsynced in the
// write-ahead log (WAL), makes it queryable in the hot table within half a second, and
// later seals rows into segments, Parquet files with a sidecar that says what cannot be in
// them. A Scan names the rows that a query may read; the lake reads only the segments that
// can hold some of them.
//
// Invariants. Acknowledged is stored: a `kill -9` of lake or server loses nothing that was
// acknowledged, and a batch that is sent again is stored once. Project is decided by the
// Scan, never by the SQL. A query that would need more memory than it is given is refused
// (fault.TooLarge) while others go on.
//
// It imports the kernel and package table; the engine is a package of its own because it
// needs cgo.
package lake
