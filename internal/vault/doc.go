// Package vault owns secrets at rest: one key file beside the data, authenticated
// encryption under it, and named signing keys that are kept sealed in the database.
//
// Nouns: the key file (32 random bytes, mode 0600, made at the first start); a sealed
// text (what may stand in the database or in a backup of it); a purpose (what a sealed
// text is for; it is bound to it, so that one cannot be passed off as another); a
// Signer (a named ECDSA P-256 key).
//
// Invariants.
//   - The key never leaves the key file and this package's memory; whoever has only the
//     database has no secret.
//   - A key file that others may read is refused, not repaired: it may have been read.
//   - A sealed text opens under the same key and the same purpose only.
//
// It imports the standard library, fault, store and golang.org/x/crypto; no domain.
package vault
