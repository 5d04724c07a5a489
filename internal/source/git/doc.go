// Package git runs the real git program and reads what it prints.
//
// Nouns. A Git is the program with the environment and settings that every call of
// it gets. A hash is 40 lower-case hex digits. A Batch is a long-lived
// `git cat-file --batch-command`, kept per repository for reads.
//
// Invariants.
//   - No shell. The child's environment is made from nothing: no HOME, no system or
//     user configuration, no GIT_* variable of this process leaks in.
//   - Text from outside reaches git as a hash, after `--`, or over standard input
//     after it was checked; it can never become an option.
//   - Every call has a time limit and a limit on what it may print.
//   - A child dies with this process, so that no orphan moves a ref later.
//
// It knows nothing of projects, actors or the database. It imports the standard
// library only.
package git
