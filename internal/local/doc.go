// Package local runs a pipeline file on this machine, without a server: the pipeline
// domain on a throwaway data folder, and an agent in the same process, so that a local run
// is scheduled, carried out and masked by the code that does it on a server (ADR 19).
//
// Nouns: a [Choice] is what of a plan runs here, with what is left out and why; a snapshot
// is the state of a working tree as a commit that no one else sees; a [Watcher] hears of
// steps and their lines as they come.
//
// Invariants.
//   - Nothing of the working tree is changed: jobs check out a snapshot of it, which holds
//     uncommitted and new files and leaves out those that Git ignores.
//   - No network is needed: agent and domain talk over pipes in memory.
//   - What needs a server is left out by name, with what to do instead; nothing is faked.
//   - The throwaway folder is for the calling user alone, and goes with the run. Caches and
//     tools stay, in a folder that the caller names.
//
// Containers are those of the machine's own engine (package engine). It imports pipeline, agent
// and the kernel; the command line is its caller.
package local
