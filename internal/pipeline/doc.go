// Package pipeline owns runs: it starts them when a commit is pushed or a person asks,
// schedules their jobs, hands these to agents, and keeps logs, artifacts, outputs and
// test results.
//
// Nouns. A run is one execution of the pipeline file of a commit; its number is unique
// in the installation. It has stages, a stage has jobs, a job has steps. A job with a
// matrix has legs; each leg is a job of its own towards agents. An agent claims a job
// by a lease, which lives as long as its heartbeats.
// A machine is a host of an environment with an agent of its own, a "target" towards
// people; a deployment to machines has a leg for each, in batches.
//
// Invariants.
//   - A file that does not compile makes no run: the refusal with its places is an
//     event about the commit.
//   - What happens next is decided by plan.Next alone, from rows, in the transaction
//     that changed them. A restart loses nothing.
//   - Every run ends in a named state, also when the agent or the server is killed:
//     a lease that ends fails its job with the reason "agent lost".
//   - A log line that was acknowledged is kept. Lines are masked before they are
//     written, by the agent and again here.
//   - A leg that is for a machine is claimed by the machine's own token alone, and this
//     token claims nothing else. No batch starts after a machine failed.
//   - The run of a pull request deploys nowhere and has no rights in an environment: its
//     file belongs to a change that nobody has reviewed, so nothing in it can say otherwise.
//   - Secrets of a job are never in a row, an event or a log.
//
// The compiler is in the sub-packages parse, expand, validate, plan and compile, the
// conversation with agents in protocol. The package imports the kernel and these; no
// other domain.
package pipeline
