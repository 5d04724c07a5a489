// Package evidence owns what the logbook adds up to: the trace of one thing from commit
// to pod, and the Path, the board of all changes on their way to production.
//
// Nouns. A Chain is the ordered stations (commit, pull request, review, merge, run, tests,
// image, SBOM, scan, signature, provenance, decision, release, pod, telemetry,
// comparison, alert) that belong to one subject; each Station names the
// event that says it, with its hash. A change is the tip commit of one push to a branch;
// a lock is a column of the Path; a Cell is one change at one lock: its state (none,
// passing, held, shut, open), one short fact, since when and by whom. A part is what a
// cell is made of (one image, one test run, one pod).
//
// Invariants.
//   - Nothing is shown that no event says. A lock that the product does not have yet
//     stays at none.
//   - The chain is walked in one direction from its subject: from a pod towards its own
//     commit, never on to the siblings that the same commit also brought forth.
//   - The tables path_* and evidence_name are a projection: dropped with their cursor,
//     the log fills them again. Handling an event twice changes nothing.
//   - The same commit or digest may stand in several projects; a chain shows only what
//     the project says in which the actor asked.
//
// It imports the standard library and the kernel; no domain.
package evidence
