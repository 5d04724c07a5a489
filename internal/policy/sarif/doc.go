// Package sarif writes results as SARIF 2.1.0, in the subset that GitHub's code scanning
// reads, so that every tool which knows that form shows verdicts at their lines.
//
// Nouns. A log has one run of one tool; a rule is what can be broken, a result one place
// where it is. A fingerprint keeps a result the same while lines move above it.
//
// Invariants: the output depends on the input alone; rules and results stand in a fixed
// order; GitHub's limits hold, and what does not fit is named in the run.
//
// It imports the standard library.
package sarif
