// Package ingest is the one way in for telemetry: every row of a log, a trace or an
// inventory passes it on its way to the lake, every sample that was pushed on its way to
// the metric store.
//
// Nouns. A Delivery is rows of one sender under one Place. A Quota is what a project may
// send per second. The mark is the number of bytes that may be under way to the lake at
// once. A Watch sees the rows that were just acknowledged, as long as it keeps up.
//
// Invariants.
//   - What is acknowledged is stored: Put returns nil only after the Sink has, and the sink
//     returns after fsync.
//   - Project, Environment and Release of a row come from the Place, never from the sender.
//   - A row keeps its time unless that is older than two days or more than one day ahead;
//     then it gets the time at which it was received (as Azure Monitor does, "Log data
//     ingestion time in Azure Monitor"), and that is counted.
//   - Nothing is dropped in silence: what is not stored is refused with a hint when to come
//     again, or dropped and counted by project, signal and reason.
//   - A batch is stored as a whole or not at all, so that a retry under its ID is safe.
//
// It imports the kernel and the packages table, place and tail; who may send is asked by the
// edges in front of it: Handler for the nodes' agents, package otlp for everybody else.
package ingest
