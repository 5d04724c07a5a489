// Package canary decides what becomes of a release that is tried: its steps, the analysis
// of what was measured, and the state machine between them. It touches neither a cluster
// nor a database; deploy carries out what it decides.
//
// Nouns. A Strategy is a list of Steps and the Metrics that judge them. A Sample is what was
// seen of one service in one moment, on the canary and on a baseline of equal size. A State
// is where a trial stands.
//
// Invariants.
//   - A canary is compared with a baseline that was started with it, never with the pods
//     that have served for long.
//   - Success, failure and inconclusive are three outcomes; an inconclusive one waits for a
//     person, it is never taken for a success.
//   - The p-value of a comparison is valid at every moment: looking often does not make a
//     clean release fail more often than Alpha says.
//
// The words of a metric and their meaning are those of Argo Rollouts' analysis.
package canary
