// Package depend reviews what a change does to the packages that a repository depends
// on: which it adds or moves to another version, and what is known against those.
//
// Nouns. A manifest is a file that names packages with their versions: go.mod,
// package-lock.json. A requirement is a package at a version with its line. A change is
// a requirement at the head that the base does not have. An advisory says that a version
// is vulnerable.
//
// Invariants.
//   - Only what the change brings is judged; an old vulnerability in an untouched
//     requirement does not fail a review.
//   - A manifest that cannot be read makes the review fail, it never passes in silence.
//   - Manifests are foreign input: sizes and counts are limited, and nothing is executed
//     or fetched.
//
// It imports the standard library, fault and golang.org/x/mod; no domain.
package depend
