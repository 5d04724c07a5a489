// Package wal is the write-ahead log of the lake: what it returned from Write is on disk.
//
// Nouns. A record is some bytes. A file holds records in the order of their Write; files
// are numbered, and a restart or a Rotate begins a new one.
//
// Invariants. A record that Write acknowledged is given back by every later Open, in order,
// until its file is dropped. A record whose Write failed may be given back (the sender
// repeats it under the same batch ID). A torn tail, which only what was never acknowledged
// can be, is cut off with a line in the log.
//
// It imports the standard library only.
package wal
