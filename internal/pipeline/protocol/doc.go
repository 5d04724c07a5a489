// Package protocol owns what towpath-agent and the server say to each other: HTTP
// with JSON bodies below [Prefix].
//
// Every request carries the agent token as a bearer token. Requests about one job
// carry the job's lease in the header [HeaderLease] as well; a lease is a random
// secret that is handed out with the job and valid for that job alone.
//
//	POST register                     Register  → Registered
//	POST claim                        Claim     → Job, or 204 when none came in time
//	POST jobs/{id}/heartbeat          Heartbeat → HeartbeatReply; waits for news up to Wait
//	POST jobs/{id}/steps              Update    → 204
//	POST jobs/{id}/logs/{step}?line=N log lines → LogReply; see [AppendLine]
//	PUT  jobs/{id}/artifacts/{name}   tar       → Artifact
//	GET  jobs/{id}/artifacts          –         → []Artifact
//	GET  jobs/{id}/artifacts/{name}   –         → tar
//	POST jobs/{id}/tests              tar of result files, [TestsHeader] in a header → TestsReply
//	POST jobs/{id}/coverage           tar of coverage files → CoverageReply
//	POST jobs/{id}/attachments        content, [AttachmentHeader] in a header → 204
//	POST jobs/{id}/run                RunChange → 204
//	POST jobs/{id}/tasks/{task}       TaskRequest as one JSON line, then a tar → lines of TaskReply
//	POST jobs/{id}/complete           Complete  → Completed
//	POST jobs/{id}/stay               Stay      → StayReply; waits for news up to Wait
//	GET  jobs/{id}/terminals/{id}     upgrade to [UpgradeTerminal]: frames both ways
//
// Invariants.
//   - Every call may be repeated with the same effect: log lines carry the number of
//     their first line, step updates the number of the step.
//   - A call about a job that the server has ended answers 409; only log lines are
//     still taken, so that the end of a log is not lost. A failed job that is kept has
//     ended as well; stay and terminals are for it alone.
//   - The agent decides what runs inside a job, the server what runs at all.
//
// The package imports the plan and the standard library; nothing else of Towpath.
package protocol
