// Package sketch counts distinct values and estimates percentiles in bounded memory.
//
// Nouns. A Distinct holds hashes: all of them while they are few, then the smallest ones,
// from whose density the number follows (k minimum values). A Digest holds values with
// weights: all of them while they are few, then centroids (t-digest).
//
// Invariants. Up to Exact entries the answer is exact. Merging is the same as having seen
// both inputs. Cells makes a dynamic of it and Of… reads that again.
//
// It imports package value and the standard library.
package sketch
