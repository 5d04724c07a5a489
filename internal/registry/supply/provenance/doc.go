// Package provenance owns the statement of how an image came to be: an in-toto
// Statement v1 with a SLSA provenance v1 predicate, in a DSSE envelope that is signed
// by the run's short-lived key (package sign).
//
// Invariants.
//   - The statement's subject is the image's digest; its facts come from the pipeline's
//     records, never from what the build says of itself.
//   - A statement is believed only when its certificate is of this installation's
//     authority, was valid when the statement was recorded, and is of the image's project.
//
// It imports the standard library, fault, sign, in-toto's types and the DSSE library.
package provenance
