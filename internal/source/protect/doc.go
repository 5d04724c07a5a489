// Package protect keeps secrets out of repositories: it scans what a push brings before
// any ref moves, and keeps the list of what it stopped and of what people let through.
//
// Nouns. A finding is a secret that a push would have brought, known by the fingerprint
// of the secret within one repository. A fingerprint is a keyed hash; without the key
// file it says nothing about the secret. A bypass lets one fingerprint into one
// repository, with a reason, until it expires.
//
// Invariants.
//   - Every new blob of a push is scanned once, by whatever commit, parent or tag it is
//     reached. Nothing in the push itself can allow a secret.
//   - It fails closed: what could not be scanned is refused, unless the operator chose
//     otherwise.
//   - No secret is stored, logged or shown: only its fingerprint and a few characters.
//   - A secret that is in the repository already does not block: refusing it would keep
//     people from working and protect nothing.
//   - A bypass and its event are one transaction.
//
// It imports the standard library, the kernel, source and its sub-packages git, hook and
// secret.
package protect
