// Package event owns the logbook: the one append-only table that is at once the
// outbox, the audit log, the evidence chain and the live stream of the UI.
//
// Nouns. An Event is a fact: it has a type (noun.verb-in-past), a subject
// (kind:id), the actor who caused it, the project it belongs to, a versioned JSON
// payload, and Links: named edges from its subject to other subjects, which are
// the evidence chain. A consumer is a named reader with a durable cursor.
//
// Invariants.
//   - An event is appended in the transaction of the use case that made it true.
//     What rolls back was never said.
//   - seq has no holes; hash is SHA-256 over prev_hash and every other column, so
//     a changed, removed or inserted row is found by Verify.
//   - Rows are never updated or deleted.
//   - Consumers see each event at least once, in order, and are idempotent.
//   - A veto is a call, never an event.
//   - A payload or link never holds a secret.
//
// It imports the standard library, clock, fault and store; no domain.
package event
