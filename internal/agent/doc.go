// Package agent owns the running of jobs on a host: it claims a job from the server,
// prepares a clean workspace, runs the steps as an unprivileged user, and brings
// back logs, results, artifacts and outputs.
//
// Nouns: the Agent has slots, each runs one job at a time in a workspace of its own;
// a spool holds what was printed and what happened until the server has it.
//
// Invariants.
//   - A line is masked before it is written anywhere, also to the agent's own disk.
//   - A line or result that was spooled reaches the server, also over a restart of
//     the server or of the agent.
//   - When a job is over no process of it is left (package warden).
//   - The agent, which may be root, touches files of the job only through os.Root:
//     no link leads out of the workspace.
//   - Steps see the documented environment and nothing of the agent's own.
//
// It imports pipeline/{expr,feed,plan,protocol,mask} and the standard library.
package agent
