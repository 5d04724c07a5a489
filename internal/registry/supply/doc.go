// Package supply owns what is known about images beyond their bytes: it makes the
// SBOM, the vulnerability verdict, the signature and the provenance of what is pushed,
// keeps each as a referrer of the image, and answers for them.
//
// Nouns. A push is an image in a repository. A document is a referrer that this
// package made: spdx, cyclonedx, scan, signature, provenance.
//
// Invariants.
//   - Every image pushed is listed and judged; one that a run pushed is signed and gets
//     provenance, in the run's name. What a person pushed is never signed by us.
//   - A result stands in the logbook in the transaction that records it.
//   - Work is a durable job per image; each step looks first at what is there, so that
//     a retry goes on where the last attempt stopped and repeats nothing.
//   - A changed advisory changes verdicts without a layer being read.
//   - Foreign bytes that cannot be read make a stated problem, never a clean verdict.
//
// Sub-packages: advisory, seed, sbom, scan, sign, provenance; front adapts the
// registry. It imports these and the kernel; no domain.
package supply
