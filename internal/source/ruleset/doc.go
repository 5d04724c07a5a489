// Package ruleset owns what a repository demands of changes to its branches and tags: who
// may push, create, delete and rewrite, and what a pull request needs before it is merged.
//
// Nouns. A ruleset has a name, patterns of refs, an enforcement (active, evaluate,
// disabled), people who may pass it, and rules. Requirements are what all active rulesets
// together demand of one branch.
//
// Invariants.
//   - Each ref of a push is judged by itself.
//   - Rulesets only add up: the strictest of two holds.
//   - Evaluate judges and says so in the logbook, and refuses nothing.
//   - Patterns are globs of ours with bounded cost, never regular expressions of a user.
//
// It imports the kernel and package source; no other domain.
package ruleset
