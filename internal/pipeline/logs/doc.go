// Package logs owns what steps print: one append-only file a step, readable while it
// grows.
//
// Files lie below one folder as run/job/step.log, with one record a line in the
// form of protocol.AppendLine, and step.idx beside a finished one: the offset of
// every 256th line. An index is a cache; without it the file is scanned.
//
// Invariants.
//   - Lines are numbered from 0 without holes. Append takes lines only at the end,
//     so that repeating a request changes nothing and a lost one shows.
//   - What Append has acknowledged survives the end of this process; Seal makes it
//     survive a power cut as well.
//   - A half line at the end of a file, left by a crash, is dropped when the file is
//     opened: nobody was told that it is kept.
//   - Secrets are hidden before Append is called.
//
// It imports the protocol, fault and the standard library.
package logs
