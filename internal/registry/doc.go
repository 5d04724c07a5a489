// Package registry owns container images and every other OCI artifact: repositories,
// manifests, tags, blobs, referrers and uploads, as the OCI distribution specification
// 1.1 has them. The protocol's HTTP front is the sub-package oci, image builds are the
// sub-package build.
//
// Nouns. A repository ("shop/web") belongs to the project that its first segment
// names. A blob is bytes named by their digest; a blob link says that a repository may
// serve a blob. A manifest is a small JSON document that references blobs (an image) or
// manifests (an index). A referrer is a manifest with a subject: an SBOM, a signature.
//
// Invariants.
//   - Metadata lives in SQL, bytes live in the blob store; nothing is found by walking
//     folders. The blob store is the registry's alone: its collector removes bytes that
//     no row of this package names.
//   - A blob is visible in a repository by its link only, so that knowing a digest
//     gives nothing to who may not read the project that holds it.
//   - A manifest is stored only when everything that it references is in the repository,
//     and what a manifest references is neither deleted nor collected while it stays.
//   - Digests are kept in the algorithm in which they came (sha256, sha512).
//   - image.pushed and image.deleted stand in the logbook in the transaction that made
//     them true.
//   - An acknowledged byte of an upload survives a crash; the upload goes on from there.
//
// The package imports the kernel and must not import another domain.
package registry
