// Package warden owns the processes of a job: a small program that stands between
// the agent and everything that the steps of one job start, and that can end all of
// it.
//
// The agent starts one warden a job: its own binary again, with [Argument] as first
// argument, connected by a socket. The warden makes itself the reaper of orphans
// (PR_SET_CHILD_SUBREAPER), so that a process cannot leave it: however often it forks,
// daemonises or changes its session, it stays below the warden.
//
// Invariants.
//   - When KillAll has returned, or the agent is gone for whatever reason, no
//     process of the job is left.
//   - Processes run as the user that the command names, with the environment that it
//     names and nothing else, in a session of their own, without standard input unless
//     they have a terminal, and cannot gain privileges (PR_SET_NO_NEW_PRIVS).
//   - Background processes of a step live on until the job ends, as they do on the
//     Azure agent: a step may start a server for the next one.
//
// It imports the standard library alone.
package warden
