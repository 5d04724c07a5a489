// Package library owns what the pipelines of a project share: variable groups, secure
// files and service connections.
//
// Nouns. An item is one of the three; its name is unique in its project and kind without
// regard to case. A value is a name and a text; a secret value is kept sealed and has no
// text for anybody but a job. To lend is to give a job what is secret, at the moment at
// which an agent takes the job.
//
// Invariants.
//   - A secret is never in an answer, an event, a log, or a row in the clear; it can be
//     replaced and removed, not read. Whoever has only the database has no secret.
//   - Everybody who reads a project reads the names, the plain values and who may use an
//     item; the role maintain changes items. Jobs change nothing.
//   - An item is closed to pipelines until somebody permits them (package check). Lending
//     asks nobody: who lends has asked check, in the same transaction.
//   - A sealed text is bound to its item and its name, so that a row that is moved to
//     another item does not open. An item that is made again is another item.
//
// It imports the kernel and check, and is imported by pipeline and the edges.
package library
