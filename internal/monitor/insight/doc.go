// Package insight says what telemetry adds up to: groups of errors, patterns of log lines,
// the application map, rate, errors and duration of every operation, and whether a release
// does better or worse than the one before it.
//
// Nouns. A Group is all occurrences of one error in a project, named by its fingerprint. A
// Pattern is what many log lines have in common. A Map has Nodes, the roles of services,
// and Edges, the calls between them. An Operation is one request name of one role. A
// Comparison sets what a release does beside what its baseline, the release before it in the same
// environment, did; its verdict is better, same, worse or unclear.
//
// Invariants.
//   - Every number that is shown carries the query that gives it: the numbers of a map are
//     the totals of the queries behind it, because they are these queries' results.
//   - A fingerprint names the version of its algorithm, so that a better one moves no old group.
//   - An occurrence is counted once: what was read up to which moment is stored together
//     with the counts.
//   - A verdict of worse or better needs a sample, an effect that matters and a
//     significance that was corrected for the number of operations looked at.
//   - A group's event and a comparison's event are appended in the transaction that stores them.
//
// It imports the kernel and packages of monitor; of deployments it knows what the port
// Releases tells.
package insight
