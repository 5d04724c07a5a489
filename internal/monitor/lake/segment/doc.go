// Package segment keeps the sealed rows of the lake: Parquet files, beside each an index
// that says what cannot be in it, and the manifest that says which of them count.
//
// Nouns. A segment is a Parquet file of one table with rows in groups. Its Index has, per
// group, the rows, the range of TimeGenerated, which values of the columns with few values
// occur, and a Bloom filter of the terms in the columns of the table's Search. The Manifest
// lists the segments, and up to which file of the write-ahead log they hold everything.
// Files says where the bytes lie: in a folder, or in a blob store with the folder as cache.
//
// Invariants. A segment counts when the manifest says so, and the manifest changes in one
// rename: a kill at any point loses nothing and doubles nothing. A file that the manifest
// does not name is removed at the start. A segment counts once it lies in the folder; the blob
// store gets it afterwards, and then a copy of the manifest, from which a lake that lost its
// folder goes on. Prune never leaves out a group with a row that is asked for.
//
// It imports package blob, bloom and the standard library.
package segment
