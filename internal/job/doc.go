// Package job owns durable work: things that must happen after a transaction has
// committed, even when the process is killed in between.
//
// Nouns: a job is a row with a kind, a payload and an optional key; a handler does the
// jobs of one kind; a lease is a worker's claim on a job, renewed while it works; a
// failed job is one that was given up and is kept for a person to see.
//
// Invariants.
//   - A job is enqueued in the transaction of the use case that needs it.
//   - A job runs at least once: after a kill it runs again when the lease ends. Handlers
//     are idempotent.
//   - Two workers never hold the same job; a worker that lost its lease is cancelled.
//   - Among unfinished jobs a (kind, key) stands once. Enqueueing it while it waits
//     replaces the payload; enqueueing it while it runs makes it run once more
//     afterwards, so that a change made meanwhile is never missed.
//
// It imports the standard library, clock and store; no domain.
package job
