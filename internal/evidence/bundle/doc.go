// Package bundle owns the file in which an evidence chain leaves the platform: what it
// looks like, how it is signed, and how it is checked where no server is.
//
// Nouns. A Content is what is said: the subject, the events of its chain and the head of
// the logbook when they were taken. A Document is bytes that an event names by digest, such
// as an SBOM or a signature. A bundle is one JSON file: a DSSE envelope around an in-toto
// statement that holds the content and lists the documents, the documents, and the
// certificate of the key that signed.
//
// Invariants.
//   - There is one way to write a bundle. What is not written so is refused, so no byte of a
//     bundle can be changed without being found, also where it means nothing.
//   - A signature says something only by a key that the reader trusts. Verify is told which
//     keys these are; there is no default.
//   - Verify reads no clock and asks nobody. It holds the whole bundle, which MaxBundle
//     bounds, in memory.
//
// What is proven: every event has the content that its hash was made of, events that stand
// next to each other in the logbook continue each other's hash, every document is named by
// an event or by a document that is, and the key said all of it at one time. That no event
// was left out, only the logbook itself can prove: the hashes in a bundle are those that
// `towpath log verify` walks.
//
// It imports event, fault and the standard library, beside the DSSE library; no domain.
package bundle
