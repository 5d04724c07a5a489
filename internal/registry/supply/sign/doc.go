// Package sign owns signatures of images: the installation's certificate authority,
// the short-lived certificates that it issues to runs, Notary Project signatures
// (JWS envelopes by notation-go) and their verification.
//
// Nouns. The Authority is the installation's root. An Identity says who signs: a run
// of a pipeline of a project. A Leaf is a key pair with a certificate for one identity;
// its private key lives in memory only and is forgotten after the signatures are made.
//
// Invariants.
//   - The authority's key is in the vault; it signs certificates and nothing else.
//   - A signature speaks for an image only when the certificate's project is the image's
//     project: a run of one project cannot vouch for another's image.
//   - Without a time-stamping service the certificate is over soon after the signature
//     was made. It must have been valid at the time that the Ledger, which is written in
//     the transaction of the logbook's event, gives for the signature; a signature that
//     the Ledger does not know must be valid now.
//   - Trust comes from the authority's certificate only, never from a chain that came
//     with a signature.
//
// It imports the standard library, the kernel (clock, fault, store) and notation-go.
package sign
