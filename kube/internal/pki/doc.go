// Package pki makes the certificates of a cluster: certificate authorities, certificates signed by them, and plain key pairs,
// each a PEM file that survives restarts and is renewed in time.
//
// Nouns: an Authority signs; a Request says what a certificate shall state. All keys are ECDSA P-256. Keys have mode 0600.
//
// Invariants: a file that exists is kept while it is valid for another RenewBefore and still says what the Request asks for;
// renewing an authority keeps its key, so certificates it signed stay valid.
//
// Must not import any other package of this module.
package pki
