// Package source owns Git repositories: serving them over smart HTTP and SSH through the
// real git program, deciding about pushes, and reading what is in them.
//
// Nouns. A Repo belongs to a project and is named "project/repo". A push is one
// receive-pack with its actor. A move is a ref that goes from one object to another.
// An intent is the durable note, written in pre-receive, of who is about to make which
// moves. Settling compares the refs with the table source_ref, says what moved in the
// logbook, and strikes the intent. A door is a way on which refs move: HTTP, SSH, a merge, an
// edit. A guard decides about whole pushes. A scratch is a quarantine for objects that the
// platform itself makes.
//
// Invariants.
//   - The actor's right is asked by the path of the request, never by its query, at
//     every method, and for every ref of a push.
//   - A repository's folder is named by an opaque id; no text from outside becomes part
//     of a path or an option of git.
//   - Objects of a refused push never enter the repository (git's quarantine).
//   - Whatever the door, a push passes the same rules and guards, is noted in the same
//     intent and settled alike; what is refused stands in the logbook. A guard that fails
//     refuses.
//   - refs/pull/ belongs to the platform: fetched by readers, pushed by nobody, announced
//     by no event.
//   - A deploy key opens its one repository to Git, and nothing else.
//   - An event is said for exactly the refs that moved: the table source_ref and the
//     event are written in one transaction after the move. A crash in between is made
//     good by Recover, which finds the pusher in the intent. So an acknowledged push is
//     never lost, and nothing is said about a ref that did not move.
//   - Ref updates of one repository happen one push at a time; uploads run in parallel.
//   - Nothing in a repository is ever executed: no hooks, no filters, no external diffs.
//
// One process serves a data folder. The package imports the standard library, the
// kernel and its own sub-packages git and hook; no other domain. Its other sub-packages
// (ruleset, secret, pull, ssh, …) import it.
package source
