// Package insight turns what the platform sees into work that opens and closes itself.
//
// Nouns. An Observation is what one event says. A Signal is all observations with one
// stable Key: a hash of project, source, rule and resource, never of a line, a message or
// a moment; repeats count on it. Its State is candidate (it waits out its debounce), open
// (an item stands for it), resolved, or dismissed (somebody will not fix it until a day,
// with a reason). A Scope is what a signal concerns: environment, releases and workloads.
// The Tray is what came since the last planning.
//
// Correlation. Two signals are one cause, and so one item, when they are of the same
// project and environment, concern the same release, were seen within Options.Window of
// each other, and their workloads overlap: one names a workload of the other, is its
// caller as the map of services says, or names none at all and so speaks of the whole
// release. An alert names the release that serves; while another one is tried that is the
// stable one, so a canary's scope has both. An error names the release of the pods that logged
// it, which is an old one when their service did not change: what was seen first while a
// canary was tried concerns that canary's release too.
//
// Invariants.
//   - One key has one signal and at most one item that is not closed, however often it is
//     seen and whoever closed an item before.
//   - A repeat changes one row and says no event.
//   - What follows the logbook only writes what it saw, in the transaction of the cursor;
//     whatever needs an answer of another part happens in Settle, which may be repeated.
//   - Each change of an item that the engine makes carries a comment that names the
//     evidence. It never reopens what somebody dismissed before its day.
//
// It imports the kernel and package work; commits, images, owners and telemetry are ports.
package insight
