// Package engine runs the containers of local runs with the Docker or Podman of this machine:
// it makes of a pod of pipeline/pod a group of containers that share one network, with the agent
// in the calling process.
//
// The containers of jobs and targets run the calling program as their warden, from a folder that
// is mounted read-only, so that steps start by the code that starts them in a cluster. The
// container "host" is a warden on this machine itself. Services run their own programs.
//
// Invariants.
//   - Every container has the label of the process that made it. What a process that was killed
//     left behind goes with the next run (Sweep).
//   - Nothing of this machine is mounted but the workspace of the job, the cache of tools, the
//     sockets and the calling program; no container is privileged.
//   - What opens a registry reaches the engine in a file for one pull, never an argument, and
//     values of variables reach it in the environment.
//   - Processes of the engine's client have a clean environment: what the client itself needs.
//
// It imports pool, protocol, the warden and the kernel; local is its caller.
package engine
