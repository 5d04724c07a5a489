// Package blob owns bytes that are named by their digest: image layers and manifests,
// SBOMs, reports, artifacts.
//
// Nouns: a Digest ("sha256:…" or "sha512:…"); a blob (bytes that have that digest, never
// changed); an upload (bytes that arrive in pieces and become a blob at commit); a note (the
// one small document that has a name of its own and is replaced as a whole). A driver
// says where they live: "filesystem" (own code, with fsync) or "s3" (the storage driver of
// distribution/distribution).
//
// Invariants.
//   - A blob is visible under its digest only when its bytes were hashed and match.
//   - On the filesystem, what a call acknowledged survives a kill and a power cut: files
//     are synced, renamed into place, and the folders that name them are synced too.
//   - One writer at a time appends to an upload; the offset must be what is stored.
//   - A digest or upload id is checked before it becomes part of a path.
//
// The store knows nothing of projects: whoever calls it has authorised the access, and
// keeps the table of who refers to which blob.
//
// It imports the standard library, fault and the storage drivers of distribution; no
// domain.
package blob
